"""
What kind of market it was: trend or range, calm or volatile.

The label of candle t uses candles up to t and is never changed afterwards:

    trend     Kaufman's efficiency ratio over 24 bars, |close − close 24 bars ago| ÷ Σ |change of close|, is at
              least 0.3; a random walk shows about 1 ÷ √24 = 0.2 on average.
    volatile  the root mean square of the log true range over 24 bars is above its own median of the last 720
              values (a month of hours), this one included; while there are fewer, of all so far.

Before 24 changes are known the label is "warm-up". Source of the ratio: P. J. Kaufman, Smarter Trading (1995).
"""

from typing import Final

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray, kernel

WINDOW_BARS: Final = 24
MEDIAN_BARS: Final = 720
TREND_EFFICIENCY: Final = 0.3

WARM_UP: Final = 0
RANGE_CALM: Final = 1
RANGE_VOLATILE: Final = 2
TREND_CALM: Final = 3
TREND_VOLATILE: Final = 4
REGIME_NAMES: Final = {
    WARM_UP: "warm-up",
    RANGE_CALM: "range, calm",
    RANGE_VOLATILE: "range, volatile",
    TREND_CALM: "trend, calm",
    TREND_VOLATILE: "trend, volatile",
}


def regimes(open_ms: IntArray, high: FloatArray, low: FloatArray, close: FloatArray) -> IntArray:
    """
    Return the regime of every candle, a key of REGIME_NAMES.

    open_ms, high, low, close  shape (n,), of one symbol and timeframe, final, in time order

    Raises DataError if a candle is out of order.
    """
    n = len(close)
    assert len(open_ms) == len(high) == len(low) == n
    is_late = np.diff(open_ms) <= 0
    if is_late.any():
        row = int(np.argmax(is_late)) + 1
        raise DataError(
            f"candle {row}: open time {int(open_ms[row])} ms is not after the one before"
        )
    labels = np.full(n, WARM_UP, dtype=np.int64)
    if n <= WINDOW_BARS:
        return labels
    path = _window_sum(np.abs(np.diff(close)))
    distance = np.abs(close[WINDOW_BARS:] - close[:-WINDOW_BARS])
    # A price that never moved has no direction either.
    efficiency = np.divide(distance, path, out=np.zeros_like(path), where=path > 0.0)
    true_range = np.log(np.maximum(high[1:], close[:-1]) / np.minimum(low[1:], close[:-1]))
    volatility = np.sqrt(_window_sum(true_range**2) / WINDOW_BARS)
    is_trend = efficiency >= TREND_EFFICIENCY
    is_volatile = volatility > trailing_median(volatility, MEDIAN_BARS)
    labels[WINDOW_BARS:] = RANGE_CALM + 2 * is_trend + is_volatile
    return labels


def regimes_at(close_ms: IntArray, labels: IntArray, times_ms: IntArray) -> IntArray:
    """
    Return the label known at each time: that of the last candle that closed at or before it.

    close_ms  of the candles that `labels` belong to, in time order; before the first it is warm-up
    """
    known = np.concatenate([[WARM_UP], labels])
    rows = np.searchsorted(close_ms, times_ms, side="right")
    return np.asarray(known[rows], dtype=np.int64)


def _window_sum(values: FloatArray) -> FloatArray:
    """
    Return the sum of every 24 values in a row.

    Added in the same order for every row: a running sum would carry the rounding of all history, and a reduction
    over windows adds in an order that depends on how many there are.
    """
    n = len(values) - WINDOW_BARS + 1
    total = values[:n].copy()
    for shift in range(1, WINDOW_BARS):
        total += values[shift : shift + n]
    return total


def trailing_median(values: FloatArray, bars: int) -> FloatArray:
    """Return the median of the last `bars` values at every place, of all so far while there are fewer."""
    medians: FloatArray = np.empty(len(values))
    write_medians(values, np.empty(bars), medians)
    return medians


@kernel
def write_medians(values: FloatArray, ordered: FloatArray, medians: FloatArray) -> None:
    """
    Write the median of the last `len(ordered)` values at every place.

    The window is kept sorted: one place is searched by halving for the value that leaves and one for the value
    that enters, and what lies between moves by one.
    """
    bars, held = len(ordered), 0
    for index in range(len(values)):
        value = values[index]
        if held < bars:
            place = held
            held += 1
        else:
            place = np.searchsorted(ordered, values[index - bars])
        while place > 0 and ordered[place - 1] > value:
            ordered[place] = ordered[place - 1]
            place -= 1
        while place < held - 1 and ordered[place + 1] < value:
            ordered[place] = ordered[place + 1]
            place += 1
        ordered[place] = value
        middle = held // 2
        if held % 2 == 1:
            medians[index] = ordered[middle]
        else:
            medians[index] = 0.5 * (ordered[middle - 1] + ordered[middle])
