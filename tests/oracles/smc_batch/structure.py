"""
BOS and CHoCH of the batch package: a pattern of four swings, and a close beyond the second.

With four swings a, b, c, d of the alternating list, rising: BOS if a < c < b < d, CHoCH if d > b > a > c; falling
mirrored. The row is that of b and the level its price, which a candle from b + 2 on must break. The pattern is known
when the first raw pivot of the run of d lies beyond b, which no later pivot of that run undoes; the event is known
when pattern and break are. A row whose break is not before the breaks of all later rows is superseded.
"""

import heapq
from bisect import bisect
from collections.abc import Iterable
from typing import NamedTuple

from tests.oracles.smc_batch.series import Rounding, Series, View, empty_view
from tests.oracles.smc_batch.swings import Decision, Swing, Swings


class Pattern:
    """One established pattern; `broken` is the candle that broke its level, 0 while none has."""

    __slots__ = ("broken", "is_choch", "level", "row", "side")

    def __init__(self, row: int, side: int, is_choch: bool, level: float) -> None:
        self.row, self.side, self.is_choch, self.level = row, side, is_choch, level
        self.broken = 0

    def __lt__(self, other: "Pattern") -> bool:
        return self.row < other.row


class StructureNews(NamedTuple):
    """What one candle made known, and which known rows it superseded."""

    known: list[Pattern]
    superseded: list[Pattern]


class Structure:
    """Patterns by row; those not broken ordered by level; those that stand (rising rows, rising breaks)."""

    def __init__(self, series: Series, swings: Swings, hold: Rounding, *, close_break: bool) -> None:
        self.series, self.swings, self.hold, self.close_break = series, swings, hold, close_break
        self.patterns: list[Pattern] = []
        self.standing: list[Pattern] = []
        self.rising: list[tuple[float, Pattern]] = []
        self.falling: list[tuple[float, Pattern]] = []

    def step(self, decision: Decision | None) -> StructureNews:
        """Take the newest candle and what the swings decided on it."""
        news = StructureNews(self._breaks(), [])
        pattern = self._established(decision)
        if pattern is not None:
            self.patterns.append(pattern)
            self._find_break(pattern)
            if pattern.broken:
                news.known.append(pattern)
            else:
                heap = self.rising if pattern.side > 0 else self.falling
                heapq.heappush(heap, (pattern.side * pattern.level, pattern))
        for known in sorted(news.known):
            news.superseded.extend(stand(self.standing, known))
        return news

    def _established(self, decision: Decision | None) -> Pattern | None:
        """Return the pattern that the newest pivot completes, once per run."""
        settled = self.swings.settled
        if decision is None or len(settled) < 3:
            return None
        if self.patterns and self.patterns[-1].row == settled[-2].row:
            return None
        return self._pattern((settled[-3], settled[-2], settled[-1], decision.swing))

    def _pattern(self, four: tuple[Swing, Swing, Swing, Swing]) -> Pattern | None:
        b, side = four[1], four[3].side
        low, high, pull, reach = (side * swing.level for swing in four)
        if low < pull < high < reach:
            return Pattern(b.row, side, False, self.hold(b.level))
        if reach > high > low > pull:
            return Pattern(b.row, side, True, self.hold(b.level))
        return None

    def _tested(self, side: int) -> list[float]:
        if self.close_break:
            return self.series.close
        return self.series.high if side > 0 else self.series.low

    def _find_break(self, pattern: Pattern) -> None:
        """Look for the break among the candles that came before the pattern was known."""
        prices, side = self._tested(pattern.side), pattern.side
        for row in range(pattern.row + 2, len(self.series)):
            if side * prices[row] > side * pattern.level:
                pattern.broken = row
                return

    def _breaks(self) -> list[Pattern]:
        """Return the established patterns that the newest candle breaks."""
        t = self.series.last
        found = []
        for side, heap in ((1, self.rising), (-1, self.falling)):
            price = side * self._tested(side)[t]
            while heap and heap[0][0] < price:
                pattern = heapq.heappop(heap)[1]
                pattern.broken = t
                found.append(pattern)
        return found

    def _provisional(self) -> Pattern | None:
        """Return the pattern that has the last-row bookend as d; the next candle may take it back."""
        settled, current = self.swings.settled, self.swings.current
        last = self.swings.last_bookend()
        if len(settled) < 2 or current is None or last is None:
            return None
        pattern = self._pattern((settled[-2], settled[-1], current, last))
        if pattern is not None:
            self._find_break(pattern)
        return pattern

    def view(self) -> View:
        """Return BOS, CHOCH, Level and BrokenIndex; the index stays where the row was superseded."""
        view = empty_view(len(self.series), "BOS", "CHOCH", "Level", "BrokenIndex")
        standing, patterns = list(self.standing), self.patterns
        provisional = self._provisional()
        if provisional is not None and provisional.broken:
            stand(standing, provisional)
            patterns = [*patterns, provisional]
        _stamp(view, standing)
        for pattern in patterns:
            if pattern.broken:
                view["BrokenIndex"][pattern.row] = pattern.broken
        return view


def stand(standing: list[Pattern], known: Pattern) -> list[Pattern]:
    """Put a broken pattern among those that stand, and return the ones that this supersedes."""
    place = bisect(standing, known)
    if place < len(standing) and standing[place].broken <= known.broken:
        return [known]
    first = place
    while first > 0 and standing[first - 1].broken >= known.broken:
        first -= 1
    superseded = standing[first:place]
    standing[first:place] = [known]
    return superseded


def _stamp(view: View, standing: Iterable[Pattern]) -> None:
    for pattern in standing:
        view["CHOCH" if pattern.is_choch else "BOS"][pattern.row] = pattern.side
        view["Level"][pattern.row] = pattern.level
