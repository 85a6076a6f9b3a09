"""What faults do to an exchange when they begin and end: connections, markets, its status."""

from decimal import Decimal
from functools import partial
from typing import Final

import orjson

from papertape.replay.exchange.active_faults import MAINTENANCE
from papertape.replay.exchange.faults import Fault, Faults
from papertape.replay.exchange.hub import Hub
from papertape.replay.exchange.messages import US
from papertape.replay.exchange.session import Closing
from papertape.replay.exchange.world import World

_CUTTING: Final = frozenset(("abort", "refuse", "down", "never_ack"))
_QUIET: Final = ("maintenance_gap", "quiet")
_GOODBYE_MS: Final = 500  # between the news of a maintenance and the cut
_AUCTION_MS: Final = 60_000  # after a maintenance
_SETTLED_MS: Final = 30_000  # a candle that ended this long ago has been taken by everyone


class FaultEffects:
    """The plan of an exchange's faults, carried out as time goes on."""

    def __init__(self, world: World, hub: Hub, faults: Faults) -> None:
        self._world, self._hub = world, hub
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Take a fault that has not begun yet."""
        self._world.faults.plan(fault)
        for symbol, market in self._world.markets.items():
            if fault.concerns(symbol) and fault.kind in _QUIET:
                market.drop(fault.time_ms, fault.end_ms)
            elif fault.concerns(symbol) and fault.kind == "delisting":
                market.drop(fault.time_ms, market.end_ms)
        self._world.schedule.put(fault.time_ms, partial(self._begin, fault))

    def _begin(self, fault: Fault, now_ms: int) -> None:
        self._world.faults.begin(fault)
        if fault.duration_ms:
            self._world.schedule.put(fault.end_ms, partial(self._end, fault))
        sessions = list(self._hub.sessions)
        if fault.kind in _CUTTING:
            for session in sessions:
                session.abort()
        elif fault.kind == "close":
            for session in sessions:
                session.send(Closing(int(fault.amount)))
        elif fault.kind == "half_open":
            for session in sessions:
                session.is_dead = True
        elif fault.kind in MAINTENANCE:
            self._maintain(now_ms)
        else:
            self._change_markets(fault, now_ms)

    def _change_markets(self, fault: Fault, now_ms: int) -> None:
        for symbol, market in self._world.markets.items():
            if not fault.concerns(symbol):
                continue
            if fault.kind == "correction":
                market.correct(now_ms - _SETTLED_MS, fault.amount)
            elif fault.kind == "tick_size":
                market.listing.tick_size *= Decimal(repr(fault.amount))
                self._tell_product(symbol, "tick_size_changed", now_ms)
            elif fault.kind == "delisting":
                market.listing.state = "expired"
                if self._world.switches.delisting == "told":
                    self._tell_product(symbol, "delisted", now_ms)
            elif fault.kind == "disruption":
                self._set_trading("disrupted_cancel_only", "market_disruption", now_ms, fault.symbol)

    def _maintain(self, now_ms: int) -> None:
        self._world.faults.status = "maintenance"
        frame = self._world.faults.status_frame("maintenance_started", now_ms)
        self._hub.publish(("system_status", ""), frame)
        self._set_trading("disrupted_cancel_only", "market_disruption", now_ms)

        def cut(_: int) -> None:
            for session in list(self._hub.sessions):
                session.abort()

        self._world.schedule.put(now_ms + _GOODBYE_MS, cut)

    def _end(self, fault: Fault, now_ms: int) -> None:
        self._world.faults.end(fault)
        if fault.kind == "stall":
            for session in list(self._hub.sessions):
                session.resume()
        elif fault.kind in MAINTENANCE:
            self._world.faults.status = "live"
            frame = self._world.faults.status_frame("maintenance_finished", now_ms)
            self._hub.publish(("system_status", ""), frame)
            self._auction("", now_ms)
        elif fault.kind == "disruption":
            self._auction(fault.symbol, now_ms)

    def _auction(self, only: str, now_ms: int) -> None:
        """Let a market, or every one, trade again as the venue does: after an auction."""
        self._set_trading("disrupted_post_only", "start_auction", now_ms, only)
        finish = partial(self._set_trading, "operational", "finish_auction", only=only)
        self._world.schedule.put(now_ms + _AUCTION_MS, finish)

    def _set_trading(self, trading_status: str, event: str, now_ms: int, only: str = "") -> None:
        for symbol, market in self._world.markets.items():
            if only and symbol != only:
                continue
            market.listing.trading_status = trading_status
            self._tell_product(symbol, event, now_ms)

    def _tell_product(self, symbol: str, event: str, now_ms: int) -> None:
        listing = self._world.markets[symbol].listing
        product = {
            "id": listing.id,
            "state": listing.state,
            "symbol": symbol,
            "trading_status": listing.trading_status,
        }
        values = {"event": event, "product": product, "timestamp": now_ms * US, "type": "product_updates"}
        self._hub.publish(("product_updates", ""), orjson.dumps(values))
