"""
ccxt exchange objects: made without keys, pointed at another address when asked, and their markets by any name.

Source: ../shared/reference/delta-exchange.md, section 9. ccxt is imported when first needed: it takes half a second.
"""

import importlib
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from papertape.engine.errors import ConfigError, did_you_mean
from papertape.replay.importers.options import is_symbol
from papertape.replay.sources.errors import SymbolRefused, nearest

TIMEOUT_MS: Final = 15_000
KEEP_ALIVE_MS: Final = 20_000

# Where the market's kind alone would not give the name that tapes and market data use.
_VENUES: Final = {
    ("binance", "linear"): "binance-usdm",
    ("binance", "inverse"): "binance-coinm",
    ("binanceusdm", "linear"): "binance-usdm",
    ("binancecoinm", "inverse"): "binance-coinm",
    ("okx", "linear"): "okx-swap",
    ("okx", "inverse"): "okx-swap",
}
# Venues whose candles of contracts count base units, as ccxt reads them (parse_ohlcv of 4.5.90).
_BASE_VOLUME: Final = frozenset(["binance", "binanceusdm", "binancecoinm", "bybit", "okx"])


class CcxtMarket(NamedTuple):
    """One market of a venue, and how a tape of it is called."""

    unified: str  # BTC/USDT:USDT
    symbol: str  # as the venue writes it
    venue: str
    kind: str
    notes: tuple[str, ...]


def make_exchange(name: str, *, is_streaming: bool = False, base_url: str | None = None) -> Any:
    """
    Return an exchange object of ccxt, or of ccxt.pro when `is_streaming`. No keys, ever. Close it after use.

    base_url  asked in place of every host of the venue; websockets go to the same host

    Raises ConfigError for a venue that ccxt does not know.
    """
    ccxt = importlib.import_module("ccxt")
    if name not in ccxt.exchanges:
        raise ConfigError(f"unknown venue {name!r}{did_you_mean(name, ['delta', *ccxt.exchanges])}")
    room = importlib.import_module("ccxt.pro" if is_streaming else "ccxt.async_support")
    make = getattr(room, name, None) or getattr(importlib.import_module("ccxt.async_support"), name)
    exchange = make({"enableRateLimit": True, "timeout": TIMEOUT_MS})
    if is_streaming:
        # Some venues notice a dead peer only after minutes; ours may be quicker than the library's default.
        before_ms = exchange.streaming.get("keepAlive") or KEEP_ALIVE_MS
        exchange.streaming["keepAlive"] = min(before_ms, KEEP_ALIVE_MS)
        if isinstance(exchange, room.gate):
            _count_in_base(exchange)
    if base_url is not None:
        exchange.urls["api"] = _redirected(exchange.urls["api"], base_url.rstrip("/"))
    return exchange


def _count_in_base(exchange: Any) -> None:
    """
    Let gate's spot stream give volume in base, as its history does.

    ccxt 4.5.90 reads `v` of every candle's frame; of spot that is quote, and `a` is base. Source: Gate API v4, Spot
    WebSocket, candlesticks channel.
    """
    handle = exchange.handle_ohlcv

    def handle_in_base(client: Any, message: dict[str, Any]) -> None:
        if str(message.get("channel", "")).startswith("spot."):
            result = message.get("result")
            for candle in result if isinstance(result, list) else [result]:
                if isinstance(candle, dict) and "a" in candle:
                    candle["v"] = candle["a"]
        handle(client, message)

    exchange.handle_ohlcv = handle_in_base


def _redirected(urls: Any, base_url: str) -> Any:
    """Return the same tree of addresses on another host."""
    if isinstance(urls, dict):
        return {name: _redirected(url, base_url) for name, url in urls.items()}
    if not isinstance(urls, str) or "://" not in urls:
        return urls
    parts = urlsplit(urls)
    if urls.startswith("ws"):
        # ccxt tells some markets apart by the socket's host, so it stays in the path.
        return f"{base_url.replace('http', 'ws', 1)}/{parts.netloc}{parts.path}"
    return base_url + parts.path


def find_market(exchange: Any, symbol: str) -> CcxtMarket:
    """
    Return a market by its unified name, the venue's own or its plain one (BTCUSDT); markets must be loaded.

    Of several, spot comes before perpetuals. Raises SymbolRefused with the nearest name.
    """
    wanted = symbol.upper()
    exact = exchange.markets.get(symbol)
    found = [exact] if exact else list(exchange.markets_by_id.get(symbol, []))
    if not found:
        found = [m for m in exchange.markets.values() if wanted in _plain_names(m)]
    found = [m for m in found if m.get("spot") or m.get("swap")]
    if not found:
        known = {str(m["id"]) for m in exchange.markets.values() if m.get("spot") or m.get("swap")}
        raise SymbolRefused(f"{exchange.id} does not list {symbol!r}{nearest(symbol, known)}")
    market = min(found, key=lambda m: (not m.get("spot"), not m.get("linear")))
    kind = "spot" if market.get("spot") else "linear" if market.get("linear") else "inverse"
    notes: tuple[str, ...] = ()
    if kind != "spot" and exchange.id not in _BASE_VOLUME:
        notes = (f"volume as {exchange.id} counts it, which may be contracts",)
    native = str(market["id"])
    return CcxtMarket(
        market["symbol"],
        native if is_symbol(native) else market["symbol"],
        _VENUES.get((exchange.id, kind), f"{exchange.id}-{kind}"),
        kind,
        notes,
    )


def _plain_names(market: dict[str, Any]) -> set[str]:
    """Return BTCUSDT and BTC/USDT for a spot or linear market; others must be named exactly."""
    if not (market.get("spot") or (market.get("swap") and market.get("linear"))):
        return set()
    base, quote = market.get("base"), market.get("quote")
    return {f"{base}{quote}", f"{base}/{quote}", f"{base}-{quote}"}
