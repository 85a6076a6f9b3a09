"""
Series beside candles, live: what a venue tells of marks, index and open interest, as inputs before the candle that may see it.

A value is known from the moment at which it came, by the venue's time, and is given to the engine before the candle that
closed next: so a replay of the journal sees it at the very same close. Where nothing fresh had come by a close, the series
is not known from that close on until something comes, and that is told once: candles that were missed are followed by no
old value, and none is guessed.

Marks of a candle that came without a pause from its beginning to its end have a range as well, on which a liquidation is
tested; otherwise they are single values, for features alone.
"""

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from papertape.daemon.feeds.protocol import Notice, NoticeKind, OnNotice
from papertape.engine.events import Event, SeriesRows
from papertape.engine.features.requests import split_request
from papertape.engine.features.table import is_built_in, read_request
from papertape.engine.jit import Rows
from papertape.engine.records import (
    INDEX_PRICE,
    LONG_SHORT_RATIO,
    MARK_PRICE,
    OPEN_INTEREST,
    SERIES,
    SERIES_NAMES,
)

if TYPE_CHECKING:
    from papertape.engine.core import Engine

FRESH_MS: Final = 60_000  # a stream tells marks every two seconds, tickers every five
PAUSE_MS: Final = 15_000  # beyond it something of a mark's range may be missing
MOST_CANDLES: Final = 3_000  # kept of a series while no candle comes
# Settlements have a way of their own (`papertape.daemon.feeds.settlements`).
_KINDS: Final = {
    "mark": MARK_PRICE,
    "mark_premium": MARK_PRICE,
    "index": INDEX_PRICE,
    "index_premium": INDEX_PRICE,
    "open_interest": OPEN_INTEREST,
    "open_interest_change": OPEN_INTEREST,
    "long_short_ratio": LONG_SHORT_RATIO,
}
_PRICES: Final = (MARK_PRICE, INDEX_PRICE)


def wanted_kinds(requests: Iterable[str]) -> frozenset[int]:
    """Return the series that these requests of features are made of, settlements aside."""
    names = [split_request(request).name for request in requests]
    found = [read_request(name).feature.name for name in names if is_built_in(name)]
    return frozenset(_KINDS[name] for name in found if name in _KINDS)


def told_until(engine: "Engine") -> dict[tuple[str, int], int]:
    """Return every series that an engine's features ask for, by symbol and kind, and until when it is told of each."""
    saved = engine.frames.known.save()
    newest = saved["known_seen_ms"].copy()
    waiting = saved["known_waiting"]
    np.maximum.at(newest, (waiting["symbol"], waiting["kind"]), waiting["known_ms"])
    spec = engine.spec
    asked = (*spec.requests, *spec.extra_features, *spec.model_features)
    kinds = sorted(wanted_kinds(asked))  # of requests: a column may be called what no request is
    return {
        (symbol, kind): int(newest[number, kind])
        for number, symbol in enumerate(engine.symbols)
        for kind in kinds
    }


class _Told(NamedTuple):
    """What came of one series within one candle; `pause_ms`: the longest time without a value since the candle began."""

    opened: float
    highest: float
    lowest: float
    newest: float
    newest_ms: int
    pause_ms: int

    def then(self, value: float, now_ms: int) -> "_Told":
        """Return it with one value more."""
        pause_ms = max(self.pause_ms, now_ms - self.newest_ms)
        highest, lowest = max(self.highest, value), min(self.lowest, value)
        return _Told(self.opened, highest, lowest, value, now_ms, pause_ms)


class _Series:
    """One series of one symbol: candles of which something came, and what the engine was told."""

    def __init__(self, number: int, kind: int, told_ms: int) -> None:
        self.number, self.kind, self.told_ms = number, kind, told_ms
        self.candles: dict[int, _Told] = {}  # by close
        self.is_known = told_ms > 0  # as far as the engine knows
        self.is_told_missing = False


