"""
Order blocks of the batch package: the extreme candle before a close beyond the last swing.

One machine per direction, fed with swings in one of two schedules. Live, a swing arrives after the candle that decided
it, and what the machine makes is said once. In the batch schedule, which exists for the view alone, every swing of the
finished list arrives before the candle after its row, when nobody could know it.

A block is broken at its far edge and ended when price comes back through the near one; the package then erases it, so
its output shows survivors. Two accidents of the package are kept in the view and nowhere else: a bullish block is
reported broken one candle early, and a bearish block on the row of a broken bullish one counts as broken from the start.
"""

import heapq
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from tests.oracles.smc_batch.series import Rounding, Series, View, empty_view
from tests.oracles.smc_batch.swings import Swing

COLUMNS = ("OB", "Top", "Bottom", "OBVolume", "MitigatedIndex", "Percentage")


class Block:
    """One block: its candle, its zone, the swing it broke, and its life; 0 where something has not happened."""

    __slots__ = ("bottom", "broken", "ended", "known", "percentage", "row", "side", "swing", "top", "volume")

    def __init__(self, row: int, side: int, top: float, bottom: float, swing: int, known: int) -> None:
        self.row, self.side, self.top, self.bottom = row, side, top, bottom
        self.swing, self.known = swing, known
        self.volume = self.percentage = 0.0
        self.broken = self.ended = 0


class BlockNews(NamedTuple):
    """What one candle did in one direction."""

    ended: list[Block]
    broken: list[Block]
    made: Block | None


class BlockSide:
    """
    The blocks of one direction, +1 bullish.

    broken_rows  rows whose block counts as broken when it is made; only the package's view has any
    """

    def __init__(
        self,
        series: Series,
        side: int,
        hold: Rounding,
        *,
        close_mitigation: bool,
        broken_rows: frozenset[int] = frozenset(),
    ) -> None:
        self.series, self.side, self.hold = series, side, hold
        self.close_mitigation, self.broken_rows = close_mitigation, broken_rows
        self.blocks: list[Block] = []
        self.swing: Swing | None = None  # the last one, None once it was crossed
        # The edge that price reaches first comes first: far edges of whole blocks, near edges of broken ones. One candle
        # may make two blocks, at different times.
        self.whole: list[tuple[float, int, int, Block]] = []
        self.returned: list[tuple[float, int, int, Block]] = []

    def deliver(self, swing: Swing) -> None:
        """Take a swing of this direction: it replaces the one before."""
        self.swing = swing

    def step(self, t: int) -> BlockNews:
        """Let candle t end and break blocks, then make one if it closes beyond the swing."""
        ended = self._end(t)
        broken = self._break(t)
        for block in broken:
            heapq.heappush(self.returned, self._near(block))
        return BlockNews(ended, broken, self._make(t))

    def _near(self, block: Block) -> tuple[float, int, int, Block]:
        edge = block.top if self.side > 0 else block.bottom
        return (self.side * edge, block.row, block.known, block)

    def _far(self, block: Block) -> tuple[float, int, int, Block]:
        edge = block.bottom if self.side > 0 else block.top
        return (-self.side * edge, block.row, block.known, block)

    def _end(self, t: int) -> list[Block]:
        s, side = self.series, self.side
        reach = side * (s.high[t] if side > 0 else s.low[t])
        ended = []
        while self.returned and self.returned[0][0] < reach:
            ended.append(heapq.heappop(self.returned)[3])
            ended[-1].ended = t
        return ended

    def _break(self, t: int) -> list[Block]:
        s, side = self.series, self.side
        if self.close_mitigation:
            body = (s.open[t], s.close[t])
            depth = min(body) if side > 0 else max(body)
        else:
            depth = s.low[t] if side > 0 else s.high[t]
        broken = []
        while self.whole and self.whole[0][0] < -side * depth:
            broken.append(heapq.heappop(self.whole)[3])
            broken[-1].broken = t
        return broken

    def _make(self, t: int) -> Block | None:
        swing, side = self.swing, self.side
        if swing is None or side * self.series.close[t] <= side * swing.level:
            return None
        self.swing = None
        block = self._zone(swing.row, t)
        block.volume, block.percentage = self._volumes(t)
        self.blocks.append(block)
        if block.row in self.broken_rows:
            heapq.heappush(self.returned, self._near(block))
        else:
            heapq.heappush(self.whole, self._far(block))
        return block

    def _zone(self, swing_row: int, t: int) -> Block:
        """Return the block of the extreme candle since the swing, the last one on ties."""
        s, side, hold = self.series, self.side, self.hold
        if t - swing_row < 2:
            row = t - 1
            edges = (s.low[row], s.high[row]) if side > 0 else (s.high[row], s.low[row])
            return Block(row, side, hold(edges[0]), hold(edges[1]), swing_row, t)
        column = s.low if side > 0 else s.high
        row = min(range(t - 1, swing_row, -1), key=lambda r: side * column[r])
        return Block(row, side, hold(s.high[row]), hold(s.low[row]), swing_row, t)

    def _volumes(self, t: int) -> tuple[float, float]:
        """Return the volume of three candles, and how even its two parts are in percent."""
        volume, hold = self.series.volume, self.hold
        one, two = volume[t - 1], volume[t - 2] if t >= 2 else 0.0
        late, early = hold(volume[t] + one), hold(two)
        most = max(late, early)
        share = hold(hold(min(late, early) / most) * 100.0) if most else 100.0
        return hold(volume[t] + one + two), share


def batch_blocks(
    series: Series, swings: Iterable[Swing], hold: Rounding, *, close_mitigation: bool
) -> tuple[BlockSide, BlockSide]:
    """Return both directions after the batch schedule: each swing arrives before the candle after its row."""
    listed = list(swings)

    def run(side: BlockSide) -> BlockSide:
        arriving = [swing for swing in listed if swing.side == side.side]
        number = 0
        for t in range(len(series)):
            while number < len(arriving) and arriving[number].row < t:
                side.deliver(arriving[number])
                number += 1
            side.step(t)
        return side

    bullish = run(BlockSide(series, 1, hold, close_mitigation=close_mitigation))
    marked = frozenset(block.row for block in bullish.blocks if block.broken)
    bearish = BlockSide(series, -1, hold, close_mitigation=close_mitigation, broken_rows=marked)
    return bullish, run(bearish)


def block_view(n: int, bullish: BlockSide, bearish: BlockSide) -> View:
    """Return the package's columns: blocks not ended, bearish ones over bullish ones of the same row."""
    view = empty_view(n, *COLUMNS)
    for block in (*bullish.blocks, *bearish.blocks):
        before = view["MitigatedIndex"][block.row]
        if block.ended:
            for name in COLUMNS:
                view[name][block.row] = np.nan
            continue
        broken = max(block.broken - (1 if block.side > 0 else 0), 0)
        if not block.broken and not np.isnan(before):
            broken = int(before)
        cells = (block.side, block.top, block.bottom, block.volume, broken, block.percentage)
        for name, cell in zip(COLUMNS, cells, strict=True):
            view[name][block.row] = cell
    return view
