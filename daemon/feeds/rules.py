"""
When things are done about a candle, and what an answer of the venue's history proves about it.

The history may lag behind the stream, and then it shows a candle that has just ended as missing, as flat with zero
volume (padding), or as an older state of itself. So an answer proves something only when it has moved past the candle,
which a later candle *with a trade* shows, or when the last look before the deadline still says the same and nothing
shows that the history is behind (delta-exchange.md 3.8 and 11).
"""

from enum import Enum
from typing import NamedTuple, Self

from papertape.daemon.feeds.bars import Bar
from papertape.engine.candles import timeframe_ms
from papertape.replay.config_live import Live

RETRY_MS = (3_000, 8_000)  # delta-exchange.md 3.8 (3)
LATE_RETRY_MS = 5_000  # between the last of these and the grace period
SAME_SUM = 1.0 + 1e-12  # sums of the same trades in another order
HELD_RETRY_MS = 10_000  # after the grace period


class Rules(NamedTuple):
    """When things are done, in ms from a candle's end."""

    length_ms: int
    confirm_ms: int = 1_000
    close_ms: int = 2_000
    deadline_ms: int = 10_000
    grace_ms: int = 30_000

    @classmethod
    def of(cls, live: Live) -> Self:
        """Return the rules of a configuration."""
        return cls(
            timeframe_ms(live.timeframe),
            round(live.confirm_s * 1000.0),
            round(live.close_s * 1000.0),
            round(live.deadline_s * 1000.0),
            round(live.grace_s * 1000.0),
        )

    @property
    def looks_ms(self) -> tuple[int, ...]:
        """Return when the history is asked before the deadline."""
        return (
            self.confirm_ms,
            *(ms for ms in RETRY_MS if self.confirm_ms < ms < self.deadline_ms),
        )

    def next_ask_ms(self, end_ms: int, asked_ms: int) -> int:
        """Return when to ask about a candle that ended at `end_ms`, the last time having been at `asked_ms`."""
        for delay_ms in self.looks_ms:
            if end_ms + delay_ms > asked_ms:
                return end_ms + delay_ms
        if end_ms + self.grace_ms > asked_ms:
            return min(asked_ms + LATE_RETRY_MS, end_ms + self.grace_ms)
        return asked_ms + HELD_RETRY_MS


class Verdict(Enum):
    """What to do with a candle after an answer."""

    ASK_AGAIN = "ask again"
    HISTORY = "the history's"
    STREAM = "the stream's, although the history says otherwise"
    CONFLICT = "the history's, although the stream had more"


def judge(
    seen: Bar | None, row: Bar | None, *, is_past: bool, is_last_look: bool, is_sum: bool = False
) -> Verdict:
    """
    Return whose candle counts.

    seen           newest state from the stream
    row            the history's
    is_past        the history shows a later candle that has traded
    is_last_look   there is no further look before the deadline, and the history is not known to be behind
    is_sum         `seen` was added up from single trades, where one that came twice counts twice
    """
    stream_volume = seen.volume if seen is not None and seen.has_traded else 0.0
    if row is None:
        # A sparse history leaves out what did not trade; only the grace period tells it from a loss.
        kept = seen is not None and (seen.has_traded or is_past)
        return Verdict.STREAM if kept and is_last_look else Verdict.ASK_AGAIN
    if stream_volume <= row.volume * SAME_SUM:
        return Verdict.HISTORY if is_past or is_last_look else Verdict.ASK_AGAIN
    if not is_last_look:
        return Verdict.ASK_AGAIN
    return Verdict.CONFLICT if (is_past or is_sum) and row.has_traded else Verdict.STREAM
