"""
Trend: moving averages, MACD, directional movement, Aroon, regression slope.

Every kernel has the same arguments: history, the columns `first` … `last - 1` that are new, the number `count` of
the first of them, the parameters, the feature's own state, and the rows to write, NaN while warming up.

Sources: TA-Lib 0.8 for seeds and recursions; J. W. Wilder, New Concepts in Technical Trading Systems (1978); G. Appel,
The Moving Average Convergence-Divergence Method (1979); T. Chande, Technical Analysis of Stocks & Commodities (1995).
"""

from typing import Final

import numpy as np

from papertape.engine.features.history import CLOSE, HIGH, LOW, bars_since_extreme, slide_total, true_range
from papertape.engine.jit import FloatArray, Row, kernel, record

AVERAGE: Final = record(("average", "f8"), ("total", "f8"))
MACD: Final = record(
    ("fast", "f8"), ("slow", "f8"), ("signal", "f8"), ("fast_total", "f8"), ("slow_total", "f8")
)
ADX: Final = record(("plus", "f8"), ("minus", "f8"), ("reach", "f8"), ("adx", "f8"))


@kernel
def nearer(average: float, value: float, weight: float) -> float:
    """Return an average moved towards a value."""
    return average + weight * (value - average)


@kernel
def step_ema(state: Row, value: float, t: int, period: int, is_first: bool) -> float:
    """
    Return an exponential average with weight 2 ÷ (period + 1), NaN for t < period - 1.

    It starts as the mean of the first `period` values; with `is_first` as the first value.
    """
    if is_first and t == 0:
        state.average = value
    elif is_first or t >= period:
        state.average = nearer(state.average, value, 2.0 / (period + 1.0))
    else:
        state.total += value
        if t < period - 1:
            return np.nan
        state.average = state.total / period
    return state.average  # type: ignore[no-any-return]


