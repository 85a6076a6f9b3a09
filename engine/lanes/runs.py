"""Which engines can be run in one call over all they read, and what comes of one."""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.core import Engine
from papertape.engine.features.reading import ReadFeatures, Reading
from papertape.engine.jit import FlagArray, FloatArray, IntArray, Rows
from papertape.engine.lanes.passing import DONE, run_lane
from papertape.engine.lanes.wishes import Wishes, WishRoom, wishes_of
from papertape.engine.performance.curve import type_of
from papertape.engine.records import DECISION, FILL, MARK, TRADE
from papertape.engine.spec import EngineSpec
from papertape.engine.strategies.parameters import values_as_text
from papertape.engine.strategies.protocol import KernelStrategy, is_kernel

# Of fills, trades and decisions; whoever trades more has a run of its own.
_MOST_ROWS: Final = 1 << 18
_CHANGED: Final = (
    "account",
    "positions",
    "trades",
    "orders",
    "working",
    "scratch",
    "strategy_state",
    "last_open_ms",
)
_MARKED: Final = ("equity", "exposure", "open_positions")  # in the order of the kernel
# On which timeframe, about which columns, which strategy.
_Asked = tuple[str, Sequence[str], KernelStrategy]
_OTHERS: Final = [each.name for each in fields(EngineSpec) if each.name != "strategy"]


class LaneEnding(NamedTuple):
    """
    What came of an account up to some instant; the next one is written over it.

    trades   TRADE records of those that closed, and of one that is still open, marked
    marks    `equity`, `exposure` and `open_positions` at every instant
    is_over  there is no candle after it
    """

    trades: Rows
    marks: dict[str, IntArray]
    is_over: bool


def is_built_in(strategy: object) -> bool:
    """Return whether a strategy is one of ours, so that asking it runs nobody else's code."""
    return type(strategy).__module__.partition(".")[0] == "papertape"


def is_lane(spec: EngineSpec) -> bool:
    """Return whether an account of a specification can be run so: one market without margin, one built-in strategy in a kernel."""
    strategy = spec.strategy
    return (
        is_kernel(strategy)
        and is_built_in(strategy)
        and len(spec.markets) == 1
        and not spec.markets[0].leverage
        and len(spec.strategies) == 1
        and not spec.starts_ms
        and not spec.model_features
        and not spec.allocation.rebalance_hours
    )


