"""
A lane: one symbol on one timeframe, from base candles to feature values.

Base candles are gathered into candles of the lane's timeframe by the clock, pushed into a sliding history of
columns, and every requested feature is computed for those that closed: one kernel call for a whole batch. The
history keeps just the candles that the longest window needs; what lies before them is forgotten.
"""

from typing import Any, Final

import numpy as np

from papertape.engine.candles import CANDLE, FLAG_ABSENT
from papertape.engine.features import FeaturePlan
from papertape.engine.features.compute import measure_all, perceive_structure
from papertape.engine.features.history import N_CANDLE_ROWS, N_ROWS
from papertape.engine.features.own.base import NewCandles
from papertape.engine.features.own.series import BadValue, OwnSeries
from papertape.engine.features.resample import FRAME_STATE, aggregate
from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows, kernel

BLOCK: Final = 2048  # base candles of one symbol that a step takes at a time
_NO_SERIES: Final[FloatArray] = np.zeros((0, 0))


@kernel
def advance(
    candles: Rows, first: int, stride: int, n: int, base_ms: int, length_ms: int, frame: Rows, closed: Rows,
    closed_at: IntArray, history: FloatArray, look_back: int, cursor: IntArray, program: Rows, slab: FloatArray,
    out: FloatArray, known: FloatArray,
) -> int:  # fmt: skip
    """
    Take `n` base candles and return how many candles of the lane closed; their technical features are in `out`.

    cursor  shape (2,): the end of the used part of `history`, and how many candles were ever pushed
    known   shape (n_series, >= n), what was known of series at each base candle; or (0, 0): none is read
    """
    n_closed = aggregate(candles, first, stride, n, base_ms, length_ms, frame[0], closed, closed_at)
    end = cursor[0]
    if end + n_closed > history.shape[1]:
        kept = min(end, look_back)
        for column in range(history.shape[0]):
            for index in range(kept):
                history[column, index] = history[column, end - kept + index]
        end = kept
    for index in range(n_closed):
        candle = closed[index]
        history[0, end + index] = candle.open_ms
        history[1, end + index] = candle.open
        history[2, end + index] = candle.high
        history[3, end + index] = candle.low
        history[4, end + index] = candle.close
        history[5, end + index] = candle.volume
        for kind in range(known.shape[0]):
            history[N_CANDLE_ROWS + kind, end + index] = known[kind, closed_at[index]]
    if n_closed > 0:
        measure_all(history, end, end + n_closed, cursor[1], program, slab, out)
    cursor[0] = end + n_closed
    cursor[1] += n_closed
    return n_closed


