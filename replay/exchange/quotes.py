"""Tickers, prices, funding and shallow books as frames and as REST values: one place for both shapes of each."""

from typing import Any

import numpy as np
import orjson

from papertape.engine.candles import DAY_MS
from papertape.replay.exchange.book import Level, book_at
from papertape.replay.exchange.derived import (
    Day,
    day_of,
    funding_rate,
    next_settlement_ms,
    open_interest,
    open_interest_change,
)
from papertape.replay.exchange.market import TapeMarket
from papertape.replay.exchange.messages import US, Host, number, price_text
from papertape.replay.exchange.quirks import Switches


def _top(market: TapeMarket, now_ms: int) -> tuple[Level | tuple[None, None], Level | tuple[None, None]]:
    book = book_at(market, now_ms)
    nothing = (None, None)
    if book is None:
        return nothing, nothing
    return book.asks[0], (book.bids[0] if book.bids else nothing)


def _price(market: TapeMarket, now_ms: int) -> str | None:
    price = market.last_price(now_ms)
    return None if price is None else price_text(price)


def _change(day: Day) -> str:
    """Return the change over the day in percent."""
    return f"{100.0 * (day.close / day.open - 1.0):.4f}" if day.open and day.close else "0"


def _band(market: TapeMarket, now_ms: int) -> tuple[str, str]:
    price = market.last_price(now_ms) or 0.0
    return price_text(round(price * 0.95, 8)), price_text(round(price * 1.05, 8))


def ticker_frame(market: TapeMarket, symbol: str, now_ms: int, switches: Switches) -> bytes:
    """Return a compact ticker."""
    day, (ask, bid) = day_of(market, now_ms), _top(market, now_ms)
    ohlc = [number(v, switches.numbers) for v in (day.open, day.high, day.low, day.close)]
    element = {
        "g": [None] * 5,
        "i": market.listing.id,
        "m": _price(market, now_ms),
        "m24hc": _change(day),
        "ohlc": ohlc,
        "oi": [str(open_interest(market, now_ms)), f"{open_interest_change(market, now_ms):.4f}"],
        "pb": list(_band(market, now_ms)),
        "q": [*ask, *bid, None],
        "qiv": [None, None, None],
        "s": market.symbol,
        "to": [day.turnover, day.turnover],
    }
    values = {"d": [element], "sp": _price(market, now_ms), "sy": symbol, "ts": now_ms * US}
    return orjson.dumps({**values, "type": "ticker"})


def ticker_values(market: TapeMarket, now_ms: int) -> dict[str, Any]:
    """Return the ticker of REST and of the legacy host."""
    day, (ask, bid), listing = day_of(market, now_ms), _top(market, now_ms), market.listing
    base, quote = listing.assets
    contracts, (lower, upper) = open_interest(market, now_ms), _band(market, now_ms)
    price = _price(market, now_ms)
    return {
        "symbol": market.symbol,
        "product_id": listing.id,
        "contract_type": "perpetual_futures",
        "description": f"{base} perpetual",
        **{name: getattr(day, name) for name in ("open", "high", "low", "close")},
        "size": round(day.volume),
        "volume": day.volume * float(listing.contract_value),
        "turnover": day.turnover,
        "turnover_usd": day.turnover,
        "turnover_symbol": quote,
        "mark_price": price,
        "spot_price": price,
        "mark_basis": "0",
        "mark_change_24h": _change(day),
        "ltp_change_24h": _change(day),
        "funding_rate": price_text(funding_rate(market, now_ms)),
        "oi": str(contracts),
        "oi_contracts": str(contracts),
        "oi_value": str(contracts),
        "oi_value_symbol": base,
        "oi_value_usd": f"{contracts * (day.close or 0.0):.4f}",
        "oi_change_usd_6h": f"{open_interest_change(market, now_ms):.4f}",
        "price_band": {"lower_limit": lower, "upper_limit": upper},
        "quotes": {
            "best_ask": ask[0],
            "ask_size": ask[1],
            "best_bid": bid[0],
            "bid_size": bid[1],
            "ask_iv": None,
            "bid_iv": None,
            "mark_iv": None,
            "impact_mid_price": None,
        },
        "tick_size": f"{listing.tick_size.normalize():f}",
        "contract_value": f"{listing.contract_value:f}",
        "product_trading_status": listing.trading_status,
        "greeks": None,
        "strike_price": None,
        "initial_margin": "1",
        "leverage": 100,
        "tags": ["layer_1"],
        # The start of the day, as the venue has it; `timestamp` is now.
        "time": f"{np.datetime64(now_ms - DAY_MS, 'ms')}000Z",
        "timestamp": now_ms * US,
    }


