"""The page at `/`: what it may load and ask, and the whole of it in a real browser against a daemon on the local exchange."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import pytest

from papertape.daemon.monitoring import server as server_module
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.assets import PAGE, POLICY, VIEWER, VIEWER_POLICY, AssetName
from papertape.daemon.monitoring.schemas import CommandName
from tests.daemon.monitoring.test_api import TOKEN, serving
from tests.support.accessibility import press
from tests.support.api import account, journal_of, no_status, walk
from tests.support.browser import Tab, browser_tab, needs_browser, opened_page
from tests.support.loopback import free_port
from tests.support.pages import filled, resized, strangers, undocumented

ROOT = Path(__file__).resolve().parents[3]
# Of a backtest that takes half a minute, most of it with a word on how far it is: a model every week of four years.
LONG = '{"signals": {"model": "logistic", "retrain_every": "1w"}}'
WEB = resources.files("papertape.daemon.monitoring").joinpath("web")


def text(name: str) -> str:
    return WEB.joinpath(name).read_text(encoding="utf-8")


@pytest.mark.asyncio
async def test_the_page_and_its_files_come_with_a_strict_policy_and_once(tmp_path: Path) -> None:
    async with serving(Api(account(tmp_path), no_status)) as http:
        for path in ("/", *(f"/assets/{name}" for name in AssetName)):
            async with http.get(path) as answer:
                assert answer.status == 200
                assert answer.headers["Content-Security-Policy"] == POLICY
                assert len(await answer.read()) < 256_000
                tag = answer.headers["ETag"]
            async with http.get(path, headers={"If-None-Match": tag}) as answer:
                assert (answer.status, await answer.read()) == (304, b"")
        for path in (
            "/assets/nothing.js",
            "/assets/index.html",
            "/assets/viewer.html",
            "/assets/..%2fserver.py",
        ):
            async with http.get(path) as answer:
                assert answer.status == 404
    assert "unsafe" not in POLICY


@pytest.mark.asyncio
async def test_a_browser_keeps_a_file_until_the_page_calls_it_by_another_content(tmp_path: Path) -> None:
    async with serving(Api(account(tmp_path), no_status)) as http:
        async with http.get("/") as answer:
            assert answer.headers["Cache-Control"] == "no-cache"
            files = re.findall(r'"(/assets/[\w.-]+\?v=)(\w+)"', await answer.text())
        assert len(files) == len(AssetName)
        for path, digest in files:
            async with http.get(path + digest) as answer:
                assert hashlib.sha256(await answer.read()).hexdigest().startswith(digest)
                assert "immutable" in answer.headers["Cache-Control"]
            for other in ("", "0" * len(digest), digest[:-1]):
                async with http.get(path + other) as answer:
                    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.asyncio
async def test_a_report_is_shown_without_an_origin_and_without_a_network(tmp_path: Path) -> None:
    async with serving(Api(account(tmp_path), no_status)) as http, http.get("/viewer") as answer:
        assert (answer.status, answer.headers["Content-Security-Policy"]) == (200, VIEWER_POLICY)
    rules = dict(rule.split(" ", 1) for rule in VIEWER_POLICY.split("; "))
    assert "allow-same-origin" not in rules["sandbox"]
    assert rules["default-src"] == "'none'"
    assert not {"connect-src", "frame-src", "child-src"} & set(rules)


def test_the_page_loads_its_own_files_and_has_nothing_inline() -> None:
    page = text(PAGE)
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page)

    assert {path for path in loaded if path.startswith("/")} == {f"/assets/{name}" for name in AssetName}
    assert [path for path in loaded if "://" in path] == [
        "https://www.tradingview.com/"
    ]  # a link, not loaded
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", page)
    assert {path.name for path in WEB.iterdir()} <= {PAGE, VIEWER, *AssetName}


def test_every_question_of_the_page_is_in_the_committed_document() -> None:
    document = json.loads((ROOT / "deploy" / "docs" / "openapi.json").read_text(encoding="utf-8"))
    scripts = "\n".join(
        text(name) for name in AssetName if name.endswith(".js") and WEB.joinpath(name).is_file()
    )
    asked = re.findall(r'ask\("(\w+)"(?:, (\{[^}]*\}))?', scripts)
    names = {"symbol", "from_ms", "to_ms", "limit", "cursor"}

    assert len(asked) > 15
    for what, query in asked:
        operation = document["paths"][f"/api/v1/{what}"]["get"]
        known = {each["name"] for each in operation.get("parameters", ())}
        assert set(re.findall(r"\w+", query)) & names <= known, what
    commands = re.search(r"const COMMANDS = \{(.*?)\};", scripts, re.DOTALL)
    assert commands is not None
    assert set(re.findall(r"^  (\w+):", commands[1], re.MULTILINE)) == {name.value for name in CommandName}


@asynccontextmanager
async def daemon(state: Path, port: int, *settings: str) -> AsyncIterator[None]:
    """Run a daemon of its own on the local exchange, and end it as an operator does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "papertape.daemon.cli", "run", str(ROOT / "deploy" / "run-sim.toml"), "--state", str(state), "--set",
        f"daemon.port={port}", "--set", "strategy.name=ema_cross", "--set", "strategy.parameters.fast=3", "--set",
        "strategy.parameters.slow=8", "--set", "account.sizing=fraction", "--set", "live.speed=7200", *(part for each in settings for part in ("--set", each)),
        env={**os.environ, "PAPERTAPE_TOKEN": TOKEN}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(1200):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                break
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


def command(name: str, token: str) -> str:
    """Return what fills in the form and sends it."""
    return f"""(() => {{
      if (!$("dialog").open) $("act").click();
      {filled({"command": name, "token": token})}; $("answer").textContent = "";
      if (!$("send").disabled) return "sent without a confirmation";
      $("sure").click(); $("send").click(); return "";
    }})()"""


def workers(state: Path) -> list[int]:
    """Return the processes that make backtests below a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            words = place.read_bytes().decode().split("\0")
            if "papertape.daemon.backtests.worker" in words and words[-2].startswith(str(state)):
                found.append(int(place.parent.name))
    return found


async def asked_for(tab: Tab, name: str, **fields: str) -> None:
    """Ask for a backtest in the form, as a person does."""
    await tab.value("$('ask-backtest').click(), 1")
    ready = "$('asking').open && PAGE.backtests.asking.choices !== null"
    await tab.until(f"{ready} && $('bt-strategy').value === 'ema_cross' && $('bt-end').value === ''")
    named = {f"bt-{key}": value for key, value in {"name": name, "token": TOKEN, **fields}.items()}
    await tab.value(filled(named))
    await tab.value("$('bt-send').focus(), 1")
    await press(tab, "Enter")
    await tab.until(f"!$('asking').open && PAGE.backtests.jobs[0]?.name === {name!r}")


async def backtested(tab: Tab, folder: Path) -> None:
    """Let the daemon's own processes make backtests: one whose report is read and compared, one cancelled, one left running."""
    await asked_for(tab, "short", end="2020-01-20")
    await tab.until("PAGE.backtests.jobs[0].state === 'running'")
    await tab.until("PAGE.backtests.jobs[0].state === 'done' && $('report-1') !== null", 120.0)
    job = await tab.value("PAGE.backtests.jobs[0]")
    await tab.value("$('report-1').focus(), 1")
    await press(tab, "Enter")
    async with opened_page(folder / "profile", "/viewer") as view:
        drawn = "document.documentElement?.dataset?.ready ?? document.documentElement?.dataset?.errors"
        await view.until(drawn)
        assert await view.value("document.documentElement.dataset.errors") is None
        assert await view.value("origin") == "null"
        assert await view.value("SUMMARY.digest") == job["digest"]
    await tab.value("$('beside-1').click(), 1")
    told = await tab.until(
        "$('comparison').querySelectorAll('polyline').length === 2 && $('comparison').textContent"
    )
    assert "live account" in told
    for number in (2, 3):
        await asked_for(tab, "long", strategy="confluence", models="yes", more=LONG)
        await tab.until("$('backtests').querySelector('progress')?.value > 0", 120.0)
        assert len(workers(folder)) == 1
        if number == 2:
            await tab.value("$('cancel-2').click(), $('cancel-2').click(), 1")
            await tab.until("PAGE.backtests.jobs[0].state === 'cancelled'")
            assert workers(folder) == []


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_in_a_browser_it_lives_through_a_restart_and_obeys_the_token(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.call("Network.enable")
        async with daemon(tmp_path / "state", port):
            await tab.open(url, 1280)
            assert await tab.value("document.documentElement.dataset.line") == "live"
            assert await tab.value("PAGE.candles.rows.length") > 50
            before = await tab.value("PAGE.status.last_input.sequence")
            await tab.until("document.documentElement.dataset.candles >= 2")
            assert await tab.value("PAGE.status.last_input.sequence") > before
            await tab.until("PAGE.trades.rows.length > 0 && $('tape').children.length > 2", 240.0)
            await tab.value("PAGE.candles.why(PAGE.candles.rows.length - 3)")
            await tab.until("$('told').querySelectorAll('dt').length > 0")
            for width in (1280, 390):
                await resized(tab, width)
                await asyncio.sleep(0.5)
                assert await tab.value("document.documentElement.scrollWidth <= innerWidth"), width
            await tab.value("PAGE.replay.begin(), 1")
            await tab.until("PAGE.candles.book.tables !== undefined")
            await tab.value("PAGE.replay.end(), $('ranges').lastElementChild.click(), 1")
            await backtested(tab, tmp_path)
            assert await tab.value(command("pause", "not-the-right-token")) == ""
            assert "token is missing or wrong" in await tab.until(
                "$('answer').className === 'loss' && $('answer').textContent"
            )
            tab.errors[:] = [
                error for error in tab.errors if "401" not in error
            ]  # the browser notes every refusal
            assert await tab.value(command("pause", TOKEN)) == ""
            await tab.until("$('answer').className === 'gain'")
            await tab.until("PAGE.status.account.is_paused && $('strip').textContent.includes('halted')")
            run, drawn = (
                await tab.value("PAGE.stream.run"),
                await tab.value("PAGE.candles.rows.at(-1).time"),
            )
            errors = list(tab.errors)
        await tab.until("document.documentElement.dataset.line === 'lost' && !$('banner').hidden")
        assert workers(tmp_path) == []  # the one that was left running went with its daemon
        async with daemon(tmp_path / "state", port):
            await tab.until(
                f"document.documentElement.dataset.line === 'live' && PAGE.stream.run !== {run!r}", 120.0
            )
            await tab.until(f"PAGE.candles.rows.at(-1).time > {drawn} && $('banner').hidden", 120.0)
            states = "PAGE.backtests.jobs.map((job) => job.state).join()"
            await tab.until(f"{states} === 'interrupted,cancelled,done'")
            assert workers(tmp_path) == []
            assert not await tab.value(
                "document.documentElement.dataset.errors ?? document.documentElement.dataset.trouble"
            )
    assert errors == []
    assert strangers(tab, url) == []
    assert undocumented(tab.requests) == set()
    asked = {url.split("?")[0].rsplit("/", 1)[1] for url in tab.requests}
    assert asked >= {"candles", "closes", "close", "comparison", "choices", "cancel", "pause", "report.html", "stream", "peers"}  # fmt: skip


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_where_reading_needs_the_token_the_page_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing here listens to the world: the server is made to believe that 127.0.0.1 does.
    monkeypatch.setattr(server_module, "is_loopback", lambda host: False)
    journal_of(tmp_path, [walk(300, 1)])
    async with (
        serving(Api(account(tmp_path, ("AAA",)), no_status)) as http,
        browser_tab(tmp_path / "profile") as tab,
    ):
        await tab.call("Page.navigate", url=str(http._base_url))
        asks = "document.readyState === 'complete' && typeof $ === 'function' && $('dialog').open && $('answer').textContent"
        assert "needs its token" in await tab.until(asks)
        assert await tab.value("document.documentElement.dataset.line") != "live"

        await tab.value(f"$('token').value = {TOKEN!r}; $('token').oninput(); $('keep').click()")

        await tab.until(
            "document.documentElement.dataset.line === 'live' && PAGE.candles.rows.length === 300"
        )
        assert await tab.value("!$('dialog').open && $('banner').hidden")
