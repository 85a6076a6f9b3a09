"""The instants of a curve in UTC days and steps, worked out once for all accounts that are marked at the same ones."""

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from papertape.engine.candles import DAY_MS
from papertape.engine.jit import IntArray

_PIECE: Final = 1 << 15  # marks that are looked at at once


class DayEnds(NamedTuple):
    """Which mark ends each UTC day."""

    day_ms: IntArray
    mark_index: IntArray  # the last mark at or before the end of the day


class MarkTimes:
    """When accounts are marked: the close of every instant in ms, in time order."""

    def __init__(self, time_ms: npt.ArrayLike) -> None:
        self.time_ms: IntArray = np.ascontiguousarray(time_ms, np.int64)

    @cached_property
    def day_ends(self) -> DayEnds:
        """Return the last mark of every UTC day."""
        return day_ends(self.time_ms)

    @cached_property
    def shortest_step_ms(self) -> int:
        """Return the shortest step between two marks, 0 for a single one; in pieces, for a long curve's steps are as long."""
        starts = range(0, len(self.time_ms) - 1, _PIECE)
        pieces = (self.time_ms[at : at + _PIECE + 1] for at in starts)
        return min((int(np.diff(piece).min()) for piece in pieces), default=0)


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
