"""
What each frame of the stream does: candles to the finality table, prices to who asks, halts to the journal.

Everything here is synchronous and quick; it runs for every message that arrives.
"""

from collections.abc import Callable, Mapping

from papertape.daemon.feeds.delta.freshness import Freshness
from papertape.daemon.feeds.delta.funding import Fundings
from papertape.daemon.feeds.delta.messages import (
    KIND_OF,
    Bad,
    CandleFrame,
    Frame,
    FundingFrame,
    Heartbeat,
    Ignored,
    MarkFrame,
    NoTrade,
    ProductUpdate,
    SystemStatus,
    TickerFrame,
    TradeFrame,
)
from papertape.daemon.feeds.finality.bars import Bar
from papertape.daemon.feeds.finality.finality import Finality
from papertape.daemon.feeds.finality.trades import TradeCandles
from papertape.daemon.feeds.protocol import FeedStats, NoticeKind
from papertape.daemon.feeds.series import FRESH_MS, LiveSeries
from papertape.daemon.feeds.venue_clock import VenueClock
from papertape.engine.records import INDEX_PRICE, MARK_PRICE, OPEN_INTEREST

MAX_TRADE_AGE_MS = 60_000  # matched longer ago, or ahead: no candle of ours can be made from it
MAX_MEASURED = 10_000  # delays kept for a reader that does not come
Tell = Callable[[NoticeKind, str, str], None]  # kind, symbol, detail


