"""
What an account knows of its markets while it runs: what the venue tells of them, under what its configuration says.

A tick, lot, fee or margin that is another than before enters between two candles (`papertape.daemon.feeds.halts`), and so does
a row `changes` of the configuration at its time. A leverage above what the venue still allows is lowered to that. What cannot
be, or cannot change, is told and left as it was.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeVar

from papertape.daemon.feeds.halts import Halts, Telling
from papertape.daemon.feeds.protocol import Notice, NoticeKind, OnNotice
from papertape.daemon.journal.identity import COSTS, Identity
from papertape.engine.errors import ConfigError
from papertape.engine.spec import Market
from papertape.replay.config import Config
from papertape.replay.config.market_settings import MarketSettings
from papertape.replay.config.markets import dated_markets, market_of, own_figures
from papertape.replay.sources.delta_products import Product

T = TypeVar("T")


class ToldMarkets:
    """
    The markets of an account, as they are told.

    before       the figures that were told last by symbol, in an earlier life of the daemon
    is_relative  what is told first is what the account has, whatever the figures say: the local exchange lists tapes that the
                 account knows better
    """

    def __init__(
        self,
        account: Identity,
        on_notice: OnNotice,
        before: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
        *,
        is_relative: bool = False,
    ) -> None:
        self._account, self._on_notice, self._is_relative = account, on_notice, is_relative
        self._known = {
            market.symbol: _with_own_costs(
                account.config, Market(**before.get(market.symbol, market.plain()))
            )
            for market in account.markets
        }
        self._first: dict[str, dict[str, Any]] = {}
        self._heard: dict[str, Any] = {}

    def begin(self, halts: Halts, since_ms: int) -> None:
        """Let rows of the configuration come at their times from one on, also where the venue is heard later, or never."""
        for symbol, market in self._known.items():
            try:
                rows = dated_markets(self._account.config, market)
            except ConfigError as error:
                detail = f"rows of its market cannot be followed: {error}"
                self._on_notice(Notice(NoticeKind.REJECTED, since_ms, symbol, detail=detail))
                continue
            halts.tell_dated(symbol, [(ms, after.plain()) for ms, after in rows if ms >= since_ms])

    def hear(
        self, halts: Halts, symbol: str, said: T, figures: Callable[[T], Mapping[str, Any]], now_ms: int
    ) -> None:
        """
        Let what a venue says of a symbol come before the next candle that closes after now.

        said     as the venue's client holds it: the same object is no news
        figures  of it, as a market has them
        """
        if self._heard.get(symbol) is said:
            return
        is_first = symbol not in self._heard
        self._heard[symbol] = said
        try:
            telling = self.of(symbol, figures(said), now_ms)
        except ConfigError as error:
            detail = f"what it says of its market cannot be followed: {error}"
            self._on_notice(Notice(NoticeKind.REJECTED, now_ms, symbol, detail=detail))
            return
        if is_first and self._is_relative and telling == Telling(self._known[symbol].plain()):
            return  # the account may have come further since it began
        halts.tell_market(symbol, now_ms, telling)

    def of(self, symbol: str, told: Mapping[str, Any], now_ms: int) -> Telling:
        """
        Return what is known of a market now and later by figures that are told; raises ConfigError for what cannot be.

        told  `brackets` None: the venue does not answer about them, and those that are known stay
        """
        if told.get("brackets", ()) is None:
            told = {**told, "brackets": self._known[symbol].brackets}
        market = self._market(symbol, told)
        refuse_stepless(market, self._known[symbol])
        dated = dated_markets(self._account.config, market)
        for time_ms, after in dated:
            if time_ms <= now_ms:
                market = after
        later = tuple((time_ms, after.plain()) for time_ms, after in dated if time_ms > now_ms)
        return Telling(market.plain(), later)

    def _market(self, symbol: str, told: Mapping[str, Any]) -> Market:
        config, own = self._account.config, own_figures(self._account.config, symbol)
        if self._is_relative:
            first = self._first.setdefault(symbol, dict(told))
            news = {k: v for k, v in told.items() if first.get(k) != v and k not in own}
            return replace(self._known[symbol], **news)
        if 0.0 < (most := _most_leverage(told, own)) < own.get("leverage", 0.0):
            config = _with_leverage(config, symbol, most)
        account = self._account
        return market_of(account.venue, symbol, account.kind_of(symbol), config, told)


def delta_figures(product: Product) -> dict[str, float]:
    """Return what Delta says of a contract as a market has it: sizes are in base units, one contract is the smallest."""
    told = {
        "contract_value": product.contract_value,
        "tick_size": product.tick_size,
        "lot_size": product.contract_value,
        "minimum_size": product.contract_value,
        "taker_fee_rate": product.taker_fee_rate,
        "maker_fee_rate": product.maker_fee_rate,
        "maximum_leverage": product.maximum_leverage,
        "maintenance_rate": product.maintenance_margin_rate,
        "maintenance_slope": product.maintenance_margin_slope,
        "maintenance_from": product.margin_slope_from,
        "initial_rate": product.initial_margin_rate,
        "initial_slope": product.initial_margin_slope,
        "maximum_notional": product.notional_limit,
    }
    return {name: value for name, value in told.items() if value > 0.0}


def refuse_stepless(market: Market, before: Market) -> None:
    """Raise ConfigError for a market whose prices or sizes had a step before and have none now: an answer lacks it."""
    for name in ("tick_size", "lot_size"):
        if getattr(before, name) and not getattr(market, name):
            raise ConfigError(f"{name} 0 is no step; it was {getattr(before, name):g}")


def _with_own_costs(config: Config, market: Market) -> Market:
    """Return a market with the costs that the configuration says: a chapter may have changed them since it was told."""
    own = own_figures(config, market.symbol)
    return replace(market, **{name: own[name] for name in COSTS if name in own})


def _most_leverage(told: Mapping[str, Any], own: Mapping[str, Any]) -> float:
    """Return the highest leverage that a venue allows a small position, where the configuration does not say; 0: any."""
    found = [told.get("maximum_leverage", 0.0)] if "maximum_leverage" not in own else []
    if "brackets" not in own:
        found += [row.leverage for row in told.get("brackets", ())[:1]]
        if "initial_rate" not in own and told.get("initial_rate"):
            found.append(1.0 / told["initial_rate"])
    return min((most for most in found if most > 0.0), default=0.0)


def _with_leverage(config: Config, symbol: str, leverage: float) -> Config:
    settings = config.markets.get(symbol) or MarketSettings()
    lowered = settings.model_copy(update={"leverage": leverage})
    return config.model_copy(update={"markets": {**config.markets, symbol: lowered}})
