"""
Frames of both generations of the protocol, as bytes: short keys on the compact host, long ones on the legacy host.

Keys are in alphabetical order, times are microseconds, and each number has the JSON type that the venue gives it.
"""

from typing import Any, Final, Literal

import numpy as np
import orjson

from papertape.replay.exchange.quirks import Numbers, Switches
from papertape.replay.exchange.trades import Candle, Trade

Host = Literal["compact", "legacy"]
US: Final = 1000  # microseconds per millisecond


def price_text(price: float) -> str:
    """Return a price as text that reads back to the same number, never with an exponent."""
    text = repr(price)
    if "e" in text:
        return str(np.format_float_positional(price, trim="0"))
    return text


def number(value: float | None, numbers: Numbers, is_whole_short: bool = False) -> Any:
    """Return a number as the switch has it; the legacy host leaves the point out of whole ones."""
    if value is None:
        return None
    if numbers == "strings":
        return price_text(value)
    if (numbers == "ints" or is_whole_short) and value.is_integer():
        return int(value)
    return value


def candle_frame(
    host: Host, symbol: str, resolution: str, candle: Candle, publish_ms: int, switches: Switches
) -> bytes:
    """Return one state of a candle; a mark price has no volume."""
    ts = (publish_ms - switches.trail_ms) * US
    _, start, high, low, close, volume = candle
    kind = switches.numbers
    if host == "legacy":
        values = {
            "candle_start_time": candle.open_ms * US,
            "close": number(close, kind, True),
            "high": number(high, kind, True),
            "last_updated": ts,
            "low": number(low, kind, True),
            "open": number(start, kind, True),
            "resolution": resolution,
            "symbol": symbol,
            "timestamp": ts,
            "type": f"candlestick_{resolution}",
        }
        if not symbol.startswith("MARK:"):
            values["volume"] = number(volume, kind, True)
        return orjson.dumps(values)
    values = {"c": number(close, kind)}
    if switches.has_cst:
        values["cst"] = candle.open_ms * US
    values |= {
        "h": number(high, kind),
        "l": number(low, kind),
        "o": number(start, kind),
        "res": resolution,
        "sy": symbol,
        "ts": ts,
        "type": f"candlestick_{resolution}",
    }
    if not symbol.startswith("MARK:"):
        values["v"] = number(volume, kind)
    return orjson.dumps(values)


def trade_values(trade: Trade) -> dict[str, Any]:
    """Return a match in the long form, as the history and the legacy host have it."""
    return {
        "buyer_role": "taker" if trade.is_buy else "maker",
        "price": price_text(trade.price),
        "seller_role": "maker" if trade.is_buy else "taker",
        "size": number(trade.size, "documented", True),
        "timestamp": trade.time_ms * US,
    }


def trade_frame(host: Host, symbol: str, trade: Trade, publish_ms: int, numbers: Numbers) -> bytes:
    """Return one match."""
    if host == "legacy":
        return orjson.dumps({**trade_values(trade), "symbol": symbol, "type": "all_trades"})
    return orjson.dumps(
        {
            "p": price_text(trade.price),
            "r": "t" if trade.is_buy else "m",
            "s": number(trade.size, numbers),
            "sy": symbol,
            "t": trade.time_ms * US,
            "ts": publish_ms * US,
            "type": "trades",
        }
    )
