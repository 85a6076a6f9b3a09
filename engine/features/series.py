"""
A lane: one symbol on one timeframe, from base candles to feature values.

Base candles are gathered into candles of the lane's timeframe by the clock, pushed into a sliding history of
columns, and every requested feature is computed for those that closed: one kernel call for a whole batch of all symbols
that ask for the same. The history keeps just the candles that the longest window needs; what lies before them is forgotten.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.candles import CANDLE, FLAG_ABSENT
from papertape.engine.features import FeaturePlan
from papertape.engine.features.compute import measure_all, perceive_structure
from papertape.engine.features.history import N_CANDLE_ROWS, N_ROWS
from papertape.engine.features.own.base import NewCandles
from papertape.engine.features.own.series import BadValue, OwnSeries
from papertape.engine.features.resample import FRAME_STATE, aggregate
from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows, inlined_kernel, join_rows, kernel

BLOCK: Final = 2048  # base candles of one symbol that a step takes at a time, at most
_BLOCK_LEAST: Final = 64  # fewer, and what Python does between two blocks takes as long as the kernels
_BLOCK_OF_ALL: Final = 50 * BLOCK  # candles of all symbols


def block_of(n_symbols: int) -> int:
    """
    Return how many instants a step takes at a time.

    Of more than fifty symbols fewer, or buffers grow to hundreds of MB, of which the kernel clears every page: a second of
    system time for two hundred symbols.
    """
    return min(BLOCK, max(_BLOCK_LEAST, _BLOCK_OF_ALL // n_symbols))


@kernel
def advance(
    candles: Rows, symbols: IntArray, n_symbols: int, n: int, base_ms: int, length_ms: int, frames: Rows, closed: Rows,
    closed_at: IntArray, history: FloatArray, look_back: int, cursors: IntArray, program: Rows, slabs: FloatArray,
    out: FloatArray, known: FloatArray, latest: FloatArray, latest_flags: IntArray,
) -> None:  # fmt: skip
    """
    Take the candles of `n` complete instants into the lanes of some symbols; the technical features of what closed are in `out`.

    symbols  numbers of the lanes' symbols among `n_symbols`; the other arrays have a lane in each row
    cursors  shape (n_lanes, 4): the end of the used part of `history`, how many candles were ever pushed, how many closed
             now, and whether one of those was absent as a whole
    known    shape (n_symbols, n_series, >= n), what was known of series at each base candle; or (n_symbols, 0, 0): none is read
    latest, latest_flags  values and flags of the newest candle before those that close now
    """
    for lane in range(len(symbols)):
        symbol, cursor = symbols[lane], cursors[lane]
        newest = cursor[2] - 1
        if newest >= 0:
            for column in range(latest.shape[1]):
                latest[lane, column] = out[lane, column, newest]
            latest_flags[lane, 0] = closed[lane, newest].flag_bits
        n_closed = aggregate(
            candles, symbol, n_symbols, n, base_ms, length_ms, frames[lane], closed[lane], closed_at[lane]
        )
        push(history[lane], look_back, cursor, closed[lane], closed_at[lane], known[symbol], n_closed)
        if n_closed > 0:
            end, count = cursor[0], cursor[1] - n_closed
            measure_all(history[lane], end - n_closed, end, count, program, slabs[lane], out[lane])


@inlined_kernel
def push(
    history: FloatArray,
    look_back: int,
    cursor: IntArray,
    closed: Rows,
    closed_at: IntArray,
    known: FloatArray,
    n_closed: int,
) -> None:
    """Append what closed to a lane's history, whose oldest candles make room."""
    end = cursor[0]
    if end + n_closed > history.shape[1]:
        kept = min(end, look_back)
        for column in range(history.shape[0]):
            for index in range(kept):
                history[column, index] = history[column, end - kept + index]
        end = kept
    bits = 0
    for index in range(n_closed):
        candle = closed[index]
        bits |= candle.flag_bits
        history[0, end + index] = candle.open_ms
        history[1, end + index] = candle.open
        history[2, end + index] = candle.high
        history[3, end + index] = candle.low
        history[4, end + index] = candle.close
        history[5, end + index] = candle.volume
        for kind in range(known.shape[0]):
            history[N_CANDLE_ROWS + kind, end + index] = known[kind, closed_at[index]]
    cursor[0] = end + n_closed
    cursor[1] += n_closed
    cursor[2] = n_closed
    cursor[3] = bits & FLAG_ABSENT


