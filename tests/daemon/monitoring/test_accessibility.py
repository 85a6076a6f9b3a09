"""The page for those who do not see it or have no mouse: axe-core in light and dark, wide and narrow; everything by keyboard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.schemas import OrderState, PositionState, Status
from papertape.daemon.runtime.recovery import begin
from tests.daemon.monitoring.test_api import TOKEN, serving
from tests.daemon.monitoring.test_assets import command
from tests.support.accessibility import press, tabbed, violations
from tests.support.api import account, no_status
from tests.support.browser import Tab, browser_tab, needs_browser
from tests.support.journals import candles, filled, identity
from tests.support.pages import looked_at

pytestmark = [needs_browser, pytest.mark.slow, pytest.mark.asyncio]

GATE = """{"contenders": {"challenger": {"log_loss": 0.69, "net_return": -0.001}, "majority": {"log_loss": 0.68}}, "recipe":
  {"policy": "model", "boundary": 20.0, "capital": 3.0, "has_faded": false, "state": {"is_passed": false},
   "points": [[1700000000000, 0.5, false], [1700003600000, 3.0, false]]},
  "worth": {"rows": 700, "orders": 3, "groups": [
    {"inputs": ["rsi_14", "adx_14_plus_di"], "value": 0.0012, "lower": 0.0002, "upper": 0.0031},
    {"inputs": ["volume_z_20"], "value": -0.0004, "lower": null, "upper": 0.0002}]}}"""
WORTH = "[...$('model-worth').querySelectorAll('tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))"


def held() -> Status:
    """Return the status of an account that holds something, with an order that rests."""
    position = PositionState(
        symbol="AAA",
        quantity=-12345.6789012,
        entry_price=100.0,
        last_price=99.0,
        unrealised_pnl=1.5,
        stop_price=103.0,
        target_price=None,
    )
    order = OrderState(
        symbol="AAA",
        number=1,
        tag="entry",
        kind="limit",
        side="buy",
        quantity=1.0,
        limit_price=90.0,
        trigger_price=None,
        is_reduce_only=False,
    )
    return no_status().model_copy(update={"positions": (position,), "orders": (order,)})


@pytest.fixture
def api(tmp_path: Path) -> Api:
    """Return the API of an account with trades, refusals and an attempt to replace its model."""
    filled(tmp_path / "state", candles(500))
    with Journal.open(tmp_path / "state", 0) as journal:
        journal.commit(
            [
                lambda j: j.connection.execute(
                    "INSERT INTO attempts (due_ms, effective_ms, cause, outcome, reason, champion, version, gate, started_ms, wall_s) "
                    "VALUES (1, 1, 'schedule', 'refused', 'it lost', 0, 1, ?, 1, 1.0)",
                    (GATE,),
                )
            ]
        )
    return Api(account(tmp_path / "state"), held)


@asynccontextmanager
async def opened(api: Api, profile: Path) -> AsyncIterator[Tab]:
    async with serving(api) as http, browser_tab(profile) as tab:
        await tab.open(str(http._base_url), 1280)
        await tab.until(
            "$('model-evidence').querySelector('svg') && $('model-worth').querySelector('svg') && PAGE.trades.rows.length > 5"
        )
        yield tab


async def test_axe_finds_no_violation_light_and_dark_wide_and_narrow(api: Api, tmp_path: Path) -> None:
    async with opened(api, tmp_path / "profile") as tab:
        assert "short 12,345.6789012" in await tab.value("$('positions').textContent")
        assert await tab.value(WORTH) == [
            ["rsi_14, adx_14_plus_di", "+1.20", "+0.20 … +3.10", "", "1 of 1"],
            ["volume_z_20", "−0.40", "– … +0.20", "", "0 of 1"],
        ]
        assert "on 700 rows" in await tab.value("$('model-worth').textContent")
        await tab.value("PAGE.candles.why(PAGE.candles.rows.length - 3), 1")
        await tab.until("$('told').querySelectorAll('dt').length > 0")
        await looked_at(tab, looks=(("light", 1280), ("dark", 1280), ("dark", 390)))
        await tab.value("$('act').click(), 1")
        assert await violations(tab) == [], "controls"
        await tab.value("$('leave').click(), 1")
        await tab.value("PAGE.replay.begin(), 1")
        await tab.until("!$('why').hidden")
        assert await violations(tab) == [], "replay"
        await tab.value("PAGE.line('lost', 'no connection'), 1")
        assert "not known" in await tab.value("$('strip').textContent")  # how the feed is
        assert await violations(tab) == [], "not connected"


async def test_an_account_that_has_just_begun_says_so_and_shows_nothing_as_measured(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with Journal.open(tmp_path / "state", 0) as journal:
        journal.commit([begin(identity())])
    api = Api(account(tmp_path / "state"), no_status)
    async with serving(api) as http, browser_tab(tmp_path / "profile") as tab:
        await tab.open(str(http._base_url), 1280)
        await tab.until("$('equity-state').textContent.startsWith('No mark yet')")
        await tab.value("$('ranges').firstElementChild.click(), 1")
        strip = await tab.value("$('strip').innerText.replaceAll('\\n', ' ')")
        assert "feed none no venue is followed yet" in strip
        assert "newest candle none" in strip
        assert "replay agrees not yet" in strip
        assert "No candle has been accepted yet" in await tab.value("$('chart-state').textContent")
        assert await tab.value("$('tape').textContent") == "Nothing has happened yet."
        await looked_at(tab, "nothing yet")
        assert tab.errors == []


async def test_a_command_that_is_sent_again_for_want_of_an_answer_is_the_same_one(
    api: Api, tmp_path: Path
) -> None:
    losing = """globalThis.keys = [], globalThis.really = fetch, globalThis.fetch = (url, asked) => {
      if (!String(url).includes("commands")) return really(url, asked);
      return keys.push(asked.headers["Idempotency-Key"]) === 1 ? Promise.reject(new TypeError("lost")) : really(url, asked); }, 1"""
    async with opened(api, tmp_path / "profile") as tab:
        await tab.value(losing)
        for outcome in ("loss", "gain", "gain"):
            assert await tab.value(command("pause", TOKEN)) == ""
            await tab.until(f"$('answer').className === '{outcome}'")
        first, again, other = await tab.value("keys")
        assert len(first) == 32
        assert first == again != other
        assert tab.errors == []


async def test_everything_is_reached_and_done_by_keyboard(api: Api, tmp_path: Path) -> None:
    async with opened(api, tmp_path / "profile") as tab:
        assert await tabbed(tab) == []

        await tab.value("$('candles').focus(), 1")
        await press(tab, "ArrowLeft")
        await tab.until("PAGE.candles.until !== Infinity && !$('why').hidden")
        step = await tab.value("PAGE.replay.step")
        await press(tab, "ArrowLeft", modifiers=8)  # Shift
        assert await tab.value("PAGE.replay.step") == step - 10
        await press(tab, "Escape")
        assert await tab.value("PAGE.candles.until === Infinity && $('why').hidden")
        await tab.value("$('trades').querySelector('tbody tr').focus(), 1")
        await press(tab, "Enter")
        await tab.until("PAGE.candles.chosen !== null")
        await tab.value("$('act').focus(), 1")
        await press(tab, "Enter")
        assert await tab.value("$('dialog').open && $('dialog').contains(document.activeElement)")
        await press(tab, "Escape")
        assert await tab.value("!$('dialog').open && document.activeElement.id === 'act'")
        assert tab.errors == []
