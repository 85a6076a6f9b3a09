"""
Two equity curves from one start: what one unit has become in each.

Where both are of the same time, they begin together, at the first moment that both know, and go by the calendar. Where no moment
is common to both, each begins at its own start and goes by the time since then.
"""

from typing import Final, NamedTuple

import numpy as np

from papertape.daemon.backtests.answers import ComparedCurve, ComparedCurves
from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.report.data import curve_points

_STRETCHES: Final = 250  # lowest, highest and last of each
_DIGITS: Final = 7


class Curve(NamedTuple):
    """
    An account over time.

    time_ms  rising
    equity   quote, at these times
    """

    time_ms: IntArray
    equity: FloatArray


def compare_curves(first: Curve, second: Curve) -> ComparedCurves:
    """Return both curves from one start, as many points of each as a chart needs."""
    sides = (first, second)
    if not all(len(curve.time_ms) for curve in sides):
        return ComparedCurves(
            basis="elapsed", start_ms=None, first=_since_own(first), second=_since_own(second)
        )
    start_ms = max(int(curve.time_ms[0]) for curve in sides)
    end_ms = min(int(curve.time_ms[-1]) for curve in sides)
    if start_ms >= end_ms:
        return ComparedCurves(
            basis="elapsed", start_ms=None, first=_since_own(first), second=_since_own(second)
        )
    cut = [_between(curve, start_ms, end_ms) for curve in sides]
    return ComparedCurves(basis="time", start_ms=start_ms, first=_scaled(cut[0]), second=_scaled(cut[1]))


def _between(curve: Curve, start_ms: int, end_ms: int) -> Curve:
    """Return a curve of a span; what it was worth at the start is the last that was known then."""
    known = int(np.searchsorted(curve.time_ms, start_ms, "right")) - 1
    last = int(np.searchsorted(curve.time_ms, end_ms, "right"))
    time_ms = curve.time_ms[known:last].copy()
    time_ms[0] = start_ms
    return Curve(time_ms, curve.equity[known:last])


def _since_own(curve: Curve) -> ComparedCurve:
    """Return a curve by the time since its own start."""
    if not len(curve.time_ms):
        return ComparedCurve(time_ms=(), growth=(), missing="it has no mark of its equity yet")
    return _scaled(Curve(curve.time_ms - curve.time_ms[0], curve.equity))


def _scaled(curve: Curve) -> ComparedCurve:
    """Return what one unit of the first value has become."""
    start = float(curve.equity[0])
    if not start > 0.0:
        return ComparedCurve(
            time_ms=(), growth=(), missing="its equity was not above zero where the curve begins"
        )
    rows = curve_points(curve.equity, _STRETCHES)
    if rows[0] != 0:
        rows = np.concatenate([[0], rows])  # both are seen to begin at 1
    growth = np.round(curve.equity[rows] / start, _DIGITS)
    return ComparedCurve(time_ms=tuple(curve.time_ms[rows].tolist()), growth=tuple(growth.tolist()))