class Lanes:
    """
    The candles of a reading of one symbol for engines that are run in one call, one after the other.

    Whoever changes nothing but the account has the answers of the one before.
    """

    def __init__(self, reading: Reading) -> None:
        candles = reading.candles
        self._reading, self.n = reading, len(candles)
        self._prices: FloatArray = np.stack([candles[name] for name in ("high", "low", "close")])
        self._prices[0, candles["flag_bits"] & FLAG_ABSENT != 0] = np.inf
        self._bits: IntArray = self._prices.view(np.int64)
        self._closes: dict[str, FlagArray] = {}
        most = min(2 * self.n, _MOST_ROWS)
        # Pages that nobody writes to are no memory.
        self._fills, self._decisions = np.zeros(most, FILL), np.zeros(most, DECISION)
        self._trades = np.zeros(most, TRADE)
        self._marks = {name: np.empty(self.n, type_of(name)) for name in _MARKED}
        self._mark, self._now = np.zeros(1, MARK), np.zeros(1, np.int64)
        self._room = WishRoom(self.n)
        self._asked: _Asked | None = None
        self._newest: Wishes | None = None
        self._engine: Engine | None = None
        self._begun: list[tuple[Rows, Rows]] = []

    def engine(self, spec: EngineSpec) -> Engine:
        """
        Return an engine before its first candle, to be run and measured before the next is asked for.

        Where two in a row differ in parameters of one strategy alone, it is the one before: making one takes as long as running it.
        """
        if self._engine is not None and _differ_in_parameters(self._engine.spec, spec):
            self._engine.begin_again(spec, self._begun)
            return self._engine
        outputs = self._engine.outputs if self._engine is not None else None
        self._engine = Engine(spec, self._reading, outputs, is_asking=False)
        now = [getattr(self._engine, name).view(np.uint8) for name in _CHANGED]
        self._begun = [(rows, rows.copy()) for rows in now]
        return self._engine

    def run(self, engine: Engine, stops: Sequence[int] = ()) -> Iterator[LaneEnding]:
        """
        Take an engine of this reading, of a specification that `is_lane`, to its end, and yield what came of it up to each stop and there.

        stops  instants before the last, in order

        Where it has to be run otherwise nothing more is yielded, and what was is as any other way would have it.
        """
        wanted, first = self._wanted(engine), 0
        fills, trades, decisions = self._fills, self._trades, self._decisions
        for last in (*stops, self.n):
            how = self._go_on(engine, wanted, first, last, fills, trades, decisions)
            counters = engine.outputs.counters
            n_fills, n_trades, _, n_decisions = counters.tolist()[:4]
            counters[:] = 0
            if how != DONE:
                return
            report = engine.outputs.take(last - first)
            report.decisions, report.fills = decisions[:n_decisions], fills[:n_fills]
            engine.counted(report)
            fills, trades, decisions = fills[n_fills:], trades[n_trades:], decisions[n_decisions:]
            if last == self.n:
                engine.strategy_state[:] = wanted.state
            if last:
                engine.last_open_ms[0] = self._reading.candles["open_ms"][last - 1]
            marks = {name: column[:last] for name, column in self._marks.items()}
            yield LaneEnding(self._with_open(engine, len(trades)), marks, last == self.n)
            first = last

    def _with_open(self, engine: Engine, left: int) -> Rows:
        """Return the trades that closed, and one that is open behind them, where the next that closes is written over it; left: rows without a trade."""
        closed, still_open = len(self._trades) - left, engine.open_trades()
        n = closed + len(still_open)
        self._trades[closed:n].view(np.uint8)[...] = still_open.view(np.uint8)
        return self._trades[:n]

    def _go_on(
        self,
        engine: Engine,
        wanted: Wishes,
        first: int,
        last: int,
        fills: Rows,
        trades: Rows,
        decisions: Rows,
    ) -> int:
        """Run an engine from one instant to another, and write what happens to the beginning of these buffers; return how it ended."""
        return run_lane(
            first, last, self._reading.candles, self._prices, self._bits, self._is_close(engine.spec.timeframe),
            engine.base_ms, wanted.starts, wanted.rows, wanted.is_even, engine.account, engine.positions,
            engine.trades, engine.orders, engine.outputs.entries, engine.markets, engine.settings,
            fills, trades, decisions, engine.working, engine.scratch,
            engine.outputs.orders, engine.outputs.limits, engine.frames.known.mark_ranges, engine.outputs.counters,
            self._mark, self._now, *self._marks.values(),
        )  # fmt: skip

    def _wanted(self, engine: Engine) -> Wishes:
        """Return what an engine's strategy wants; nobody is asked twice in a row."""
        spec, frames, strategy = engine.spec, engine.frames, engine.spec.strategy
        assert isinstance(frames, ReadFeatures)
        assert is_kernel(strategy)
        asked = (spec.timeframe, frames.columns, strategy)
        if self._newest is None or self._asked is None or not _are_alike(asked, self._asked):
            self._asked, self._newest = asked, wishes_of(engine, strategy, self._room)
        return self._newest

    def _is_close(self, timeframe: str) -> FlagArray:
        """Return 1 at every instant at which a candle of a timeframe closes."""
        if timeframe not in self._closes:
            self._closes[timeframe] = np.zeros(self.n, np.int8)
            self._closes[timeframe][self._reading.closes(timeframe).at] = 1
        return self._closes[timeframe]


def _are_alike(one: _Asked, other: _Asked) -> bool:
    """Return whether two strategies answer the same: of one class, with the same parameters, about the same."""
    (*about, a), (*about_other, b) = one, other
    is_alike = about == about_other and type(a) is type(b)
    return is_alike and (a is b or values_as_text(a) == values_as_text(b))


def _differ_in_parameters(one: EngineSpec, other: EngineSpec) -> bool:
    """Return whether two specifications are made of the same parts, but for parameters of a strategy."""
    a, b = one.strategy, other.strategy
    return (
        type(a) is type(b)
        and all(getattr(one, name) is getattr(other, name) for name in _OTHERS)
        and getattr(a, "state_dtype", None) == getattr(b, "state_dtype", None)
    )
