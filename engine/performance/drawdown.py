"""Falls from a peak: how deep, how long, until when."""

from typing import NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray


class Fall(NamedTuple):
    """The deepest fall from a peak, in rows of the curve; row 0 is the starting capital."""

    peak: int  # last row at the peak
    trough: int
    recovery: int | None  # first row back at the peak; None when it never came


def drawdowns(equity: FloatArray) -> FloatArray:
    """Return equity ÷ highest equity so far − 1; the first value must be above zero."""
    return equity / np.maximum.accumulate(equity) - 1.0


def deepest_fall(equity: FloatArray, below_peak: FloatArray) -> Fall | None:
    """Return the deepest fall of a curve with its `drawdowns`, None when it never fell."""
    trough = int(np.argmin(below_peak))
    if below_peak[trough] >= 0.0:
        return None
    before = equity[:trough]
    height = before.max()
    peak = trough - 1 - int(np.argmax(before[::-1] == height))
    is_back = equity[trough:] >= height
    recovery = trough + int(np.argmax(is_back)) if is_back.any() else None
    return Fall(peak, trough, recovery)


def average_depth(below_peak: FloatArray) -> float | None:
    """Return the mean of the deepest value of each fall, from peak to recovery; None without a fall."""
    rows: IntArray = np.flatnonzero(below_peak < 0.0)
    if not len(rows):
        return None
    starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) > 1)
    return float(np.minimum.reduceat(below_peak[rows], starts).mean())
