"""
The venue's time: ours, put right by the history's headers and the stream's stamps where two of the three agree.

What one message says moves nothing: a stamp counts when stamps of another kind of message say the same. When our own
clock is set, what was measured against it moves along.
"""

import itertools

from papertape.replay.runtime.clock import Clock, Steps

WINDOW_MS = 60_000
STAMP_MS = 1.0  # our time of receipt is a whole millisecond
TRUST_MS = 2_000  # a message takes no longer than this to us, in the best case of a minute
# Beyond it nothing is entered, and no candle ends before our own clock, so much ahead, says so.
SKEW_MS = 30_000
LEAD_MS = 1_000  # a stamp further ahead of the venue's time is taken as one of now


class VenueClock:
    """
    The venue's time as well as it is known.

    The stream's stamps give a lower bound: a message was published before it was received. Headers that fit to it are
    better, because they know the way. When they contradict each other, our own clock decides which one is right; when it
    agrees with neither, the earlier one counts: a candle that comes late is better than one that has not ended.

    header_doubt_ms   how far off the headers may be: half a request's way, which nobody can tell from a difference
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._steps = clock, Steps(clock)
        self.header_doubt_ms = 0.0
        self._header: float | None = None
        self._newest: dict[str, float] = {}  # best (stamp - receipt) of this window by kind of message
        self._before: dict[str, float] = {}  # and of the one before
        self._stream: float | None = None  # what they agree on
        self._window_ms = 0

    @property
    def header_offset_ms(self) -> float | None:
        """Return the venue's clock minus ours by the headers, None before they were read."""
        self._follow()
        return self._header

    @header_offset_ms.setter
    def header_offset_ms(self, offset_ms: float | None) -> None:
        self._follow()
        self._header = offset_ms

    def sighted(self, published_us: int, kind: str = "") -> float:
        """Take a stamp of a message that was received just now; return how late the message is, in ms."""
        self._follow()
        now_ms = self._clock.now_ms()
        if not self._window_ms <= now_ms < self._window_ms + WINDOW_MS:
            self._before, self._newest = self._newest, {}
            self._window_ms = now_ms
            self._stream = self._agreed()
        offset_ms = published_us / 1000.0 - now_ms
        if kind not in self._newest or offset_ms > self._newest[kind]:
            self._newest[kind] = offset_ms
            self._stream = self._agreed()
        return self.offset_ms - offset_ms

    def righted(self, published_us: int) -> int:
        """Return a stamp by the venue's time: without what all stamps are off by, and never ahead of now."""
        if not published_us:
            return 0
        stream_ms, offset_ms = self.stream_offset_ms, self.offset_ms
        if stream_ms is not None and abs(offset_ms - stream_ms) > TRUST_MS:
            published_us += int((offset_ms - stream_ms) * 1000.0)
        now_us = int((self._clock.now_ms() + offset_ms) * 1000.0)
        return published_us if published_us <= now_us + LEAD_MS * 1000 else now_us

    @property
    def stream_offset_ms(self) -> float | None:
        """Return the lower bound that the stream gives, None when it has said nothing."""
        self._follow()
        return self._stream

    @property
    def disagreement_ms(self) -> float:
        """Return by how much the headers contradict the stream; 0.0 when they do not."""
        self._follow()
        return self._contradiction_ms()

    @property
    def offset_ms(self) -> float:
        """Return the venue's clock minus ours."""
        self._follow()
        stream_ms, header_ms = self._stream, self._header
        if header_ms is None or stream_ms is None:
            known_ms = header_ms if header_ms is not None else stream_ms
            return 0.0 if known_ms is None else known_ms
        if not self._contradiction_ms():
            return header_ms
        for offset_ms in (stream_ms, header_ms):
            if abs(offset_ms) <= TRUST_MS:
                return offset_ms
        return min(stream_ms, header_ms)

    @property
    def is_skewed(self) -> bool:
        """Return whether the venue's clock and ours are too far apart to know when a candle ends."""
        return abs(self.offset_ms) > SKEW_MS

    def now_ms(self) -> int:
        """Return the venue's time in ms, no further ahead of ours than the skew that is allowed."""
        return int(self._clock.now_ms() + min(self.offset_ms, SKEW_MS))

    def _contradiction_ms(self) -> float:
        if self._stream is None or self._header is None:
            return 0.0
        ahead_ms = self._header - self._stream
        return 0.0 if -self.header_doubt_ms - STAMP_MS <= ahead_ms <= TRUST_MS else ahead_ms

    def _agreed(self) -> float | None:
        """Return the best stamp that another kind of message does not contradict; the worst where none agree."""
        bests = dict(self._before)
        for kind, offset_ms in self._newest.items():
            bests[kind] = max(offset_ms, bests.get(kind, offset_ms))
        known = sorted(bests.values(), reverse=True)
        for best, next_best in itertools.pairwise(known):
            if best - next_best <= TRUST_MS:
                return best
        return known[-1] if known else None

    def _follow(self) -> None:
        """Move what was measured along when our clock was set."""
        step_ms = self._steps.take()
        if not step_ms:
            return
        if self._header is not None:
            self._header -= step_ms
        for bests in (self._newest, self._before):
            for kind in bests:
                bests[kind] -= step_ms
        self._stream = self._agreed()
