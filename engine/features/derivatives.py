"""
Features of series beside the candles: the newest value that was known at each close, and what is made of two of them.

All are NaN where a series is not known: before its first value, in its gaps, and in a run that has none.
"""

import numpy as np

from papertape.engine.features.codes import INDEX_PREMIUM, MARK_PREMIUM, OPEN_INTEREST_CHANGE, SERIES_LINE
from papertape.engine.features.history import CLOSE, INDEX_ROW, MARK_ROW, OPEN_INTEREST_ROW
from papertape.engine.jit import FloatArray, kernel


@kernel
def follow_series(
    code: int, history: FloatArray, first: int, last: int, count: int, p: FloatArray, line: FloatArray
) -> None:
    """Compute one feature of the family; arguments as for `papertape.engine.features.compute.measure`."""
    if code == OPEN_INTEREST_CHANGE:
        change(history[OPEN_INTEREST_ROW], first, last, count, int(p[0]), line)
    elif code == MARK_PREMIUM:
        premium(history[MARK_ROW], history[CLOSE], first, last, line)
    elif code == INDEX_PREMIUM:
        premium(history[CLOSE], history[INDEX_ROW], first, last, line)
    else:
        for i in range(first, last):
            line[i - first] = history[code - SERIES_LINE, i]


@kernel
def change(row: FloatArray, first: int, last: int, count: int, bars: int, line: FloatArray) -> None:
    """Write the relative change over `bars` candles."""
    for i in range(first, last):
        line[i - first] = np.nan
        if count + i - first >= bars and row[i - bars] > 0.0:
            line[i - first] = row[i] / row[i - bars] - 1.0


@kernel
def premium(above: FloatArray, below: FloatArray, first: int, last: int, line: FloatArray) -> None:
    """Write by how much one price lies above another, as a fraction of that: mark over close, close over index."""
    for i in range(first, last):
        line[i - first] = above[i] / below[i] - 1.0
