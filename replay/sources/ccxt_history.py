"""
Candles of any venue through ccxt's `fetch_ohlcv`: `until` always given, paged by what came back, errors in our words.

Without `until` some venues invent candles up to `since + limit`. Source: ../shared/reference/delta-exchange.md, 9.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import numpy as np

from papertape.engine.candles import CANDLE, TIMEFRAMES, timeframe_ms
from papertape.engine.jit import Rows, join_rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_errors import library_errors, one_line
from papertape.replay.sources.errors import RestRefused, RestUnavailable, SymbolRefused
from papertape.replay.sources.paging import BackwardPages, PageWindow
from papertape.replay.sources.rules import good_rows

RETRIES: Final = 5
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_LAST_S: Final = 30.0
CALL_S: Final = 60.0  # ccxt has its own timeout and waits for its rate limit before it
WINDOW_BARS_DEFAULT: Final = 500
WINDOW_BARS_MAX: Final = 1_000
# No venue gives fewer candles at once (the lowest that 4.5.90 knows of is 100): what such a window lacks was not traded,
# and asking for it again would triple the calls for a thin market.
CAP_LEAST: Final = 50
_DEPARTURES: ContextVar[list[int] | None] = ContextVar("departures", default=None)


class CcxtHistory:
    """
    The history of one exchange object, which stays its owner's to close.

    stats   counts calls by `ok` and failures by ccxt's class
    counts  what was seen in candles: `null`, `misaligned`, `invalid`, `duplicate`, `forming`, `filled`, …
    """

    def __init__(
        self,
        exchange: Any,
        clock: Clock,
        *,
        stats: Counter[str] | None = None,
        retries: int = RETRIES,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.exchange = exchange
        self.stats: Counter[str] = Counter() if stats is None else stats
        self.counts: Counter[str] = Counter()
        self.clock_offset_ms: float | None = None
        self._errors = library_errors()
        self._clock = clock
        self._retries = retries
        self._jitter = jitter
        self._note_departures()

    async def start(self) -> None:
        """Load the venue's markets and measure its clock. Raises RestError."""
        await self.call("load_markets")
        await self.measure_clock()

    async def measure_clock(self) -> None:
        """
        Measure the venue's clock where it tells its time.

        The way back counts as nothing: so the venue is never taken to be later than it is, and ccxt's own waiting,
        which comes before the way out, does no harm.
        """
        if self.exchange.has.get("fetchTime"):
            venue_ms = await self.call("fetch_time")
            if venue_ms:
                self.clock_offset_ms = float(venue_ms - self._clock.now_ms())

    def venue_now_ms(self) -> int:
        """Return the venue's time as well as it is known."""
        return int(self._clock.now_ms() + (self.clock_offset_ms or 0.0))

    @contextmanager
    def departures(self) -> Iterator[list[int]]:
        """
        Yield a list of when, by the venue's time, the calls made in this block really leave.

        ccxt makes a call wait for its rate limit first, seconds on a venue like kraken: what an answer shows is as old
        as the departure, not as the wish.
        """
        left: list[int] = []
        token = _DEPARTURES.set(left)
        try:
            yield left
        finally:
            _DEPARTURES.reset(token)

    def _note_departures(self) -> None:
        """Stand in for the library's one way out, which comes after its throttle."""
        fetch = getattr(self.exchange, "fetch", None)
        if fetch is None:
            return

        async def noted(*arguments: Any, **options: Any) -> Any:
            left = _DEPARTURES.get()
            if left is not None:
                left.append(self.venue_now_ms())
            return await fetch(*arguments, **options)

        self.exchange.fetch = noted

    async def call(self, method: str, *arguments: Any, **options: Any) -> Any:
        """
        Return what a method of the exchange returns, asked again with growing, jittered pauses on any trouble.

        Raises RestRefused for what would be refused for ever, SymbolRefused if that is candles of a symbol,
        RestUnavailable after the last retry.
        """
        what = f"{self.exchange.id} {method}"
        last: Exception | None = None
        for attempt in range(self._retries + 1):
            if last is not None:
                longest_s = min(BACKOFF_FIRST_S * 2.0**attempt, BACKOFF_LAST_S)
                await self._clock.sleep(self._jitter() * longest_s)
            try:
                async with asyncio.timeout(CALL_S):
                    answer = await getattr(self.exchange, method)(*arguments, **options)
            except self._errors.final as error:
                self.stats[type(error).__name__] += 1
                refused = SymbolRefused if method == "fetch_ohlcv" else RestRefused
                raise refused(f"{what}: {one_line(error)}") from error
            except self._errors.passing as error:
                self.stats[type(error).__name__] += 1
                last = error
            else:
                self.stats["ok"] += 1
                return answer
        assert last is not None
        raise RestUnavailable(f"{what}: {one_line(last)}") from last

    async def candles(
        self, symbol: str, timeframe: str, first_ms: int, last_ms: int, *, include_forming: bool = False
    ) -> Rows:
        """Return the candles that open from `first_ms` to `last_ms`, both included, in time order; final ones only."""
        pages = [
            page
            async for page in self.candle_pages(
                symbol, timeframe, first_ms, last_ms, include_forming=include_forming
            )
        ]
        return join_rows(pages[::-1]) if pages else np.zeros(0, CANDLE)

    async def candle_pages(
        self, symbol: str, timeframe: str, first_ms: int, last_ms: int, *, include_forming: bool = False
    ) -> AsyncGenerator[Rows, None]:
        """Yield the same candles in pages, the newest page first, each in time order."""
        self._check(timeframe)
        length_ms = timeframe_ms(timeframe)
        lead_ms = 0 if include_forming else length_ms
        last_ms = min(last_ms, self.venue_now_ms() - lead_ms)
        first_ms = -(-max(first_ms, 0) // length_ms) * length_ms
        pages = BackwardPages(
            first_ms, last_ms // length_ms * length_ms, length_ms, self._window_bars(symbol)
        )
        while (window := pages.next_window()) is not None:
            rows = await self._window(symbol, timeframe, window, length_ms, lead_ms)
            oldest_ms = window.first_ms if _is_whole(window, length_ms) else None
            if len(rows) and oldest_ms is None:
                oldest_ms = int(rows["open_ms"][0])
            pages.take(window, oldest_ms)
            if len(rows):
                yield rows

    def _check(self, timeframe: str) -> None:
        """Refuse a timeframe that the venue does not offer."""
        offered = self.exchange.timeframes or {}
        if timeframe not in offered:
            known = [name for name in TIMEFRAMES if name in offered]
            raise RestRefused(
                f"{self.exchange.id} has no {timeframe} candles: choose one of {', '.join(known)}"
            )

    def _window_bars(self, symbol: str) -> int:
        """Return how many candles the venue gives at once, as ccxt knows it."""
        try:
            limit = self.exchange.feature_value(symbol, "fetchOHLCV", "limit")
        except self._errors.final as error:  # the catalogue was loaded again, without it
            raise SymbolRefused(f"{self.exchange.id} candles: {one_line(error)}") from error
        return min(int(limit or WINDOW_BARS_DEFAULT), WINDOW_BARS_MAX)

    async def _window(
        self, symbol: str, timeframe: str, window: PageWindow, length_ms: int, lead_ms: int
    ) -> Rows:
        """
        Return every good candle of a window.

        A venue that caps lower than it says keeps the oldest or the newest: what is missing at the newer end is asked
        for again from there; what is missing at the older end is the next window's.
        """
        parts: list[Rows] = []
        since_ms, is_whole = window.first_ms, _is_whole(window, length_ms)
        while since_ms <= window.last_ms:
            now_ms = self.venue_now_ms()
            given = await self.call(
                "fetch_ohlcv",
                symbol,
                timeframe,
                since=since_ms,
                limit=(window.last_ms - since_ms) // length_ms + 1,
                params={"until": min(window.last_ms + length_ms - 1, now_ms)},
            )
            rows = rows_of(given, self.counts)
            is_inside = (rows["open_ms"] >= since_ms) & (rows["open_ms"] <= window.last_ms)
            is_known = rows["open_ms"] + lead_ms <= now_ms
            self.counts["outside"] += int((~is_inside).sum())
            self.counts["forming"] += int((is_inside & ~is_known).sum())
            rows = good_rows(rows[is_inside & is_known], length_ms, self.counts)
            if not len(rows):
                break
            parts.append(rows)
            if is_whole:
                break
            since_ms = int(rows["open_ms"][-1]) + length_ms
        return join_rows(parts) if parts else np.zeros(0, CANDLE)


def _is_whole(window: PageWindow, length_ms: int) -> bool:
    """Return whether no cap can cut an answer for a window short."""
    return (window.last_ms - window.first_ms) // length_ms < CAP_LEAST


def rows_of(given: Any, counts: Counter[str]) -> Rows:
    """Return ccxt's rows `[ms, o, h, l, c, v]` as CANDLE rows, copied; what is no row is counted as `malformed`."""
    items = [row for row in given or [] if isinstance(row, list | tuple) and len(row) >= 6 and row[0]]
    counts["malformed"] += len(given or []) - len(items)
    rows = np.zeros(len(items), CANDLE)
    if not items:
        return rows
    values = np.array([row[:6] for row in items], dtype=np.float64)  # None becomes NaN
    rows["open_ms"] = values[:, 0].astype(np.int64)
    for index, name in enumerate(("open", "high", "low", "close"), start=1):
        rows[name] = values[:, index]
    rows["volume"] = np.nan_to_num(values[:, 5], nan=0.0, posinf=0.0, neginf=0.0)
    return rows
