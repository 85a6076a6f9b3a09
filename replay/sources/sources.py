"""
Where history comes from: Delta's REST interface and every venue of ccxt, behind one small interface.

What to ask for, how a partial download is kept and when to go on to the next source is in `papertape.replay.sources.download`.
"""

from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple, Protocol, Self

from papertape.engine.jit import Rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory
from papertape.replay.sources.ccxt_markets import find_market, make_exchange
from papertape.replay.sources.delta_parse import is_trade_series
from papertape.replay.sources.delta_profiles import find_profile
from papertape.replay.sources.delta_rest import DeltaRest
from papertape.replay.sources.errors import RestRefused, nearest


class SourceListing(NamedTuple):
    """
    One market of a source, and how a tape of it is called.

    wanted        as the source asks for it
    volume_scale  base units per unit of volume; quote units where `is_inverse`
    """

    wanted: str
    venue: str
    symbol: str
    kind: str
    volume_scale: float = 1.0
    is_inverse: bool = False
    notes: tuple[str, ...] = ()


class HistorySource(Protocol):
    """A place that has history. Use it as an async context manager."""

    name: str  # what a tape says of where its candles come from
    counts: Counter[str]  # what was seen in candles, and dropped

    async def __aenter__(self) -> Self:
        """Connect."""

    async def __aexit__(self, *_: object) -> None:
        """Leave nothing open."""

    async def find(self, symbol: str) -> SourceListing:
        """Return a market. Raises RestError: RestRefused, with the nearest name, when there is none."""

    def venue_now_ms(self) -> int:
        """Return the venue's time as well as it is known."""

    def candle_pages(
        self, listing: SourceListing, timeframe: str, first_ms: int, last_ms: int
    ) -> AsyncGenerator[Rows, None]:
        """Yield final candles that open in a range, the newest page first, volume in base units."""


class DeltaSource:
    """Delta's own REST interface."""

    def __init__(
        self, clock: Clock, profile: str = "india", *, rest_url: str | None = None, **options: Any
    ) -> None:
        found = find_profile(profile, rest_url=rest_url)
        self.name = f"delta-rest: {found.rest_url}"
        self._venue = found.venue
        self._rest = DeltaRest(found.rest_url, clock, **options)
        self.counts = self._rest.counts

    async def __aenter__(self) -> Self:
        """Open the session."""
        await self._rest.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session."""
        await self._rest.__aexit__()

    def venue_now_ms(self) -> int:
        """Return the venue's time as well as it is known."""
        return self._rest.venue_now_ms()

    async def find(self, symbol: str) -> SourceListing:
        """Return a contract, or a series of it such as MARK:BTCUSD."""
        contract = symbol.rpartition(":")[2]
        try:
            product = await self._rest.product(contract)
        except RestRefused as error:
            if error.status not in (0, 400, 404):
                raise
            known = {product.symbol for product in (await self._rest.products()).values()}
            raise RestRefused(
                f"{self._venue} does not list {contract!r}{nearest(contract, known)}"
            ) from error
        return SourceListing(
            wanted=symbol,
            venue=self._venue,
            symbol=symbol,
            kind="inverse" if product.is_inverse else "linear",
            volume_scale=product.contract_value,
            is_inverse=product.is_inverse,
            notes=(f"volume turned from contracts of {product.contract_value:g} into base units",)
            if is_trade_series(symbol)
            else (f"{symbol}: not a traded price; no volume",),
        )

    async def candle_pages(
        self, listing: SourceListing, timeframe: str, first_ms: int, last_ms: int
    ) -> AsyncGenerator[Rows, None]:
        """Yield final candles, the newest page first, volume in base units."""
        async for page in self._rest.candle_pages(listing.wanted, timeframe, first_ms, last_ms):
            page["volume"] *= listing.volume_scale
            if listing.is_inverse:
                page["volume"] /= page["close"]
            yield page


class CcxtSource:
    """
    A venue through ccxt.

    base_url  asked in place of the venue's hosts
    """

    def __init__(self, clock: Clock, venue: str, *, base_url: str | None = None, **options: Any) -> None:
        self._exchange = make_exchange(venue, base_url=base_url)
        self._history = CcxtHistory(self._exchange, clock, **options)
        self.name = f"ccxt: {venue}"
        self.counts = self._history.counts

    async def __aenter__(self) -> Self:
        """Do nothing: ccxt connects when it is first asked."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close what ccxt opened."""
        await self._exchange.close()

    def venue_now_ms(self) -> int:
        """Return the venue's time as well as it is known."""
        return self._history.venue_now_ms()

    async def find(self, symbol: str) -> SourceListing:
        """Return a market by any of its names; a dollar market that is not listed gives way to its tether sister."""
        notes: tuple[str, ...] = ()
        if not self._exchange.markets:
            await self._history.start()
        try:
            market = find_market(self._exchange, symbol)
        except RestRefused:
            if not symbol.endswith("USD"):
                raise
            market = find_market(self._exchange, f"{symbol}T")
            notes = (f"{symbol} is not listed on {self._exchange.id}: {market.symbol} in its place",)
        return SourceListing(
            wanted=market.unified,
            venue=market.venue,
            symbol=market.symbol,
            kind=market.kind,
            notes=(*notes, *market.notes),
        )

    async def candle_pages(
        self, listing: SourceListing, timeframe: str, first_ms: int, last_ms: int
    ) -> AsyncGenerator[Rows, None]:
        """Yield final candles, the newest page first, volume as ccxt gives it."""
        async for page in self._history.candle_pages(listing.wanted, timeframe, first_ms, last_ms):
            yield page


def make_source(
    venue: str, clock: Clock, *, profile: str = "india", rest_url: str | None = None
) -> HistorySource:
    """Return a source by name: `delta`, or a venue of ccxt. Raises ConfigError for an unknown one."""
    if venue == "delta":
        return DeltaSource(clock, profile, rest_url=rest_url)
    return CcxtSource(clock, venue, base_url=rest_url)