def legacy_ticker_frame(market: TapeMarket, now_ms: int) -> bytes:
    """Return a `v2/ticker` frame."""
    return orjson.dumps({**ticker_values(market, now_ms), "type": "v2/ticker"})


def mark_frame(host: Host, market: TapeMarket, symbol: str, now_ms: int) -> bytes:
    """Return a mark price."""
    price = _price(market, now_ms)
    if host == "compact":
        values: dict[str, Any] = {"p": price, "sy": symbol, "ts": now_ms * US}
    else:
        lower, upper = _band(market, now_ms)
        values = {
            "annualized_basis": "0",
            "price": price,
            "price_band": {"lower_limit": lower, "upper_limit": upper},
            "symbol": symbol,
            "timestamp": now_ms * US,
        }
    return orjson.dumps({**values, "type": "mark_price"})


def index_frame(host: Host, market: TapeMarket, symbol: str, now_ms: int) -> bytes:
    """Return an index price; on the compact host a text or a number, and at times without its own time."""
    price, second = market.last_price(now_ms), now_ms // 1000
    text = None if price is None else price_text(price)
    if host == "legacy":
        return orjson.dumps({"price": text, "symbol": symbol, "type": "spot_price"})
    values = {
        "p": price if second % 2 else text,
        "sy": symbol,
        "ts": None if second % 5 == 0 else now_ms * US,
    }
    return orjson.dumps({**values, "type": "spot_price"})


def funding_frame(host: Host, market: TapeMarket, symbol: str, now_ms: int) -> bytes:
    """Return the running funding estimate, in percent per interval."""
    rate, settled_us = funding_rate(market, now_ms), next_settlement_ms(market, now_ms) * US
    interval_s = market.listing.funding_s
    if host == "compact":
        values: dict[str, Any] = {
            "fi": interval_s,
            "fr": rate,
            "nfr": settled_us,
            "sy": symbol,
            "ts": now_ms * US,
        }
    else:
        values = {
            "funding_interval": interval_s,
            "funding_rate": rate,
            "funding_rate_8h": rate * 28_800 / interval_s,
            "next_funding_realization": settled_us,
            "predicted_funding_rate": rate,
            "symbol": symbol,
            "timestamp": now_ms * US,
        }
    return orjson.dumps({**values, "type": "funding_rate"})


def best_frame(market: TapeMarket, symbol: str, now_ms: int) -> bytes:
    """Return the best levels."""
    ask, bid = _top(market, now_ms)
    values = {"ap": ask[0], "as": ask[1], "bp": bid[0], "bs": bid[1], "lts": now_ms * US}
    return orjson.dumps({**values, "sy": symbol, "ts": now_ms * US + 57, "type": "ob_l1"})


def depth_frame(market: TapeMarket, symbol: str, now_ms: int) -> bytes:
    """Return fifteen levels a side."""
    book = book_at(market, now_ms)
    values = {"a": book.asks if book else [], "b": book.bids if book else [], "lts": now_ms * US}
    return orjson.dumps({**values, "sy": symbol, "ts": now_ms * US + 57, "type": "ob_l2"})
