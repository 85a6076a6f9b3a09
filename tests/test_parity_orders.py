"""Parity of working orders, hooks, moved stops and what another symbol did: batches, restarts, the names and places of symbols, plain Python."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from papertape.engine.broker.working.orders import (
    BY_COMMAND,
    BY_DELISTING,
    BY_RUIN,
    CANCELLED,
    CAUSE_NAMES,
    FILLED,
    FREE,
    KIND_NAMES,
    PLACED,
    STATUS_NAMES,
    TRIGGERED,
    WORKING,
)
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.core import Engine
from papertape.engine.events import Action, Cause, Command, Halt
from papertape.engine.jit import Rows, join_rows
from papertape.engine.records import REASON_COMMAND
from papertape.engine.spec import EngineSpec, Market, Settings
from tests.support.every_order import EveryOrderBeside
from tests.support.helpers import interleave, random_candles

PERPETUAL = {"is_perpetual": True, "tick_size": 0.01, "lot_size": 0.001}
N = 320  # instants: eighty closes of every symbol
NAMES = ("AAA", "BBB", "CCC")
TAPES = {name: random_candles(N, seed=30 + s, timeframe="15m") for s, name in enumerate(NAMES)}
# Of the one that all read, every seventh hour is not there.
MISSING = [quarter for hour in range(5, 80, 7) for quarter in range(4 * hour, 4 * hour + 4)]
for field in ("open", "high", "low", "close"):
    TAPES["BBB"][field][MISSING] = np.repeat(TAPES["BBB"]["close"][[m - 1 for m in MISSING[::4]]], 4)
TAPES["BBB"]["volume"][MISSING], TAPES["BBB"]["flag_bits"][MISSING] = 0.0, FLAG_ABSENT


def engine_of(names: tuple[str, ...] = NAMES, untraded: str = "", latency: int = 0) -> Engine:
    """Return an engine on markets by these names; nothing can be traded on the untraded one."""
    least = {True: {"minimum_size": 1e12}, False: {}}
    markets = [Market(name, **PERPETUAL, **least[name == untraded]) for name in names]
    account = Settings("risk", 0.01, leverage_cap=3.0, latency_bars=latency, volume_share=0.5)
    return Engine(EngineSpec(markets, EveryOrderBeside(names[1]), "1h", "15m", settings=account))


def steps(engine: Engine, candles: Rows, batch: int) -> list[Rows]:
    """Step in batches of so many instants and return what happened to orders."""
    size = batch * len(engine.symbols)
    parts = [candles[i : i + size] for i in range(0, len(candles), size)]
    return [engine.step(part).orders for part in parts]


@cache
def candles() -> Rows:
    return interleave(list(TAPES.values()))


@cache
def whole(latency: int = 0) -> tuple[str, bytes, bytes]:
    """Return digest, snapshot and order events of a run in one step."""
    engine = engine_of(latency=latency)
    events = engine.step(candles()).orders
    return engine.digest, engine.snapshot(), events.tobytes()


def test_the_strategy_uses_every_kind_and_meets_every_end() -> None:
    engine = engine_of()
    tape = interleave([random_candles(4_000, seed=s, timeframe="15m") for s in (30, 31, 32)])

    report = engine.step(tape)

    assert not report.faults
    assert set(report.orders["kind"][report.orders["number"] > 0]) == set(KIND_NAMES)
    assert set(report.orders["status"]) == set(STATUS_NAMES)
    met = {CAUSE_NAMES[cause] for cause in set(report.orders["cause"]) - {0} if cause in CAUSE_NAMES}
    assert len(met) >= 6, met
    assert len(report.trades) > 50
    # Hooks: what they were told is in the state, and is all there was to tell.
    closed = [int(n) for n in engine.strategy_state["closed"].reshape(-1)]
    told = [np.count_nonzero(report.trades["symbol"] == s) for s in range(3)]
    assert all(told[s] - closed[s] in (0, 1) for s in range(3)), (closed, told)


@pytest.mark.parametrize("latency", [0, 2])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batch_size_changes_nothing(batch: int, latency: int) -> None:
    engine = engine_of(latency=latency)

    events = join_rows(steps(engine, candles(), batch))

    assert (engine.digest, engine.snapshot(), events.tobytes()) == whole(latency)


def candle_by_candle(latency: int) -> list[bytes]:
    """Return the snapshots of an undisturbed run, before each instant and at its end."""
    engine = engine_of(latency=latency)
    found = [engine.snapshot()]
    for at in range(N):
        engine.step(candles()[3 * at : 3 * at + 3])
        found.append(engine.snapshot())
    return found


@pytest.mark.parametrize(("latency", "every"), [(0, 7), (2, 9), pytest.param(0, 1, marks=pytest.mark.slow)])
def test_a_restart_at_any_candle_changes_nothing(latency: int, every: int) -> None:
    before, after = engine_of(latency=latency), engine_of(latency=latency)
    digest, snapshot, _ = whole(latency)
    snapshots = candle_by_candle(latency)
    for cut in range(0, N, every):
        if cut:
            before.step(candles()[3 * before.account[0].instants : 3 * cut])
        after.restore(before.snapshot())
        after.step(candles()[3 * cut : 3 * cut + 24])
        assert after.snapshot() == snapshots[min(cut + 8, N)], cut
        after.step(candles()[3 * cut + 24 :])
        assert after.digest == digest, cut
        assert after.snapshot() == snapshot, cut


FIELDS = ("candle_ms", "side", "price", "quantity", "reason", "fee", "realised", "position")


def fills_by_name(engine: Engine, tapes: dict[str, Rows]) -> dict[str, Rows]:
    """Return the fills of every symbol by its name, without the ledger's order of them."""
    assert set(tapes) == set(engine.symbols)
    fills = engine.step(interleave([tapes[name] for name in engine.symbols])).fills
    return {
        name: fills[fills["symbol"] == place][list(FIELDS)].tolist()
        for place, name in enumerate(engine.symbols)
    }


