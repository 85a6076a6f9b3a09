"""Levels that move are told: from what is told follows where stop, target and trails stood in every candle."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.working.orders import (
    FILLED,
    MOVED,
    PLACED,
    POSITION_STOP,
    POSITION_TARGET,
    TRAIL,
    TRIGGERED,
)
from papertape.engine.core import Engine
from papertape.engine.jit import Rows
from papertape.engine.records import LONG
from papertape.engine.report import Report
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.every_level import Seen, Watched, seen_by
from tests.support.helpers import FREE, make_candles, random_candles

HOUR_MS = 3_600_000
TICK = 0.01


class StopLimit:
    """Asks once for a stop at 103 with a limit at 102, or for a touch of 97 with a limit at 96."""

    features = ()
    state_fields = ("n",)

    def decide(self, view: Any) -> None:
        view.state.n += 1
        if view.state.n == 1:
            view.buy(1, stop=103.0, limit=102.0)
            view.buy(1, touch=97.0, limit=96.0)


def test_a_stop_limit_is_told_where_it_rests_once_it_is_triggered() -> None:
    candles = make_candles(
        [(100, 101, 99, 100), (100, 104, 99.5, 103.5), (103.5, 104, 96.5, 98), (98, 99, 95, 96)]
    )
    market = Market("AAA", is_perpetual=True, **FREE)
    report = Engine(EngineSpec([market], StopLimit(), "1h", "1h")).step(candles)
    told = [
        (int(row["number"]), int(row["status"]), float(row["price"]), int(row["time_ms"]))
        for row in report.orders
    ]
    times = candles["open_ms"].tolist()

    assert told == [
        (1, PLACED, 103.0, times[1]),
        (2, PLACED, 97.0, times[1]),
        (1, TRIGGERED, 102.0, times[1]),
        (1, FILLED, 102.0, times[2]),
        (2, TRIGGERED, 96.0, times[2]),
        (2, FILLED, 96.0, times[3]),
    ]


def run(seed: int, n: int = 1_500) -> tuple[Engine, Report, Rows, list[Seen]]:
    """Run a strategy that moves everything on random hours; return what was told and what it saw."""
    market = Market("AAA", is_perpetual=True, tick_size=TICK, lot_size=0.001)
    settings = Settings("risk", 0.01, leverage_cap=3.0)
    engine = Engine(EngineSpec([market], Watched(), "1h", "1h", settings=settings))
    candles, reports = random_candles(n, seed=seed, timeframe="1h"), []
    seen = seen_by(lambda: reports.append(engine.step(candles)))
    return engine, reports[0], candles, seen


def at_entry(engine: Engine, report: Report, kind: int) -> dict[int, float]:
    """Return the first stop or target of every trade, by its number."""
    name = "stop_price" if kind == POSITION_STOP else "target_price"
    trades = [*report.trades, *engine.open_trades()]
    return {int(trade["number"]): float(trade[name]) for trade in trades}


@pytest.mark.parametrize("kind", [POSITION_STOP, POSITION_TARGET])
def test_stop_and_target_stood_where_the_strategy_saw_them(kind: int) -> None:
    engine, report, _, seen = run(5)
    first = at_entry(engine, report, kind)
    moves = report.orders[(report.orders["status"] == MOVED) & (report.orders["kind"] == kind)]
    compared = changed = 0
    for look in seen:
        if not look.entry_ms:
            continue
        now_ms = look.time_ms - HOUR_MS
        # The trade of the newest fill up to this close, and of its first fill what was told since.
        newest = report.fills[report.fills["candle_ms"] <= now_ms][-1]
        number = int(newest["trade"])
        begun = report.fills[report.fills["trade"] == number]["sequence"][0]
        of_it = moves[(moves["sequence"] > begun) & (moves["time_ms"] <= now_ms)]
        stood = float(of_it["price"][-1]) if len(of_it) else first[number]
        saw = look.stop if kind == POSITION_STOP else look.target
        assert stood == pytest.approx(round(saw / TICK) * TICK), look
        compared += 1
        changed += len(of_it) > 0
    assert compared > 300
    assert changed > 100


def test_a_trail_stood_where_its_best_price_so_far_puts_it() -> None:
    """Its level in a candle: the distance from the better of what it knew at the close before and of the open."""
    _, report, candles, seen = run(6, 4_000)
    orders = report.orders
    trails = orders[(orders["kind"] == TRAIL)]
    knew = {look.time_ms: look.extremes for look in seen}
    by_time = {int(row["open_ms"]): row for row in candles}
    compared = 0
    for number in np.unique(trails[trails["status"] == PLACED]["number"]):
        own = trails[trails["number"] == number]
        told = own[own["status"] == MOVED]
        if not len(told):
            continue  # never active
        side = int(own["side"][0])
        best = []
        for time_ms in told["time_ms"].tolist():
            before, at_open = knew[time_ms].get(int(number), 0.0), float(by_time[time_ms]["open"])
            best.append(at_open if not before else (min if side > 0 else max)(before, at_open))
        # EveryOrder's trails are by ATR, one distance for each, or by 0.8 per cent of the best price.
        distances = side * (told["price"] - np.array(best))
        by_rate = distances - 0.008 * np.array(best)
        assert min(np.ptp(distances), np.abs(by_rate).max()) <= TICK
        compared += len(told)
        assert np.all(side * np.diff(told["price"]) < 0.0)  # told once, and never back
    assert compared > 300


def engine_of(strategy: Any, latency: int = 0) -> Engine:
    market = Market("AAA", is_perpetual=True, tick_size=0.5, **FREE)
    settings = Settings("all_in", latency_bars=latency)
    return Engine(EngineSpec([market], strategy, "1h", "1h", settings=settings))


class Moves:
    """Goes long with stop 95; moves it to 97.2, to 97 again, and away."""

    features = ()
    state_fields = ("n",)

    def decide(self, view: Any) -> Any:
        view.state.n += view.state.n == 0 or view.position != 0.0
        if view.state.n == 1 and view.position == 0.0:
            return Decision(LONG, stop_price=95.0, target_price=110.0)
        if view.state.n == 2:
            view.stop = 97.2
        elif view.state.n == 4:
            view.stop = 97.0  # where the tick has put it already
        elif view.state.n == 6:
            view.stop = None
            view.target = 108.0
        return None


@pytest.mark.parametrize("latency", [0, 1])
def test_what_stays_where_it_is_is_not_told(latency: int) -> None:
    """Asked for at the second and sixth close, and in force in the candles that open then, or as much later
    as it takes to get in and to move."""
    candles = make_candles([(100.0, 101.0, 99.0, 100.0)] * 11)

    report = engine_of(Moves(), latency).step(candles)

    held = abs(float(report.fills["position"][0]))
    at = candles["open_ms"][2 * latency :].tolist()
    told = report.orders[["time_ms", "status", "kind", "side", "quantity", "price"]].tolist()
    assert told == [
        (at[2], MOVED, POSITION_STOP, -1, held, 97.0),
        (at[6], MOVED, POSITION_STOP, -1, held, 0.0),
        (at[6], MOVED, POSITION_TARGET, -1, held, 108.0),
    ]


class Adds:
    """Buys 2 with stop 95, then 1 more with stop 98 and a target."""

    features = ()
    state_fields = ("n",)

    def decide(self, view: Any) -> None:
        view.state.n += 1
        if view.state.n == 1:
            view.buy(2, stop_loss=95)
        elif view.state.n == 2:
            view.buy(1, stop_loss=98, take_profit=120)


def test_an_addition_tells_what_it_moved_and_the_trade_keeps_the_stop_of_its_entry() -> None:
    prices = [(100.0, 101.0, 99.0, 100.0), (100.0, 101.0, 99.0, 100.0), (102.0, 103.0, 97.0, 99.0)]

    report = engine_of(Adds()).step(make_candles(prices))

    moved = report.orders[report.orders["status"] == MOVED]
    assert moved[["kind", "quantity", "price", "fill"]].tolist() == [
        (POSITION_STOP, 3.0, 98.0, report.fills["sequence"][1]),
        (POSITION_TARGET, 3.0, 120.0, report.fills["sequence"][1]),
    ]
    assert report.trades["stop_price"].tolist() == [95.0]
    assert report.trades["exit_price"].tolist() == [98.0]


def test_a_move_that_waits_is_told_after_a_restart_as_well() -> None:
    """Nothing rests but the move itself: a new engine has made no room for what orders tell."""
    candles = make_candles([(100.0, 101.0, 99.0, 100.0)] * 8)
    whole, before, after = (engine_of(Moves(), 1) for _ in range(3))
    expected = whole.step(candles).orders
    told = [before.step(candles[:3]).orders]
    assert before.account[0].moves == 1
    after.restore(before.snapshot())
    told.append(after.step(candles[3:]).orders)

    assert np.concatenate(told).tobytes() == expected.tobytes()
    assert len(expected) > 0
