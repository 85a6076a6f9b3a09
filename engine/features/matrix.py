"""
The lanes of a portfolio: every symbol on every timeframe that a strategy reads, and the feature matrix they make.

Rows of the matrix are in the order in which the strategy asked, and one more, the last, that the model writes; columns
are the closes of the strategy's timeframe. A value of another timeframe is the newest that was known at that close.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError
from papertape.engine.features import columns_of, plan_features
from papertape.engine.features.requests import split_request
from papertape.engine.features.series import BLOCK, FeatureSeries, as_of
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import FloatArray, IntArray, Rows, join_rows

MODEL_PROBABILITY: Final = "model_probability"  # NaN while no model has an opinion
# A candle cannot begin more than 64 things that are told, and what is on the shelves is told at most once more each.
_EVENT_ROWS: Final = 64 * (2 * BLOCK + 2) + 8_192


class FeatureMatrix:
    """Lanes by symbol and timeframe, advanced together."""

    def __init__(
        self,
        n_symbols: int,
        base_timeframe: str,
        timeframe: str,
        requests: Sequence[str],
        is_telling: bool = False,
    ) -> None:
        base_ms = timeframe_ms(base_timeframe)
        by_timeframe: dict[str, list[str]] = {timeframe: []}
        for request in requests:
            asked = split_request(request)
            if asked.symbol:
                raise ConfigError(
                    f"feature {request!r}: another symbol cannot be read; write {asked.name}"
                )
            by_timeframe.setdefault(asked.timeframe or timeframe, []).append(asked.name)
        self.timeframe = timeframe
        self.n_symbols = n_symbols
        self._lanes: dict[str, list[FeatureSeries]] = {}
        for frame, names in by_timeframe.items():
            if timeframe_ms(frame) % base_ms:
                raise ConfigError(
                    f"features: timeframe {frame} is not a multiple of the base {base_timeframe}"
                )
            length_ms = timeframe_ms(frame)
            plan = plan_features(tuple(names), length_ms)
            self._lanes[frame] = [FeatureSeries(plan, base_ms, length_ms) for _ in range(n_symbols)]
        self._sources = self._order(requests)
        self._told: list[Rows] = []
        self._events = np.zeros(_EVENT_ROWS if is_telling else 1, EVENT)
        self.columns = (*(name for name, _, _ in self._sources), MODEL_PROBABILITY)
        self._is_direct = len(self._lanes) == 1
        shape = (len(self.columns), self.main[0].closed.size)
        self._matrices = (
            [] if self._is_direct else [np.full(shape, np.nan) for _ in range(n_symbols)]
        )

    @property
    def main(self) -> list[FeatureSeries]:
        """Return the lanes of the strategy's timeframe, one per symbol."""
        return self._lanes[self.timeframe]

    def _order(self, requests: Sequence[str]) -> list[tuple[str, str, int]]:
        """Return (column, timeframe, row in its lane) for every requested column, in order, once."""
        ordered: dict[str, tuple[str, str, int]] = {}
        for request in requests:
            asked = split_request(request)
            frame = asked.timeframe or self.timeframe
            rows = self._lanes[frame][0].plan.columns
            for column in columns_of(asked.name):
                ordered[asked.label(column)] = (asked.label(column), frame, rows.index(column))
        return list(ordered.values())

    def advance(self, candles: Rows, n: int) -> tuple[int, IntArray]:
        """Take `n` complete instants; return how many strategy candles closed, and at which instants."""
        assert n <= BLOCK
        closed = 0
        for lanes in self._lanes.values():
            for symbol, lane in enumerate(lanes):
                count = lane.advance(candles, symbol, self.n_symbols, n, self._events)
                if lane.written[0]:
                    self._told.append(lane.told(candles, symbol, self.n_symbols, self._events))
                if lanes is self.main:
                    assert symbol == 0 or count == closed
                    closed = count
        return closed, self.main[0].closed_at

    def restart(self, symbol: int) -> None:
        """Let a symbol's lanes begin anew."""
        for lanes in self._lanes.values():
            lanes[symbol].restart()

    def take_events(self) -> Rows:
        """Return what became known since the last call, by instant, timeframe, symbol and order of saying."""
        if not self._told:
            return np.zeros(0, EVENT)
        told = join_rows(self._told)
        self._told = []
        order = np.lexsort(
            [told[key] for key in ("sequence", "symbol", "timeframe_ms", "known_ms")]
        )
        return told[order]

    def matrix(self, symbol: int, closed: int, at: IntArray) -> FloatArray:
        """Return the features of one symbol at each of `closed` strategy closes, shape (n_columns, >= closed)."""
        if self._is_direct:
            return self.main[symbol].out
        matrix = self._matrices[symbol]
        for row, (_, frame, source_row) in enumerate(self._sources):
            lane = self._lanes[frame][symbol]
            as_of(
                lane.out,
                lane.closed_at,
                lane.n_closed,
                lane.latest,
                source_row,
                at,
                closed,
                matrix,
                row,
            )
        return matrix

    def save(self) -> dict[str, Rows]:
        """Return every lane's state under a name of its own."""
        return {
            f"{frame}.{symbol}.{name}": array
            for frame, lanes in self._lanes.items()
            for symbol, lane in enumerate(lanes)
            for name, array in lane.save().items()
        }

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""
        for frame, lanes in self._lanes.items():
            for symbol, lane in enumerate(lanes):
                prefix = f"{frame}.{symbol}."
                lane.load(
                    {key[len(prefix) :]: saved[key] for key in saved if key.startswith(prefix)}
                )
        for matrix in self._matrices:
            matrix[-1] = np.nan
