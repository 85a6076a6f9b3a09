"""Days, years and falls of an equity curve for the report's page: what its pictures of returns are drawn from."""

from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.curve import Marks
from papertape.engine.performance.daily import growth
from papertape.engine.performance.drawdown import falls_of
from papertape.engine.performance.metrics import SMALLEST
from papertape.engine.performance.ratios import DAYS_PER_YEAR
from papertape.engine.performance.times import day_ends
from papertape.replay.report.data import curve_of

ROLLING_DAYS: Final = 90
_DIGITS: Final = 7


def returns_of(marks: Marks, capital: float | None) -> dict[str, Any] | None:
    """
    Return what the page shows of returns, None without a candle.

    marks    of every base candle
    returns  of every UTC day, the first against the capital; years: (year, return)
    rolling  Sharpe ratio of the last ROLLING_DAYS days, from the day that ends the first of them
    falls    the deepest, times in seconds; `recovery` None when it never came
    """
    time_ms, worth = curve_of(marks)
    if not len(worth):
        return None
    start = capital or float(worth[0])
    ends = day_ends(time_ms)
    days = worth[ends.mark_index]
    returns = growth(days, start)
    return {
        "end": int(time_ms[-1] // 1000),
        "returns": np.round(returns, _DIGITS).tolist(),
        "rolling": {
            "days": ROLLING_DAYS,
            "first": int(ends.day_ms[min(ROLLING_DAYS, len(days)) - 1] // 1000),
            "sharpe": rolling_sharpe(returns, ROLLING_DAYS),
        },
        "years": _years(ends.day_ms, days, start),
        "falls": _falls(np.concatenate([[start], worth]), time_ms),
    }


def rolling_sharpe(returns: FloatArray, days: int) -> list[float | None]:
    """Return mean ÷ deviation (n − 1) × √365 of every `days` returns in a row; None where they do not vary."""
    if len(returns) < days:
        return []
    windows = np.lib.stride_tricks.sliding_window_view(returns, days)
    varies = np.ptp(windows, axis=1) > SMALLEST
    spread = np.where(varies, windows.std(axis=1, ddof=1), 1.0)
    ratios = windows.mean(axis=1) / spread * np.sqrt(DAYS_PER_YEAR)
    return [round(float(r), 3) if is_one else None for r, is_one in zip(ratios, varies, strict=True)]


def _years(day_ms: IntArray, worth: FloatArray, capital: float) -> list[tuple[int, float]]:
    years = day_ms.astype("datetime64[ms]").astype("datetime64[Y]").astype(np.int64) + 1970
    is_last = np.append(years[1:] != years[:-1], True)
    returns = growth(worth[is_last], capital)
    return [(y, round(r, _DIGITS)) for y, r in zip(years[is_last].tolist(), returns.tolist(), strict=True)]


def _falls(curve: FloatArray, time_ms: IntArray) -> list[dict[str, Any]]:
    """Return the deepest falls of a curve that begins with the capital, one candle before its first mark."""
    step_ms = int(time_ms[1] - time_ms[0]) if len(time_ms) > 1 else 0

    def seconds(row: int) -> int:
        return int(time_ms[row - 1] if row else time_ms[0] - step_ms) // 1000

    return [
        {
            "depth": round(float(fall["depth"]), _DIGITS),
            "peak": seconds(int(fall["peak"])),
            "trough": seconds(int(fall["trough"])),
            "recovery": seconds(int(fall["recovery"])) if fall["recovery"] >= 0 else None,
        }
        for fall in falls_of(curve).deepest
    ]
