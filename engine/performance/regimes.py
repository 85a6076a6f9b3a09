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
from papertape.engine.jit import FloatArray, IntArray, Rows, kernel

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


def regimes(
    open_ms: IntArray, high: FloatArray, low: FloatArray, close: FloatArray, rows: IntArray | None = None
) -> IntArray:
    """
    Return the regime of every candle, a key of REGIME_NAMES.

    open_ms, high, low, close  shape (n,), of one symbol and timeframe, final, in time order
    rows                       the only candles that are asked for; None: all

    Raises DataError if a candle is out of order.
    """
    n = len(close)
    assert len(open_ms) == len(high) == len(low) == n
    is_late = open_ms[1:] <= open_ms[:-1]
    if is_late.any():
        row = int(np.argmax(is_late)) + 1
        raise DataError(f"candle {row}: open time {int(open_ms[row])} ms is not after the one before")
    asked = np.arange(n) if rows is None else np.asarray(rows, dtype=np.int64)
    labels = np.full(len(asked), WARM_UP, dtype=np.int64)
    is_known = asked >= WINDOW_BARS
    # Row r of the changes and of all that is made of them belongs to candle r + WINDOW_BARS.
    places = asked[is_known] - WINDOW_BARS
    if not len(places):
        return labels
    close = np.array(close)  # one's own, which is written over below
    changes = np.diff(close)
    path = _sums_at(np.abs(changes, out=changes), places)
    del changes
    distance = np.abs(close[places + WINDOW_BARS] - close[places])
    # A price that never moved has no direction either.
    efficiency = np.divide(distance, path, out=np.zeros_like(path), where=path > 0.0)
    # In place: of a million candles each working copy is 8 MB.
    ranges = np.maximum(high[1:], close[:-1])
    np.minimum(low[1:], close[:-1], out=close[:-1])
    ranges /= close[:-1]
    del close
    np.log(ranges, out=ranges)
    np.square(ranges, out=ranges)
    volatility = np.empty(n - WINDOW_BARS)
    write_sums(ranges, WINDOW_BARS, volatility)
    del ranges
    volatility /= WINDOW_BARS
    np.sqrt(volatility, out=volatility)
    is_volatile = np.empty(len(places), np.bool_)
    write_is_above(volatility, places, MEDIAN_BARS, is_volatile)
    is_trend = efficiency >= TREND_EFFICIENCY
    labels[is_known] = RANGE_CALM + 2 * is_trend + is_volatile
    return labels


def regimes_when(
    open_ms: IntArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    length_ms: int,
    times_ms: IntArray,
) -> IntArray:
    """Return the regime known at each time: that of the last candle that closed by then, before the first warm-up."""
    rows = np.searchsorted(open_ms, times_ms - length_ms, side="right") - 1
    labels = np.full(len(rows), WARM_UP, dtype=np.int64)
    labels[rows >= 0] = regimes(open_ms, high, low, close, rows[rows >= 0])
    return labels


def _sums_at(values: FloatArray, places: IntArray) -> FloatArray:
    """Return the sum of 24 values in a row from each place on, added in the order of `write_sums`."""
    total: FloatArray = values[places]
    for shift in range(1, WINDOW_BARS):
        total += values[places + shift]
    return total


@kernel
def write_sums(values: FloatArray, bars: int, sums: FloatArray) -> None:
    """
    Write the sum of `bars` values in a row, from each place of `sums` on.

    Added in the same order for every row: a running sum would carry the rounding of all history, and a reduction
    over windows adds in an order that depends on how many there are. A stretch at a time, which stays in the cache.
    """
    for start in range(0, len(sums), 1024):
        stop = min(start + 1024, len(sums))
        for row in range(start, stop):
            sums[row] = values[row]
        for shift in range(1, bars):
            for row in range(start, stop):
                sums[row] += values[row + shift]


@kernel
def write_is_above(values: FloatArray, places: IntArray, bars: int, is_above: Rows) -> None:
    """
    Write whether the value at each place is above the median of the last `bars`, of all so far while there are fewer.

    Nothing is sorted: of a value in its own window it is enough to know how many are smaller. With exactly half of
    an even number smaller, the median lies half-way between the largest of those and the value itself.
    """
    for index in range(len(places)):
        place = places[index]
        value = values[place]
        first = max(place + 1 - bars, 0)
        smaller = 0
        for row in range(first, place + 1):
            smaller += values[row] < value
        held = place + 1 - first
        if smaller != held // 2 or held % 2 == 1:
            is_above[index] = smaller > held // 2
            continue
        below = -np.inf
        for row in range(first, place + 1):
            if below < values[row] < value:
                below = values[row]
        is_above[index] = value > 0.5 * (below + value)