class FrameReader:
    """
    The effects of frames.

    candles           where candles come from: stream, trades or poll
    in_maintenance    what the venue said last about itself
    halted            symbols that are not trading, with the venue's word for it
    halt_told_ms      when the stream said last whether a symbol trades
    has_status        the stream has said whether the venue is up; whoever sees it cut takes it back
    has_news          a product has changed; whoever reloads them takes it back
    """

    def __init__(
        self,
        timeframe: str,
        candles: str,
        table: Finality,
        venue: VenueClock,
        stats: FeedStats,
        tell: Tell,
        series: LiveSeries | None = None,
    ) -> None:
        """Make it; series: takes marks, index prices and open interest, where somebody asks for them."""
        self.fundings = Fundings()
        self.in_maintenance = False
        self.halted: dict[str, str] = {}
        self.halt_told_ms: dict[str, int] = {}
        self.has_status = False
        self.has_news = False
        self.freshness = Freshness(())
        self._timeframe, self._candles = timeframe, candles
        self._table, self._venue, self._stats, self._tell = table, venue, stats, tell
        self._series = series
        self._contract_values: dict[str, float] = {}
        self._trades: dict[str, TradeCandles] = {}
        self._shown_ms: dict[str, int] = {}

    def expect(self, contract_values: Mapping[str, float]) -> None:
        """Take frames of these symbols, and none before; called again when a contract has changed."""
        if not self._contract_values:
            self.freshness = Freshness(contract_values)
        for symbol, contract_value in contract_values.items():
            if self._contract_values.get(symbol) != contract_value:
                self._trades[symbol] = TradeCandles(self._table.rules.length_ms, contract_value)
        self._contract_values.update(contract_values)

    def was_shown(self, symbol: str, open_ms: int) -> bool:
        """Return whether the stream has shown anything of a symbol since a candle opened."""
        return self._shown_ms.get(symbol, 0) >= open_ms

    def take(self, frame: Frame) -> None:
        """Take one frame."""
        kind = KIND_OF.get(type(frame))
        match frame:
            case CandleFrame():
                self._candle(frame)
            case TradeFrame():
                self._trade(frame)
            case NoTrade():
                self._show(frame.symbol, frame.published_us)
            case MarkFrame():
                self.fundings.mark(frame)
                self._sighted(frame.symbol, frame.published_us, "mark")
                self._note(frame.symbol, MARK_PRICE, frame.price, frame.published_us)
            case FundingFrame():
                self.fundings.estimate(frame)
                self._sighted(frame.symbol, frame.published_us, "funding")
            case TickerFrame():
                self._ticker(frame)
            case Heartbeat():
                self._sighted("", frame.published_us, "heartbeat")
            case SystemStatus():
                self._system_status(frame)
            case ProductUpdate():
                self._product_update(frame)
            case Ignored(kind=other):
                kind = other
            case Bad(reason=reason):
                self._stats.bad_messages[reason] += 1
                return
            case _:
                pass  # acknowledgements, pongs and refusals are the session's
        self._stats.messages[kind or "unknown"] += 1

    def _sighted(self, symbol: str, published_us: int, kind: str) -> None:
        """Measure how late a message is, and what its kind says of the venue's time."""
        if symbol:
            self._stats.last_message_ms[symbol] = self._venue.now_ms()
        if published_us:
            lags = self._stats.message_lag_ms
            lag_ms = self._venue.sighted(published_us, kind)
            if len(lags) < MAX_MEASURED:
                lags.append(lag_ms)

    def _ticker(self, frame: TickerFrame) -> None:
        """Take an index price, and open interest in base units: contracts change, what they stand for does not."""
        if (contract_value := self._contract_values.get(frame.symbol)) is None:
            return
        self._sighted(frame.symbol, frame.published_us, "ticker")
        contracts = frame.open_contracts
        interest = None if contracts is None else contracts * contract_value
        self._note(frame.symbol, INDEX_PRICE, frame.index_price, frame.published_us)
        self._note(frame.symbol, OPEN_INTEREST, interest, frame.published_us)

    def _note(self, symbol: str, kind: int, value: float | None, published_us: int) -> None:
        """Hand on a value of a series, unless it is an old one that comes now."""
        now_ms = self._venue.now_ms()
        is_old = published_us > 0 and now_ms - self._venue.righted(published_us) // 1000 > FRESH_MS
        if self._series is not None and not is_old:
            self._series.tell(symbol, kind, value, now_ms)

    def _show(self, symbol: str, published_us: int) -> bool:
        """Take note of a frame that makes candles; return whether it is of a symbol that we asked for."""
        if symbol not in self._contract_values:
            self._stats.bad_messages["wrong_symbol"] += 1
            return False
        self._sighted(symbol, published_us, "candle")
        shown_ms = self._venue.righted(published_us) // 1000
        self._shown_ms[symbol] = max(self._shown_ms.get(symbol, 0), shown_ms)
        if self.freshness.shown(symbol):
            self._table.connect(self._venue.now_ms(), symbol)
            self._tell(NoticeKind.RESTORED, symbol, "")
        return True

    def _candle(self, frame: CandleFrame) -> None:
        if frame.timeframe != self._timeframe or self._candles != "stream":
            self._stats.bad_messages["wrong_channel"] += 1
        elif self._show(frame.symbol, frame.published_us):
            volume = frame.contracts * self._contract_values[frame.symbol]
            bar = Bar(*frame[2:7], volume)
            stamp_us = self._venue.righted(frame.published_us)
            self._table.see(frame.symbol, bar, stamp_us, self._venue.now_ms())

    def _trade(self, frame: TradeFrame) -> None:
        if self._candles != "trades":
            self._stats.bad_messages["wrong_channel"] += 1
        elif abs(frame.matched_us // 1000 - self._venue.now_ms()) > MAX_TRADE_AGE_MS:
            self._stats.bad_messages["stale_trade"] += 1
        elif self._show(frame.symbol, frame.published_us):
            bar = self._trades[frame.symbol].add(frame.price, frame.contracts, frame.matched_us)
            self._table.see(frame.symbol, bar, 0, self._venue.now_ms())

    def _system_status(self, frame: SystemStatus) -> None:
        """Follow the venue's maintenance; api_fallback and degraded_mode count as live."""
        is_down = frame.status == "maintenance" or frame.event == "maintenance_started"
        is_down = is_down and frame.event not in ("maintenance_finished", "maintenance_cancelled")
        if is_down != self.in_maintenance or frame.event != "snapshot":
            self._tell(NoticeKind.VENUE, "", f"{frame.event}: {frame.status}")
        self.in_maintenance, self.has_status = is_down, True

    def _product_update(self, frame: ProductUpdate) -> None:
        if frame.symbol not in self._contract_values:
            return
        self.has_news = True
        self.halt_told_ms[frame.symbol] = self._venue.now_ms()
        self.set_trading(frame.symbol, frame.trading_status)
        self._tell(NoticeKind.VENUE, frame.symbol, f"{frame.event}: {frame.trading_status}")

    def set_trading(self, symbol: str, trading_status: str) -> None:
        """Follow whether a symbol trades, in the venue's word for it."""
        if trading_status and trading_status != "operational":
            self.halted[symbol] = trading_status
        else:
            self.halted.pop(symbol, None)
