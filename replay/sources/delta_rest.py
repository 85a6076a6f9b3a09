"""
Delta's REST history: candles, products, tickers and funding, by the rules of the reference's section 4.5.

Public data only: no key is needed, and none is accepted.
"""

import math
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.candles import CANDLE, HOUR_MS, SECOND_MS, WEEK_MS, timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows, join_rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_http import HttpAnswer, RestTransport
from papertape.replay.sources.delta_parse import (
    bars_to_candles,
    is_trade_series,
    number,
    parse_bars,
    time_to_ms,
)
from papertape.replay.sources.delta_products import FUNDING_INTERVAL_S, Product, parse_product
from papertape.replay.sources.errors import RestRefused, RestUnavailable
from papertape.replay.sources.paging import BackwardPages, PageWindow

RESOLUTIONS: Final = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "1d", "1w")
WINDOW_BARS: Final = 2000
PAGE_SIZE: Final = 500
PAGES_MAX: Final = 200


class Ticker(NamedTuple):
    """The newest prices of one contract; NaN where there is none. The funding rate is a fraction per interval."""

    symbol: str
    time_ms: int
    close: float
    index_price: float
    funding_rate: float
    tick_size: float
    trading_status: str


class RateSettlement(NamedTuple):
    """One settlement of funding: when, and the rate charged as a fraction."""

    time_ms: int
    rate: float


