"""The equity curve in UTC days and months, from the marks at every base candle's close."""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.curve import Marks, times_of, units_of

_EPOCH_YEAR: Final = 1970


class DailyReturns(NamedTuple):
    """One row per UTC day from the first to the last mark, days without a mark included."""

    day_ms: IntArray  # first millisecond of the day
    equity: FloatArray  # at the end of the day, quote
    returns: FloatArray  # against the day before, the first against the capital


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
    day_ms, index = times_of(marks).day_ends
    units, per_quote = marks["equity"][index].astype(np.float64), units_of(marks)
    return DailyReturns(day_ms, units / per_quote, growth(units, capital * per_quote))


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
