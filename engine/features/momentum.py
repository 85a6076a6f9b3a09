"""
Momentum: RSI, stochastic, commodity channel index, rate of change, Williams %R.

Where a market has not moved, TA-Lib says 0 or -0; a neutral value is said here instead (50, -50, 0), because 0 would
read as "oversold". Sources: J. W. Wilder (1978); G. Lane (1984); D. Lambert (1980); L. Williams (1973); TA-Lib 0.8.
"""

from typing import Final

import numpy as np

from papertape.engine.features.history import CLOSE, HIGH, LOW, bars_since_extreme, typical
from papertape.engine.jit import FloatArray, Row, kernel, record

RSI: Final = record(("gain", "f8"), ("loss", "f8"))


@kernel
def rsi(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """
    Write the relative strength index of the close, 0 … 100; 50 when nothing has moved.

    Averages start as the mean of the first `period` gains and losses; with p[3] as 0 at the first candle.
    """
    period, is_first = int(p[0]), p[3] != 0.0
    for i in range(first, last):
        t = count + i - first
        if t > 0:
            move = history[CLOSE, i] - history[CLOSE, i - 1]
            gain, loss = max(move, 0.0), max(-move, 0.0)
            if is_first or t > period:
                state.gain += (gain - state.gain) / period
                state.loss += (loss - state.loss) / period
            else:
                state.gain += gain / period
                state.loss += loss / period
        total = state.gain + state.loss
        value = 100.0 * state.gain / total if total > 0.0 else 50.0
        out[i - first] = value if is_first or t >= period else np.nan


@kernel
def stochastic(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, cells: FloatArray, out: FloatArray
) -> None:
    """
    Write slow %K and %D, 0 … 100: the close within the range of `period` candles, averaged over `slow`, then `signal`.

    cells  two sets of window cells, then the newest `slow` raw and `signal` slow values, as rings by candle number
    """
    period, slow, signal = int(p[0]), int(p[1]), int(p[2])
    high, low = history[HIGH], history[LOW]
    raw_start, slow_start = 2 * (period + 1), 2 * (period + 1) + slow
    for i in range(first, last):
        t = count + i - first
        top = high[i - bars_since_extreme(high, i, t, period, 1.0, cells[: period + 1])]
        bottom = low[i - bars_since_extreme(low, i, t, period, -1.0, cells[period + 1 : raw_start])]
        raw = 100.0 * (history[CLOSE, i] - bottom) / (top - bottom) if top > bottom else 50.0
        cells[raw_start + t % slow] = raw
        k = 0.0
        for j in range(slow):
            k += cells[raw_start + j]
        k /= slow
        cells[slow_start + t % signal] = k
        d = 0.0
        for j in range(signal):
            d += cells[slow_start + j]
        d /= signal
        is_ready = t >= period + slow + signal - 3
        out[0, i - first] = k if is_ready else np.nan
        out[1, i - first] = d if is_ready else np.nan


@kernel
def cci(history: FloatArray, first: int, last: int, count: int, p: FloatArray, out: FloatArray) -> None:
    """
    Write the commodity channel index: (typical price - its mean) ÷ (0.015 × its mean deviation); 0 when flat.

    The mean deviation has no recursion: this one feature costs `period` steps per candle, at every length of tape.
    """
    period = int(p[0])
    for i in range(first, last):
        t = count + i - first
        out[i - first] = np.nan
        if t < period - 1:
            continue
        mean = 0.0
        for j in range(i - period + 1, i + 1):
            mean += typical(history, j)
        mean /= period
        deviation = 0.0
        for j in range(i - period + 1, i + 1):
            deviation += abs(typical(history, j) - mean)
        distance = typical(history, i) - mean
        # A flat window leaves rounding noise in both; their ratio would mean nothing.
        is_flat = deviation <= 1e-12 * period * mean
        out[i - first] = 0.0 if is_flat else distance / (0.015 * deviation / period)


@kernel
def roc(history: FloatArray, first: int, last: int, count: int, p: FloatArray, out: FloatArray) -> None:
    """
    Write the rate of change of the close over `period` bars, in percent as TA-Lib gives it; the first `period` candles
    have none.
    """
    period = int(p[0])
    for i in range(first, last):
        is_ready = count + i - first >= period
        out[i - first] = np.nan
        if is_ready:
            out[i - first] = (history[CLOSE, i] / history[CLOSE, i - period] - 1.0) * 100.0


@kernel
def williams_r(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, cells: FloatArray, out: FloatArray
) -> None:
    """Write Williams %R, -100 … 0: how far the close is below the highest high of `period` candles; -50 when flat."""
    period = int(p[0])
    high, low = history[HIGH], history[LOW]
    for i in range(first, last):
        t = count + i - first
        top = high[i - bars_since_extreme(high, i, t, period, 1.0, cells[: period + 1])]
        bottom = low[i - bars_since_extreme(low, i, t, period, -1.0, cells[period + 1 :])]
        value = -100.0 * (top - history[CLOSE, i]) / (top - bottom) if top > bottom else -50.0
        out[i - first] = value if t >= period - 1 else np.nan
