"""What is wrong around a feed without any single message being so: clocks that disagree, a stream of nonsense."""

from collections.abc import Callable

from papertape.daemon.feeds.protocol import FeedStats, Notice, NoticeKind
from papertape.daemon.feeds.venue_clock import VenueClock

WINDOW_MS = 60_000
BAD_SHARE = 0.5  # delta-exchange.md 6.9
BAD_LEAST = 20  # fewer bad messages in a minute are no stream of nonsense
MAX_OFFSET_MS = 30_000.0


class Alarms:
    """Looks now and then, and tells once when something begins."""

    def __init__(self, stats: FeedStats, venue: VenueClock, on_notice: Callable[[Notice], None]) -> None:
        self._stats, self._venue, self._on_notice = stats, venue, on_notice
        self._window_ms = 0
        self._n_good = self._n_bad = 0
        self._told: set[str] = set()

    def look(self, now_ms: int) -> None:
        """Look at the clocks and at the last minute's messages."""
        offset_ms = self._venue.offset_ms
        self._stats.clock_offset_ms = offset_ms
        disagreement_ms = self._venue.disagreement_ms
        told = "headers disagree with the stream"
        self._tell(told, disagreement_ms != 0.0, NoticeKind.CLOCK, now_ms, disagreement_ms)
        told = "far from the venue's"
        self._tell(told, abs(offset_ms) > MAX_OFFSET_MS, NoticeKind.CLOCK, now_ms, offset_ms)
        if not self._window_ms <= now_ms < self._window_ms + WINDOW_MS:
            self._judge_messages(now_ms)

    def _judge_messages(self, now_ms: int) -> None:
        n_good, n_bad = self._stats.messages.total(), self._stats.bad_messages.total()
        new_good, new_bad = n_good - self._n_good, n_bad - self._n_bad
        is_nonsense = new_bad >= BAD_LEAST and new_bad > BAD_SHARE * (new_good + new_bad)
        self._tell("bad messages", is_nonsense, NoticeKind.VENUE, now_ms, float(new_bad))
        self._window_ms, self._n_good, self._n_bad = now_ms, n_good, n_bad

    def _tell(self, detail: str, is_on: bool, kind: NoticeKind, now_ms: int, value: float) -> None:
        if is_on and detail not in self._told:
            self._on_notice(Notice(kind, now_ms, value=value, detail=detail))
        (self._told.add if is_on else self._told.discard)(detail)
