"""
What a proof is about: a strategy, and what it says of candles, each with the time at which it was known.

A strategy says every decision, every instruction (order, cancel, moved level), what happened to its orders, fills and marks.
What is said at a close is known there; what happens in a candle is known at its open where the open alone decides it, and
otherwise when the candle has closed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.broker.working.instructions import INSTRUCTION
from papertape.engine.broker.working.orders import (
    AT_MARKET,
    BY_STRATEGY,
    CANCELLED,
    EXPIRED,
    MOVED,
    PLACED,
    REFUSED,
)
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.engine.records import (
    REASON_COMMAND,
    REASON_DAILY_LOSS,
    REASON_DRAWDOWN,
    REASON_ENTRY,
    REASON_FLIP,
    REASON_RUIN,
    REASON_SIGNAL,
)
from papertape.engine.spec import EngineSpec, Market
from papertape.replay.backtesting.recorder import Recorder, refuse_faults
from papertape.replay.feed import ReplayFeed
from papertape.replay.runtime.warm import Silent

OPENING_MS: Final = 1  # a candle opens after the one before has closed, at the same stamp
_AT_OPEN: Final = (
    REASON_ENTRY,
    REASON_SIGNAL,
    REASON_FLIP,
    REASON_COMMAND,
    REASON_RUIN,
    REASON_DAILY_LOSS,
    REASON_DRAWDOWN,
)

Said = Mapping[str, tuple[Any, Any]]  # name -> (times of the statements in ms, ascending; values)
Tapes = Rows | Sequence[Rows]  # of one symbol, or of several in the engine's order
Subject = Callable[[Any], Said]


class Foreign(NamedTuple):
    """
    A subject of a user's code.

    run     the subject; what it needs is imported when it is called
    is_fed  whether the second argument, how many candles at a time, is heard: then no tape need be cut to try each candle
    warm    loads what is ours and would be loaded anew in every process
    begin   what every process would begin with, before it is shown a candle: it is done once, and the processes are copies
    """

    run: Callable[..., Said]
    is_fed: bool = False
    warm: Callable[[Tapes], None] | None = None
    begin: Callable[[], object] | None = None

    def __call__(self, candles: Tapes) -> Said:
        return self.run(candles)


def strategy_subject(make_spec: Callable[[], EngineSpec], *, is_ours: bool = False) -> Subject | Foreign:
    """
    Return the subject of a strategy: every decision, instruction, order, fill and mark of a run over the candles.

    is_ours  the strategy is built in, and so keeps nothing from one run to the next
    """

    def run(candles: Tapes, batch: int = 0) -> Said:
        engine, recorder = Engine(make_spec()), Recorder()
        given: list[tuple[int, Rows]] = []
        engine.on_instructions = lambda _, time_ms, rows: given.append((time_ms, rows))
        tapes = each_of(candles)
        rows = (batch or 2048) * len(tapes)
        for event in ReplayFeed(tapes, engine.base_ms, gaps="skip", batch_rows=rows).events():
            report = engine.step(event)
            refuse_faults(report)
            recorder(report)
        is_shared = engine.spec.settings.volume_share > 0.0
        said = statements(recorder, engine.base_ms, is_shared=is_shared)
        return {**said, **_instructions(given)}

    def warm(candles: Tapes) -> None:
        from papertape.replay.backtesting.run import warm_up

        tapes = each_of(candles)
        markets = [Market(f"{place:03}") for place in range(len(tapes))]
        warm_up(EngineSpec(markets, Silent(("ema_12",)), "1h", "1h"), tapes)

    if is_ours:
        return run
    # A strategy in kernels is compiled when its engine is built, which takes a second and more.
    return Foreign(run, is_fed=True, warm=warm, begin=lambda: Engine(make_spec()))


def each_of(candles: Tapes) -> list[Rows]:
    """Return the candles of every symbol."""
    return [candles] if isinstance(candles, np.ndarray) else list(candles)


def together(tapes: Sequence[Rows], newest: int | None = None) -> list[Rows]:
    """Return the newest candles of the instants that every tape has, so that a cut goes through all at one time."""
    stamps = reduce(np.intersect1d, [tape["open_ms"] for tape in tapes])
    if len(tapes) > 1 and not len(stamps):
        raise DataError("prove: the tapes have no candle of the same time; give some of the same months")
    first = 0 if newest is None else max(len(stamps) - newest, 0)
    return [tape[np.isin(tape["open_ms"], stamps[first:])] for tape in tapes]


def statements(records: Any, base_ms: int, *, is_shared: bool = False) -> Said:
    """
    Return every field of the decisions, orders, fills and marks of a run, each where it was known.

    is_shared  orders fill by a share of their candle's volume, so that nothing of them is known before its close
    """
    decisions, fills, marks = records.decisions, records.fills, records.marks
    orders = getattr(records, "orders", None)
    said = _columns("decision", decisions, decisions["time_ms"])
    # What an order fills at an open is known there; what a bracket fills, when the candle has closed.
    at_open = np.isin(fills["reason"], _AT_OPEN)
    if orders is not None:
        at_market = orders["fill"][(orders["kind"] == AT_MARKET) & (orders["fill"] >= 0)]
        at_open |= np.isin(fills["sequence"], at_market)
        said |= _orders(orders, base_ms)
    at_open &= not is_shared
    known_ms = fills["candle_ms"] + np.where(at_open, OPENING_MS, base_ms)
    said |= _columns("fill at an open", fills[at_open], known_ms[at_open])
    said |= _columns("fill of a bracket", fills[~at_open], known_ms[~at_open])
    said |= _columns("mark", marks, marks["time_ms"])
    return said


def _orders(orders: Rows, base_ms: int) -> dict[str, tuple[Any, Any]]:
    """Return what happened to orders: asked for at a close, decided before a candle opens, or met inside it."""
    status, time_ms = orders["status"], orders["time_ms"]
    at_close = np.isin(status, (PLACED, REFUSED))
    taken_back = (status == CANCELLED) & (orders["cause"] == BY_STRATEGY)
    moved = (status == MOVED) & (orders["fill"] < 0)
    before = (status == EXPIRED) | taken_back | moved
    inside = ~at_close & ~before
    said = _columns("order at a close", orders[at_close], time_ms[at_close])
    said |= _columns("order at an open", orders[before], time_ms[before] + OPENING_MS)
    return said | _columns("order in a candle", orders[inside], time_ms[inside] + base_ms)


def _instructions(given: Sequence[tuple[int, Rows]]) -> dict[str, tuple[Any, Any]]:
    """Return every field of what a strategy asked for beside its decisions."""
    rows = np.concatenate([np.zeros(0, INSTRUCTION), *(rows for _, rows in given)])
    times = np.repeat([time_ms for time_ms, _ in given], [len(rows) for _, rows in given])
    return _columns("instruction", rows, times.astype(np.int64))


def _columns(kind: str, records: Rows, times: Any) -> dict[str, tuple[Any, Any]]:
    """Return every field of some records as statements."""
    names: Sequence[str] = records.dtype.names or ()
    return {f"{kind}.{name}": (times, np.ascontiguousarray(records[name])) for name in names}
