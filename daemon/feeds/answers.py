"""One answer of a venue's history about a symbol, and what it says of a candle beside the candle itself."""

from collections.abc import Iterable
from typing import NamedTuple, Self

from papertape.daemon.feeds.finality.bars import Bar, HistoryRequest

# A history answers an empty span with nothing, so a request reaches back to a candle that traded, within reason.
REACH_BARS = 240


class HistoryAnswer(NamedTuple):
    """
    The candles of one answer.

    rows        by open time, none that opened after the answer came
    oldest_ms   open time of the oldest; none: after everything
    traded_ms   open time of the newest that has traded; -1: none has
    """

    request: HistoryRequest
    rows: dict[int, Bar]
    oldest_ms: int
    traded_ms: int

    @classmethod
    def of(cls, request: HistoryRequest, bars: Iterable[Bar], now_ms: int) -> Self:
        """Return the answer to a request."""
        rows = {bar.open_ms: bar for bar in bars if bar.open_ms <= now_ms}
        traded_ms = max((ms for ms, bar in rows.items() if bar.has_traded), default=-1)
        return cls(request, rows, min(rows, default=now_ms + 1), traded_ms)

    def covers(self, open_ms: int) -> bool:
        """Return whether a candle was asked for."""
        return self.request.first_ms <= open_ms <= self.request.last_ms

    def is_silent_at(self, open_ms: int, length_ms: int, traded_ms: int) -> bool:
        """
        Return whether the answer says of a candle that its market has not traded for as long as we look back.

        traded_ms  newest candle that is known to have traded: an answer that should show it and does not says nothing
        """
        reached_ms = open_ms - REACH_BARS * length_ms
        return traded_ms < self.request.first_ms <= max(reached_ms, 0) and self.oldest_ms > open_ms

    def leaves_out(self, length_ms: int, settled_ms: int) -> bool | None:
        """
        Return whether this history leaves out candles without a trade, False when it fills them; None: it does not show.

        settled_ms  what ended by then would be there
        """
        if not self.rows:
            return None
        if any(not bar.has_traded for bar in self.rows.values()):
            return False
        newest_ms = max(*self.rows, settled_ms // length_ms * length_ms - length_ms)
        return True if (newest_ms - self.oldest_ms) // length_ms + 1 > len(self.rows) else None