class LiveSeries:
    """
    What has come of series, until the candle that may see it.

    asked     by symbol and kind, until when the engine is told of each
    fresh_ms  how old the newest value may be at a close
    """

    def __init__(
        self,
        symbols: Iterable[str],
        asked: Mapping[tuple[str, int], int],
        base_ms: int,
        on_notice: OnNotice,
        *,
        fresh_ms: int = FRESH_MS,
    ) -> None:
        self._base_ms, self._on_notice, self._fresh_ms = base_ms, on_notice, fresh_ms
        numbers = {symbol: number for number, symbol in enumerate(symbols)}
        self._series = {
            (symbol, kind): _Series(numbers[symbol], kind, told_ms)
            for (symbol, kind), told_ms in asked.items()
            if symbol in numbers
        }
        self.kinds = frozenset(kind for _, kind in self._series)

    def tell(self, symbol: str, kind: int, value: float | None, now_ms: int) -> None:
        """Take a value that came now; what nobody asks for, or no such series can be, is passed over."""
        series = self._series.get((symbol, kind))
        if series is None or value is None or not 0.0 <= value < math.inf:
            return
        if value == 0.0 and kind in _PRICES:
            return
        open_ms = now_ms // self._base_ms * self._base_ms
        close_ms = open_ms + self._base_ms
        before = series.candles.get(close_ms)
        if before is not None and now_ms < before.newest_ms:
            return  # the venue's clock was put back: it is older than what is known
        pause_ms = now_ms - open_ms
        first = _Told(value, value, value, value, now_ms, pause_ms)
        series.candles[close_ms] = first if before is None else before.then(value, now_ms)
        if len(series.candles) > MOST_CANDLES:
            del series.candles[min(series.candles)]

    def until(self, closes: Iterable[int], now_ms: int) -> Rows:
        """Return what the engine is to know at each of these closes, ascending, and has not been told; SERIES, by symbol."""
        rows: list[Any] = []
        for close_ms in closes:
            for (symbol, kind), series in self._series.items():
                if series.told_ms > close_ms - self._base_ms:
                    continue  # in the journal already, from before a crash
                row = self._row(series, close_ms)
                if row is not None:
                    series.told_ms, series.is_known = row[0], not math.isnan(row[3])
                    rows.append(row)
                if series.is_known:
                    series.is_told_missing = False
                elif now_ms - close_ms < self._base_ms and not series.is_told_missing:
                    series.is_told_missing = True
                    detail = f"{SERIES_NAMES[kind]}: nothing fresh has come by {close_ms} ms; it is not known until something does"
                    self._on_notice(Notice(NoticeKind.GAP, now_ms, symbol, detail=detail))
        return np.array(rows, SERIES) if rows else np.zeros(0, SERIES)

    def _row(self, series: _Series, close_ms: int) -> Any:
        """Return what is new at a close as a row of SERIES, None where nothing is."""
        newest = max((c for c in series.candles if c <= close_ms), default=None)
        told = None if newest is None else series.candles[newest]
        for passed in [c for c in series.candles if c < close_ms]:
            if passed != newest:
                del series.candles[passed]
        head = (series.number, series.kind)
        if told is None or close_ms - told.newest_ms > self._fresh_ms:
            return (close_ms, *head, *[math.nan] * 4) if series.is_known else None
        pause_ms = max(told.pause_ms, close_ms - told.newest_ms)
        if newest == close_ms and series.kind == MARK_PRICE and pause_ms <= PAUSE_MS:
            return (close_ms, *head, told.newest, told.opened, told.highest, told.lowest)
        if told.newest_ms <= series.told_ms and series.is_known:
            return None  # of the candle before, which has told it
        known_ms = max(told.newest_ms, series.told_ms + 1)
        return (known_ms, *head, *[told.newest] * 4)


class WithSeries:
    """
    A feed with what is known of series before each candle.

    beside  asks the venue for series that no stream tells, for as long as the feed is read
    """

    def __init__(
        self,
        feed: AsyncIterable[Event],
        series: LiveSeries,
        base_ms: int,
        now_ms: Callable[[], int],
        beside: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._feed, self._series, self._base_ms = feed, series, base_ms
        self._now_ms, self._beside = now_ms, beside

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield what the feed yields, and series before candles."""
        asking = None if self._beside is None else asyncio.create_task(self._beside())
        try:
            async for event in self._feed:
                if asking is not None and asking.done():
                    await asking  # it never ends but by a fault
                if isinstance(event, np.ndarray):
                    closes = np.unique(event["open_ms"]) + self._base_ms
                    rows = self._series.until(closes.tolist(), self._now_ms())
                    if len(rows):
                        yield SeriesRows(rows)
                yield event
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