class DeltaRest(RestTransport):
    """
    A client of one REST host. Use it as an async context manager; it owns its session.

    counts   what was seen in candles: `null`, `misaligned`, `invalid`, `duplicate`, `future`, `forming`, `filled`, …
    options  of the transport
    """

    def __init__(self, base_url: str, clock: Clock, **options: Any) -> None:
        super().__init__(base_url, clock, **options)
        self.counts: Counter[str] = Counter()

    @property
    def clock_offset_ms(self) -> float | None:
        """Return the venue's clock minus ours, or None before it was measured."""
        self.follow_clock()
        return self.offset.offset_ms

    @property
    def clock_doubt_ms(self) -> float:
        """Return how far off that may be."""
        return self.offset.doubt_ms

    def venue_now_ms(self) -> int:
        """Return the venue's time as well as it is known."""
        return int(self.clock.now_ms() + (self.clock_offset_ms or 0.0))

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
        """
        Return the candles that open from `first_ms` to `last_ms`, both included, in time order.

        volume_scale  base units per contract

        Final ones only, unless the forming one is asked for; never one from the future. Flat candles without volume
        are the venue's filling and flagged so. An unknown symbol has no candles. Raises RestError.
        """
        pages = [
            page
            async for page in self.candle_pages(
                symbol, timeframe, first_ms, last_ms, include_forming=include_forming
            )
        ]
        if not pages:
            return np.zeros(0, CANDLE)
        rows = join_rows(pages[::-1])
        rows["volume"] *= volume_scale
        return rows

    async def candle_pages(
        self, symbol: str, timeframe: str, first_ms: int, last_ms: int, *, include_forming: bool = False
    ) -> AsyncGenerator[Rows, None]:
        """Yield the same candles in pages, the newest page first, each in time order, volume in contracts."""
        length_ms = _resolution_ms(timeframe)
        # A bar that ended before now has length_ms behind it.
        lead_ms = 0 if include_forming else length_ms
        pages = _pages(first_ms, min(last_ms, self.venue_now_ms() - lead_ms), length_ms)
        while (window := pages.next_window()) is not None:
            answer = await self._bars(symbol, timeframe, window, length_ms)
            open_ms, bars = parse_bars(_result(answer), self.counts)
            inside = (open_ms >= window.first_ms) & (open_ms <= window.last_ms)
            pages.take(window, int(open_ms[inside].min()) if inside.any() else None)
            # What the answer itself could not know as over is forming, whatever the time is by now.
            is_known = open_ms + lead_ms <= answer.as_of_ms
            self.counts["outside"] += int((~inside).sum())
            self.counts["forming"] += int((inside & ~is_known).sum())
            kept = np.flatnonzero(inside & is_known)
            rows = bars_to_candles(
                open_ms[kept],
                [bars[i] for i in kept],
                length_ms,
                self.counts,
                is_traded=is_trade_series(symbol),
            )
            if len(rows):
                yield rows

    async def _bars(self, symbol: str, timeframe: str, window: PageWindow, length_ms: int) -> HttpAnswer:
        # Caches go by the address: asking about a candle again is asked until a later second of it, up to its last.
        end_ms = min(self.venue_now_ms(), window.last_ms + length_ms - SECOND_MS)
        return await self.get(
            "/v2/history/candles",
            {
                "resolution": timeframe,
                "symbol": symbol,
                "start": window.first_ms // SECOND_MS,
                "end": max(window.last_ms, end_ms) // SECOND_MS,
            },
        )

    async def products(self, contract_types: str = "perpetual_futures") -> dict[str, Product]:
        """Return every product by symbol; `contract_types` is the venue's filter, "" for all."""
        found: dict[str, Product] = {}
        parameters: dict[str, str | int] = {"page_size": PAGE_SIZE}
        if contract_types:
            parameters["contract_types"] = contract_types
        cursors: set[str] = set()
        for _ in range(PAGES_MAX):
            body = (await self.get("/v2/products", parameters)).body
            for values in _list(body):
                product = parse_product(values)
                if product is not None:
                    found[product.symbol] = product
            after = (body.get("meta") or {}).get("after") if isinstance(body, dict) else None
            if not after:
                return found
            if str(after) in cursors:
                break
            cursors.add(str(after))
            parameters["after"] = str(after)
        raise DataError(f"{self.base_url}/v2/products: its pages do not end")

    async def product(self, symbol: str) -> Product:
        """Return one product, also one that is no longer listed. Raises RestRefused for an unknown symbol."""
        values = _result(await self.get(f"/v2/products/{symbol}"))
        product = parse_product(values)
        if product is None:
            raise RestRefused(f"{self.base_url}: knows no product {symbol!r}")
        return product

    async def ticker(self, symbol: str) -> Ticker | None:
        """Return the newest prices of a contract; None when the venue does not know it."""
        values = _result(await self.get(f"/v2/tickers/{symbol}"))
        if not isinstance(values, dict):
            return None
        return Ticker(
            symbol=str(values.get("symbol") or symbol),
            time_ms=time_to_ms(values.get("timestamp")),
            close=number(values.get("close")),
            index_price=number(values.get("spot_price")),
            funding_rate=number(values.get("funding_rate")) / 100.0,
            tick_size=number(values.get("tick_size")),
            trading_status=str(values.get("product_trading_status") or "operational"),
        )

    async def funding(
        self, symbol: str, first_ms: int, last_ms: int, *, interval_s: int = FUNDING_INTERVAL_S
    ) -> list[RateSettlement]:
        """
        Return the settlements from `first_ms` to `last_ms`, both included, in time order.

        The rate is that of the hourly `FUNDING:` bar that holds the instant, at its close; one that is still
        forming counts, because the rate is flat between settlements. Instants without a bar are left out.
        """
        interval_ms = interval_s * SECOND_MS
        bar_first_ms = first_ms // HOUR_MS * HOUR_MS
        rows = await self.candles(f"FUNDING:{symbol}", "1h", bar_first_ms, last_ms, include_forming=True)
        closes = dict(zip(rows["open_ms"].tolist(), rows["close"].tolist(), strict=True))
        found = []
        for time_ms in range(-(-first_ms // interval_ms) * interval_ms, last_ms + 1, interval_ms):
            bar_ms = time_ms // HOUR_MS * HOUR_MS
            if bar_ms in closes:
                found.append(RateSettlement(time_ms, closes[bar_ms] / 100.0))
        return found

    async def marks(self, symbol: str, first_ms: int, last_ms: int) -> dict[int, float]:
        """Return the mark prices at the beginning of each hour, both ends included; settlements are on the hour."""
        rows = await self.candles(f"MARK:{symbol}", "1h", first_ms, last_ms, include_forming=True)
        return dict(zip(rows["open_ms"].tolist(), rows["open"].tolist(), strict=True))

    def is_due(self, symbol: str, time_ms: int) -> bool:
        """Return that it settled then: a product says its interval, and no other instant is asked for."""
        return True


def _resolution_ms(timeframe: str) -> int:
    """Return the length of a timeframe that the venue offers, or raise RestRefused."""
    if timeframe not in RESOLUTIONS:
        raise RestRefused(
            f"Delta has no {timeframe} candles: choose one of {', '.join(RESOLUTIONS)}; "
            "`papertape tape resample` makes longer ones"
        )
    return timeframe_ms(timeframe)


def _pages(first_ms: int, last_ms: int, length_ms: int) -> BackwardPages:
    """Return the windows of a range, its ends on the grid where there is one."""
    if length_ms == WEEK_MS:
        return BackwardPages(max(first_ms, 0), last_ms, length_ms, WINDOW_BARS)
    first = math.ceil(max(first_ms, 0) / length_ms) * length_ms
    return BackwardPages(first, last_ms // length_ms * length_ms, length_ms, WINDOW_BARS)


def _result(answer: HttpAnswer) -> Any:
    """Return what an envelope holds; RestUnavailable when it is none."""
    if not isinstance(answer.body, dict) or "result" not in answer.body:
        raise RestUnavailable("the answer has no `result`: is this address Delta's?", 200)
    return answer.body["result"]


def _list(body: Any) -> list[Any]:
    """Return the list of an envelope, or raise."""
    result = _result(HttpAnswer(body, 0))
    if not isinstance(result, list):
        raise RestUnavailable("the answer's `result` is no list: is this address Delta's?", 200)
    return result
