"""
Which markets of a ccxt venue are there, and which of them trade: by its catalogue, and by what its history refuses.

    gone     missing from the catalogue, refused by the history (BadSymbol, NotSupported), or left out of the account
    halted   in the catalogue with `active: false`: trading is not possible now, and may be again. ccxt cannot say
             whether that is for good, so nothing is closed

Source: ccxt manual, "Market structure" (`active`) and "Error handling" (4.5.90). A catalogue costs a venue dearly and
takes up to a second to parse, so it is read again after hours, and sooner only where something speaks for a change.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from papertape.replay.ccxt_venue import find_market
from papertape.replay.http_errors import RestRefused

READ_EVERY_S: Final = 21_600.0
DOUBT_EVERY_S: Final = 600.0  # while a symbol is silent, halted or gone


class CcxtMarkets:
    """
    The markets of an account in the catalogue that an exchange object has loaded.

    known     symbols that the account has a price of: of these it is no fault that they are listed no longer
    dropped   symbols that the account has and the configuration no longer names
    unified   ccxt's name of each symbol that was ever listed
    refused   what the history said of symbols that it refuses
    halted    symbols that do not trade now
    """

    def __init__(
        self, symbols: Sequence[str], known: Collection[str], dropped: Collection[str]
    ) -> None:
        self.unified: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.halted: set[str] = set()
        self._symbols = tuple(symbols)
        self._known, self._dropped = frozenset(known), frozenset(dropped)
        self._listed: set[str] = set()
        self._before: tuple[Any, Any] = ({}, {})

    def read(self, exchange: Any) -> bool:
        """
        Take the catalogue as it is loaded; after an empty one put that of before back, and return False.

        Raises RestRefused for a symbol of a new account that is not listed.
        """
        if self._before[0] and not exchange.markets:
            exchange.markets, exchange.markets_by_id = self._before
            return False
        self._before = exchange.markets, exchange.markets_by_id
        for symbol in self._symbols:
            if symbol in self._dropped:
                continue
            market = self._find(exchange, symbol)
            (self._listed.discard if market is None else self._listed.add)(symbol)
            is_halted = market is not None and market.get("active") is False
            (self.halted.add if is_halted else self.halted.discard)(symbol)
        return True

    def is_known(self, symbol: str) -> bool:
        """Return whether the account began with this symbol, so that a refusal is a change and no fault."""
        return symbol in self._known

    def why_gone(self, symbol: str) -> str:
        """Return why a symbol has no candles any more; "" when it has."""
        if symbol in self._dropped:
            return "no longer followed"
        if symbol not in self._listed:
            return "no longer listed"
        reason = self.refused.get(symbol)
        return f"no longer listed ({reason})" if reason else ""

    def _find(self, exchange: Any, symbol: str) -> Any:
        """Return a market of the catalogue; None: it is listed no longer."""
        if symbol not in self.unified:
            try:
                self.unified[symbol] = find_market(exchange, symbol).unified
            except RestRefused:
                if symbol not in self._known:
                    raise
                return None
        # Never another market that now bears the plain name.
        return exchange.markets.get(self.unified[symbol])