class FeatureLanes:
    """
    Lanes of one timeframe that ask for the same, advanced together; every array has a lane in each row.

    each        the lane of every symbol in `symbols`, in that order
    has_absent  a candle that closed in the newest `advance` was absent as a whole
    """

    def __init__(
        self,
        plan: FeaturePlan,
        base_ms: int,
        length_ms: int,
        symbols: Sequence[int] = (0,),
        n_symbols: int = 1,
        block: int = BLOCK,
    ) -> None:
        """Make lanes of some of `n_symbols` symbols, for `block` base candles of each at a time."""
        self.plan, self.base_ms, self.length_ms = plan, base_ms, length_ms
        self.symbols: IntArray = np.array(symbols, np.int64)
        self._n_symbols = n_symbols
        n = len(symbols)
        # A base candle closes at most two candles of a lane, and that only after a gap.
        most = 2 * block + 2
        self.closed = np.zeros((n, most), CANDLE)
        self.closed_at = np.zeros((n, most), np.int64)
        # One row more than there are columns: a model writes its probability beside what it read.
        self.out: FloatArray = np.full((n, len(plan.columns) + 1, most), np.nan)
        n_rows = N_ROWS if plan.has_series else N_CANDLE_ROWS
        self.history: FloatArray = np.zeros((n, n_rows, plan.look_back + most))
        self.cursors = np.zeros((n, 4), np.int64)
        self.frames = np.zeros(n, FRAME_STATE)
        self.states = join_rows([plan.initial_state() for _ in symbols])
        self.slabs: FloatArray = self.states.view(np.float64).reshape(n, -1)
        self.latest: FloatArray = np.full((n, len(plan.columns) + 1), np.nan)
        self.latest_flags = np.zeros((n, 1), np.int64)
        self._no_series: FloatArray = np.zeros((n_symbols, 0, 0))
        self.has_absent = False
        self.each = [FeatureSeries(self, row) for row in range(n)]

    def advance(self, candles: Rows, n: int, known: FloatArray | None = None) -> None:
        """
        Take the candles of `n` complete instants.

        known  shape (n_symbols, n_series, >= n), what was known of series at each, where the plan reads any
        """
        advance(
            candles, self.symbols, self._n_symbols, n, self.base_ms, self.length_ms, self.frames,
            self.closed, self.closed_at, self.history, self.plan.look_back, self.cursors,
            self.plan.program, self.slabs, self.out,
            self._no_series if known is None or not self.plan.has_series else known,
            self.latest, self.latest_flags,
        )  # fmt: skip
        self.has_absent = False
        for lane, (_, _, n_closed, is_absent) in zip(self.each, self.cursors.tolist(), strict=True):
            lane.n_closed = n_closed
            self.has_absent |= is_absent != 0


class FeatureSeries:
    """
    One symbol on one timeframe: its row of every array of its `FeatureLanes`.

    latest, latest_flags  values and flags of the newest candle before those of the newest `advance`
    bad_values            of the newest `perceive`
    """

    def __init__(self, lanes: FeatureLanes, row: int) -> None:
        self.plan = lanes.plan
        self.base_ms = lanes.base_ms
        self.length_ms = lanes.length_ms
        self.closed, self.closed_at = lanes.closed[row], lanes.closed_at[row]
        self.out: FloatArray = lanes.out[row]
        self.history: FloatArray = lanes.history[row]
        self.cursor, self.frame = lanes.cursors[row], lanes.frames[row : row + 1]
        self.state, self.slab = lanes.states[row : row + 1], lanes.slabs[row]
        self.latest, self.latest_flags = lanes.latest[row], lanes.latest_flags[row]
        self.n_closed = 0
        self.written = np.zeros(1, np.int64)
        self._own = OwnSeries(self.plan.own, self.slab) if self.plan.own else None
        self.bad_values: list[BadValue] = []

    @property
    def is_more(self) -> bool:
        """Return whether more is asked for than technical features."""
        return bool(self.plan.structure) or self._own is not None

    def perceive(self, events: Rows) -> None:
        """
        Compute market structure and somebody's own features at what closed in the newest `advance`.

        events  EVENT, a buffer; the first `written[0]` rows are new afterwards; one row: nobody asks
        """
        self.written[0] = 0
        end, count = self.cursor[:2].tolist()
        if self.plan.structure and self.n_closed:
            perceive_structure(
                self.history,
                end - self.n_closed,
                end,
                count - self.n_closed,
                self.plan,
                self.slab,
                self.out,
                events,
                self.written,
            )
            # Of a full buffer nobody could tell what it had no room for.
            assert len(events) == 1 or self.written[0] < len(events) - 1
        if self._own is not None:
            new = NewCandles(self.history, end - self.n_closed, end, count - self.n_closed)
            self.bad_values = self._own.update(new, self.out)

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
            "count": self.cursor[1:2].copy(),
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
        self.cursor[:] = 0
        self.cursor[:2] = (kept, count)
        self.latest[:] = saved["latest"]
        self.latest_flags[:] = saved["latest_flags"]
        self.out[-1] = np.nan
        self.n_closed = 0


@kernel
def as_of(
    source: FloatArray,
    source_at: IntArray,
    n_source: int,
    latest: FloatArray,
    source_row: int,
    at: IntArray,
    n: int,
    target: FloatArray,
    target_row: int,
) -> None:
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
    source: FloatArray,
    source_at: IntArray,
    closed: Rows,
    n_source: int,
    latest: FloatArray,
    latest_flags: IntArray,
    source_row: int,
    at: IntArray,
    n: int,
    target: FloatArray,
    target_row: int,
) -> None:
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
