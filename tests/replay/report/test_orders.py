"""Orders on the page: in a real browser its levels, orders, fills and features are what the strategy saw at every close."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from papertape.engine.broker.working import orders as working
from papertape.engine.broker.working.orders import ORDER_EVENT, tag_code
from papertape.engine.jit import Rows
from papertape.engine.records import FILL, LONG
from papertape.engine.strategies import Decision
from papertape.replay import Result, Tape, backtest
from papertape.replay.report import orders as report_orders
from papertape.replay.report.orders import (
    levels_of,
    orders_left_out,
    pack_orders,
    parts_of,
    resting_of,
    trails_of,
)
from tests.support.browser import CUT, browser_tab, needs_browser
from tests.support.every_level import DRAWN, Seen, Watched, seen_by
from tests.support.helpers import random_candles

HOUR_S = 3_600


class Watching(NamedTuple):
    """A run, what its strategy saw, and where its page is."""

    result: Result
    seen: list[Seen]
    page: Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Watching:
    tape = Tape(random_candles(1_500, 3), "binance-usdm", "TEST", "1h", source="made in a test")
    found: list[Result] = []
    seen = seen_by(
        lambda: found.append(backtest(tapes=[tape], strategy=Watched(), report={"sensitivity": False}))
    )
    page = tmp_path_factory.mktemp("page") / "page.html"
    return Watching(found[0], seen, found[0].plot(page))


# What the page knows after reading, as it draws it.
READ = """({
  trades: TRADES.map(({ number, side, entry, exit, stops, targets, entries, fills }) => ({ number, side, entry, exit, stops, targets, entries, fills: fills ?? null })),
  resting: ORDERS.TEST.resting.map(({ number, kind, tag, begun, end, path, fill_price, ended }) => ({ number, kind, tag, begun, end, path, fill_price, ended: ended === Infinity ? null : ended })),
  times: [...CHARTS[0].features.times],
})"""
COLUMNS = """(async () => Object.fromEntries(await Promise.all(DATA.features.TEST.columns.map(async (column) =>
  [column.name, { is_over: column.is_over, request: column.request, values: [...await columnOf(column)].map((x) => (Number.isFinite(x) ? x : null)) }]))))()"""


def test_a_trade_knows_where_its_stop_stood_at_last(run: Watching) -> None:
    """The newest move between its first and its last fill, or else the stop of its entry."""
    orders, fills = run.result.orders, run.result.fills
    moves = orders[(orders["status"] == working.MOVED) & (orders["kind"] == working.POSITION_STOP)]
    moved = 0
    for trade in run.result.trades.itertuples():
        own = fills["sequence"][fills["trade"] == trade.number]
        within = moves[(moves["sequence"] > own[0]) & (moves["sequence"] < own[-1])]
        expected = within["price"][-1] if len(within) and trade.exit_reason != "end" else None
        if expected is None and trade.exit_reason != "end":
            expected = trade.stop_price
        if expected is not None and expected > 0.0:
            assert trade.last_stop_price == pytest.approx(expected, abs=1e-6)
            moved += len(within) > 0
    assert moved > 20


def at(path: list[list[float]], time_s: float) -> float:
    """Return the level that stood in the candle of a time."""
    return [price for since, price in path if since <= time_s][-1]


@needs_browser
@pytest.mark.asyncio
async def test_the_page_draws_what_the_strategy_saw_at_every_close(run: Watching, tmp_path: Path) -> None:
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(run.page, 1440)
        read = await tab.value(READ)
        found = await tab.call("Runtime.evaluate", expression=COLUMNS, returnByValue=True, awaitPromise=True)
    assert tab.errors == []
    columns = found["result"]["value"]
    checks = {"levels": 0, "moved": 0, "added": 0, "parts": 0, "resting": 0}
    for look in run.seen:
        now = look.time_ms // 1000 - HOUR_S  # open of the candle that closes
        check_trade(look, now, read["trades"], checks)
        alive = {
            order["number"]
            for order in read["resting"]
            if order["begun"] < now + HOUR_S <= (order["ended"] or math.inf)
        }
        assert alive == set(look.resting), look
        checks["resting"] += len(alive)
        check_features(look, read["times"].index(now), columns)
    assert all(n > 50 for n in checks.values()), checks
    events = run.result.orders
    met = events[
        (events["status"] == working.TRIGGERED)
        & np.isin(events["kind"], (working.STOP_LIMIT, working.TOUCH_LIMIT))
    ]
    limits = dict(
        zip(met["number"].tolist(), zip(met["time_ms"] // 1000, met["price"], strict=True), strict=True)
    )
    drawn = {o["number"]: o["path"][-1] for o in read["resting"] if o["number"] in limits}
    assert len(drawn) == len(limits) > 3
    assert all(path == pytest.approx(limits[number], abs=1e-6) for number, path in drawn.items())
    assert {name: column["is_over"] for name, column in columns.items() if name in DRAWN} == {
        "atr_14": False,  # a price by its unit, and far from the candles
        "rsi_14": False,
        "ema_20": True,
        "bollinger_20_2_upper": True,
        "bollinger_20_2_width": False,
    }
    assert columns["bollinger_20_2_width"]["request"] == "bollinger_20_2"


def check_trade(look: Seen, now: int, trades: list[dict[str, Any]], checks: dict[str, int]) -> None:
    """Compare one close with the trade that the page has there."""
    if look.position == 0.0:
        return
    # Of several that began in one candle the last is held at its close.
    trade = [t for t in trades if t["entry"] * 1000 == look.entry_ms][-1]
    assert at(trade["stops"], now) == pytest.approx(look.stop, abs=1e-6), look
    assert at(trade["targets"], now) == pytest.approx(look.target, abs=1e-6), look
    assert at(trade["entries"], now) == pytest.approx(look.entry_price, rel=1e-5), look
    checks["levels"] += 1
    checks["moved"] += len(trade["stops"]) > 1
    checks["added"] += len(trade["entries"]) > 1
    if trade["fills"]:
        position = [fill["position"] for fill in trade["fills"] if fill["time"] <= now][-1]
        assert position == pytest.approx(look.position), look
        checks["parts"] += 1


def check_features(look: Seen, place: int, columns: dict[str, Any]) -> None:
    """Compare one close with the values that the page has there: four digits of a range, or those of the prices."""
    for name in DRAWN:
        shown, saw = columns[name]["values"][place], look.features[name]
        if math.isnan(saw):
            assert shown is None
        else:
            assert shown == pytest.approx(saw, abs=0.0051 if columns[name]["is_over"] else 5e-4)


@needs_browser
@pytest.mark.asyncio
async def test_what_is_under_the_pointer_is_told_and_layers_can_be_put_away(
    run: Watching, tmp_path: Path
) -> None:
    """A partial exit, an order and a stop are hovered where the page drew them; then their layers are switched off."""
    numbers = [i for i, n in enumerate(run.result.trades["number"]) if n in parts_by_trade(run)]
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(run.page, 1440, query=f"?trade={numbers[0]}")
        told = {
            layer: [await hovered(tab, layer, text) for text in words]
            for layer, words in {"marks": ["took off", "stop of trade"], "orders": ["“part”"]}.items()
        }
        names = await tab.value(
            "[...document.querySelectorAll('#trading label, #features label')].map((l) => l.textContent.trim())"
        )
        await tab.value("document.querySelectorAll('#trading input').forEach((b) => b.click())")
        await asyncio.sleep(0.2)
        left = await tab.value("[CHARTS[0].marks.hits.length, CHARTS[0].orders.hits.length]")
        heads = await tab.value("[...document.querySelectorAll('#trades th')].map((h) => h.textContent)")
        cells = await tab.value(
            "[...document.querySelectorAll('#trades tbody td')].map((cell) => cell.textContent)"
        )
    assert tab.errors == []
    listed = run.result.trades[:50]
    tags = {*listed["entry_tag"], *listed["exit_tag"]} - {""}
    assert tags == {tag for tag in tags if any(f"“{tag}”" in cell for cell in cells)}
    assert len(tags) > 3
    for layer, lines in told.items():
        assert all(lines), (layer, lines)
    assert names == [
        "stops and targets",
        "partial exits and additions",
        "resting orders",
        "atr_14",
        "rsi_14",
        "ema_20",
        "bollinger_20_2",
    ]
    assert left == [0, 0]
    assert "last stop" in heads


@needs_browser
@pytest.mark.asyncio
async def test_nothing_of_it_is_cut_and_paper_shows_the_marks(run: Watching, tmp_path: Path) -> None:
    """With every layer and every pane of features; the picture that is printed has what lies on top of the candles."""
    async with browser_tab(tmp_path / "profile") as tab:
        for width in (1440, 390):
            await tab.open(run.page, width, query="?trade=3")
            await tab.value("document.querySelectorAll('#features input').forEach((b) => b.click())")
            await asyncio.sleep(0.3)
            assert await tab.value("document.scrollingElement.scrollWidth") <= width
            assert await tab.value(CUT) == [], width
            panes = await tab.value("CHARTS[0].chart.panes().map((pane) => pane.getHeight())")
            assert len(panes) == 4
            assert min(panes) > 40
        # The colour of an entry's triangle, with and without what is on top.
        bare, whole = [
            await tab.value(f"CHARTS[0].chart.takeScreenshot({top}).toDataURL().length")
            for top in ("false", "true")
        ]
        await tab.value("beforePrint()")
        printed = await tab.value("document.querySelector('#candles img.printed').src.length")
    assert tab.errors == []
    assert printed >= whole > bare


def parts_by_trade(run: Watching) -> set[int]:
    """Return trades with a partial exit: more than one fill against their side."""
    fills = run.result.fills
    against = fills[fills["realised"] != 0]
    numbers, counts = np.unique(against["trade"], return_counts=True)
    return set(numbers[counts > 1].tolist())


async def hovered(tab: Any, layer: str, text: str) -> bool:
    """Move the pointer to the first thing in sight of which this is told; return whether the page says it."""
    wanted = json.dumps(text)
    spot = await tab.value(
        f"""(() => {{ const box = $("candles").getBoundingClientRect();
        const hit = CHARTS[0].{layer}.hits.find((h) => h.text.includes({wanted}) && h.from > 0 && h.to < box.width - 90 && h.y > 0);
        if (!hit) return null;
        $("candles").scrollIntoView({{ block: "center" }});
        const now = $("candles").getBoundingClientRect();
        return [now.left + (hit.from + hit.to) / 2, now.top + hit.y]; }})()"""
    )
    assert spot is not None, text
    await tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=spot[0], y=spot[1])
    await asyncio.sleep(0.15)
    tip = await tab.value("$('tip').hidden ? '' : $('tip').textContent")
    return text in tip


def happened(*rows: tuple[int, int, int, int, float, float, int]) -> Rows:
    """Return ORDER_EVENT records of (number, status, cause, kind, price, quantity, time in s), a sale each."""
    events = np.zeros(len(rows), ORDER_EVENT)
    for place, (number, status, cause, kind, price, quantity, time_s) in enumerate(rows):
        event = events[place]
        event["number"], event["status"], event["cause"], event["kind"] = (number, status, cause, kind)
        event["price"], event["quantity"], event["time_ms"] = price, quantity, time_s * 1000
        event["sequence"], event["side"], event["tag"] = place + 1, -1, tag_code("t")
    return events


def test_an_order_rests_from_its_close_to_its_end_however_it_ends() -> None:
    w = working
    events = happened(
        (1, w.PLACED, 0, w.LIMIT, 105.0, 2.0, 60),
        (2, w.PLACED, 0, w.AT_MARKET, 0.0, 1.0, 60),
        (3, w.PLACED, 0, w.STOP, 95.0, 2.0, 60),
        (0, w.REFUSED, w.TABLE_FULL, w.LIMIT, 105.0, 2.0, 60),
        (2, w.FILLED, 0, w.AT_MARKET, 100.0, 1.0, 60),
        (1, w.WORKING, 0, w.LIMIT, 105.0, 0.5, 120),
        (3, w.TRIGGERED, 0, w.STOP, 95.0, 2.0, 180),
        (3, w.FILLED, 0, w.STOP, 94.5, 2.0, 180),
        (1, w.CANCELLED, w.BY_FLAT, w.LIMIT, 105.0, 1.5, 180),
        (4, w.PLACED, 0, w.TOUCH, 110.0, 1.0, 240),
        (5, w.PLACED, 0, w.LIMIT, 111.0, 1.0, 240),
        (5, w.EXPIRED, 0, w.LIMIT, 111.0, 1.0, 300),
    )
    rows = resting_of(events)

    assert rows.number.tolist() == [1, 3, 4, 5]
    assert (rows.begun_ms // 1000).tolist() == [60, 60, 240, 240]
    assert rows.ended_ms.tolist() == [180_000, 180_000, -1, 300_000]
    assert rows.price.tolist() == [105.0, 95.0, 110.0, 111.0]
    assert rows.fill_price.tolist() == [105.0, 94.5, 0.0, 0.0]  # a part of the first was filled
    packed = pack_orders(events, np.zeros(0, FILL), ["AAA"])["AAA"]["resting"]
    assert sorted(packed["ends"]) == [
        "cancelled: no position is left that it could reduce",
        "expired",
        "filled",
        "still working",
    ]
    assert packed["tags"] == ["t"]


def test_a_stop_limit_is_drawn_at_its_trigger_and_then_at_its_limit() -> None:
    w = working
    events = happened(
        (1, w.PLACED, 0, w.STOP_LIMIT, 95.0, 2.0, 60),
        (2, w.PLACED, 0, w.TOUCH_LIMIT, 110.0, 1.0, 60),
        (3, w.PLACED, 0, w.STOP, 94.0, 2.0, 60),
        (1, w.TRIGGERED, 0, w.STOP_LIMIT, 96.0, 2.0, 120),
        (3, w.TRIGGERED, 0, w.STOP, 94.0, 2.0, 120),
        (3, w.FILLED, 0, w.STOP, 94.0, 2.0, 120),
        (1, w.FILLED, 0, w.STOP_LIMIT, 96.0, 2.0, 180),
    )
    rows = resting_of(events)
    path = trails_of(events)

    assert rows.price.tolist() == [95.0, 110.0, 94.0]
    assert (path.owner.tolist(), path.time_ms.tolist(), path.price.tolist()) == ([1], [120_000], [96.0])


def filled(*rows: tuple[int, int, float, float, float]) -> Rows:
    """Return FILL records of (trade, side, price, quantity, position after it)."""
    fills = np.zeros(len(rows), FILL)
    for place, (trade, side, price, quantity, position) in enumerate(rows):
        fill = fills[place]
        fill["trade"], fill["side"], fill["price"] = trade, side, price
        fill["quantity"], fill["position"], fill["sequence"] = quantity, position, 10 * place
        fill["candle_ms"] = 60_000 * place
    return fills


def test_the_average_entry_moves_with_additions_and_stays_at_partial_exits() -> None:
    """2 at 100 and 1 at 106 are 3 at 102; 2 of them are sold; 1 at 102 and 1 at 110 are 2 at 106."""
    fills = filled(
        (0, 1, 100.0, 2.0, 2.0),
        (0, 1, 106.0, 1.0, 3.0),
        (0, -1, 108.0, 2.0, 1.0),
        (0, 1, 110.0, 1.0, 2.0),
        (0, -1, 111.0, 2.0, 0.0),
        (1, -1, 100.0, 1.0, -1.0),
        (1, 1, 90.0, 1.0, 0.0),
        (2, -1, 100.0, 1.0, -1.0),
        (2, -1, 98.0, 1.0, -2.0),
        (2, 1, 90.0, 2.0, 0.0),
    )
    parts = parts_of(fills)

    assert parts["trade"].tolist() == [0] * 5 + [2] * 3
    assert parts["average"].tolist() == [100.0, 102.0, 102.0, 106.0, 106.0, 100.0, 99.0, 99.0]


def test_of_too_many_the_newest_are_drawn_and_no_trade_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    fills = filled(*((n, s, 100.0, 1.0, max(s, 0)) for n in range(4) for s in (1, -1)))
    events = happened(*((0, working.MOVED, 0, working.POSITION_STOP, 90.0 + n, 1.0, n) for n in range(8)))
    # Two moves within each trade: after its first fill, before its second.
    events["sequence"] = [20 * (n // 2) + 1 + n % 2 for n in range(8)]
    assert levels_of(events, fills).owner.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert orders_left_out(events, fills, ["AAA"]) == []

    monkeypatch.setattr(report_orders, "MOST_ROWS", 5)
    packed = pack_orders(events, fills, ["AAA"])["AAA"]["levels"]

    assert packed["owner"]["first"] == 2  # the fifth newest is the second move of trade 1
    assert orders_left_out(events, fills, ["AAA"]) == [
        "AAA: of 8 moves of levels the report draws the newest 5.",
        "AAA: of 8 fills the report draws the newest 5.",
    ]


class Explains:
    """Says why it does nothing, and once goes long."""

    features = ("rsi_14",)

    def decide(self, view: Any) -> Decision | None:
        if view.why("rsi below", view["rsi_14"], 30.0):
            return None
        return Decision(LONG, stop_distance=0.02 * view.close)


@needs_browser
@pytest.mark.asyncio
async def test_why_it_did_nothing_stands_in_a_browser(tmp_path: Path) -> None:
    tape = Tape(random_candles(400, 3), "binance-usdm", "TEST", "1h", source="made in a test")
    result = backtest(tapes=[tape], strategy=Explains(), report={"sensitivity": False})
    page = result.plot(tmp_path / "page.html")

    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(page, 390)
        cells = await tab.value(
            "[...document.querySelectorAll('#conditions td')].map((cell) => cell.textContent)"
        )
        rows = await tab.value("document.querySelectorAll('#conditions-newest tbody tr').length")
        newest = await tab.value("document.querySelector('#conditions-newest tbody tr').textContent")

    assert tab.errors == []
    [(condition, n)] = result.summary["conditions"]["counts"].items()
    assert cells == [condition, str(n)]
    assert rows == 20
    assert condition in newest
