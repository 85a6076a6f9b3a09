"""
When things are done about a candle, and what an answer of the venue's history proves about it.

The history may lag behind the stream, and then it shows a candle that has just ended as missing, as flat with zero
volume (padding), or as an older state of itself. So an answer proves something only when it has moved past the candle,
which a later candle *with a trade* shows, or when the last look before the deadline still says the same and nothing
shows that the history is behind (delta-exchange.md 3.8 and 11). The first is proof, and a candle that is missing then is
a hole: nobody traded in it. The second is the best there is, and counts only when nothing else is waited for.

A stream may have fallen silent without a word, so what it showed last counts in place of the history's only when it
showed something around the candle's end, or when the grace period is over.
"""

from enum import Enum
from typing import NamedTuple, Self

from papertape.daemon.feeds.finality.bars import Bar
from papertape.engine.candles import timeframe_ms
from papertape.replay.config.live import Live

RETRY_MS = (3_000, 8_000)  # delta-exchange.md 3.8 (3)
LATE_RETRY_MS = 5_000  # between the last of these and the grace period
SAME_SUM = 1.0 + 1e-12  # sums of the same trades in another order
HELD_RETRY_MS = 10_000  # after the grace period
# Streams repeat a candle every half second to two seconds while it changes: one that said nothing of a candle's last
# seconds has either nothing to say or fallen silent, and nobody can tell which.
HEARD_MS = 5_000
# When the stream shows a trade of the next candle, the history has it soon after, and then it proves this one.
NEWS_MS = 500


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
        return (self.confirm_ms, *(ms for ms in RETRY_MS if self.confirm_ms < ms < self.deadline_ms))

    def next_ask_ms(self, end_ms: int, asked_ms: int) -> int:
        """Return when to ask about a candle that ended at `end_ms`, the last time having been at `asked_ms`."""
        for delay_ms in self.looks_ms:
            if end_ms + delay_ms > asked_ms:
                return end_ms + delay_ms
        if end_ms + self.grace_ms > asked_ms:
            return min(asked_ms + LATE_RETRY_MS, end_ms + self.grace_ms)
        return asked_ms + HELD_RETRY_MS


class HistoryVerdict(Enum):
    """What to do with a candle after an answer."""

    ASK_AGAIN = "ask again"
    HISTORY = "the history's"
    STREAM = "the stream's, although the history says otherwise"
    CONFLICT = "the history's, although the stream had more"
    HOLE = "none: nobody traded"


class HistoryEvidence(NamedTuple):
    """
    What else is known when an answer is judged.

    is_past   the history shows a later candle that has traded
    is_last   there is no further look before the deadline, and the history is not known to be behind
    is_late   the grace period is over
    is_heard  the stream showed something around the candle's end
    is_quiet  the stream listened all the time and saw no trade, and the history leaves out what did not trade
    is_sum    what the stream showed was added up from single trades, where one that came twice counts twice
    """

    is_past: bool = False
    is_last: bool = False
    is_late: bool = False
    is_heard: bool = False
    is_quiet: bool = False
    is_sum: bool = False


class Choice(NamedTuple):
    """What the next candle may become."""

    bar: Bar | None  # None: absent
    source: str
    is_confirmed: bool = False
    is_proven: bool = False  # nothing that comes later can change it
    conflict: str | None = None  # what to tell of a difference between stream and history
    change: float = 0.0  # and by how much volume


def judge(seen: Bar | None, row: Bar | None, look: HistoryEvidence) -> HistoryVerdict:
    """Return whose candle counts: `seen` is the newest state from the stream, `row` the history's."""
    stream_volume = seen.volume if seen is not None and seen.has_traded else 0.0
    is_last = look.is_last or look.is_late
    is_kept = (look.is_last and look.is_heard) or look.is_late
    if row is None:
        if seen is not None and seen.has_traded:
            return HistoryVerdict.STREAM if is_kept else HistoryVerdict.ASK_AGAIN
        is_hole = look.is_past or look.is_late or (look.is_last and look.is_quiet)
        return HistoryVerdict.HOLE if is_hole else HistoryVerdict.ASK_AGAIN
    if stream_volume <= row.volume * SAME_SUM:
        return HistoryVerdict.HISTORY if look.is_past or is_last else HistoryVerdict.ASK_AGAIN
    if is_last and (look.is_past or look.is_sum) and row.has_traded:
        return HistoryVerdict.CONFLICT
    return HistoryVerdict.STREAM if is_kept else HistoryVerdict.ASK_AGAIN
