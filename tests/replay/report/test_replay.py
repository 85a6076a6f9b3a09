"""The replay on the page: what it shows at a candle is what a run on the tape that ends there found, and reported."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from papertape.engine.broker.working.orders import CAUSE_NAMES, REFUSED
from papertape.engine.records import REFUSED_NAMES, UNITS_PER_QUOTE, Unmet
from papertape.engine.strategies.confluence import Confluence
from papertape.replay import Result, Tape, backtest
from papertape.replay.report import steps
from papertape.replay.report.data import joined_column, pack_candles, pack_floats
from papertape.replay.report.orders import resting_of
from papertape.replay.report.steps import StepLines, pack_account, pack_closes, pack_lines
from papertape.replay.report.structure import GROUPS, name_of, structure_of
from tests.support.browser import CUT, Tab, browser_tab, needs_browser
from tests.support.every_order import EveryOrder
from tests.support.helpers import random_candles
from tests.support.packed import unpack_candles, unpack_floats, unpack_integers, unpack_steps

HOUR_MS = 3_600_000
CANDLES = random_candles(900, 3)
CUTS = (46, 61, 118, 233, 377, 507, 700, 899)  # at 46 and 507 it decides


class Looks(EveryOrder):
    """Trades with every kind of order, and names structure and features beside."""

    features = ("atr_14", "rsi_14", "ema_20", "smc")


class Walk(NamedTuple):
    """A run on all candles, its page, and runs on those up to some of them."""

    result: Result
    page: Path
    cut: dict[int, Result]


def run(n: int) -> Result:
    tape = Tape(CANDLES[: n + 1], "binance-usdm", "TEST", "1h", source="made in a test")
    return backtest(tapes=[tape], strategy=Looks(), report={"sensitivity": False})


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    result = run(len(CANDLES) - 1)
    page = result.plot(tmp_path_factory.mktemp("page") / "page.html")
    return Walk(result, page, {n: run(n) for n in CUTS})


# What the page shows in the replay, by its own words for it; what is endless or no number has no JSON.
SHOWN = """(() => { REPLAY.go(%d); const view = CHARTS[0], s = view.stateAt(%d);
  const path = (p) => p.map(([time, price]) => [time, price]);
  return JSON.stringify({ ...s, last: view.all[view.all.length - 1], n: view.all.length,
    drawn: view.trades.map((t) => t.number), trades: s.trades.map((t) => [t.number, t.isOpen ? null : t.exit, t.isOpen ? null : t.pnl]),
    orders: s.orders.map((o) => [o.number, o.path.length ? o.path[o.path.length - 1][1] : 0]),
    resting: view.orders.items.filter((o) => o.ended === Infinity).map((o) => o.number),
    ends: view.features.lines.map(({ column, drawn }) => [column.name, drawn[drawn.length - 1]]),
    features: Object.fromEntries(s.features.map(([name, value]) => [name, Number.isFinite(value) ? value : null])) }); })()"""


@needs_browser
@pytest.mark.asyncio
async def test_the_page_at_a_candle_is_a_run_that_ends_there(walk: Walk, tmp_path: Path) -> None:
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(walk.page, 1440)
        states = {n: json.loads(await tab.value(SHOWN % (n, n))) for n in reversed(CUTS)}
    assert tab.errors == []
    seen = {"open": 0, "resting": 0, "refused": 0, "decided": 0, "unmet": 0, "alive": 0}
    for n, state in states.items():
        compare(state, walk.cut[n], n, seen)
    assert all(seen.values()), seen


def compare(state: dict[str, Any], cut: Result, n: int, seen: dict[str, int]) -> None:
    """Hold what the page shows against the records of a run on the candles up to `n`."""
    until = int(CANDLES["open_ms"][n] + HOUR_MS)
    assert (state["n"], state["until"]) == (n + 1, until // 1000)
    assert state["last"]["close"] == pytest.approx(CANDLES["close"][n])
    compare_trades(state, cut, seen)
    compare_orders(state, cut, seen)
    assert state["equity"]["equity"] == pytest.approx(cut.marks["equity"][-1] / UNITS_PER_QUOTE, abs=1e-4)
    for group, found in zip(GROUPS, state["structure"], strict=True):
        made = structure_of(cut.events, HOUR_MS)
        own = [name_of(kind)[0] == group for kind in made.kind.tolist()]
        assert found["known"] == sum(own)
        assert found["alive"] == (made.ended_ms[own] < 0).sum()
        seen["alive"] += found["alive"]
    compare_words(state, cut, until, seen)
    assert cut.features is not None
    packed = cut.features.pack(["TEST"], cut.candles)["TEST"]["columns"]
    for column in packed:
        is_known = "is_number" not in column or unpack_integers(column["is_number"])[-1] != 0
        value = (column["first"] + unpack_integers(column["steps"]).sum()) / 10.0 ** column["decimals"]
        shown = state["features"][column["name"]]
        assert shown == pytest.approx(value, abs=0.02) if is_known else shown is None
    assert len(packed) == len(state["features"]) > 2
    # The drawn lines end there, too.
    assert state["ends"] == [[name, state["features"][name]] for name, _ in state["ends"]]
    assert len(state["ends"]) > 2


def compare_trades(state: dict[str, Any], cut: Result, seen: dict[str, int]) -> None:
    closed = cut.traded["exit_reason"] != "end of tape"
    exits = cut.traded["exit_time"].astype("datetime64[s]").astype(np.int64)
    expected = [
        [
            number,
            int(exit_s) if is_closed else None,
            pytest.approx(pnl, rel=1e-8, abs=1e-9) if is_closed else None,
        ]
        for number, exit_s, pnl, is_closed in zip(
            cut.traded["number"].tolist(), exits, cut.traded["pnl"].tolist(), closed, strict=True
        )
    ]
    assert state["trades"] == expected
    assert state["drawn"] == [number for number, *_ in expected]
    position = cut.fills["position"][-1] if len(cut.fills) else 0.0
    held = state["position"]
    assert (held["quantity"] if held else 0.0) == pytest.approx(position)
    seen["open"] += held is not None


def compare_orders(state: dict[str, Any], cut: Result, seen: dict[str, int]) -> None:
    rows = resting_of(cut.orders)
    alive = rows.number[rows.ended_ms < 0].tolist()
    assert [number for number, _ in state["orders"]] == state["resting"] == alive
    for number, price in state["orders"]:
        own = cut.orders[(cut.orders["number"] == number) & (cut.orders["price"] > 0.0)]
        own = own[np.isin(own["status"], (1, 3, 8))]  # placed, triggered, moved
        assert price == pytest.approx(own["price"][-1] if len(own) else 0.0, abs=1e-6), number
    seen["resting"] += len(alive)


def compare_words(state: dict[str, Any], cut: Result, until: int, seen: dict[str, int]) -> None:
    """Decisions, refusals and what was not met."""
    now = cut.decisions[(cut.decisions["time_ms"] == until) & (cut.decisions["refused"] == 0)]
    assert (state["decision"] or {}).get("target") == (int(now["target"][-1]) if len(now) else None)
    codes = [*cut.decisions["refused"][cut.decisions["refused"] != 0].tolist()]
    codes += cut.orders["cause"][cut.orders["status"] == REFUSED].tolist()
    texts = {**REFUSED_NAMES, **CAUSE_NAMES}
    assert {row["reason"]: row["count"] for row in state["refusals"]} == {
        texts[code]: codes.count(code) for code in set(codes)
    }
    newest = cut.summary["conditions"]["newest"][-1]
    said = newest["condition"] if newest["time_ms"] == until else None
    assert (state["unmet"] or {}).get("condition") == said
    seen["refused"] += len(codes)
    seen["decided"] += state["decision"] is not None
    seen["unmet"] += said is not None


@needs_browser
@pytest.mark.asyncio
async def test_keys_step_and_a_candle_that_is_clicked_says_why(walk: Walk, tmp_path: Path) -> None:
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(walk.page, 1440)
        await tab.value("document.getElementById('candles').focus()")
        first = await steps_of(tab, "ArrowRight")
        walked = [await steps_of(tab, key) for key in ("ArrowRight", "ArrowLeft", "End", "Home")]
        listed = await tab.value("document.getElementById('count').textContent")
        told = await tab.value("document.getElementById('why').textContent")
        aria = await tab.value("document.getElementById('replay-slider').getAttribute('aria-valuetext')")
        ended = await steps_of(tab, "Escape")
        whole = await tab.value("CHARTS[0].all.length")
        hidden = await tab.value("document.getElementById('why').hidden")
        await tab.value("CHARTS[0].onCandle(700)")
        clicked = await tab.value("document.getElementById('why').textContent")
        for width in (1440, 390):
            await tab.open(walk.page, width)
            await tab.value("REPLAY.begin()")
            assert await tab.value("document.scrollingElement.scrollWidth") <= width
            assert [n for n in await tab.value(CUT) if "trades" not in n] == [], width
    assert tab.errors == []
    assert first == len(CANDLES) // 5
    assert walked == [first + 1, first, 899, 0]
    assert listed == "no trade"
    assert "flat" in told
    assert "candle 1 of 900" in aria
    assert (ended, whole, hidden) == (None, 900, True)
    assert "Why not" in clicked


@needs_browser
@pytest.mark.asyncio
async def test_trades_are_filtered_and_what_is_left_is_saved(walk: Walk, tmp_path: Path) -> None:
    """The CSV is read by a reader that is not ours."""
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.open(walk.page, 1440)
        text = await tab.value(
            "document.getElementById('side').value = 'long'; document.getElementById('outcome').value = 'won';"
            "document.getElementById('outcome').onchange(); let kept; save = (name, text) => { kept = text; };"
            "document.getElementById('csv').click(); kept"
        )
        guarded = await tab.value(
            """csvOf([{ a: '=1+"x"', b: null, exit: 0, n: -2 }], ["a", "b", "exit", "n"])"""
        )
    assert tab.errors == []
    rows = list(csv.DictReader(io.StringIO(text)))
    trades = walk.result.trades
    expected = trades[(trades["side"] == "long") & (trades["pnl"] > 0.0)]
    assert [int(row["number"]) for row in rows] == expected["number"].tolist()
    assert [float(row["pnl"]) for row in rows] == pytest.approx(expected["pnl"].tolist(), rel=1e-8)
    assert [row["entry"][:16] for row in rows] == [
        str(time)[:16].replace(" ", "T") for time in expected["entry_time"]
    ]
    assert [row["entry_tag"] for row in rows] == expected["entry_tag"].tolist()
    assert guarded == 'a,b,exit,n\r\n"\'=1+""x""",,1970-01-01T00:00:00.000Z,-2\r\n'