@pytest.mark.parametrize("names", [("ZZZ", "MMM", "000"), ("MMM", "000", "ZZZ"), ("000", "ZZZ", "MMM")])
def test_fills_follow_a_symbol_to_another_name_and_place(names: tuple[str, ...]) -> None:
    """An engine has its symbols in the order of their names, so another name is another place in every instant."""
    renamed = dict(zip(NAMES, names, strict=True))

    found = fills_by_name(engine_of(names), {renamed[name]: TAPES[name] for name in NAMES})

    assert {name: found[renamed[name]] for name in NAMES} == fills_by_name(engine_of(), TAPES)


@pytest.mark.parametrize("name", ["A", "CCC"])
def test_an_untraded_symbol_changes_no_fill_of_others(name: str) -> None:
    two = {name: TAPES[name] for name in ("AAA", "BBB")}
    alone = fills_by_name(engine_of(("AAA", "BBB")), two)

    beside = fills_by_name(engine_of((*two, name), untraded=name), {**two, name: TAPES["CCC"]})

    assert beside.pop(name) == []
    assert beside == alone


def resting(engine: Engine) -> Rows:
    """Return the orders that work."""
    return engine.working[engine.working["status"] != FREE]


def until_orders_rest(least: int = 2, is_so: Callable[[Engine], bool] = lambda _: True) -> tuple[Engine, int]:
    """Return an engine with a position and orders at work of which something is so, and the instants that it has seen."""
    engine = engine_of()
    for done in range(N):
        engine.step(candles()[3 * done : 3 * done + 3])
        is_held = engine.positions["quantity"].any()
        if len(resting(engine)) >= least and is_held and is_so(engine):
            return engine, done + 1
    raise AssertionError("no orders rest")


def ends(orders: Rows) -> set[tuple[int, int]]:
    return set(zip(orders["status"].tolist(), orders["cause"].tolist(), strict=True))


