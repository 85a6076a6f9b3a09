"""The venue's time: ours, put right by the history's headers and by the stamps of the stream, which agree or are told."""

from papertape.replay.clock import Clock

WINDOW_MS = 60_000
STAMP_MS = 1.0  # our time of receipt is a whole millisecond
TRUST_MS = 2_000  # a message takes no longer than this to us, in the best case of a minute


class VenueClock:
    """
    The venue's time as well as it is known.

    The stream's stamps give a lower bound: a message was published before it was received. Headers that fit to it are
    better, because they know the way; headers that contradict the stream are wrong, since candles follow the stream.

    header_offset_ms  the venue's clock minus ours by the headers, None before they were read
    header_doubt_ms   how far off that may be: half a request's way, which nobody can tell from a clock's difference
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.header_offset_ms: float | None = None
        self.header_doubt_ms = 0.0
        self._newest: float | None = None  # best (stamp - receipt) of this window
        self._before: float | None = None  # and of the one before
        self._window_ms = 0

    def sighted(self, published_us: int) -> float:
        """Take a stamp of a message that was received just now; return how late the message is, in ms."""
        now_ms = self._clock.now_ms()
        if not self._window_ms <= now_ms < self._window_ms + WINDOW_MS:
            self._before, self._newest = self._newest, None
            self._window_ms = now_ms
        offset_ms = published_us / 1000.0 - now_ms
        if self._newest is None or offset_ms > self._newest:
            self._newest = offset_ms
        return self.offset_ms - offset_ms

    @property
    def stream_offset_ms(self) -> float | None:
        """Return the lower bound that the stream gives, None when it has said nothing."""
        known = [offset for offset in (self._newest, self._before) if offset is not None]
        return max(known, default=None)

    @property
    def disagreement_ms(self) -> float:
        """Return by how much the headers contradict the stream; 0.0 when they do not."""
        stream_ms, header_ms = self.stream_offset_ms, self.header_offset_ms
        if stream_ms is None or header_ms is None:
            return 0.0
        ahead_ms = header_ms - stream_ms
        return 0.0 if -self.header_doubt_ms - STAMP_MS <= ahead_ms <= TRUST_MS else ahead_ms

    @property
    def offset_ms(self) -> float:
        """Return the venue's clock minus ours."""
        stream_ms, header_ms = self.stream_offset_ms, self.header_offset_ms
        if header_ms is not None and (stream_ms is None or not self.disagreement_ms):
            return header_ms
        return stream_ms if stream_ms is not None else 0.0

    def now_ms(self) -> int:
        """Return the venue's time in ms."""
        return int(self._clock.now_ms() + self.offset_ms)