async def steps_of(tab: Tab, key: str) -> Any:
    """Press a key on the chart; return where the replay stands."""
    await tab.call("Input.dispatchKeyEvent", type="keyDown", key=key)
    return await tab.value("REPLAY.step")


def test_answers_of_kernels_are_what_was_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape(CANDLES, "binance-usdm", "TEST", "1h", source="made in a test")
    result = backtest(tapes=[tape], confidence_threshold=0.3, retrain_every="never")
    assert result.lines is not None

    found = pack_closes(result.lines, result.decisions, result.orders, ["TEST"], HOUR_MS)["TEST"]

    answers = found["answers"]
    times = unpack_steps(answers["time"])
    np.testing.assert_array_equal(times, CANDLES["open_ms"] // 1000 + 3600)
    decided = result.decisions[result.decisions["refused"] == 0]
    rows = np.searchsorted(times, decided["time_ms"] // 1000)
    np.testing.assert_array_equal(unpack_integers(answers["target"])[rows], decided["target"])
    for name in steps.SCORES:
        np.testing.assert_allclose(unpack_floats(answers[name])[rows], decided[name], rtol=1e-3)
    assert len(decided) > 20
    # Where it decided nothing its score was between the thresholds, or it held that side.
    score = unpack_floats(answers["confidence"])
    assert np.isnan(score[:20]).all()
    assert (score[np.isfinite(score)] <= Confluence().confidence_threshold).any()


def test_the_newest_is_kept_and_the_page_is_told_since_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MOST_CLOSES", 10)
    lines = StepLines(["A", "B"])
    for hour in range(30):
        lines.said((Unmet("AB"[hour % 2], hour * HOUR_MS, "rsi below 30", 31.0 + hour, 30.0),))

    packed = pack_lines(lines, 1, HOUR_MS)["unmet"]

    hours = [21, 23, 25, 27, 29]
    assert unpack_steps(packed["time"]).tolist() == [3600 * hour for hour in hours]
    assert packed["since"] == 21 * 3600
    assert unpack_floats(packed["value"]).tolist() == [31.0 + hour for hour in hours]
    marks = {"time_ms": CANDLES["open_ms"] + HOUR_MS, "equity": np.arange(900) * 10**9}
    account = pack_account(marks, {"A": CANDLES}, HOUR_MS)  # type: ignore[arg-type]
    assert account["since"] == int(CANDLES["open_ms"][-10]) // 1000 + 3600
    worth = unpack_steps(account["equity"]) / 10.0 ** account["decimals"]
    assert worth.tolist() == list(range(890, 900))


def test_what_a_page_cannot_hold_is_joined_with_its_true_high_and_low() -> None:
    candles = random_candles(1_003, 5)
    candles["high"][517] *= 3.0
    candles["low"][518] *= 0.2

    names = ("open_ms", "high", "low", "close", "volume")
    joined = {name: joined_column(candles, name, 4) for name in names}
    packed = unpack_candles(pack_candles(candles, 300))

    parts = [candles[at : at + 4] for at in range(0, 1_003, 4)]
    for name, fold in (("high", max), ("low", min)):
        assert joined[name].tolist() == [fold(part[name].tolist()) for part in parts]
    assert joined["close"].tolist() == [part["close"][-1] for part in parts]
    assert joined["open_ms"].tolist() == [part["open_ms"][0] for part in parts]
    np.testing.assert_allclose(joined["volume"], [math.fsum(part["volume"]) for part in parts])
    np.testing.assert_allclose(packed["high"], joined["high"], rtol=1e-8)
    assert pack_candles(candles)["joined"] == 1


@pytest.mark.parametrize("digits", [4, 6])
def test_values_of_any_size_come_back(digits: int) -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=500) * 10.0 ** random.integers(-12, 12, 500)
    values[:4] = [0.0, np.nan, np.inf, -0.5]

    back = unpack_floats(pack_floats(values, digits))

    is_number = np.isfinite(values)
    assert np.isnan(back[~is_number]).all()
    np.testing.assert_allclose(back[is_number], values[is_number], rtol=0.6 * 10.0 ** (1 - digits))
    assert back[0] == 0.0
