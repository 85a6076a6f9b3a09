"""The equity curve in UTC days and months, from the marks at every base candle's close."""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import DAY_MS
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.curve import Marks
from papertape.engine.records import UNITS_PER_QUOTE

_EPOCH_YEAR: Final = 1970


class DailyReturns(NamedTuple):
    """One row per UTC day from the first to the last mark, days without a mark included."""

    day_ms: IntArray  # first millisecond of the day
    equity: FloatArray  # at the end of the day, quote
    returns: FloatArray  # against the day before, the first against the capital


class DayEnds(NamedTuple):
    """Which mark ends each UTC day."""

    day_ms: IntArray
    mark_index: IntArray  # the last mark at or before the end of the day


def day_ends(time_ms: IntArray) -> DayEnds:
    """
    Return the last mark of every UTC day from the first to the last; at least one mark is needed.

    A mark is stamped with its candle's close, so 00:00 belongs to the day that it closes. A day without a mark
    keeps the mark of the day before.
    """
    first, last = (int(time_ms[row] - 1) // DAY_MS for row in (0, -1))
    days = np.arange(first, last + 1, dtype=np.int64)
    index = np.searchsorted(time_ms, (days + 1) * DAY_MS, side="right") - 1
    return DayEnds(days * DAY_MS, index.astype(np.int64))


def growth(worth: FloatArray, start: float) -> FloatArray:
    """
    Return worth ÷ worth before − 1, the first against `start`.

    What follows a worth of zero or below has no return and is given as zero.
    """
    before = np.concatenate([[start], worth[:-1]])
    is_sound = before > 0.0
    returns: FloatArray = np.divide(worth, before, out=np.ones(len(worth)), where=is_sound)
    returns -= 1.0
    return returns


def daily_returns(marks: Marks, capital: float) -> DailyReturns:
    """Return equity and return of every UTC day, for MARK records in time order and a capital in quote."""
    if not len(marks):
        return DailyReturns(np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    day_ms, index = day_ends(np.ascontiguousarray(marks["time_ms"]))
    units = marks["equity"][index].astype(np.float64)
    return DailyReturns(day_ms, units / UNITS_PER_QUOTE, growth(units, capital * UNITS_PER_QUOTE))


def monthly_returns(marks: Marks, capital: float) -> list[tuple[int, int, float]]:
    """Return (year, month, return) of every UTC month; the first starts from the capital."""
    daily = daily_returns(marks, capital)
    if not len(daily.day_ms):
        return []
    months = daily.day_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)
    is_last = np.append(months[1:] != months[:-1], True)
    returns = growth(daily.equity[is_last], capital)
    return [
        (_EPOCH_YEAR + month // 12, month % 12 + 1, value)
        for month, value in zip(months[is_last].tolist(), returns.tolist(), strict=True)
    ]
