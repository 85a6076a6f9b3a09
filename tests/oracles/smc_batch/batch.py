"""All order-dependent definitions of the batch package over one series, one candle at a time, and its columns on demand."""

from papertape.engine.jit import Row, Rows
from tests.oracles.smc_batch import events
from tests.oracles.smc_batch.blocks import BlockSide, batch_blocks, block_view
from tests.oracles.smc_batch.events import Statements
from tests.oracles.smc_batch.gaps import Gaps
from tests.oracles.smc_batch.liquidity import liquidity_view
from tests.oracles.smc_batch.retracements import retracement_view
from tests.oracles.smc_batch.series import Series, View, rounding
from tests.oracles.smc_batch.structure import Structure
from tests.oracles.smc_batch.swings import MOVE, Decision, Swings


class SmcBatch:
    """
    Gaps, swings, structure and order blocks as the batch package defines them.

    `step` takes one candle and returns what it made known, as EVENT rows that never change. The `view_…` methods fold
    the state into the package's columns as it would print them now, look-ahead and all.

    swing_length      the package's name and meaning: candles after the pivot; 2 × swing_length make the window
    join              gaps of one direction on neighbouring rows become one
    close_break       structure breaks by the close, otherwise by the wick
    close_mitigation  blocks break by the body, otherwise by the wick
    single_precision  hold levels, zones and volumes as float32, which decides ties as the package does
    """

    def __init__(
        self,
        timeframe_ms: int,
        swing_length: int = 50,
        *,
        join: bool = False,
        close_break: bool = True,
        close_mitigation: bool = False,
        single_precision: bool = False,
    ) -> None:
        self.series, self.hold = Series(), rounding(single_precision)
        self.close_mitigation = close_mitigation
        self.gaps = Gaps(self.series, join=join)
        self.swings = Swings(self.series, swing_length)
        self.structure = Structure(self.series, self.swings, self.hold, close_break=close_break)
        self.bullish, self.bearish = (
            BlockSide(self.series, side, self.hold, close_mitigation=close_mitigation) for side in (1, -1)
        )
        self._said = Statements(timeframe_ms)

    def step(self, candle: Row) -> Rows:
        """Take one final candle and return what it made known."""
        self.series.add(candle)
        self._step_gaps()
        # Blocks first: a swing decided by this candle can be crossed from the next one on.
        for side in (self.bullish, self.bearish):
            self._step_blocks(side)
        decision = self.swings.step()
        if decision is not None:
            self._deliver(decision)
        self._step_structure(decision)
        return self._said.take(self.series.open_ms)

    def _step_gaps(self) -> None:
        say, news = self._said.say, self.gaps.step()
        if news.made is not None:
            gap, absorbed = news.made, news.absorbed
            kind = events.GAP if absorbed is None else events.GAP_JOINED
            reference = -1 if absorbed is None else absorbed.row
            say(kind, gap.side, gap.row, top=gap.top, bottom=gap.bottom, reference=reference)
        for gap in news.touched:
            say(events.GAP_TOUCHED, gap.side, gap.row, top=gap.top, bottom=gap.bottom)

    def _step_blocks(self, side: BlockSide) -> None:
        say, news = self._said.say, side.step(self.series.last)
        for kind, blocks in (
            (events.BLOCK_ENDED, news.ended),
            (events.BLOCK_BROKEN, news.broken),
            (events.BLOCK, [news.made] if news.made else []),
        ):
            for block in blocks:
                say(
                    kind,
                    block.side,
                    block.row,
                    top=block.top,
                    bottom=block.bottom,
                    level=block.volume,
                    strength=block.percentage,
                    reference=block.swing,
                )

    def _deliver(self, decision: Decision) -> None:
        say, swing, before = self._said.say, decision.swing, decision.before
        if decision.act == MOVE:
            assert before is not None
            say(events.SWING_MOVE, swing.side, swing.row, level=swing.level, reference=before.row)
        else:
            if before is not None:
                say(events.SWING_FINAL, before.side, before.row, level=before.level)
            say(events.SWING_NEW, swing.side, swing.row, level=swing.level)
        (self.bullish if swing.side > 0 else self.bearish).deliver(swing)

    def _step_structure(self, decision: Decision | None) -> None:
        say, news = self._said.say, self.structure.step(decision)
        for pattern in news.known:
            kind = events.CHOCH if pattern.is_choch else events.BOS
            say(kind, pattern.side, pattern.row, level=pattern.level, reference=pattern.broken)
        for pattern in news.superseded:
            say(events.SUPERSEDED, pattern.side, pattern.row, level=pattern.level)

    def view_gaps(self) -> View:
        """Return `fvg` as the package prints it now."""
        return self.gaps.view()

    def view_swings(self) -> View:
        """Return `swing_highs_lows` as the package prints it now."""
        return self.swings.view()

    def view_structure(self) -> View:
        """Return `bos_choch` as the package prints it now."""
        return self.structure.view()

    def view_blocks(self) -> View:
        """Return `ob` as the package prints it now: the batch schedule over all candles so far."""
        swings = self.swings.folded()
        sides = batch_blocks(self.series, swings, self.hold, close_mitigation=self.close_mitigation)
        return block_view(len(self.series), *sides)

    def view_liquidity(self, range_percent: float = 0.01) -> View:
        """Return `liquidity` as the package prints it now."""
        return liquidity_view(self.series, self.swings.folded(), self.hold, range_percent)

    def view_retracements(self) -> View:
        """Return `retracements` as the package prints it now."""
        return retracement_view(self.series, self.swings.folded())
