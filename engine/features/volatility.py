"""
Volatility: average true range, channels, realised volatility.

Sources: J. W. Wilder (1978); J. Bollinger, Bollinger on Bollinger Bands (2001), population deviation as TA-Lib;
C. Keltner (1960) with L. Raschke's ATR; R. Donchian (1960); M. Parkinson, Journal of Business 53 (1980), equation 4.
"""

import math
from typing import Final

import numpy as np

from papertape.engine.features.history import (
    CLOSE,
    HIGH,
    LOW,
    SHRUNK,
    bars_since_extreme,
    deviation_of,
    is_shrunk,
    mean_of,
    slide_squares,
    true_range,
)
from papertape.engine.features.trend import AVERAGE, step_ema
from papertape.engine.jit import FloatArray, Row, kernel, record

WILDER: Final = record(("average", "f8"))

_PARKINSON: Final = 4.0 * 0.6931471805599453  # 4 × ln 2


@kernel
def step_atr(average: float, reach: float, t: int, period: int, is_first: bool) -> float:
    """
    Return Wilder's average true range after one more true range.

    It starts as the mean of the ranges of candles 1 … period, as TA-Lib; with `is_first` as the first high - low.
    """
    if is_first:
        return reach if t == 0 else average + (reach - average) / period
    if t == 0:
        return 0.0
    return average + reach / period if t <= period else average + (reach - average) / period


@kernel
def atr(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, state: Row, out: FloatArray
) -> None:
    """
    Write Wilder's average true range (1978), in quote per base; the first value is at candle `period`, of the ranges
    of candles 1 … period.
    """
    period, is_first = int(p[0]), p[3] != 0.0
    for i in range(first, last):
        t = count + i - first
        reach = true_range(history, i, t)
        state.average = step_atr(state.average, reach, t, period, is_first)
        out[i - first] = state.average if is_first or t >= period else np.nan


@kernel
def bollinger(
    history: FloatArray,
    first: int,
    last: int,
    count: int,
    p: FloatArray,
    moments: FloatArray,
    out: FloatArray,
) -> None:
    """
    Write upper, middle and lower band, width ÷ middle, and the place of the close between the bands (0.5 when flat).
    """
    period, factor, row = int(p[0]), p[1], history[CLOSE]
    for i in range(first, last):
        t = count + i - first
        slide_squares(moments, row, i, t, period)
        for line in range(5):
            out[line, i - first] = np.nan
        if t < period - 1:
            continue
        middle = mean_of(moments, period)
        reach = factor * deviation_of(moments, period)
        out[0, i - first] = middle + reach
        out[1, i - first] = middle
        out[2, i - first] = middle - reach
        out[3, i - first] = 2.0 * reach / middle
        out[4, i - first] = (row[i] - middle + reach) / (2.0 * reach) if reach > 0.0 else 0.5


@kernel
def keltner(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, cells: FloatArray, out: FloatArray
) -> None:
    """
    Write upper, middle and lower line in quote: an exponential average of the close and `factor` ATR around it
    (Keltner 1960, with Raschke's ATR). It begins when both averages have.
    """
    average = cells[:2].view(AVERAGE)[0]
    period, atr_period, factor = int(p[0]), int(p[1]), p[2]
    for i in range(first, last):
        t = count + i - first
        middle = step_ema(average, history[CLOSE, i], t, period, False)
        cells[2] = step_atr(cells[2], true_range(history, i, t), t, atr_period, False)
        reach = factor * cells[2] if t >= max(period - 1, atr_period) else np.nan
        out[0, i - first] = middle + reach
        out[1, i - first] = middle + 0.0 * reach
        out[2, i - first] = middle - reach


@kernel
def donchian(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, cells: FloatArray, out: FloatArray
) -> None:
    """
    Write the highest high, the lowest low and their middle in quote over `period` candles, this one included (Donchian
    1960). The first `period` − 1 candles have none.
    """
    period = int(p[0])
    high, low = history[HIGH], history[LOW]
    for i in range(first, last):
        t = count + i - first
        top = high[i - bars_since_extreme(high, i, t, period, 1.0, cells[: period + 1])]
        bottom = low[i - bars_since_extreme(low, i, t, period, -1.0, cells[period + 1 :])]
        is_ready = t >= period - 1
        out[0, i - first] = top if is_ready else np.nan
        out[1, i - first] = bottom if is_ready else np.nan
        out[2, i - first] = 0.5 * (top + bottom) if is_ready else np.nan


@kernel
def volatility_close(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, ring: FloatArray, out: FloatArray
) -> None:
    """
    Write the sample standard deviation (n − 1) of the last `period` log returns: a fraction per bar, not per year.

    The first value is at candle `period`, which ends that many returns.

    ring  four moments, then the `period` newest log returns, each at its number modulo the period
    """
    period = int(p[0])
    moments, returns = ring[:4], ring[4:]
    for i in range(first, last):
        t = count + i - first
        out[i - first] = np.nan
        if t == 0:
            continue
        number = t - 1  # returns are numbered from 0 at candle 1
        value = math.log(history[CLOSE, i] / history[CLOSE, i - 1])
        slide_ring(moments, returns, value, number, period)
        if number >= period - 1:
            out[i - first] = deviation_of(moments, period) * np.sqrt(period / (period - 1.0))


@kernel
def slide_ring(moments: FloatArray, ring: FloatArray, value: float, number: int, period: int) -> None:
    """Keep up the moments of the newest `period` values of a series that is only here, in a ring by number."""
    old = ring[number % period]
    ring[number % period] = value
    if number >= period and (number + 1) % period != 0:
        new, gone = value - moments[0], old - moments[0]
        moments[1] += new - gone
        moments[2] += new * new - gone * gone
        moments[3] = max(moments[3], moments[2], new * new)
        if not is_shrunk(moments, period):
            return
    # The ring is summed in the order of its places: numbers 0 … period - 1 modulo the period, the same in any batching.
    moments[0] = value
    moments[1] = 0.0
    moments[2] = 0.0
    for j in range(min(period, number + 1)):
        deviation = ring[j] - moments[0]
        moments[1] += deviation
        moments[2] += deviation * deviation
    moments[3] = moments[2]


@kernel
def volatility_parkinson(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, ring: FloatArray, out: FloatArray
) -> None:
    """
    Write Parkinson's volatility: the root of the mean of ln(high ÷ low)² ÷ (4 ln 2) over `period` candles.

    A fraction per bar, not per year. M. Parkinson, The Extreme Value Method for Estimating the Variance of the Rate of
    Return, Journal of Business 53 (1980), equation 4: a walk without drift that trades all the time, so gaps between
    candles and a coarse tick lower it. The first `period` − 1 candles have none.

    ring  the sum and the largest since it was made, then the `period` newest squares, each at its number modulo the period
    """
    period = int(p[0])
    squares = ring[2:]
    for i in range(first, last):
        t = count + i - first
        reach = math.log(history[HIGH, i] / history[LOW, i])
        square, gone = reach * reach, squares[t % period]
        squares[t % period] = square
        is_kept = t >= period and (t + 1) % period != 0
        if is_kept:
            ring[0] += square - gone
            ring[1] = max(ring[1], ring[0])
            is_kept = ring[0] >= SHRUNK * ring[1]
        if not is_kept:
            ring[0] = 0.0
            for j in range(min(period, t + 1)):
                ring[0] += squares[j]
            ring[1] = ring[0]
        out[i - first] = np.sqrt(ring[0] / period / _PARKINSON) if t >= period - 1 else np.nan
