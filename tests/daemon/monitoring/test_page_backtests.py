"""Backtests on the page, in a real browser: asked for, followed, cancelled, compared, and their report read in a page without a network."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from papertape.daemon.backtests.answers import BacktestState
from papertape.daemon.backtests.service import BacktestService
from papertape.daemon.metrics import Metrics, Scope
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.schemas import Status
from papertape.daemon.monitoring.server import Server, Views
from papertape.replay.config import make_config
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize
from tests.daemon.monitoring.test_api import TOKEN, accept, serving
from tests.daemon.monitoring.test_backtests import CHILD, state
from tests.support.accessibility import press, tabbed, violations
from tests.support.api import account, no_status
from tests.support.browser import Tab, browser_tab, needs_browser, opened_page
from tests.support.pages import filled, looked_at, strangers

__all__ = ["state"]  # a fixture
pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.asyncio]

SPAN = {"start": "2020-01-02T06:30:00Z", "end": "2020-01-05T07:45:00Z"}
TAKING = """<!doctype html><button onclick="globalThis.view = window.open(location.hash.slice(1) + '/viewer')">open</button>
<script>addEventListener("message", (event) => { if (event.data === "ready") document.title = "may try"; });</script>"""


def offered() -> Status:
    """Return the status of a daemon that makes backtests."""
    return no_status().model_copy(update={"makes_backtests": True})


@asynccontextmanager
async def page(state: Path, profile: Path) -> AsyncIterator[tuple[Tab, BacktestService]]:
    """Open the page of a daemon whose backtests say how far they are and wait."""
    store = state / "tapes"
    Store(store).save(synthesize("noise", 200, "1h"), replace=True)
    own = make_config(
        {"data": {"store": str(store), **SPAN}, "strategy": {"name": "ema_cross", "parameters": {"fast": 7}}}
    )
    service = BacktestService(
        own, state / "backtests", lambda: 1_700_000_000_000, (sys.executable, str(CHILD), "waits")
    )
    metrics = Metrics(Scope(("AAA",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS))
    views = Views(offered, str, accept, Api(account(state), offered), service)
    async with Server(metrics, views, version="0", token=TOKEN) as server, browser_tab(profile) as tab:
        task = asyncio.create_task(service.run())
        try:
            await tab.call("Network.enable")
            await tab.open(f"http://127.0.0.1:{server.port}/", 1280)
            await tab.until("PAGE.backtests.jobs.length >= 2 && !$('comparing').hidden")
            yield tab, service
            assert strangers(tab, f"http://127.0.0.1:{server.port}") == []
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_one_is_asked_for_followed_and_cancelled_by_keyboard(state: Path, tmp_path: Path) -> None:
    async with page(state, tmp_path / "profile") as (tab, service):
        await tab.value("$('ask-backtest').focus(), 1")
        await press(tab, "Enter")
        await tab.until("$('asking').open && $('bt-strategy').value === 'ema_cross'")
        assert await tab.value("$('bt-parameters').querySelector('[data-name=fast]').value") == "7"
        assert await tab.value("$('bt-send').disabled")
        await looked_at(tab, "the form")
        await tab.value(
            filled(
                {
                    "bt-name": "by hand",
                    "bt-token": "not-the-right-token",
                    "bt-end": "2020-01-04",
                    "bt-more": "{",
                }
            )
        )
        await tab.value("""$("bt-tapes").querySelector("input").click(), $("bt-parameters").querySelector("[data-name=slow]").value = "31",
          $("bt-send").focus(), 1""")
        await press(tab, "Enter")
        assert "no JSON" in await tab.until(
            "$('bt-answer').className === 'loss' && $('bt-answer').textContent"
        )
        await tab.value('$("bt-more").value = `{"account": {"capital": 1234}}`, $("bt-send").focus(), 1')
        await press(tab, "Enter")
        assert "token" in await tab.until(
            "$('bt-answer').textContent.includes('wrong') && $('bt-answer').textContent"
        )
        tab.errors[:] = [error for error in tab.errors if "401" not in error]
        await tab.value(f"$('bt-token').value = {TOKEN!r}; $('bt-token').oninput(); $('bt-send').focus(); 1")
        await press(tab, "Enter")
        await tab.until("!$('asking').open && PAGE.backtests.jobs[0].state === 'running'")
        number = await tab.value("PAGE.backtests.jobs[0].number")
        job = service.job(number)
        assert (job.name, job.strategy) == ("by hand", "ema_cross")
        assert job.tapes == ("synthetic_SYNTH_1h",)
        asked = (state / "backtests" / f"{number:06d}" / "request.json").read_text()
        assert '"slow": 31' in asked
        assert '"fast": 7' in asked
        assert '"capital": 1234' in asked
        span = json.loads(asked)["config"]["data"]
        assert span["start"] == SPAN["start"]  # untouched: the time of day that a day cannot show
        assert span["end"] == "2020-01-04"
        await tab.until(
            "$('backtests').querySelector('progress')?.value === 3 && $('backtests').textContent.includes('42 %')"
        )
        assert await violations(tab) == []
        await tab.value(f"$('cancel-{number}').focus(), 1")
        await press(tab, "Enter")
        await tab.until(
            f"$('cancel-{number}').textContent === 'really cancel' && document.activeElement.id === 'cancel-{number}'"
        )
        assert service.job(number).state is BacktestState.RUNNING
        await press(tab, "Enter")
        await tab.until(
            "PAGE.backtests.jobs[0].state === 'cancelled' && $('backtests').textContent.includes('cancelled')"
        )
        assert await tabbed(tab) == []
        assert tab.errors == []


async def test_results_are_compared_and_what_is_missing_is_told(state: Path, tmp_path: Path) -> None:
    async with page(state, tmp_path / "profile") as (tab, _):
        await tab.value(
            "$('compare-first').value = '1', $('compare-second').value = '2', $('compare').click(), 1"
        )
        told = await tab.until(
            "$('comparison').querySelectorAll('polyline').length === 2 && $('comparison').textContent"
        )
        assert "strategy.parameters.fast" in told
        await looked_at(tab)
        await tab.value("$('beside-2').click(), 1")
        told = await tab.until(
            "$('comparison').textContent.includes('live account') && $('comparison').textContent"
        )
        assert "none: no benchmark was given" in told  # the account is measured without one
        assert "different spans of time" in told
        assert tab.errors == []


async def test_its_report_runs_in_a_page_that_has_no_network_and_no_token(
    state: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "profile"
    async with page(state, profile) as (tab, _):
        await tab.value(f"KEPT.set('token', {TOKEN!r}, sessionStorage), $('report-1').focus(), 1")
        await press(tab, "Enter")
        async with opened_page(profile, "/viewer") as view:
            await view.until(
                "document.documentElement?.dataset?.ready ?? document.documentElement?.dataset?.errors"
            )
            assert await view.value("document.documentElement.dataset.errors") is None
            assert "drawdown" in await view.value("$('headline').textContent")
            assert await view.value("origin") == "null"
            assert (
                await view.value(
                    "(() => { try { return sessionStorage.length } catch (error) { return error.name } })()"
                )
                == "SecurityError"
            )
            sent = await view.call(
                "Runtime.evaluate",
                expression="fetch('/api/v1/status').then(() => 'sent', () => 'refused')",
                awaitPromise=True,
            )
            assert sent["result"]["value"] == "refused"
        await tab.until("$('backtests-state').textContent === ''")
        assert tab.errors == []


async def test_no_page_of_another_origin_can_fill_the_viewer(state: Path, tmp_path: Path) -> None:
    async def say(request: web.Request) -> web.Response:
        return web.Response(text=TAKING, content_type="text/html")

    application = web.Application()
    application.router.add_get("/", say)
    profile = tmp_path / "profile"
    async with (
        TestServer(application) as other,
        serving(Api(account(state), offered)) as http,
        browser_tab(profile) as tab,
    ):
        here = str(http._base_url).rstrip("/")
        await tab.call("Page.navigate", url=f"{other.make_url('/')}#{here}")
        await tab.until("document.readyState === 'complete' && document.querySelector('button') !== null")
        await tab.value("document.querySelector('button').focus(), 1")
        await press(tab, "Enter")
        await tab.until("document.title === 'may try'")
        async with opened_page(profile, "/viewer") as view:
            # Heard after the page's own listener has had its turn.
            await view.value("addEventListener('message', () => { globalThis.isHeard = true }), 1")
            await tab.value("view.postMessage('<title>taken</title>', '*'), 1")
            assert (
                await view.until("globalThis.isHeard ? 'heard' : document.title === 'taken' && 'taken'")
                == "heard"
            )
            assert await view.value("document.title") == "Report"
            assert await view.value("location.origin") == here
