"""
Fair value gaps of the batch package: a middle candle in the gap's direction, and outer candles that do not overlap.

A gap of row i is known at i + 1 and watched from i + 2 on: it is touched when price reaches its near edge. With
`join`, a gap that follows one of its direction on the next row absorbs it, and the watch begins two candles after the
newest row of the chain; so what is known at i + 1 may be absorbed at i + 2, which is an event of its own.
"""

import heapq
from typing import NamedTuple

from tests.oracles.smc_batch.series import Series, View, empty_view


class Gap:
    """One gap, or a chain of them under its last row; `touched` is 0 until price reaches the near edge."""

    __slots__ = ("bottom", "row", "side", "top", "touched")

    def __init__(self, row: int, side: int, top: float, bottom: float) -> None:
        self.row, self.side, self.top, self.bottom = row, side, top, bottom
        self.touched = 0


class GapNews(NamedTuple):
    """What one candle did: the gap it completed, the one that this absorbed, and those that it touched."""

    made: Gap | None
    absorbed: Gap | None
    touched: list[Gap]


class Gaps:
    """Gaps by row, and the untouched ones ordered by near edge, so that a candle looks only at what it touches."""

    def __init__(self, series: Series, *, join: bool = False) -> None:
        self.series, self.join = series, join
        self.gaps: dict[int, Gap] = {}
        self.newest: Gap | None = None
        self.n_made = 0
        # Heaps give the smallest key first: the highest top of bullish gaps, the lowest bottom of bearish ones.
        self.bullish: list[tuple[float, int, Gap]] = []
        self.bearish: list[tuple[float, int, Gap]] = []

    def step(self) -> GapNews:
        """Take the newest candle of the series."""
        made, before = self._complete(), self.newest
        absorbed = None
        if made is not None:
            self.n_made += 1
            self.gaps[made.row] = made
        if before is not None and before.row == self.series.last - 2:
            if self.join and made is not None and made.side == before.side:
                made.top = max(made.top, before.top)
                made.bottom = min(made.bottom, before.bottom)
                absorbed = self.gaps.pop(before.row)
            else:
                self._watch(before)
        self.newest = made
        return GapNews(made, absorbed, self._touch())

    def _complete(self) -> Gap | None:
        """Return the gap whose third candle is the newest one."""
        s, t = self.series, self.series.last
        if t < 2:
            return None
        if s.close[t - 1] > s.open[t - 1] and s.high[t - 2] < s.low[t]:
            return Gap(t - 1, 1, s.low[t], s.high[t - 2])
        if s.close[t - 1] < s.open[t - 1] and s.low[t - 2] > s.high[t]:
            return Gap(t - 1, -1, s.low[t - 2], s.high[t])
        return None

    def _watch(self, gap: Gap) -> None:
        if gap.side > 0:
            heapq.heappush(self.bullish, (-gap.top, gap.row, gap))
        else:
            heapq.heappush(self.bearish, (gap.bottom, gap.row, gap))

    def _touch(self) -> list[Gap]:
        t = self.series.last
        touched = []
        while self.bullish and -self.bullish[0][0] >= self.series.low[t]:
            touched.append(heapq.heappop(self.bullish)[2])
        while self.bearish and self.bearish[0][0] <= self.series.high[t]:
            touched.append(heapq.heappop(self.bearish)[2])
        for gap in touched:
            gap.touched = t
        return touched

    def view(self) -> View:
        """Return FVG, Top, Bottom and MitigatedIndex, 0 while untouched."""
        view = empty_view(len(self.series), "FVG", "Top", "Bottom", "MitigatedIndex")
        for row, gap in self.gaps.items():
            view["FVG"][row] = gap.side
            view["Top"][row], view["Bottom"][row] = gap.top, gap.bottom
            view["MitigatedIndex"][row] = gap.touched
        return view
