"""
Silent subscriptions: the venue acknowledges unknown symbols and then says nothing (delta-exchange.md 3.3).

Silence alone proves nothing, markets may be quiet. But a candle that traded, by the venue's own history, and of which the
stream showed nothing, was lost. After two such candles in a row the symbol is subscribed anew, after four it counts as
degraded: its candles come from the history alone, as they do anyway, until the stream shows it again. When three were
lost of every symbol, it is the connection that has gone silent, and a new one is made.
"""

from collections.abc import Iterable
from enum import Enum

RENEW_AFTER = 2
RECONNECT_AFTER = 3
DEGRADE_AFTER = 4


class Remedy(Enum):
    """What to do about a symbol."""

    NONE = "nothing"
    RENEW = "subscribe anew"
    RECONNECT = "connect anew"
    DEGRADE = "tell that it is polled"


class Freshness:
    """How many candles in a row the stream has not shown, by symbol."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._n_missed = dict.fromkeys(symbols, 0)

    def forget(self, symbol: str) -> None:
        """Expect nothing of a symbol that is gone, until it is shown again."""
        self._n_missed.pop(symbol, None)

    def shown(self, symbol: str) -> bool:
        """Take note of a frame; return whether it ends a degradation."""
        was_degraded = self._n_missed.get(symbol, 0) >= DEGRADE_AFTER
        self._n_missed[symbol] = 0
        return was_degraded

    def missed(self, symbol: str) -> Remedy:
        """Take note of a candle that traded unseen while the stream was up."""
        n = self._n_missed[symbol] = self._n_missed.get(symbol, 0) + 1
        if n == RENEW_AFTER:
            return Remedy.RENEW
        if n == RECONNECT_AFTER and min(self._n_missed.values()) >= n:
            return Remedy.RECONNECT
        return Remedy.DEGRADE if n == DEGRADE_AFTER else Remedy.NONE
