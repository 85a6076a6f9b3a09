"""
What a request for a feature says, read once: `BTCUSDT:rsi_14:first@4h` is a symbol, a name with its variant, a timeframe.

A symbol may hold colons itself (`BTC/USDT:USDT`), so a request is read from its end: the timeframe behind the last @, the
variant behind the last colon, the name between that and the colon before it; what is left is the symbol.
"""

from typing import Final, NamedTuple

from papertape.engine.errors import ConfigError

VARIANTS: Final = ("first",)  # from which candle on: the first, in place of the one that ends a mean


class RequestParts(NamedTuple):
    """
    What a request says; symbol and timeframe are empty where they are the strategy's own.

    >>> split_request("BTC/USDT:USDT:ema_12:first@4h")
    RequestParts(symbol='BTC/USDT:USDT', name='ema_12:first', timeframe='4h')
    """

    symbol: str
    name: str
    timeframe: str

    def label(self, column: str) -> str:
        """Return the name that a column of this feature has for whoever asked."""
        symbol = f"{self.symbol}:" if self.symbol else ""
        return f"{symbol}{column}@{self.timeframe}" if self.timeframe else f"{symbol}{column}"


def split_request(text: str) -> RequestParts:
    """Return what a request says, or raise ConfigError for one of which a part is missing or out of place."""
    body, at, timeframe = text.rpartition("@")
    if not at or ":" in timeframe:
        body, at, timeframe = text, "", ""
    if at and not timeframe:
        raise ConfigError(f"feature {text!r}: there is no timeframe behind the @")
    rest, variant = split_variant(body)
    symbol, colon, name = rest.rpartition(":")
    if (colon and not symbol) or not name:
        raise ConfigError(f"feature {text!r}: write SYMBOL:{name or 'rsi_14'}, or {name or 'rsi_14'}")
    ending = f":{variant}" if variant else ""
    if "@" in name:
        name, _, timeframe = name.partition("@")
        raise ConfigError(
            f"feature {text!r}: the timeframe comes last; write {symbol}{colon}{name}{ending}@{timeframe}"
        )
    return RequestParts(symbol, f"{name}{ending}", timeframe)


def split_variant(name: str) -> tuple[str, str]:
    """Return a feature's name and its variant, empty for none."""
    body, _, variant = name.rpartition(":")
    return (body, variant) if body and variant in VARIANTS else (name, "")
