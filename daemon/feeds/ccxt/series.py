"""
Marks, index prices and open interest at a venue known to ccxt: asked for twice a minute, for few of its streams tell them.

Of a mark that is asked for now and then nobody knows the range within a candle, so it is a value for features and
liquidation stays with the last price. What a venue does not offer is told once and not asked for again.
Source: ccxt manual, "Funding Rate" and "Open Interest" (4.5.90).
"""

from collections.abc import Callable
from typing import Any, Final

from papertape.daemon.feeds.ccxt.markets import CcxtMarkets
from papertape.daemon.feeds.protocol import Notice, NoticeKind, OnNotice
from papertape.daemon.feeds.series import LiveSeries
from papertape.engine.records import INDEX_PRICE, LONG_SHORT_RATIO, MARK_PRICE, OPEN_INTEREST
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.errors import RestError, RestRefused, RestUnavailable

ASKED_EVERY_S: Final = 30.0
ASKED_FRESH_MS: Final = 120_000  # three answers may be missing
IDLE_S: Final = 1.0  # until the feed has opened the exchange
# A method of ccxt's, what it is called in `has`, and in which field of its answer each series is.
_METHODS: Final = (
    ("fetch_funding_rate", "fetchFundingRate", {MARK_PRICE: "markPrice", INDEX_PRICE: "indexPrice"}),
    ("fetch_open_interest", "fetchOpenInterest", {OPEN_INTEREST: "openInterestAmount"}),
)


class CcxtSeries:
    """
    Asks a venue for the series that are asked for here.

    history   asks; `markets` has ccxt's names. Both are the feed's, and are there once it is read
    """

    def __init__(
        self,
        history: Callable[[], CcxtHistory],
        markets: CcxtMarkets,
        series: LiveSeries,
        clock: Clock,
        on_notice: OnNotice,
    ) -> None:
        self._history, self._markets, self._series = history, markets, series
        self._clock, self._on_notice = clock, on_notice
        self._refused: set[tuple[str, str]] = set()  # (symbol, method), never asked again
        self._troubled: set[tuple[str, str]] = set()  # the same, told and asked again

    async def run(self) -> None:
        """Ask for ever."""
        while not self._markets.unified:
            await self._clock.sleep(IDLE_S)
        if LONG_SHORT_RATIO in self._series.kinds:
            self._tell("", "long_short_ratio: it is not followed live")
        while True:
            asked_ms = self._clock.now_ms()
            for symbol, unified in list(self._markets.unified.items()):
                for method, has, fields in _METHODS:
                    if not self._series.kinds.isdisjoint(fields):
                        await self._ask(symbol, unified, method, has, fields)
            took_s = (self._clock.now_ms() - asked_ms) / 1000.0
            await self._clock.sleep(max(ASKED_EVERY_S - took_s, IDLE_S))

    async def _ask(self, symbol: str, unified: str, method: str, has: str, fields: dict[int, str]) -> None:
        """Ask one method about one symbol, and hand on what it says."""
        history, key = self._history(), (symbol, method)
        if key in self._refused:
            return
        if not history.exchange.has.get(has):
            self._refuse(key, f"{history.exchange.id} does not offer it")
            return
        try:
            answer = await history.call(method, unified)
            now_ms = history.venue_now_ms()
            said_ms = _said_ms(answer, now_ms)
        except RestRefused as error:
            self._refuse(key, str(error))
        except RestError as error:
            if key not in self._troubled:
                self._troubled.add(key)
                self._tell(symbol, f"{method}: {error}")
        else:
            self._troubled.discard(key)
            if now_ms - said_ms > ASKED_FRESH_MS:
                return  # an old value that comes now; that nothing fresh comes is told by the candles
            for kind, field in fields.items():
                self._series.tell(symbol, kind, _number(answer.get(field)), now_ms)

    def _refuse(self, key: tuple[str, str], why: str) -> None:
        self._refused.add(key)
        self._tell(key[0], f"{key[1]}: {why}; it is not asked for again")

    def _tell(self, symbol: str, detail: str) -> None:
        notice = Notice(NoticeKind.VENUE, self._clock.now_ms(), symbol, detail=f"series: {detail}")
        self._on_notice(notice)


def _said_ms(answer: Any, now_ms: int) -> float:
    """Return of when an answer is, which is now where it does not say; raises RestUnavailable for what is no answer."""
    if not isinstance(answer, dict):
        raise RestUnavailable(f"the answer is {answer!r:.40}, which is no dict")
    said_ms = answer.get("timestamp") or now_ms
    if not isinstance(said_ms, int | float) or not 0.0 <= said_ms < 1e18:
        raise RestUnavailable(f"timestamp: {said_ms!r:.40} is no number")
    return said_ms


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None