@kernel
def ema(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """Write the exponential moving average of the close."""
    period, is_first = int(p[0]), p[3] != 0.0
    begun = min(last, first + max(0, (1 if is_first else period) - count))
    for i in range(first, begun):
        out[i - first] = step_ema(state, history[CLOSE, i], count + i - first, period, is_first)
    # What a step writes to its state the next one waits for, twice as long as for its arithmetic.
    average, weight = state.average, 2.0 / (period + 1.0)
    for i in range(begun, last):
        average = nearer(average, history[CLOSE, i], weight)
        out[i - first] = average
    state.average = average


@kernel
def sma(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """Write the simple moving average of the close."""
    period, row = int(p[0]), history[CLOSE]
    for i in range(first, last):
        t = count + i - first
        slide_total(state, row, i, t, period)
        out[i - first] = state.total / period if t >= period - 1 else np.nan


@kernel
def wma(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """Write the moving average with weights 1 … period, the newest close the heaviest."""
    period, row = int(p[0]), history[CLOSE]
    for i in range(first, last):
        t = count + i - first
        before = state.total
        if slide_total(state, row, i, t, period):
            state.weighted = 0.0
            start = i - min(period - 1, t)
            for j in range(start, i + 1):
                state.weighted += (j - start + 1) * row[j]
        else:
            state.weighted += period * row[i] - before
        weight = 0.5 * period * (period + 1)
        out[i - first] = state.weighted / weight if t >= period - 1 else np.nan


@kernel
def macd(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """
    Write MACD line, signal line and histogram of the close.

    As TA-Lib starts it: both averages at candle slow - 1, the fast one as the mean of the `fast` closes up to there,
    the signal line as the mean of the first `signal` MACD values; nothing is said before. With p[3]: averages from the
    first close, the signal line from 0.
    """
    fast, slow, signal = int(p[0]), int(p[1]), int(p[2])
    is_first = p[3] != 0.0
    for i in range(first, last):
        t, close = count + i - first, history[CLOSE, i]
        if is_first and t == 0:
            state.fast = close
            state.slow = close
        elif is_first or t >= slow:
            state.fast += 2.0 / (fast + 1.0) * (close - state.fast)
            state.slow += 2.0 / (slow + 1.0) * (close - state.slow)
        else:
            state.slow_total += close
            if t >= slow - fast:
                state.fast_total += close
            state.fast = state.fast_total / fast
            state.slow = state.slow_total / slow
        line = state.fast - state.slow
        ready = slow + signal - 2
        if is_first or t > ready:
            state.signal += 2.0 / (signal + 1.0) * (line - state.signal)
        elif t >= slow - 1:
            state.signal += line / signal
        is_ready = is_first or t >= ready
        out[0, i - first] = line if is_ready else np.nan
        out[1, i - first] = state.signal if is_ready else np.nan
        out[2, i - first] = line - state.signal if is_ready else np.nan


@kernel
def adx(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """
    Write Wilder's average directional index, +DI and -DI; a market without any range has 0 for all three.

    Sums of movement and range start with candles 1 … period - 1; ADX is the mean of `period` DX at candle 2·period - 1.
    """
    period = int(p[0])
    for i in range(first, last):
        t = count + i - first
        for row in range(3):
            out[row, i - first] = np.nan
        if t == 0:
            continue
        up = history[HIGH, i] - history[HIGH, i - 1]
        down = history[LOW, i - 1] - history[LOW, i]
        keep = 1.0 if t < period else 1.0 - 1.0 / period
        state.plus = state.plus * keep + (up if up > 0.0 and up > down else 0.0)
        state.minus = state.minus * keep + (down if down > 0.0 and down > up else 0.0)
        state.reach = state.reach * keep + true_range(history, i, t)
        if t < period:
            continue
        plus = 100.0 * state.plus / state.reach if state.reach > 1e-14 else 0.0
        minus = 100.0 * state.minus / state.reach if state.reach > 1e-14 else 0.0
        if plus + minus > 1e-14:
            dx = 100.0 * abs(plus - minus) / (plus + minus)
            if t < 2 * period:
                state.adx += dx / period
            else:
                state.adx += (dx - state.adx) / period
        if t >= 2 * period - 1:
            out[0, i - first] = state.adx
            out[1, i - first] = plus
            out[2, i - first] = minus


@kernel
def aroon(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, cells: FloatArray, out: FloatArray
) -> None:
    """
    Write Aroon up, down and their difference (Chande 1995), 0 … 100 and −100 … 100: how recent the extremes of the
    last `period` + 1 candles are. The first `period` candles have none.
    """
    period = int(p[0])
    window = period + 1
    high, low = history[HIGH], history[LOW]
    for i in range(first, last):
        t = count + i - first
        since_high = bars_since_extreme(high, i, t, window, 1.0, cells[: window + 1])
        since_low = bars_since_extreme(low, i, t, window, -1.0, cells[window + 1 :])
        up = 100.0 * (period - since_high) / period
        down = 100.0 * (period - since_low) / period
        is_ready = t >= period
        out[0, i - first] = up if is_ready else np.nan
        out[1, i - first] = down if is_ready else np.nan
        out[2, i - first] = up - down if is_ready else np.nan


@kernel
def slope(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """
    Write the slope of the least-squares line through the last `period` closes, in quote per bar (TA-Lib's LINEARREG_SLOPE).
    The first `period` − 1 candles have none.
    """
    period, row = int(p[0]), history[CLOSE]
    half = 0.5 * (period - 1)
    spread = period * (period * period - 1.0) / 12.0  # sum of squared distances from the middle
    for i in range(first, last):
        t = count + i - first
        before = state.total
        if slide_total(state, row, i, t, period):
            state.weighted = 0.0
            start = i - min(period - 1, t)
            for j in range(start, i + 1):
                state.weighted += (j - start) * row[j]
        else:
            state.weighted += (period - 1) * row[i] - (before - row[i - period])
        is_ready = t >= period - 1
        out[i - first] = (state.weighted - half * state.total) / spread if is_ready else np.nan
