"""Shape: log returns, the form of a candle, time of day and of week on a circle, time left until a stamp."""

import math
from typing import Final

import numpy as np

from papertape.engine.features.history import CLOSE, HIGH, LOW, OPEN, OPEN_MS
from papertape.engine.jit import FloatArray, kernel

_DAY_MS: Final = 86_400_000.0
_WEEK_MS: Final = 604_800_000.0
_MONDAY_MS: Final = 345_600_000.0  # 1970-01-05, the first Monday
_TURN: Final = 6.283185307179586
_HOUR_MS: Final = 3_600_000.0


@kernel
def log_return(
    history: FloatArray, first: int, last: int, count: int, p: FloatArray, out: FloatArray
) -> None:
    """Write ln(close ÷ close `bars` candles ago), a fraction; the first `bars` candles have none."""
    bars = int(p[0])
    for i in range(first, last):
        out[i - first] = np.nan
        if count + i - first >= bars:
            out[i - first] = math.log(history[CLOSE, i] / history[CLOSE, i - bars])


@kernel
def candle_shape(history: FloatArray, first: int, last: int, out: FloatArray) -> None:
    """Write body, upper and lower wick as fractions of the range (0 without one), and the range ÷ close."""
    for i in range(first, last):
        top = max(history[OPEN, i], history[CLOSE, i])
        bottom = min(history[OPEN, i], history[CLOSE, i])
        reach = history[HIGH, i] - history[LOW, i]
        scale = 1.0 / reach if reach > 0.0 else 0.0
        out[0, i - first] = (history[CLOSE, i] - history[OPEN, i]) * scale
        out[1, i - first] = (history[HIGH, i] - top) * scale
        out[2, i - first] = (bottom - history[LOW, i]) * scale
        out[3, i - first] = reach / history[CLOSE, i]


@kernel
def clock(history: FloatArray, first: int, last: int, out: FloatArray) -> None:
    """Write sine and cosine of the time of day and of the week (from Monday 00:00 UTC) at which the candle opened."""
    for i in range(first, last):
        stamp = history[OPEN_MS, i]
        day = _TURN * (stamp / _DAY_MS - math.floor(stamp / _DAY_MS))
        weeks = (stamp - _MONDAY_MS) / _WEEK_MS
        week = _TURN * (weeks - math.floor(weeks))
        out[0, i - first] = math.sin(day)
        out[1, i - first] = math.cos(day)
        out[2, i - first] = math.sin(week)
        out[3, i - first] = math.cos(week)


@kernel
def until(history: FloatArray, first: int, last: int, p: FloatArray, out: FloatArray) -> None:
    """
    Write which share of `hours` is left at the close until the next stamp: 1 at a stamp, for that one has passed.

    p  hours between stamps, counted from a Monday 00:00 UTC; ms of a candle
    """
    interval_ms = p[0] * _HOUR_MS
    for i in range(first, last):
        close_ms = history[OPEN_MS, i] + p[1]
        out[i - first] = 1.0 - ((close_ms - _MONDAY_MS) % interval_ms) / interval_ms
