"""
Settlements of perpetuals at a venue known to ccxt: asked of its history of rates after every full hour.

No stream of ccxt's tells what a settlement charged. Venues settle every one, two, four or eight hours and change that
overnight, so every hour is looked at, and the interval is read off the rates themselves: with it an hour without a rate
is known to be none, or to be a gap. A rate that has only just been charged may not be listed yet, and is waited for.
Source: ccxt manual, "Funding Rate History" (4.5.90).
"""

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from papertape.daemon.feeds.ccxt.markets import CcxtMarkets
from papertape.daemon.feeds.protocol import Notice, NoticeKind, OnNotice
from papertape.replay.importers.series import LATE_MS
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.ccxt_history import CcxtHistory

HOUR_MS: Final = 3_600_000
PAGE_ROWS: Final = 100  # what every venue gives at once
LOOK_BACK_MS: Final = 3 * 24 * HOUR_MS  # holds several settlements of the longest interval
LISTED_WITHIN_MS: Final = 300_000
AGAIN_S: Final = 10.0
TRIES: Final = 3


class Rate(NamedTuple):
    """One settlement: when, and the rate charged as a fraction."""

    time_ms: int
    rate: float


class CcxtFunding:
    """
    A history of settlements, in the shape of `papertape.daemon.feeds.settlements.FundingHistory`.

    history   asks the venue; `markets` has ccxt's names. Both are asked for when they are needed: they are the feed's
    """

    def __init__(
        self, history: Callable[[], CcxtHistory], markets: CcxtMarkets, clock: Clock, on_notice: OnNotice
    ) -> None:
        self._history, self._markets, self._clock = history, markets, clock
        self._on_notice = on_notice
        self._newest_ms: dict[str, int] = {}
        self._interval_ms: dict[str, int] = {}
        self._silent: set[str] = set()  # symbols of which nothing is known, and it was said

    def interval_s(self, symbol: str) -> int:
        """Return how often a symbol is looked at."""
        return HOUR_MS // 1000

    def is_due(self, symbol: str, time_ms: int) -> bool:
        """Return whether a symbol settled then, by the interval that its rates have shown."""
        interval_ms = self._interval_ms.get(symbol, 0)
        return interval_ms > 0 and (time_ms - self._newest_ms[symbol]) % interval_ms == 0

    async def funding(self, symbol: str, first_ms: int, last_ms: int, *, interval_s: int) -> list[Rate]:
        """Return the settlements from `first_ms` to `last_ms`, both included, in time order."""
        history = self._history()
        if symbol not in self._markets.unified:
            self._say_nothing_is_known(symbol, "the venue does not list it")
            return []
        if not history.exchange.has.get("fetchFundingRateHistory"):
            self._say_nothing_is_known(symbol, f"{history.exchange.id} has no history of rates")
            return []
        found: list[Rate] = []
        for attempt in range(TRIES):
            if attempt:
                await self._clock.sleep(AGAIN_S)
            found = await self._rates(history, symbol, first_ms, last_ms)
            is_recent = history.venue_now_ms() - last_ms < LISTED_WITHIN_MS
            is_listed = bool(found) and found[-1].time_ms == last_ms
            if is_listed or not is_recent or not self.is_due(symbol, last_ms):
                break
        if symbol not in self._interval_ms:
            self._say_nothing_is_known(symbol, "the venue's history of rates is empty")
        return found

    async def marks(self, symbol: str, first_ms: int, last_ms: int) -> dict[int, float]:
        """Return the mark prices at the beginning of each hour, where the venue has them."""
        history = self._history()
        if not history.exchange.has.get("fetchMarkOHLCV"):
            return {}
        rows = await history.call(
            "fetch_mark_ohlcv",
            self._markets.unified[symbol],
            "1h",
            since=first_ms,
            limit=(last_ms - first_ms) // HOUR_MS + 1,
        )
        return {int(row[0]): price for row in rows if (price := _number(row[1])) > 0.0}

    async def _rates(self, history: CcxtHistory, symbol: str, first_ms: int, last_ms: int) -> list[Rate]:
        """Return the settlements of a span, page by page, and learn the interval from them and some before."""
        since_ms = first_ms - LOOK_BACK_MS
        known: dict[int, float] = {}
        while since_ms <= last_ms:
            rows = await history.call(
                "fetch_funding_rate_history",
                self._markets.unified[symbol],
                since=since_ms,
                limit=PAGE_ROWS,
                params={"until": last_ms + LATE_MS},
            )
            stamps = [int(row["timestamp"]) for row in rows if row.get("timestamp")]
            known |= _settlements(rows)
            if not stamps or max(stamps) < since_ms:
                break
            since_ms = max(stamps) + 1
        times = sorted(known)
        if len(times) > 1:
            self._newest_ms[symbol], self._interval_ms[symbol] = times[-1], times[-1] - times[-2]
            self._silent.discard(symbol)
        return [Rate(t, known[t]) for t in times if first_ms <= t <= last_ms]

    def _say_nothing_is_known(self, symbol: str, why: str) -> None:
        """Tell once that a symbol's funding is not charged."""
        if symbol not in self._silent:
            self._silent.add(symbol)
            detail = f"funding: {why}; none is charged"
            self._on_notice(Notice(NoticeKind.VENUE, self._clock.now_ms(), symbol, detail=detail))


def _settlements(rows: list[dict[str, Any]]) -> dict[int, float]:
    """Return rates by the full minute that they belong to; what is no rate, or at no minute, is left out."""
    known = {}
    for row in rows:
        rate, stamp_ms = _number(row.get("fundingRate")), int(row.get("timestamp") or 0)
        time_ms = round(stamp_ms / 60_000) * 60_000
        if time_ms and abs(stamp_ms - time_ms) <= LATE_MS and math.isfinite(rate):
            known[time_ms] = rate
    return known


def _number(value: Any) -> float:
    """Return a number of an answer; NaN where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan
