"""The replay on a daemon's page, in Chromium: at every candle the page says what that of a daemon says which stopped there."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.api.closes import SeenFeatures
from papertape.daemon.monitoring.api.routes import Api
from papertape.engine.candles import HOUR_MS
from papertape.engine.core import Engine
from papertape.replay.report.features import drawn_columns
from tests.daemon.monitoring.test_api import serving
from tests.support.api import account, no_status
from tests.support.browser import Tab, browser_tab, needs_browser
from tests.support.journals import candles, identity, recorded, served

ROWS = candles(2_400)
STRATEGIES: dict[str, dict[str, Any]] = {
    "structure": {"signals": {"use_smc": True, "retrain_every": "never"}},
    "orders": {"strategy": {"name": "tests.support.every_order:AskingEveryOrder"}},
}
# What is known at candle n of the window, and what is drawn of it.
STATE = """JSON.stringify((() => {{ const view = PAGE.candles; PAGE.replay.go({n});
  return {{ ...view.stateAt({n}), drawn: view.trades.length, resting: view.orders.items.length, last: view.rows.at(-1),
    structure_drawn: view.structure.items.known.filter((t) => t <= view.until).length,
    lines: view.features.lines.map(({{ drawn }}) => drawn.at(-1)) }}; }})())"""


async def opened(tab: Tab, url: str, from_ms: int) -> None:
    await tab.call("Page.navigate", url="about:blank")
    await tab.until("location.href === 'about:blank'")  # or the page before would say that it is drawn
    await tab.open(url, 1280)
    assert await tab.value(
        f"(async () => {{ await PAGE.candles.load({from_ms}, null, true); PAGE.replay.begin(); await PAGE.candles.prepare(); document.documentElement.dataset.asked = 'yes'; }})(), 1"
    )
    await tab.until("document.documentElement.dataset.asked === 'yes'")
    assert await tab.value("PAGE.candles.whole[0].time * 1000") == from_ms
    assert not await tab.value("document.documentElement.dataset.errors")


def flat_hours(state: Path, n: int) -> list[int]:
    """Return some hours at whose close nothing is held and much has happened, spread over the tape."""
    with Journal.read(state) as journal:
        fills = journal.all("SELECT candle_ms, position FROM fills WHERE symbol = 'AAA' ORDER BY sequence")
    times, positions = (np.array(column) for column in zip(*fills, strict=True))
    closes = int(ROWS["open_ms"][0]) + HOUR_MS * np.arange(200, 590)
    place = np.searchsorted(times, closes) - 1
    found = (200 + np.flatnonzero(positions[place] == 0.0)).tolist()
    return [found[int(k)] for k in np.linspace(0, len(found) - 1, n)]


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("kind", STRATEGIES)
async def test_the_page_at_a_candle_is_that_of_a_daemon_which_stopped_there(
    kind: str, tmp_path: Path
) -> None:
    def run(name: str, hours: int) -> Api:
        state = tmp_path / name
        about = identity(**STRATEGIES[kind], daemon={"state": str(state)})
        served(state, recorded(ROWS[: 8 * hours]), about=about)
        engine = Engine(about.spec)
        drawn = drawn_columns(engine.spec.requests, engine.frames.columns)
        seen = SeenFeatures(tuple(engine.frames.columns), tuple(drawn))
        return Api(account(state, frame_ms=HOUR_MS)._replace(features=seen), no_status)

    from_ms = int(ROWS["open_ms"][0]) + 100 * HOUR_MS
    whole = await asyncio.to_thread(run, "whole", 600)
    hours = flat_hours(tmp_path / "whole", 3)
    async with browser_tab(tmp_path / "profile") as tab:
        async with serving(whole) as http:
            await opened(tab, str(http._base_url), from_ms)
            told = [json.loads(await tab.value(STATE.format(n=hour - 101))) for hour in hours]
            keys = "{ key: %r, preventDefault() {}, shiftKey: false }"
            await tab.value(f"PAGE.replay.key({keys % 'ArrowLeft'})")
            assert await tab.value("PAGE.replay.step") == hours[-1] - 102
            # Between two marks of the account the newest is told, with its time; before the first there is none.
            marked = "stateAt({ ...PAGE.candles.book, account: { since: 60, time: [300, 600], equity: [7, 8] } }, %d, %d)"
            told_at = f"(() => {{ drawWhy($('why'), {marked % (660, 720)}, {{ time: 660, close: 1 }}); return $('why').querySelector('dd').textContent; }})()"
            assert await tab.value(told_at) == "8.00  at 00:10"
            assert await tab.value(f"{marked % (120, 180)}.equity === null")
            # The window begins at hour 100, and counts from there.
            counts = "$('why').textContent.match(/(trades closed|Refusals) since 2020-01-05 04:00/g).length"
            await tab.value("drawWhy($('why'), PAGE.candles.stateAt(1), { time: 660, close: 1 }), 1")
            assert await tab.value(counts) == 2
            # What is open now is part of the window from its own first fill on, and none of it where that came later.
            open_at = """JSON.stringify([[], [0], [2]].map((left) => tradesOf([], { symbol: "AAA", quantity: 2 },
              left.map((position) => ({ trade: 3, sequence: 1, candle_ms: 60000, price: 1, quantity: 2, position })),
              { levels: new Map(), parts: new Map() }).map((trade) => trade.entry)))"""
            assert await tab.value(open_at) == "[[0],[],[60]]"
            await tab.value("document.querySelector('#features input')?.click(), 1")
            await tab.value(f"PAGE.replay.key({keys % 'Escape'})")
            assert await tab.value("PAGE.candles.rows.length") == 500
            # The newest candle is told with its features at once.
            assert "–" not in await tab.value("$('legend').textContent")
        for hour, found in zip(hours, told, strict=True):
            cut = await asyncio.to_thread(run, f"cut {hour}", hour)
            async with serving(cut) as http:
                await opened(tab, str(http._base_url), from_ms)
                expected = json.loads(await tab.value(STATE.format(n=hour - 101)))
            assert expected["position"] is None
            assert found == expected, (hour, *differences(found, expected))
        assert sum(len(each["trades"]) + each["resting"] for each in told) > 10
        assert [error for error in tab.errors if not is_of_one_that_has_gone(error)] == []


def is_of_one_that_has_gone(error: str) -> bool:
    """Return whether a browser notes of a server that has gone that its stream is lost, and nobody there to say why."""
    return "WebSocket" in error or ("ERR_CONNECTION_REFUSED" in error and "/api/v1/stream'" in error)


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[Any]:
    return [(name, found[name], expected[name]) for name in expected if found[name] != expected[name]]