class FeatureSeries:
    """The buffers and the state of one symbol on one timeframe."""

    def __init__(self, plan: FeaturePlan, base_ms: int, length_ms: int) -> None:
        self.plan = plan
        self.base_ms = base_ms
        self.length_ms = length_ms
        # A base candle closes at most two candles of a lane, and that only after a gap.
        most = 2 * BLOCK + 2
        self.closed = np.zeros(most, CANDLE)
        self.closed_at = np.zeros(most, np.int64)
        # One row more than there are columns: a model writes its probability beside what it read.
        self.out: FloatArray = np.full((len(plan.columns) + 1, most), np.nan)
        n_rows = N_ROWS if plan.has_series else N_CANDLE_ROWS
        self.history: FloatArray = np.zeros((n_rows, plan.look_back + 2 * most))
        self.cursor = np.zeros(2, np.int64)
        self.frame = np.zeros(1, FRAME_STATE)
        self.state = plan.initial_state()
        self.slab: FloatArray = self.state.view(np.float64).reshape(-1)
        self.latest: FloatArray = np.full(len(plan.columns) + 1, np.nan)
        self.latest_flags = np.zeros(1, np.int64)  # of the candle that `latest` is of
        self.n_closed = 0
        self.written = np.zeros(1, np.int64)
        self._own = OwnSeries(plan.own, self.slab) if plan.own else None
        self.bad_values: list[BadValue] = []  # of the newest `advance`

    def advance(
        self,
        candles: Rows,
        symbol: int,
        n_symbols: int,
        n: int,
        events: Rows,
        known: FloatArray = _NO_SERIES,
    ) -> int:
        """
        Take this symbol's candles of `n` complete instants; return how many lane candles closed.

        events  EVENT, a buffer; the first `written[0]` rows are new afterwards
        known   what was known of series at each of them, where the plan reads any
        """
        self.written[0] = 0
        if self.n_closed:
            self.latest[:] = self.out[:, self.n_closed - 1]
            self.latest_flags[0] = self.closed["flag_bits"][self.n_closed - 1]
        self.n_closed = advance(
            candles, symbol, n_symbols, n, self.base_ms, self.length_ms, self.frame, self.closed,
            self.closed_at, self.history, self.plan.look_back, self.cursor, self.plan.program,
            self.slab, self.out, known if self.plan.has_series else _NO_SERIES,
        )  # fmt: skip
        if self.plan.structure and self.n_closed:
            end, count = self.cursor.tolist()
            perceive_structure(
                self.history, end - self.n_closed, end, count - self.n_closed, self.plan, self.slab,
                self.out, events, self.written,
            )  # fmt: skip
        if self._own is not None:
            end, count = self.cursor.tolist()
            new = NewCandles(self.history, end - self.n_closed, end, count - self.n_closed)
            self.bad_values = self._own.update(new, self.out)
        return self.n_closed

    def restart(self) -> None:
        """Forget every candle but those of the forming bucket: what comes next is the first."""
        self.state[:] = self.plan.initial_state()
        self.cursor[:] = 0
        self.latest[:] = np.nan
        self.latest_flags[0] = 0
        self.n_closed = 0

    def told(self, candles: Rows, symbol: int, n_symbols: int, events: Rows) -> Rows:
        """Return the events of the newest `advance`, with the symbol and the instant at which each became known."""
        told = copy_rows(events[: self.written[0]])
        told["symbol"] = symbol
        number = told["known_bar"] - (self.cursor[1] - self.n_closed)
        told["known_ms"] = self.known_ms(candles, n_symbols)[number]
        return told

    def known_ms(self, candles: Rows, n_symbols: int) -> IntArray:
        """Return when each candle of the newest `advance` was known: after a gap with the base candle that shows it."""
        times: IntArray = candles["open_ms"][self.closed_at[: self.n_closed] * n_symbols]
        return times + self.base_ms

    def save(self) -> dict[str, Rows]:
        """Return the state in a form that does not depend on how candles were batched."""
        end, look_back = int(self.cursor[0]), self.plan.look_back
        tail = np.zeros((len(self.history), look_back))
        kept = min(end, look_back)
        tail[:, look_back - kept :] = self.history[:, end - kept : end]
        latest, flags = self.latest, self.latest_flags
        if self.n_closed:
            newest = slice(self.n_closed - 1, self.n_closed)
            latest, flags = self.out[:, newest].reshape(-1), self.closed["flag_bits"][newest]
        return {
            "frame": self.frame.copy(),
            "features": self.state.copy(),
            "history": tail,
            "count": self.cursor[1:].copy(),
            "latest": latest.copy(),
            "latest_flags": flags.copy(),
        }

    def load(self, saved: dict[str, Any]) -> None:
        """Take over what `save` returned."""
        look_back = self.plan.look_back
        self.frame[:] = saved["frame"]
        self.state[:] = saved["features"]
        count = int(saved["count"][0])
        kept = min(count, look_back)
        self.history[:, :kept] = saved["history"][:, look_back - kept :]
        self.cursor[:] = (kept, count)
        self.latest[:] = saved["latest"]
        self.latest_flags[:] = saved["latest_flags"]
        self.out[-1] = np.nan
        self.n_closed = 0


@kernel
def as_of(
    source: FloatArray, source_at: IntArray, n_source: int, latest: FloatArray, source_row: int, at: IntArray, n: int,
    target: FloatArray, target_row: int,
) -> None:  # fmt: skip
    """Write, for each instant in `at`, the newest value of another timeframe's lane that was known by then."""
    j = 0
    value = latest[source_row]
    for k in range(n):
        while j < n_source and source_at[j] <= at[k]:
            value = source[source_row, j]
            j += 1
        target[target_row, k] = value


@kernel
def as_of_traded(
    source: FloatArray, source_at: IntArray, closed: Rows, n_source: int, latest: FloatArray, latest_flags: IntArray,
    source_row: int, at: IntArray, n: int, target: FloatArray, target_row: int,
) -> None:  # fmt: skip
    """
    Write the same of another symbol's lane, NaN where its newest candle was absent.

    closed  CANDLE, the lane's candles; latest_flags: of the one before them
    """
    j = 0
    value = latest[source_row] if latest_flags[0] & FLAG_ABSENT == 0 else np.nan
    for k in range(n):
        while j < n_source and source_at[j] <= at[k]:
            value = source[source_row, j] if closed[j].flag_bits & FLAG_ABSENT == 0 else np.nan
            j += 1
        target[target_row, k] = value
