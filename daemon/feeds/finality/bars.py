"""A candle on its way to being final: its values, and what one state of it says about another."""

from dataclasses import dataclass
from typing import NamedTuple, Self

from papertape.engine.candles import FLAG_FILLED
from papertape.engine.jit import Rows


class Bar(NamedTuple):
    """One state of a candle, volume in base units; `open_ms` is 0 when the sender did not say which candle."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @classmethod
    def flat(cls, open_ms: int, price: float) -> Self:
        """Return a candle without a trade."""
        return cls(open_ms, price, price, price, price, 0.0)

    @property
    def has_traded(self) -> bool:
        """Return whether it can hold a trade: a flat zero-volume candle is what padding looks like."""
        return self.volume > 0.0 or self.high > self.low

    @property
    def flag_bits(self) -> int:
        """Return the flag of a flat zero-volume candle that the venue gave as such, or 0."""
        return 0 if self.has_traded else FLAG_FILLED

    def equals(self, other: "Bar") -> bool:
        """Return whether prices and volume are the same, whatever the time."""
        return self[1:] == other[1:]

    def may_become(self, later: "Bar") -> bool:
        """Return whether `later` can be a later state of the same candle: trades only widen and add."""
        return (
            later.open == self.open
            and later.high >= self.high
            and later.low <= self.low
            and later.volume >= self.volume
        )


class FinalCandle(NamedTuple):
    """
    A final candle of a symbol.

    ready_ms  since when it could have been had, by the venue's time: it may have waited for other symbols since
    """

    symbol: str
    bar: Bar
    flag_bits: int
    source: str  # stream, trades, poll, backfill (the stream did not have it so), absent
    is_confirmed: bool  # by the venue's history
    ready_ms: int = 0


class HistoryRequest(NamedTuple):
    """
    Candles to ask the venue's history for: open times from `first_ms` to `last_ms`, the forming one included.

    queued_ms  how long the question waited for a rate limit before it left, at `asked_ms`
    """

    symbol: str
    first_ms: int
    last_ms: int
    asked_ms: int
    queued_ms: int = 0


def bars_of(rows: Rows) -> list[Bar]:
    """Return CANDLE rows as bars."""
    names = ("open_ms", "open", "high", "low", "close", "volume")
    columns = [rows[name].tolist() for name in names]
    return [Bar(*values) for values in zip(*columns, strict=True)]


@dataclass(slots=True)
class Seen:
    """The newest state of a candle from the stream."""

    bar: Bar
    published_us: int  # the stamp that it bore
    is_derived: bool  # its sender did not say which candle it is
    traded_ms: int | None  # when it was first seen to have traded
    heard_ms: int  # newest time of any of its states: the venue's stamp, or else that of receipt


def derive_open_ms(
    bar: Bar, published_us: int, length_ms: int, shown: dict[int, Seen], kept: dict[int, FinalCandle]
) -> int:
    """
    Return the candle that a frame without one belongs to, by those that were shown and the last final ones.

    The last frame of a candle may be stamped after its end: one that continues the candle before and contradicts
    the one that its stamp names belongs to the former. A candle that has not traded is continued by anything, so
    it claims nothing; but a frame that repeats the last candle that has traded, minutes without a trade ago, is
    that candle's last one, held up until something else was sent.
    """
    open_ms = published_us // 1000 // length_ms * length_ms
    current = shown.get(open_ms)
    if current is not None and current.bar.has_traded and current.bar.may_become(bar):
        return open_ms
    before = shown.get(open_ms - length_ms)
    if before is not None and before.bar.has_traded:
        return open_ms - length_ms if before.bar.may_become(bar) else open_ms
    traded = [ms for ms, final in kept.items() if ms < open_ms and final.bar.has_traded]
    if not traded or any(traded[-1] < ms < open_ms and seen.bar.has_traded for ms, seen in shown.items()):
        return open_ms
    return traded[-1] if kept[traded[-1]].bar.equals(bar) else open_ms
