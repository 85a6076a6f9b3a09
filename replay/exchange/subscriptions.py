"""
What a connection is subscribed to, and the venue's answer to each message (reference 3.2 and 3.3), without any socket.

A symbol that does not exist is acknowledged like a good one and stays silent. Text that is no message gets no answer.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from papertape.replay.exchange.messages import Host

STREAM_RESOLUTIONS: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d", "1w")
_CANDLES: Final = tuple(f"candlestick_{name}" for name in STREAM_RESOLUTIONS)
_BOTH: Final = (*_CANDLES, "mark_price", "spot_price", "funding_rate")
WITH_SYMBOLS: Final[dict[Host, frozenset[str]]] = {
    "compact": frozenset((*_BOTH, "ticker", "trades", "ob_l1", "ob_l2", "ob_updates")),
    "legacy": frozenset((*_BOTH, "v2/ticker", "all_trades")),
}
WITHOUT_SYMBOLS: Final = frozenset(("system_status", "product_updates"))
_BOOKS: Final = frozenset(("ob_l2", "ob_updates"))
_BOOK_SYMBOLS_MAX: Final = 100
_PRIVATE: Final = frozenset(
    ("trading_notifications", "orders", "positions", "margins", "user_trades", "v2/user_trades")
)
_CATEGORIES: Final = frozenset(("all", "perpetual_futures"))

Topic = tuple[str, str]  # channel, symbol; no symbol: ""


class Reply(NamedTuple):
    """What the venue says and does after a message."""

    message: dict[str, Any]
    joined: tuple[Topic, ...] = ()
    left: tuple[Topic, ...] = ()


class Subscriptions:
    """
    The subscriptions of one connection.

    symbols  what is listed; categories stand for all of it
    """

    def __init__(self, host: Host, symbols: Iterable[str]) -> None:
        self._host: Host = host
        self._listed = tuple(symbols)
        self._channels: dict[str, dict[str, None]] = {}

    def __bool__(self) -> bool:
        return bool(self._channels)

    def subscribe(self, payload: object) -> Reply:
        """Add channels; each that fails is answered with its error, and a frame of only unknown ones is refused."""
        wanted = _channels(payload)
        if not any(self._is_known(name) or name in _PRIVATE for name, _ in wanted):
            message = "Subscription forbidden: Invalid channel array"
            return Reply({"message": message, "type": "error"})
        joined: list[Topic] = []
        errors = []
        for name, symbols in wanted:
            error = self._refusal(name, symbols)
            if error is not None:
                errors.append({"error": error, "name": name})
                continue
            have = self._channels.setdefault(name, {})
            for symbol in self._expanded(name, symbols or ()):
                if symbol not in have:
                    have[symbol] = None
                    joined.append((name, symbol))
        return Reply(self._listing(errors), joined=tuple(joined))

    def unsubscribe(self, payload: object) -> Reply:
        """Drop symbols, or a whole channel when none are given."""
        left: list[Topic] = []
        for name, symbols in _channels(payload):
            have = self._channels.get(name)
            if have is None:
                continue
            for symbol in list(have) if symbols is None else self._expanded(name, symbols):
                if symbol in have:
                    del have[symbol]
                    left.append((name, symbol))
            if not have:
                del self._channels[name]
        return Reply(self._listing([]), left=tuple(left))

    def topics(self) -> list[Topic]:
        """Return everything subscribed to."""
        return [(name, symbol) for name, have in self._channels.items() for symbol in have]

    def _is_known(self, name: str) -> bool:
        return name in WITH_SYMBOLS[self._host] or name in WITHOUT_SYMBOLS

    def _refusal(self, name: str, symbols: list[str] | None) -> str | None:
        if name in _PRIVATE:
            return f"subscription forbidden on {name}. Unauthorized user"
        if not self._is_known(name):
            return "subscription forbidden on this invalid channel"
        if name in WITHOUT_SYMBOLS:
            return None
        if not symbols:
            return "subscription forbidden without symbol array on this channel"
        n = len(self._channels.get(name, {}).keys() | symbols)
        if name in _BOOKS and n > _BOOK_SYMBOLS_MAX:
            return "subscription forbidden on this channel with more than 100 symbols"
        return None

    def _expanded(self, name: str, symbols: Iterable[str]) -> list[str]:
        """Return the symbols with categories written out; channels without symbols have one empty one."""
        if name in WITHOUT_SYMBOLS:
            return [""]
        found: list[str] = []
        for symbol in symbols:
            found += self._listed if symbol in _CATEGORIES and name not in _BOOKS else (symbol,)
        return found

    def _listing(self, errors: list[dict[str, Any]]) -> dict[str, Any]:
        channels: list[dict[str, Any]] = []
        for name, have in self._channels.items():
            is_plain = name in WITHOUT_SYMBOLS
            channels.append({"name": name} if is_plain else {"name": name, "symbols": list(have)})
        return {"channels": [*channels, *errors], "type": "subscriptions"}


def _channels(payload: object) -> list[tuple[str, list[str] | None]]:
    """Return (name, symbols or None) of what is readable in a payload."""
    listed = payload.get("channels") if isinstance(payload, dict) else None
    found: list[tuple[str, list[str] | None]] = []
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            symbols = entry.get("symbols")
            texts = None
            if isinstance(symbols, list):
                texts = [text for text in symbols if isinstance(text, str)]
            found.append((entry["name"], texts))
    return found
