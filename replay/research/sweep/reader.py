"""
Trials over the same candles: laid out and checked once, every feature computed once, and no more kept of a run than is measured.

The engine, its account and its digest are those of a replay; what differs is where its features come from
(`papertape.engine.features.reading`) and that nothing else waits for its turn between batches.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.core import Engine
from papertape.engine.features.reading import MOST_BYTES, Reading, is_readable
from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows, join_rows
from papertape.engine.lanes.runs import Lanes, is_lane
from papertape.engine.performance.curve import Collector, CurveColumns
from papertape.engine.performance.times import MarkTimes
from papertape.engine.report import Report
from papertape.engine.spec import EngineSpec
from papertape.engine.state import Outputs
from papertape.engine.strategies.protocol import is_kernel
from papertape.replay.backtesting.prepare import RunPlan, model_events
from papertape.replay.backtesting.recorder import Recorder, refuse_faults
from papertape.replay.backtesting.summary import Run
from papertape.replay.config import Config
from papertape.replay.feed import Gaps, ReplayFeed, Told
from papertape.replay.research.sweep.judging import WindowWatch

_MEASURED: Final = ("equity", "exposure", "open_positions")
_AHEAD_BYTES: Final = MOST_BYTES // 4  # some have several columns
_KEPT: Final = 2  # cuts of tapes that are laid out at a time; trials come window after window


def is_shareable(spec: EngineSpec) -> bool:
    """Return whether candles alone say all that an engine of this specification is asked for."""
    requests = (*spec.requests, *spec.extra_features, *spec.model_features)
    return not spec.events and not spec.own and is_readable(requests)


class SharedRun(NamedTuple):
    """A run, and whether it is a lane (`papertape.engine.lanes`)."""

    run: Run
    is_lane: bool


class SharedCandles:
    """The candles of one cut of some tapes, for every trial over them."""

    def __init__(self, plan: RunPlan, gaps: Gaps) -> None:
        """Lay out and check the candles; raises DataError for one that must not be stepped."""
        self._cuts, self._gaps = plan.cuts, gaps
        self._base_ms = timeframe_ms(plan.spec.base_timeframe)
        self._feed = self._fed(())
        self._reading = Reading(plan.spec.symbols, plan.spec.base_timeframe, self._feed.candles())
        self.closes: FloatArray = self._feed.closes()
        self._times = MarkTimes(self._feed.close_times())
        self._outputs: dict[bool, Outputs] = {}  # kernels take longer blocks than the others
        self._lanes = Lanes(self._reading) if len(plan.spec.symbols) == 1 else None

    def read_ahead(self, timeframe: str, requests: Sequence[str]) -> None:
        """Compute features in one pass over the candles, as many as are kept together."""
        most = _AHEAD_BYTES // self._reading.candles["close"].size // 8
        self._reading.columns(timeframe, requests[:most])

    def replay(self, plan: RunPlan, watch: WindowWatch | None = None) -> SharedRun:
        """
        Return what one engine makes of these candles, with the trades and marks that metrics are made of and no more.

        watch  asked after each window whether to go on; where it says no, the run ends there

        Raises StrategyError where a user's strategy fails.
        """
        told = [*model_events(plan.models), *plan.events]
        run = None
        if self._lanes is not None and not told and is_lane(plan.spec):
            run = self._in_a_lane(self._lanes, plan.spec, watch)
        if run is not None:
            return SharedRun(run, True)
        return SharedRun(self._stepped(plan.spec, told, watch), False)

    def _in_a_lane(self, lanes: Lanes, spec: EngineSpec, watch: WindowWatch | None) -> Run | None:
        """Return what comes of an engine that is run in one call, or in one up to the end of each window; None where it has to be stepped."""
        engine = lanes.engine(spec)
        stops = [stop for stop in self._stops(watch) if stop < self._feed.n_instants]
        for ending in lanes.run(engine, stops):
            run = self._run(engine, self._feed, ending.trades, ending.marks)
            if ending.is_over:
                return run
            assert watch is not None
            if not watch.goes_on(run, self.closes):
                return run
        if watch is not None:
            watch.begin_again()
        return None

    def _stepped(self, spec: EngineSpec, told: Sequence[Told], watch: WindowWatch | None) -> Run:
        """Return what comes of an engine that is stepped block by block, with what happens between them."""
        engine = self._engine(spec)
        feed = self._fed(told) if told else self._feed
        trades: list[Rows] = []
        marks = Collector(_MEASURED, feed.n_instants)
        for report in _reports(engine, feed, self._stops(watch)):
            if report is None:
                assert watch is not None
                so_far = self._run(engine, feed, _with_open(trades, engine), marks.columns())
                if not watch.goes_on(so_far, self.closes):
                    return so_far
                continue
            refuse_faults(report)
            marks.add(report.marks)
            if len(report.trades):
                trades.append(copy_rows(report.trades))
        return self._run(engine, feed, _with_open(trades, engine), marks.columns())

    def _engine(self, spec: EngineSpec) -> Engine:
        """Return an engine before its first candle; it writes where those before it of its kind did."""
        kind = is_kernel(spec.strategy)
        engine = Engine(spec, self._reading, self._outputs.get(kind))
        self._outputs[kind] = engine.outputs
        return engine

    def _run(self, engine: Engine, feed: ReplayFeed, trades: Rows, marks: dict[str, IntArray]) -> Run:
        """Return what is measured of an engine where it has come to: its trades, open ones last, and its marks."""
        times = self._times
        if len(marks["equity"]) < feed.n_instants:
            times = MarkTimes(times.time_ms[: len(marks["equity"])])
        columns = CurveColumns(times, units_per_quote=engine.spec.units_per_quote, **marks)
        return Run(engine, Recorder(), trades, columns, feed, (), 0.0, 0.0)

    def _stops(self, watch: WindowWatch | None) -> list[int]:
        """Return how many instants there are up to each end of a window but the last."""
        if watch is None:
            return []
        found: list[int] = np.searchsorted(self._times.time_ms, watch.stops_ms, "right").tolist()
        return found

    def _fed(self, events: Sequence[Told]) -> ReplayFeed:
        """Return the candles with what happens beside them."""
        return ReplayFeed(self._cuts, self._base_ms, gaps=self._gaps, events=events)


def _with_open(closed: Sequence[Rows], engine: Engine) -> Rows:
    """Return trades that closed, and those that are still open."""
    return join_rows([*closed, engine.open_trades()])


def _reports(engine: Engine, feed: ReplayFeed, stops: Sequence[int]) -> Iterator[Report | None]:
    """Yield what an engine says of a feed, block by block; stops: instants after which it yields None."""
    done, left = 0, [*stops]
    for part in feed.between_events():
        if not isinstance(part, int):
            yield engine.step(part)
            continue
        end = done + part
        while left and left[0] < end:
            if left[0] > done:
                yield from engine.read_on(left[0] - done)
                done = left[0]
            left.pop(0)
            yield None
        yield from engine.read_on(end - done)
        done = end


class Reader:
    """The newest cuts of tapes that trials were over."""

    def __init__(self) -> None:
        self._shared: OrderedDict[Hashable, SharedCandles] = OrderedDict()

    def shared(self, config: Config, plan: RunPlan) -> SharedCandles:
        """Return the candles of a trial, laid out for it and for those that follow."""
        data, spec = config.data, plan.spec
        cut = (data.tapes, data.start, data.end, data.gaps)
        key = (cut, spec.symbols, spec.traded, spec.base_timeframe)
        if key not in self._shared:
            while len(self._shared) >= _KEPT:
                self._shared.popitem(last=False)
            self._shared[key] = SharedCandles(plan, data.gaps)
        self._shared.move_to_end(key)
        return self._shared[key]
