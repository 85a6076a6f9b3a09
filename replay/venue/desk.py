"""The faults that hold right now, and what those that happen at an instant do to the exchange."""

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

import orjson

from papertape.replay.venue.faults import Fault, Faults
from papertape.replay.venue.frames import US
from papertape.replay.venue.session import Closing
from papertape.replay.venue.switches import FinalFrame

if TYPE_CHECKING:
    from papertape.replay.venue.exchange import Exchange

FRAME_KINDS: Final = frozenset(
    (
        "silence", "blind", "duplicate", "swap", "drop", "truncate", "garbage", "unknown_type", "nan",
        "null_candle", "spike", "wrong_symbol", "huge", "seq_gap", "wrong_cs", "stamp_spike", "stamp_skew",
    )
)  # fmt: skip
_CUTTING: Final = frozenset(("abort", "refuse", "down", "never_ack"))
_MAINTENANCE: Final = ("maintenance", "maintenance_gap")
_QUIET: Final = ("maintenance_gap", "quiet")
_FINAL_KINDS: Final[dict[str, FinalFrame]] = {"late_final": "late", "missing_final": "missing"}
_GOODBYE_MS: Final = 500  # between the news of a maintenance and the cut
_AUCTION_MS: Final = 60_000  # after a maintenance
_SETTLED_MS: Final = 30_000  # a candle that ended this long ago has been taken by everyone


class FaultDesk:
    """The faults of an exchange as time goes on."""

    def __init__(self, exchange: "Exchange", faults: Faults) -> None:
        self._exchange = exchange
        self.seed = faults.seed
        self.active: list[Fault] = []
        self.has_frame_faults = False
        self.status = "live"
        self._finals: list[Fault] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Take a fault that has not begun yet."""
        if fault.kind in _FINAL_KINDS:
            self._finals.append(fault)
        for symbol, market in self._exchange.markets.items():
            if fault.concerns(symbol) and fault.kind in _QUIET:
                market.drop(fault.time_ms, fault.end_ms)
            elif fault.concerns(symbol) and fault.kind == "delisting":
                market.drop(fault.time_ms, market.end_ms)
        self._exchange.schedule.put(fault.time_ms, partial(self._begin, fault))

    def on(self, *kinds: str, symbol: str = "") -> Fault | None:
        """Return a fault of these kinds that holds now and concerns the symbol."""
        for fault in self.active:
            if fault.kind in kinds and (not symbol or fault.concerns(symbol)):
                return fault
        return None

    def final_frame(self, symbol: str, end_ms: int) -> FinalFrame:
        """Return what happens to the final frame of the candle that ends then."""
        for fault in self._finals:
            if fault.time_ms <= end_ms <= fault.end_ms and fault.concerns(symbol):
                return _FINAL_KINDS[fault.kind]
        return self._exchange.switches.final_frame

    def status_frame(self, event: str, now_ms: int) -> bytes:
        """Return the system's status as a frame."""
        fault = self.on(*_MAINTENANCE)
        return orjson.dumps(
            {
                "event": event,
                "maintenance_announcement_time": None,
                "maintenance_finish_time": fault.end_ms * US if fault else None,
                "maintenance_start_time": fault.time_ms * US if fault else None,
                "status": self.status,
                "timestamp": now_ms * US,
                "type": "system_status",
            }
        )

    def _begin(self, fault: Fault, now_ms: int) -> None:
        if fault.duration_ms:
            self.active.append(fault)
            self._exchange.schedule.put(fault.end_ms, partial(self._end, fault))
        self.has_frame_faults = any(known.kind in FRAME_KINDS for known in self.active)
        sessions = list(self._exchange.sessions)
        if fault.kind in _CUTTING:
            for session in sessions:
                session.abort()
        elif fault.kind == "close":
            for session in sessions:
                session.send(Closing(int(fault.amount)))
        elif fault.kind == "half_open":
            for session in sessions:
                session.is_dead = True
        elif fault.kind in _MAINTENANCE:
            self._maintain(now_ms)
        else:
            self._change_markets(fault, now_ms)

    def _change_markets(self, fault: Fault, now_ms: int) -> None:
        for symbol, market in self._exchange.markets.items():
            if not fault.concerns(symbol):
                continue
            if fault.kind == "correction":
                market.correct(now_ms - _SETTLED_MS, fault.amount)
            elif fault.kind == "tick_size":
                market.listing.tick_size *= Decimal(repr(fault.amount))
                self._tell_product(symbol, "tick_size_changed", now_ms)
            elif fault.kind == "delisting":
                market.listing.state = "expired"
                if self._exchange.switches.delisting == "told":
                    self._tell_product(symbol, "delisted", now_ms)
            elif fault.kind == "disruption":
                self._set_trading(
                    "disrupted_cancel_only", "market_disruption", now_ms, fault.symbol
                )

    def _maintain(self, now_ms: int) -> None:
        self.status = "maintenance"
        frame = self.status_frame("maintenance_started", now_ms)
        self._exchange.hub.publish(("system_status", ""), frame, now_ms)
        self._set_trading("disrupted_cancel_only", "market_disruption", now_ms)

        def cut(_: int) -> None:
            for session in list(self._exchange.sessions):
                session.abort()

        self._exchange.schedule.put(now_ms + _GOODBYE_MS, cut)

    def _end(self, fault: Fault, now_ms: int) -> None:
        self.active.remove(fault)
        self.has_frame_faults = any(known.kind in FRAME_KINDS for known in self.active)
        if fault.kind == "stall":
            for session in list(self._exchange.sessions):
                session.resume()
        elif fault.kind in _MAINTENANCE:
            self.status = "live"
            frame = self.status_frame("maintenance_finished", now_ms)
            self._exchange.hub.publish(("system_status", ""), frame, now_ms)
            self._auction("", now_ms)
        elif fault.kind == "disruption":
            self._auction(fault.symbol, now_ms)

    def _auction(self, only: str, now_ms: int) -> None:
        """Let a market, or every one, trade again as the venue does: after an auction."""
        self._set_trading("disrupted_post_only", "start_auction", now_ms, only)
        finish = partial(self._set_trading, "operational", "finish_auction", only=only)
        self._exchange.schedule.put(now_ms + _AUCTION_MS, finish)

    def _set_trading(self, trading_status: str, event: str, now_ms: int, only: str = "") -> None:
        for symbol, market in self._exchange.markets.items():
            if only and symbol != only:
                continue
            market.listing.trading_status = trading_status
            self._tell_product(symbol, event, now_ms)

    def _tell_product(self, symbol: str, event: str, now_ms: int) -> None:
        listing = self._exchange.markets[symbol].listing
        product = {
            "id": listing.id,
            "state": listing.state,
            "symbol": symbol,
            "trading_status": listing.trading_status,
        }
        values = {
            "event": event,
            "product": product,
            "timestamp": now_ms * US,
            "type": "product_updates",
        }
        self._exchange.hub.publish(("product_updates", ""), orjson.dumps(values), now_ms)
