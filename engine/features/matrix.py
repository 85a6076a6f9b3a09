"""
The lanes of a portfolio: every symbol on every timeframe that a strategy reads, and the feature matrix they make.

Rows of the matrix are in the order in which the strategy asked, and one more, the last, that the model writes; columns
are the closes of the strategy's timeframe. A value of another timeframe or symbol is the newest that was known at that
close; of another symbol it is NaN while that symbol's newest candle is absent: not listed yet, late beyond the grace
period, delisted.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import TIMEFRAMES, timeframe_ms
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.features import columns_of, plan_features
from papertape.engine.features.known import KnownSeries
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.own.faults import FeatureFaults
from papertape.engine.features.requests import split_request
from papertape.engine.features.series import FeatureLanes, FeatureSeries, as_of, as_of_traded, block_of
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import FloatArray, IntArray, Rows, join_rows

MODEL_PROBABILITY: Final = "model_probability"  # NaN while no model has an opinion
# A candle begins fewer than 125 things that are told (`most` counts two for each that can close), and full shelves have 7,716 more
# to tell: 4,096 of plain gaps, 256 of strong ones, 600 of order blocks, 300 of breakers, 2,464 of levels and pools.
_EVENTS_A_CANDLE: Final = 64
_EVENTS_OF_SHELVES: Final = 8_192
_OWN: Final = -1


class _Wanted(NamedTuple):
    """A request: on which timeframe, of which symbol (`_OWN`: of whoever asks), which feature; and what its columns are called."""

    timeframe: str
    symbol: int
    name: str
    labels: tuple[str, ...]


class _Source(NamedTuple):
    """Where a column comes from: a lane's timeframe and symbol, and its row there."""

    timeframe: str
    symbol: int
    row: int


