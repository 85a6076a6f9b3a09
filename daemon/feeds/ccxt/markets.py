"""
Which markets of a ccxt venue are there, and which of them trade: by its catalogue, and by what its history refuses.

    halted   in the catalogue with `active: false`: trading is not possible now, and may be again
    gone     missing from the catalogue, refused by the history (BadSymbol, NotSupported), left out of the account, or
             halted and without a trade for a day: some venues keep what they delisted in their catalogue, and ccxt
             cannot say what is for good

Source: ccxt manual, "Market structure" (`active`) and "Error handling" (4.5.90). A catalogue costs a venue dearly and
takes up to a second to parse, so it is read again after hours, and sooner only where something speaks for a change.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final

from papertape.daemon.feeds.ccxt.figures import CcxtSaid, leverage_tiers, said_of
from papertape.daemon.feeds.protocol import Notice, NoticeKind, OnNotice
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.ccxt_markets import find_market
from papertape.replay.sources.errors import RestRefused, RestUnavailable
from papertape.replay.tapes.timestamps import utc_text

READ_EVERY_S: Final = 21_600.0
# While a symbol is silent, halted or gone; and of tiers that are not known.
DOUBT_EVERY_S: Final = 600.0
# maintenance takes hours; what stands still for longer is not waited for
GONE_AFTER_S: Final = 86_400.0


class CcxtMarkets:
    """
    The markets of an account in the catalogue that an exchange object has loaded.

    known     symbols that the account has a price of: of these it is no fault that they are listed no longer
    dropped   symbols that the account has and the configuration no longer names
    untiered  symbols of which the configuration says what must be maintained: nobody's tiers count beside that
    unified   ccxt's name of each symbol that was ever listed
    refused   what the history said of symbols that it refuses
    said      what the catalogue and the tiers of leverage say of each symbol that is listed
    are_tiers_missing  whether those of a perpetual should be asked for again soon
    """

    def __init__(
        self,
        symbols: Sequence[str],
        known: Collection[str],
        dropped: Collection[str],
        on_notice: OnNotice = lambda notice: None,
        untiered: Collection[str] = (),
    ) -> None:
        self.unified: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self._halted_ms: dict[str, int] = {}  # when that was read first
        self._traded_ms: dict[str, int] = {}
        self._symbols, self._on_notice = tuple(symbols), on_notice
        self._known, self._dropped = frozenset(known), frozenset(dropped)
        self._untiered = frozenset(untiered)
        self._listed: set[str] = set()
        self._before: tuple[Any, Any] = ({}, {})
        self.said: dict[str, CcxtSaid] = {}
        self._tiers: dict[str, Sequence[Any]] = {}  # of what the venue has answered about
        self._failures: Counter[str] = Counter()  # of asking, by unified symbol
        self.are_tiers_missing = self._is_silent = False
        # When the catalogue was loaded and tiers were asked for; 0: before `due` was asked.
        self._loaded_ms = self._asked_ms = 0

    @property
    def halted(self) -> Collection[str]:
        """Return the symbols that do not trade now."""
        return self._halted_ms.keys()

    def due(self, now_ms: int, *, is_off: bool) -> Callable[[CcxtHistory], Awaitable[None]] | None:
        """
        Return what is to be asked now: the catalogue after hours, or soon, else tiers that are missing.

        is_off  whether something speaks for a change of the catalogue
        """
        self._loaded_ms, self._asked_ms = self._loaded_ms or now_ms, self._asked_ms or now_ms
        every_s = DOUBT_EVERY_S if is_off or self._halted_ms else READ_EVERY_S
        if now_ms - self._loaded_ms >= every_s * 1000.0:
            self._loaded_ms = self._asked_ms = now_ms
            return self.load
        if self.are_tiers_missing and now_ms - self._asked_ms >= DOUBT_EVERY_S * 1000.0:
            self._asked_ms = now_ms
            return partial(self.ask_tiers, is_missing_alone=True)
        return None

    async def load(self, history: CcxtHistory) -> None:
        """Load the catalogue again, for which RestError is raised where that fails, and the tiers of leverage."""
        await history.call("load_markets", True)
        await self.ask_tiers(history)

    async def ask_tiers(self, history: CcxtHistory, *, is_missing_alone: bool = False) -> None:
        """
        Learn the tiers of leverage of the perpetuals, where the venue gives them; that it does not answer is told.

        is_missing_alone  of those that it has not answered about yet
        """
        exchange = history.exchange
        asked = [symbol for symbol in self._symbols if symbol not in self._untiered]
        found = [self._find(exchange, symbol) for symbol in asked]
        swaps = [str(m["symbol"]) for m in found if m is not None and m.get("swap")]
        if not swaps:
            return
        # What was not answered comes last, and what is not known first: one symbol keeps no other from its own.
        left = sorted(swaps, key=lambda symbol: (self._failures[symbol], symbol in self._tiers))
        if is_missing_alone:
            left = [symbol for symbol in left if symbol not in self._tiers]
        try:
            async for symbol, tiers in leverage_tiers(exchange, history.call, tuple(left)):
                self._tiers[symbol] = tiers or self._tiers.get(symbol, ())
                left.remove(symbol)
        except RestUnavailable as error:
            self._failures[left[0]] += 1
            self._tell_tiers(history, f"{error}; margins stay as they are known", is_silent=True)
        else:
            self._tell_tiers(history, "the venue tells them again", is_silent=False)
        self.are_tiers_missing = not self._tiers.keys() >= set(swaps)

    def _tell_tiers(self, history: CcxtHistory, detail: str, *, is_silent: bool) -> None:
        """Tell that the venue does not answer about tiers, or does again, once each: it is asked every few minutes."""
        if is_silent is not self._is_silent:
            self._is_silent, now_ms = is_silent, history.venue_now_ms()
            self._on_notice(Notice(NoticeKind.VENUE, now_ms, detail=f"leverage tiers: {detail}"))

    def read(self, exchange: Any, now_ms: int) -> bool:
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
            if market is not None:
                is_tiered = market.get("swap") and symbol not in self._untiered
                tiers = self._tiers.get(market["symbol"]) if is_tiered else ()
                self.said[symbol] = said_of(exchange, market, tiers)
            if market is not None and market.get("active") is False:
                self._halted_ms.setdefault(symbol, now_ms)
            else:
                self._halted_ms.pop(symbol, None)
        return True

    def traded(self, symbol: str, open_ms: int) -> None:
        """Take note of the newest candle that traded; 0: of none, as far as was looked."""
        self._traded_ms[symbol] = max(open_ms, self._traded_ms.get(symbol, 0))

    def is_known(self, symbol: str) -> bool:
        """Return whether the account began with this symbol, so that a refusal is a change and no fault."""
        return symbol in self._known

    def why_gone(self, symbol: str, now_ms: int) -> str:
        """Return why a symbol has no candles any more; "" when it has."""
        if symbol in self._dropped:
            return "no longer followed"
        if symbol not in self._listed:
            return "no longer listed"
        if reason := self.refused.get(symbol):
            return f"no longer listed ({reason})"
        if symbol not in self._halted_ms:
            return ""
        # Of a market without any known trade it counts from when we read of it: its history may say nothing.
        since_ms = self._traded_ms.get(symbol) or self._halted_ms[symbol]
        is_over = now_ms - since_ms >= GONE_AFTER_S * 1000.0
        return f"not active, and without a trade since {utc_text(since_ms)}" if is_over else ""

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
