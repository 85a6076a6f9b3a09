"""
What feature kernels share: the columns of the history, and sliding windows that cost the same at every length.

`history` has shape (6, capacity), or (11, capacity) with series beside the candles; the candle of column `i` has the absolute number `t`, counted from the first candle
ever seen. Windows are kept up by adding and removing one value; every `period` candles, by the absolute number, they
are summed afresh, so that rounding errors cannot pile up and the batching of candles cannot be seen in the result.

What is left of a large sum after its large values have gone is their rounding: a market that falls silent would keep it as
if something still traded. So a sum that has fallen far below the largest since it was made is summed afresh as well.
"""

from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray, Row, kernel, record

OPEN_MS: Final = 0
OPEN: Final = 1
HIGH: Final = 2
LOW: Final = 3
CLOSE: Final = 4
VOLUME: Final = 5
# Series beside the candles, where a plan reads any: the newest value that was known at each candle.
N_CANDLE_ROWS: Final = 6
MARK_ROW: Final = 7
INDEX_ROW: Final = 8
OPEN_INTEREST_ROW: Final = 9
N_ROWS: Final = 11

# Below this share of the largest value since the last fresh sum, a sum of squares is rounding noise.
_NOISE: Final = 1e-13

# A sum below this share of the largest since it was made is made again: what it has kept of the larger one is at most
# 1e-16 ÷ 1e-6 of it per candle. Prices and volumes of a market that trades come nowhere near.
SHRUNK: Final = 1e-6

WINDOW: Final = record(("total", "f8"), ("weighted", "f8"), ("largest", "f8"))


@kernel
def typical(history: FloatArray, i: int) -> float:
    """Return the typical price (high + low + close) ÷ 3."""
    return (history[HIGH, i] + history[LOW, i] + history[CLOSE, i]) / 3.0  # type: ignore[no-any-return]


@kernel
def true_range(history: FloatArray, i: int, t: int) -> float:
    """Return Wilder's true range; the first candle has no close before it."""
    high, low = history[HIGH, i], history[LOW, i]
    if t == 0:
        return high - low  # type: ignore[no-any-return]
    before = history[CLOSE, i - 1]
    return max(high - low, abs(high - before), abs(low - before))  # type: ignore[no-any-return]


@kernel
def slide_total(state: Row, row: FloatArray, i: int, t: int, period: int) -> bool:
    """
    Keep up the sum of the newest `period` values of a row, none below 0, and return whether it was made afresh.

    state  WINDOW
    """
    if t >= period and (t + 1) % period != 0:
        state.total += row[i] - row[i - period]
        state.largest = max(state.largest, state.total)
        if state.total >= SHRUNK * state.largest:
            return False
    state.total = 0.0
    for j in range(i - min(period - 1, t), i + 1):
        state.total += row[j]
    state.largest = state.total
    return True


@kernel
def slide_squares(moments: FloatArray, row: FloatArray, i: int, t: int, period: int) -> None:
    """
    Keep up first and second moments of the newest `period` values.

    moments  (anchor, sum of deviations from it, sum of their squares, largest such sum since the last fresh one)

    Deviations are taken from a value of the window, so that large prices with small moves lose no digits.
    """
    if t >= period and (t + 1) % period != 0:
        new, old = row[i] - moments[0], row[i - period] - moments[0]
        moments[1] += new - old
        moments[2] += new * new - old * old
        moments[3] = max(moments[3], moments[2], new * new)
        if not is_shrunk(moments, period):
            return
    start = i - min(period - 1, t)
    moments[0] = row[start]
    moments[1] = 0.0
    moments[2] = 0.0
    for j in range(start, i + 1):
        deviation = row[j] - moments[0]
        moments[1] += deviation
        moments[2] += deviation * deviation
    moments[3] = moments[2]


@kernel
def is_shrunk(moments: FloatArray, period: int) -> bool:
    """Return whether the values of a window spread so little now that larger ones before have left nothing but rounding."""
    spread = moments[2] * period - moments[1] * moments[1]  # period² × variance
    return spread < SHRUNK * period * moments[3]  # type: ignore[no-any-return]


@kernel
def mean_of(moments: FloatArray, period: int) -> float:
    """Return the mean of a full window."""
    return moments[0] + moments[1] / period  # type: ignore[no-any-return]


@kernel
def deviation_of(moments: FloatArray, period: int) -> float:
    """Return the population standard deviation of a full window; rounding noise counts as zero."""
    mean = moments[1] / period
    variance = moments[2] / period - mean * mean
    if variance <= _NOISE * moments[3]:
        return 0.0
    return np.sqrt(variance)  # type: ignore[no-any-return]


@kernel
def bars_since_extreme(row: FloatArray, i: int, t: int, period: int, sign: float, cells: FloatArray) -> int:
    """
    Return how many bars ago the highest (`sign` 1) or lowest (-1) of the newest `period` values was; the latest on ties.

    cells  shape (1 + period,): number of the best candle of the running block of `period` candles, then, for every
           tail of the block before, the number of its best candle

    A window is a tail of the block before and a head of this one (van Herk 1992), so that the cost per candle does
    not depend on the period, whatever the prices do.
    """
    place = t % period
    to_column = i - t
    if place == 0:
        if t >= period:
            best = t - 1
            cells[period] = best
            for j in range(period - 2, -1, -1):
                candidate = t - period + j
                if sign * row[candidate + to_column] > sign * row[best + to_column]:
                    best = candidate
                cells[1 + j] = best
        cells[0] = t
    elif sign * row[i] >= sign * row[int(cells[0]) + to_column]:
        cells[0] = t
    best = int(cells[0])
    if place < period - 1 and t >= period:
        earlier = int(cells[place + 2])
        if sign * row[earlier + to_column] > sign * row[best + to_column]:
            best = earlier
    return t - best


@kernel
def has_infinite(values: FloatArray) -> bool:
    """Return whether one of some values is infinite."""
    found = False
    for value in values:
        found |= abs(value) == np.inf
    return found