@pytest.mark.parametrize("action", [Action.FLATTEN, Action.KILL])
def test_flatten_and_kill_take_every_order_back(action: Action) -> None:
    engine, done = until_orders_rest()
    numbers = set(resting(engine)["number"].tolist())

    report = engine.step(Command(action))

    assert set(report.orders["number"].tolist()) == numbers
    assert ends(report.orders) == {(CANCELLED, BY_COMMAND)}
    assert len(resting(engine)) == 0 == engine.account[0].working
    after = engine.step(candles()[3 * done : 3 * done + 3])
    assert set(after.fills["reason"]) == {REASON_COMMAND}
    assert not engine.positions["quantity"].any()


def test_pause_lets_orders_wait_and_exits_go_on() -> None:
    engine, done = until_orders_rest()
    numbers = set(resting(engine)["number"].tolist())

    assert len(engine.step(Command(Action.PAUSE)).orders) == 0
    assert set(resting(engine)["number"].tolist()) == numbers
    size = np.abs(engine.positions["quantity"]).copy()
    for at in range(done, N):
        engine.step(candles()[3 * at : 3 * at + 3])
        now = np.abs(engine.positions["quantity"])
        assert (now <= size).all()  # nothing opens and nothing is added
        size = now.copy()
    assert not size.any()  # what was held has been left all the same

    engine.step(Command(Action.RESUME))
    tape = interleave([random_candles(N + 200, seed=30 + s, timeframe="15m") for s in range(3)])
    assert len(engine.step(tape[3 * N :]).fills) > 0


def test_a_halted_market_matches_nothing_and_its_orders_wait() -> None:
    engine, done = until_orders_rest()
    symbol = int(np.argmax(engine.positions["working"]))
    waiting = engine.working[symbol][engine.working[symbol]["status"] != FREE]["number"].tolist()
    now_ms = int(engine.last_open_ms[0]) + 900_000

    engine.step(Halt(now_ms, symbol, Cause.MARKET, True))
    report = engine.step(candles()[3 * done : 3 * (done + 3)])

    assert not np.isin(report.fills["symbol"], symbol).any()
    met = report.orders[np.isin(report.orders["status"], (WORKING, TRIGGERED, FILLED))]
    assert not set(waiting) & set(met["number"].tolist())
    assert set(waiting) <= {*resting(engine)["number"].tolist(), *report.orders["number"].tolist()}
    engine.step(Halt(now_ms + 3 * 900_000, symbol, Cause.MARKET, False))
    later = engine.step(candles()[3 * (done + 3) :])
    assert np.isin(later.fills["symbol"], symbol).any()


def test_a_market_that_is_no_more_takes_its_orders_with_it() -> None:
    engine, done = until_orders_rest()
    symbol = int(np.argmax(engine.positions["working"]))
    n = int(engine.positions["working"][symbol])

    report = engine.step(Halt(int(engine.last_open_ms[0]) + 900_000, symbol, Cause.GONE, True))

    assert len(report.orders) == n > 0
    assert set(report.orders["symbol"]) == {symbol}
    assert ends(report.orders) == {(CANCELLED, BY_DELISTING)}
    assert engine.positions["quantity"][symbol] == 0.0
    after = engine.step(candles()[3 * done :])
    assert not np.isin(after.fills["symbol"], symbol).any()
    placed = after.orders[(after.orders["status"] == PLACED) & (after.orders["symbol"] == symbol)]
    assert len(placed) == 0


def test_ruin_takes_every_order_back() -> None:
    """Prices ten times as high ruin an account of 10,000 that is short by more than a ninth of it, and so by 1,111."""

    def is_short(engine: Engine) -> bool:
        held = engine.positions["quantity"] * engine.positions["last_price"]
        return bool(held.min() < -1_200.0 and held.max() < 1.0)

    engine, done = until_orders_rest(1, is_short)
    crash = candles()[3 * done : 3 * done + 3].copy()
    for name in ("open", "high", "low", "close"):
        crash[name] = 10.0 * engine.positions["last_price"]

    report = engine.step(crash)

    assert engine.account[0].ruined_ms != 0
    assert (CANCELLED, BY_RUIN) in ends(report.orders)
    assert len(resting(engine)) == 0
