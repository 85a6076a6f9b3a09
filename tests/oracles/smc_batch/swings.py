"""
Swing highs and lows of the batch package, decided `L` candles late and never before.

Row p is a raw high if its high is the highest of rows p - L + 1 … p + L, otherwise a raw low if its low is the lowest
there; ties all qualify. Of neighbouring raw pivots of one kind the most extreme stays, the first on a tie. So a raw
pivot, decided at p + L, opens a run (NEW), beats the extreme of the run (MOVE: the one before is withdrawn) or is
nothing; opening a run makes the extreme of the run before FINAL.

The view adds the package's decoration: row 0 and the last row hold the kinds opposite to their neighbours.
"""

from collections import deque
from typing import Final, NamedTuple

from tests.oracles.smc_batch.series import Series, View, empty_view

NEW: Final = 1
MOVE: Final = 2


class Swing(NamedTuple):
    """One swing: its candle, +1 for a high or -1 for a low, and the price."""

    row: int
    side: int
    level: float


class Decision(NamedTuple):
    """What a raw pivot did: opened a run or beat its extreme; `before` is the extreme that was current."""

    act: int
    swing: Swing
    before: Swing | None


class Extremes:
    """The highest of the newest `length` values of one column, by a queue whose values fall (`sign` 1) or rise."""

    def __init__(self, length: int, sign: int) -> None:
        self.length, self.sign = length, sign
        self.queue: deque[tuple[int, float]] = deque()

    def add(self, row: int, value: float) -> float:
        """Take the value of the next row and return the extreme of the window that ends with it."""
        queue = self.queue
        while queue and self.sign * queue[-1][1] <= self.sign * value:
            queue.pop()
        queue.append((row, value))
        if queue[0][0] <= row - self.length:
            queue.popleft()
        return queue[0][1]


class Swings:
    """
    The alternating list of swings as known at the newest candle.

    settled  swings that cannot change any more, after the row-0 bookend, which is known with the first swing
    current  the extreme of the open run
    """

    def __init__(self, series: Series, length: int) -> None:
        assert length >= 1
        self.series, self.length = series, length
        self.highest, self.lowest = Extremes(2 * length, 1), Extremes(2 * length, -1)
        self.settled: list[Swing] = []
        self.current: Swing | None = None
        self.n_raw = 0

    def step(self) -> Decision | None:
        """Take the newest candle of the series and return what its raw pivot, if any, decided."""
        series, t = self.series, self.series.last
        top = self.highest.add(t, series.high[t])
        bottom = self.lowest.add(t, series.low[t])
        p = t - self.length
        if p < 2 * self.length - 1:
            return None
        if series.high[p] == top:
            return self._decide(Swing(p, 1, series.high[p]))
        if series.low[p] == bottom:
            return self._decide(Swing(p, -1, series.low[p]))
        return None

    def _decide(self, raw: Swing) -> Decision | None:
        self.n_raw += 1
        before = self.current
        if before is None:
            self.settled.append(self._bookend(0, -raw.side))
        elif before.side != raw.side:
            self.settled.append(before)
        elif raw.side * raw.level <= raw.side * before.level:
            return None
        self.current = raw
        is_move = before is not None and before.side == raw.side
        return Decision(MOVE if is_move else NEW, raw, before)

    def _bookend(self, row: int, side: int) -> Swing:
        return Swing(row, side, (self.series.high if side > 0 else self.series.low)[row])

    def known(self) -> list[Swing]:
        """Return the swings so far without bookends."""
        return [*self.settled[1:], *([self.current] if self.current else [])]

    def last_bookend(self) -> Swing | None:
        """Return the decoration of the newest candle; it moves with every candle."""
        if self.current is None:
            return None
        return self._bookend(self.series.last, -self.current.side)

    def folded(self) -> list[Swing]:
        """Return the list as the batch package has it now, both bookends included."""
        last = self.last_bookend()
        if self.current is None or last is None:
            return []
        return [*self.settled, self.current, last]

    def view(self) -> View:
        """Return HighLow and Level."""
        view = empty_view(len(self.series), "HighLow", "Level")
        for swing in self.folded():
            view["HighLow"][swing.row] = swing.side
            view["Level"][swing.row] = swing.level
        return view
