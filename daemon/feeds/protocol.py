"""
What a live feed is: a `papertape.engine.events.Feed` of complete instants, counters that anyone may read, and rare notices.

A feed yields CANDLE arrays in (open_ms, symbol) order that hold complete instants only: one row per symbol, in symbol
order, an absent candle flat and flagged. It never yields an instant twice, never one that is not final, and continues
after the instant it was started behind. Everything else that happens is counted or told.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from papertape.engine.events import Feed


class NoticeKind(StrEnum):
    """What a feed may tell; the journal keeps every notice."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"  # detail: closed, timeout, error, scheduled
    GAP = "gap"  # candles were missing and have been asked for; value: how many
    ABSENT = "absent"  # a candle was declared absent after the grace period
    UNCONFIRMED = "unconfirmed"  # emitted by deadline, the venue's history did not answer
    CONFLICT = "conflict"  # stream and history differed before it was emitted; history won unless detail says
    CORRECTION = "correction"  # history changed after it was emitted; recorded, never applied
    REJECTED = (
        "rejected"  # a candle was refused; detail: out_of_order, duplicate, bad_ohlc, non_finite, future
    )
    DEGRADED = "degraded"  # a subscription is silent; the symbol is polled
    RESTORED = "restored"  # the subscription answers again
    VENUE = "venue"  # maintenance, trading halted or resumed, changed market data; detail says
    CLOCK = "clock"  # the clock jumped or differs from the venue's; value: ms


class Notice(NamedTuple):
    """One rare fact about a feed."""

    kind: NoticeKind
    time_ms: int  # clock of the feed
    symbol: str = ""  # "" when it concerns all
    open_ms: int = 0  # of the candle concerned; 0 when none
    value: float = 0.0
    detail: str = ""


OnNotice = Callable[[Notice], None]


@dataclass(slots=True)
class FeedStats:
    """
    What a feed counts, cheap enough for every message; metrics read it when scraped.

    messages          by kind, unknown kinds included as "unknown"
    bad_messages      by reason
    reconnects        by reason: closed, timeout, error, scheduled
    last_message_ms   by symbol
    last_close_ms     by symbol: close of the newest candle that was yielded
    candles           by (symbol, source); source: stream, trades, poll, backfill, absent
    waited_ms         by symbol: how long complete instants waited for its candle when every other one was there
    waiting_ms        by symbol: how long the oldest open instant has waited for it, now
    arrival_delay_ms  newest first-hand measurements: receipt of a final candle minus its close; drained by its reader
    message_lag_ms    likewise: receipt minus the venue's publish time
    """

    is_connected: bool = False
    messages: Counter[str] = field(default_factory=Counter)
    bad_messages: Counter[str] = field(default_factory=Counter)
    reconnects: Counter[str] = field(default_factory=Counter)
    last_message_ms: dict[str, int] = field(default_factory=dict)
    last_close_ms: dict[str, int] = field(default_factory=dict)
    candles: Counter[tuple[str, str]] = field(default_factory=Counter)
    waited_ms: Counter[str] = field(default_factory=Counter)
    waiting_ms: dict[str, int] = field(default_factory=dict)
    arrival_delay_ms: list[float] = field(default_factory=list)
    message_lag_ms: list[float] = field(default_factory=list)
    rest_requests: Counter[str] = field(default_factory=Counter)  # by status or error
    clock_offset_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class FeedStart:
    """
    What a live feed is opened with.

    symbols   in the order of the engine's
    after_ms  open time of the newest candle that the journal has; None when it has none
    closes    of that candle by symbol; 0.0 where there was none
    dropped   symbols that the configuration no longer names
    settled_ms  of the newest settlement that the journal surely has, by symbol; empty without a journal
    series_ms   of each series that features ask for, by symbol and kind, until when the journal has it
    told        what was told last of each market that became another
    """

    symbols: tuple[str, ...]
    after_ms: int | None = None
    on_notice: OnNotice = lambda notice: None
    stats: FeedStats = field(default_factory=FeedStats)
    closes: tuple[float, ...] = ()
    dropped: tuple[str, ...] = ()
    settled_ms: Mapping[str, int] = field(default_factory=dict)
    series_ms: Mapping[tuple[str, int], int] = field(default_factory=dict)
    told: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def known(self) -> set[str]:
        """Return the symbols that the newest candle has a price of."""
        pairs = zip(self.symbols, self.closes, strict=False)
        return {symbol for symbol, close in pairs if close > 0.0}


class FeedSource(NamedTuple):
    """An open live feed and the clock that it goes by."""

    feed: Feed
    now_ms: Callable[[], int]
