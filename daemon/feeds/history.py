"""
What the feed wants of a venue's history, and the patience to get it: `papertape.replay.sources.delta_rest.DeltaRest` has this shape.
"""

import random
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from typing import Protocol, TypeVar

from papertape.daemon.feeds.finality.bars import HistoryRequest
from papertape.daemon.feeds.finality.finality import Finality
from papertape.daemon.feeds.venue_clock import VenueClock
from papertape.engine.errors import ConfigError, DataError, did_you_mean
from papertape.engine.jit import Rows
from papertape.replay.runtime.clock import Clock

ASK_WITHIN_S = 5.0  # about candles that wait for it
FETCH_WITHIN_S = 60.0  # a page of the backfill, its retries included
FIRST_PAUSE_S = 1.0
LAST_PAUSE_S = 30.0
T = TypeVar("T")


class Contract(Protocol):
    """A contract, as far as a feed cares."""

    @property
    def contract_value(self) -> float:
        """Base units per contract."""

    @property
    def tick_size(self) -> float:
        """Price step."""

    @property
    def funding_interval_s(self) -> int:
        """From one settlement to the next, seconds."""

    @property
    def state(self) -> str:
        """Whether it is listed: live or not."""

    @property
    def trading_status(self) -> str:
        """Whether orders are matched: operational or not."""


class HistoryClient(Protocol):
    """A venue's history of candles and its list of products."""

    @property
    def clock_offset_ms(self) -> float | None:
        """The venue's clock minus ours, None before it was measured."""

    @property
    def clock_doubt_ms(self) -> float:
        """How far off that may be."""

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        first_ms: int,
        last_ms: int,
        *,
        volume_scale: float = 1.0,
        include_forming: bool = False,
    ) -> Rows:
        """Return candles by open time, both ends included, never from the future."""

    async def products(self) -> Mapping[str, Contract]:
        """Return every product by symbol."""


class History:
    """
    A source that is asked with patience.

    on_trouble   called with the error when a page or the products must be asked for again, once until that works
    products     of the configured symbols, as last loaded
    listed       those of them that the venue listed as live then
    """

    def __init__(
        self,
        source: HistoryClient,
        timeframe: str,
        clock: Clock,
        venue: VenueClock,
        chance: random.Random,
        on_trouble: Callable[[str], None] = lambda error: None,
    ) -> None:
        self._on_trouble = on_trouble
        self._is_in_trouble = False
        self.products: dict[str, Contract] = {}
        self.listed: set[str] = set()
        self._source, self._timeframe = source, timeframe
        self._clock, self._venue, self._chance = clock, venue, chance

    def scale(self, symbol: str) -> float:
        """Return base units per contract: the one factor of every volume, whatever way it came."""
        return self.products[symbol].contract_value

    async def ask(self, request: HistoryRequest, table: Finality) -> None:
        """Put one request of the table and give it the answer, or the failure."""
        try:
            async with self._clock.timeout(ASK_WITHIN_S):
                rows = await self._candles(request.symbol, request.first_ms, request.last_ms)
        except (DataError, TimeoutError):
            table.fail(request)
        else:
            table.answer(request, rows, self._venue.now_ms())

    async def fetch(self, symbol: str, first_ms: int, last_ms: int) -> Rows:
        """Return a page of history, however long it takes."""
        return await self._insist(lambda: self._candles(symbol, first_ms, last_ms))

    async def load_products(self, symbols: Iterable[str], known: Container[str] = ()) -> dict[str, str]:
        """
        Learn the contracts of some symbols, however long it takes; return what has changed since the last time.

        known   symbols that the account has: of these it is no fault that they are listed no longer

        Raises ConfigError for any other symbol that is not listed and never was.
        """
        catalogue = await self._insist(self._source.products)
        changes = {}
        for symbol in symbols:
            product, before = catalogue.get(symbol), self.products.get(symbol)
            is_live = product is not None and product.state == "live"
            if not is_live and before is None and symbol not in known:
                hint = did_you_mean(symbol, catalogue) if product is None else f" now: {product.state}"
                raise ConfigError(f"live.symbols: {symbol!r} is not listed{hint}")
            (self.listed.add if is_live else self.listed.discard)(symbol)
            if product is None:
                continue
            if before is not None and (change := _difference(before, product)):
                changes[symbol] = change
            self.products[symbol] = product
        return changes

    async def _insist(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to a question that is asked until it is answered."""
        n_failures = 0
        while True:
            try:
                async with self._clock.timeout(FETCH_WITHIN_S):
                    answer = await question()
            except (DataError, TimeoutError) as error:
                if not self._is_in_trouble:
                    self._on_trouble(str(error) or "no answer")
                self._is_in_trouble = True
            else:
                self._is_in_trouble = False
                self._measure()
                return answer
            bound_s = min(LAST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(n_failures, 10))
            await self._clock.sleep(self._chance.uniform(0.0, bound_s))
            n_failures += 1

    async def _candles(self, symbol: str, first_ms: int, last_ms: int) -> Rows:
        rows = await self._source.candles(
            symbol, self._timeframe, first_ms, last_ms, volume_scale=self.scale(symbol), include_forming=True
        )
        self._measure()
        return rows

    def _measure(self) -> None:
        if self._source.clock_offset_ms is not None:
            self._venue.header_offset_ms = self._source.clock_offset_ms
            self._venue.header_doubt_ms = self._source.clock_doubt_ms


def _difference(before: Contract, after: Contract) -> str:
    """Return what has changed about a contract, in words; "" when nothing has."""
    names = ("contract_value", "tick_size", "state", "trading_status")
    changes = (
        f"{name} {getattr(before, name)} → {getattr(after, name)}"
        for name in names
        if getattr(before, name) != getattr(after, name)
    )
    return ", ".join(changes)
