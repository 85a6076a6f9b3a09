"""
Funding as the stream tells it: the running estimate, and which rate a settlement charged (delta-exchange.md 5.3).

The rate of a settlement at T is that of the last frame published by T that names T as its settlement; one older than
five minutes at T is not trusted, and the settlement is told as unknown rather than guessed.
"""

from papertape.daemon.feeds.delta.messages import FundingFrame, MarkFrame
from papertape.daemon.feeds.settlements import ChargedFunding

FRESH_US = 300_000_000
SETTLE_AFTER_MS = 2_000  # frames published before the settlement may still be on their way


class Fundings:
    """The newest estimates and mark prices by symbol."""

    def __init__(self) -> None:
        self.rates: dict[str, FundingFrame] = {}
        self.marks: dict[str, MarkFrame] = {}
        self._pending: dict[tuple[str, int], FundingFrame] = {}  # by settlement
        self._settled_ms: dict[str, int] = {}

    def mark(self, frame: MarkFrame) -> None:
        """Take a mark price."""
        self.marks[frame.symbol] = frame

    def estimate(self, frame: FundingFrame) -> None:
        """Take an estimate; an older one than the last is ignored."""
        before = self.rates.get(frame.symbol)
        if before is not None and frame.published_us < before.published_us:
            return
        self.rates[frame.symbol] = frame
        settles_ms = frame.settles_ms
        is_new = settles_ms > self._settled_ms.get(frame.symbol, 0)
        if is_new and frame.published_us <= settles_ms * 1000:
            self._pending[frame.symbol, settles_ms] = frame

    def settle(self, now_ms: int) -> list[ChargedFunding]:
        """Return the settlements that have passed, each once, in order."""
        due = sorted(
            (key for key in self._pending if key[1] + SETTLE_AFTER_MS <= now_ms),
            key=lambda key: (key[1], key[0]),
        )
        settlements = []
        for symbol, time_ms in due:
            frame = self._pending.pop((symbol, time_ms))
            is_fresh = time_ms * 1000 - frame.published_us <= FRESH_US
            mark = self.marks.get(symbol)
            price = mark.price if mark is not None else 0.0
            rate = frame.rate_fraction if is_fresh else None
            settlements.append(ChargedFunding(symbol, time_ms, rate, price))
            self._settled_ms[symbol] = max(self._settled_ms.get(symbol, 0), time_ms)
        return settlements