class FeatureMatrix:
    """
    Lanes by symbol and timeframe, advanced together.

    block  instants that are taken at a time, at most; most: candles of the strategy's timeframe that close in them, at most
    has_absent  a candle that closed in the newest block, on any timeframe, was absent as a whole
    """

    def __init__(
        self,
        symbols: Sequence[str],
        base_timeframe: str,
        timeframe: str,
        requests: Sequence[str],
        is_telling: bool = False,
        own: Mapping[str, OwnFeature] = MappingProxyType({}),
        has_marks: bool = False,
    ) -> None:
        """
        Make every lane that requests ask for, or raise ConfigError.

        is_telling  keep the events of market structure; own: features of somebody's own, by name
        has_marks   somebody asks for the mark price in each candle
        """
        self.timeframe = timeframe
        self.n_symbols = len(symbols)
        self._own = own
        self.faults = FeatureFaults()
        wanted = list(_wanted(symbols, timeframe, requests))
        self.block = block_of(self.n_symbols)
        self.has_absent = False
        self._together: list[FeatureLanes] = []
        self._lanes = {
            frame: self._lanes_of(frame, base_timeframe, wanted)
            for frame in dict.fromkeys((timeframe, *(each.timeframe for each in wanted)))
        }
        self._each = [
            (frame, symbol, lane) for frame, lanes in self._lanes.items() for symbol, lane in lanes.items()
        ]
        # What a call for all symbols leaves to be computed for each.
        self._apart = [each for each in self._each if each[2].is_more]
        has_series = any(lane.plan.has_series for _, _, lane in self._each)
        self.known = KnownSeries(
            self.n_symbols, timeframe_ms(base_timeframe), self.block, has_series, has_marks
        )
        # Of the strategy's timeframe every symbol has one.
        self.main = list(self._lanes[timeframe].values())
        self.most = self.main[0].closed.size
        self._sources = self._order(wanted)
        self._told: list[Rows] = []
        rows = _EVENTS_A_CANDLE * self.most + _EVENTS_OF_SHELVES if is_telling else 1
        self._events = np.zeros(rows, EVENT)
        self.columns = (*self._sources, MODEL_PROBABILITY)
        # Where every column is the lane's own, in its order, nothing has to be put together.
        self._is_direct = [*self._sources.values()] == [
            _Source(timeframe, _OWN, row) for row in range(len(self.main[0].plan.columns))
        ]
        shape = (len(self.columns), self.most)
        self._matrices = [] if self._is_direct else [np.full(shape, np.nan) for _ in range(self.n_symbols)]

    def _lanes_of(
        self, frame: str, base_timeframe: str, wanted: Sequence[_Wanted]
    ) -> dict[int, FeatureSeries]:
        """Return the lanes of one timeframe by symbol; what every symbol has comes first in each, at the same rows."""
        base_ms, length_ms = timeframe_ms(base_timeframe), timeframe_ms(frame)
        if length_ms % base_ms:
            raise ConfigError(f"features: timeframe {frame} is not a multiple of the base {base_timeframe}")
        here = [each for each in wanted if each.timeframe == frame]
        own = [each.name for each in here if each.symbol == _OWN]
        asking: dict[tuple[str, ...], list[int]] = {}
        for symbol in range(self.n_symbols):
            others = [each.name for each in here if each.symbol == symbol]
            if own or others or frame == self.timeframe:
                asking.setdefault((*own, *others), []).append(symbol)
        lanes: dict[int, FeatureSeries] = {}
        for requests, symbols in asking.items():
            plan = plan_features(requests, length_ms, self._own)
            together = FeatureLanes(plan, base_ms, length_ms, symbols, self.n_symbols, self.block)
            self._together.append(together)
            lanes |= dict(zip(symbols, together.each, strict=True))
        return dict(sorted(lanes.items()))

    def _order(self, wanted: Sequence[_Wanted]) -> dict[str, _Source]:
        """Return where every requested column comes from, by its name, in order."""
        ordered: dict[str, _Source] = {}
        for frame, symbol, name, labels in wanted:
            rows = self._lanes[frame][max(symbol, 0)].plan.columns
            for column, label in zip(columns_of(name), labels, strict=True):
                ordered[label] = _Source(frame, symbol, rows.index(column))
        return ordered

    def advance(self, candles: Rows, n: int) -> tuple[int, IntArray]:
        """Take `n` complete instants; return how many strategy candles closed, and at which instants."""
        assert n <= self.block
        values = self.known.advance(candles, n)
        for lanes in self._together:
            lanes.advance(candles, n, values)
        for frame, symbol, lane in self._apart:
            lane.perceive(self._events)
            if lane.written[0]:
                self._told.append(lane.told(candles, symbol, self.n_symbols, self._events))
            if lane.bad_values:
                at = "" if frame == self.timeframe else f"@{frame}"
                known_ms = lane.known_ms(candles, self.n_symbols)
                self.faults.add(lane.bad_values, symbol, at, known_ms)
        closed = self.main[0].n_closed
        assert all(lane.n_closed == closed for lane in self.main)
        self.has_absent = any(lanes.has_absent for lanes in self._together)
        return closed, self.main[0].closed_at

    def restart(self, symbol: int) -> None:
        """Let a symbol's lanes begin anew."""
        for lanes in self._lanes.values():
            if symbol in lanes:
                lanes[symbol].restart()

    def take_events(self) -> Rows:
        """Return what became known since the last call, by instant, timeframe, symbol and order of saying."""
        if not self._told:
            return np.zeros(0, EVENT)
        told = join_rows(self._told)
        self._told = []
        order = np.lexsort([told[key] for key in ("sequence", "symbol", "timeframe_ms", "known_ms")])
        return told[order]

    def matrix(self, symbol: int, closed: int, at: IntArray) -> FloatArray:
        """Return the features of one symbol at each of `closed` strategy closes, shape (n_columns, >= closed)."""
        if self._is_direct:
            return self.main[symbol].out
        matrix = self._matrices[symbol]
        for row, source in enumerate(self._sources.values()):
            if source.symbol == _OWN:
                lane = self._lanes[source.timeframe][symbol]
                as_of(
                    lane.out, lane.closed_at, lane.n_closed, lane.latest, source.row, at, closed, matrix, row
                )
            else:
                lane = self._lanes[source.timeframe][source.symbol]
                as_of_traded(
                    lane.out,
                    lane.closed_at,
                    lane.closed,
                    lane.n_closed,
                    lane.latest,
                    lane.latest_flags,
                    source.row,
                    at,
                    closed,
                    matrix,
                    row,
                )
        return matrix

    def save(self) -> dict[str, Rows]:
        """Return every lane's state under a name of its own, and what is wrong with features and not told."""
        lanes = {
            f"{frame}.{symbol}.{name}": array
            for frame, symbol, lane in self._each
            for name, array in lane.save().items()
        }
        return lanes | self.faults.save() | self.known.save()

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""
        for frame, symbol, lane in self._each:
            prefix = f"{frame}.{symbol}."
            lane.load({key[len(prefix) :]: saved[key] for key in saved if key.startswith(prefix)})
        self.faults.load(saved)
        self.known.load(saved)
        for matrix in self._matrices:
            matrix[-1] = np.nan


def _wanted(symbols: Sequence[str], timeframe: str, requests: Sequence[str]) -> Iterator[_Wanted]:
    """Yield what each request asks for, or raise ConfigError for a symbol that is not among those of the run."""
    for request in requests:
        asked, labels = split_request(request), columns_of(request)
        if asked.symbol and asked.symbol not in symbols:
            raise ConfigError(
                f"feature {request!r}: {asked.symbol} is not among the symbols of this run"
                f"{did_you_mean(asked.symbol, symbols)}"
            )
        if asked.timeframe and asked.timeframe not in TIMEFRAMES:
            raise ConfigError(
                f"feature {request!r}: unknown timeframe {asked.timeframe!r}"
                f"{did_you_mean(asked.timeframe, TIMEFRAMES)}"
            )
        symbol = symbols.index(asked.symbol) if asked.symbol else _OWN
        yield _Wanted(asked.timeframe or timeframe, symbol, asked.name, labels)
