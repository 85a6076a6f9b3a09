"""
What feature kernels share: the rows of the history, and sliding windows that cost the same at every length.

`history` has shape (6, capacity); the candle of column `i` has the absolute number `t`, counted from the first candle
ever seen. A window of `period` values is cut at the multiples of `period`: it is a tail of the block before and a head
of the running block. Heads grow by one value per candle, the tails of a block are made once, when it is complete, so
a value costs O(1) amortised whatever the prices do, nothing is ever subtracted (no drift, no negative variance), and
since the blocks hang on the absolute number, nobody can see in a result how candles were batched.
The idea is van Herk's (1992) for extremes; it works for everything that can be joined from two parts.
"""

from typing import Final

from engine.jit import FloatArray, kernel

Floats = FloatArray  # short, so that the arguments that every kernel has fit one line

OPEN_MS: Final = 0
OPEN: Final = 1
HIGH: Final = 2
LOW: Final = 3
CLOSE: Final = 4
VOLUME: Final = 5


@kernel
def typical(history: Floats, i: int) -> float:
    """Return the typical price (high + low + close) ÷ 3."""
    return (history[HIGH, i] + history[LOW, i] + history[CLOSE, i]) / 3.0  # type: ignore[no-any-return]


@kernel
def true_range(history: Floats, i: int, t: int) -> float:
    """Return Wilder's true range, high - low at the first candle, which has no close before it."""
    high, low = history[HIGH, i], history[LOW, i]
    if t == 0:
        return high - low  # type: ignore[no-any-return]
    before = history[CLOSE, i - 1]
    return max(high - low, abs(high - before), abs(low - before))  # type: ignore[no-any-return]


@kernel
def slide_total(total: float, row: Floats, i: int, t: int, period: int) -> float:
    """
    Return the sum of the newest `period` values of a row, or of all there are; reads `period` columns back.

    total  what the call at the candle before returned

    The quick way for prices, where a relative error of 1e-14 is nothing: add one, take one away, and sum afresh when
    a block is complete.
    """
    if t >= period and (t + 1) % period != 0:
        return total + (row[i] - row[i - period])  # type: ignore[no-any-return]
    fresh = 0.0
    for j in range(i - min(period - 1, t), i + 1):
        fresh += row[j]
    return fresh


@kernel
def slide_sum(cells: Floats, value: float, t: int, period: int) -> float:
    """
    Return the sum of the newest `period` values, or of all there are; not below zero if no value is.

    cells  shape (1 + period,): the sum of the head, then by place in the block: up to the newest place the values of
           this block, beyond it the sums of the tails of the block before
    """
    place = t % period
    if place == 0:
        tail = 0.0
        for j in range(period, 0, -1):
            tail += cells[j]
            cells[j] = tail
        cells[0] = 0.0
    cells[0] += value
    cells[1 + place] = value
    if place == period - 1:
        return cells[0]  # type: ignore[no-any-return]
    return cells[0] + cells[2 + place]  # type: ignore[no-any-return]


@kernel
def slide_moments(cells: Floats, value: float, t: int, period: int) -> tuple[float, float]:
    """
    Return mean and sum of squared deviations of the newest `period` values, or of all there are.

    cells  shape (2 + 2·period,): mean and squares of the head, then pairs by place, as in `slide_sum`: a value, or
           mean and squares of a tail

    Parts grow as in B. P. Welford (1962) and join as in Chan, Golub, LeVeque (1979), eq. 2.1: the squares are never
    negative and exactly 0 for equal values.
    """
    place = t % period
    if place == 0:
        mean, squares = 0.0, 0.0
        for n in range(1, period + 1):
            j = 2 + 2 * (period - n)
            step = cells[j] - mean
            mean += step / n
            squares += step * (cells[j] - mean)
            cells[j], cells[j + 1] = mean, squares
        cells[0], cells[1] = 0.0, 0.0
    n_head = place + 1
    step = value - cells[0]
    cells[0] += step / n_head
    cells[1] += step * (value - cells[0])
    cells[2 + 2 * place] = value
    if t < period or n_head == period:
        return cells[0], cells[1]
    share = n_head / period
    tail_mean = cells[4 + 2 * place]
    apart = cells[0] - tail_mean
    squares = cells[5 + 2 * place] + cells[1] + apart * apart * (period - n_head) * share
    return tail_mean + apart * share, squares


@kernel
def bars_since_extreme(
    row: Floats, i: int, t: int, period: int, sign: float, cells: Floats
) -> int:
    """
    Return how many bars ago the highest (`sign` 1) or lowest (-1) of the newest `period` values was; the latest on ties.

    cells  shape (1 + period,): number of the best candle of the head, then, for every tail of the block before, the
           number of its best candle; values are read from the row, `period` columns back
    """
    place = t % period
    to_column = i - t
    if place == 0:
        if t >= period:
            best = t - 1
            for j in range(period, 0, -1):
                candidate = t - period + j - 1
                if sign * row[candidate + to_column] > sign * row[best + to_column]:
                    best = candidate
                cells[j] = best
        cells[0] = t
    elif sign * row[i] >= sign * row[int(cells[0]) + to_column]:
        cells[0] = t
    best = int(cells[0])
    if place < period - 1 and t >= period:
        earlier = int(cells[place + 2])
        if sign * row[earlier + to_column] > sign * row[best + to_column]:
            best = earlier
    return t - best
