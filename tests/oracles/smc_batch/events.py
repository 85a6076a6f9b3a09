"""
What the batch definitions say as a stream: EVENT rows of kinds of their own, each said once, when it is known.

`bar` is the row the package stamps, `known_bar` the candle whose close made it knowable. A swing that is withdrawn, a
gap that is absorbed, a break that is superseded and a block that ends are new events; what was said stays said.
"""

from typing import Final

import numpy as np

from papertape.engine.features.smc.events import EVENT
from papertape.engine.jit import Rows

SWING_NEW: Final = 101  # level; +1 a high, -1 a low
SWING_MOVE: Final = 102  # … that beats the one before it in the run; reference: the one withdrawn
SWING_FINAL: Final = 103  # the extreme of a run that has ended
GAP: Final = 104  # top, bottom
GAP_JOINED: Final = 105  # top, bottom of the chain; reference: the row absorbed
GAP_TOUCHED: Final = 106
BOS: Final = 107  # level; reference: the candle that broke it
CHOCH: Final = 108
SUPERSEDED: Final = 109  # a BOS or CHoCH of that bar is no longer in the package's output
BLOCK: Final = 110  # top, bottom; reference: the swing; strength: percentage; level: volume
BLOCK_BROKEN: Final = 111
BLOCK_ENDED: Final = 112  # erased from the package's output

KIND_NAMES: Final = {
    SWING_NEW: "BATCH_SWING_NEW",
    SWING_MOVE: "BATCH_SWING_MOVE",
    SWING_FINAL: "BATCH_SWING_FINAL",
    GAP: "BATCH_GAP",
    GAP_JOINED: "BATCH_GAP_JOINED",
    GAP_TOUCHED: "BATCH_GAP_TOUCHED",
    BOS: "BATCH_BOS",
    CHOCH: "BATCH_CHOCH",
    SUPERSEDED: "BATCH_SUPERSEDED",
    BLOCK: "BATCH_OB",
    BLOCK_BROKEN: "BATCH_OB_BROKEN",
    BLOCK_ENDED: "BATCH_OB_ENDED",
}


class Statements:
    """Collects what one candle makes known, and numbers it."""

    def __init__(self, timeframe_ms: int, symbol: int = 0) -> None:
        self.timeframe_ms, self.symbol = timeframe_ms, symbol
        self.n_said = 0
        self.rows: list[tuple[float, ...]] = []

    def say(
        self,
        kind: int,
        side: int,
        bar: int,
        *,
        top: float = np.nan,
        bottom: float = np.nan,
        level: float = np.nan,
        strength: float = np.nan,
        reference: int = -1,
    ) -> None:
        """Add one statement about the candle `bar`."""
        self.rows.append((kind, side, bar, top, bottom, level, strength, reference))

    def take(self, open_ms: list[int]) -> Rows:
        """Return the statements of the newest candle as EVENT rows, and begin with none."""
        events = np.zeros(len(self.rows), EVENT)
        known_bar = len(open_ms) - 1
        for event, row in zip(events, self.rows, strict=True):
            kind, side, bar, top, bottom, level, strength, reference = row
            event["kind"], event["side"], event["bar"] = kind, side, bar
            event["top"], event["bottom"], event["level"] = top, bottom, level
            event["strength"], event["reference"] = strength, reference
            event["formed_ms"] = open_ms[int(bar)]
        if len(events):
            events["symbol"], events["timeframe_ms"] = self.symbol, self.timeframe_ms
            events["known_bar"] = known_bar
            events["known_ms"] = open_ms[known_bar] + self.timeframe_ms
            events["sequence"] = self.n_said + np.arange(len(events))
        self.n_said += len(events)
        self.rows = []
        return events
