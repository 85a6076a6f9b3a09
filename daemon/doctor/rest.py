"""Rows 7, 8, 10 and 13: asked over REST, a handful of requests."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from papertape.daemon.doctor.finding import Finding, FindingStatus, finding
from papertape.engine.candles import DAY_MS, MINUTE_MS, SECOND_MS
from papertape.engine.jit import Rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_http import SeenHeaders
from papertape.replay.sources.delta_parse import time_to_ms
from papertape.replay.sources.delta_rest import DeltaRest
from papertape.replay.sources.errors import RestError, RestRefused

MANY_BARS: Final = 5_000
FUTURE_BARS: Final = 3
UNKNOWN: Final = "NOSUCHUSD"
LOOKS_S: Final = (1.0, 3.0, 8.0)  # after a minute's end, when the client asks as well
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class RestExam:
    """
    Questions to one host.

    `see` must be the transport's `on_seen`, so that headers can be looked at
    """

    def __init__(self, rest: DeltaRest, clock: Clock, symbol: str) -> None:
        self._rest = rest
        self._clock = clock
        self._symbol = symbol
        self._headers: Mapping[str, str] = {}

    def see(self, seen: SeenHeaders) -> None:
        """Remember the headers of the newest answer."""
        self._headers = seen.headers

    async def candles(self, lag: str) -> Finding:
        """
        Row 7.

        lag   what was measured of the history's delay behind the minute's end
        """
        now_ms = self._rest.venue_now_ms() // MINUTE_MS * MINUTE_MS
        try:
            many = await self._bars(now_ms - MANY_BARS * MINUTE_MS, now_ms)
            cache = self._cache()
            ahead = await self._bars(now_ms - 2 * MINUTE_MS, now_ms + FUTURE_BARS * MINUTE_MS)
        except RestError as error:
            return finding("7", FindingStatus.FAILED, str(error))
        if not many:
            return finding("7", FindingStatus.FAILED, f"no candles of {self._symbol}")
        invented = sum(ms > self._rest.venue_now_ms() for ms in ahead)
        order = "newest first" if many == sorted(many, reverse=True) else "another order"
        observed = (
            f"{len(many)} of {MANY_BARS} bars, {order}; {invented} of {FUTURE_BARS} future ones "
            f"invented; {cache}; {lag}"
        )
        is_expected = len(many) in (2000, 4000, 4001) and order == "newest first"
        return finding("7", FindingStatus.OK if is_expected else FindingStatus.DIFFERS, observed)

    async def products(self) -> Finding:
        """Row 8: one pass with the largest page."""
        sizes: list[int] = []
        parameters: dict[str, str | int] = {"page_size": 1000}
        total: Any = None
        try:
            for _ in range(50):
                body = (await self._rest.get("/v2/products", parameters)).body
                sizes.append(len(body.get("result") or []))
                meta = body.get("meta") or {}
                total = meta.get("total_count", total)
                if not meta.get("after"):
                    break
                parameters["after"] = str(meta["after"])
            listed = await self._rest.products()
        except RestError as error:
            return finding("8", FindingStatus.FAILED, str(error))
        told = f"{len(sizes)} pages of {', '.join(map(str, sizes))}; {total} in all, "
        told += f"{sum(p.is_live for p in listed.values())} live perpetuals"
        if self._symbol not in listed:
            return finding("8", FindingStatus.FAILED, f"{told}; {self._symbol} is not listed")
        return finding("8", FindingStatus.OK, told)

    async def weeks(self) -> Finding:
        """Row 10."""
        now_ms = self._rest.venue_now_ms()
        try:
            weekly = await self._bars(now_ms - 60 * DAY_MS, now_ms, "1w")
        except RestError as error:
            return finding("10", FindingStatus.DIFFERS, str(error))
        # 1970-01-01 was a Thursday.
        days = sorted({WEEKDAYS[(ms // DAY_MS + 3) % 7] for ms in weekly})
        try:
            half_days = await self._bars(now_ms - 2 * DAY_MS, now_ms, "12h")
            told = f"12h gave {len(half_days)} bars"
        except RestRefused:
            told = "12h is refused"
        except RestError as error:
            told = f"12h: {error}"
        status = FindingStatus.OK if len(days) == 1 and told == "12h is refused" else FindingStatus.DIFFERS
        return finding("10", status, f"weeks begin on {', '.join(days) or 'no day'}; {told}")

    async def trades(self) -> Finding:
        """Row 13."""
        shapes = []
        for symbol in (self._symbol, UNKNOWN):
            try:
                body = (await self._rest.get(f"/v2/trades/{symbol}")).body
                shapes.append(_shape(body.get("result") if isinstance(body, dict) else body))
            except RestError as error:
                shapes.append(f"refused with {error.status}" if error.status else str(error))
        status = FindingStatus.OK if shapes[0].startswith("list") else FindingStatus.DIFFERS
        return finding("13", status, f"{shapes[0]}; unknown symbol: {shapes[1]}")

    async def lag(self, within_s: float) -> str:
        """Return how long after a minute's end the history has its final state, in words."""
        open_ms = self._rest.venue_now_ms() // MINUTE_MS * MINUTE_MS
        end_ms = open_ms + MINUTE_MS
        if end_ms + LOOKS_S[-1] * SECOND_MS > self._rest.venue_now_ms() + within_s * SECOND_MS:
            return f"lag not measured: no minute ends within {within_s:g} s"
        looks: list[tuple[float, bytes]] = []
        try:
            for delay_s in LOOKS_S:
                wait_ms = end_ms + round(delay_s * SECOND_MS) - self._rest.venue_now_ms()
                await self._clock.sleep(wait_ms / 1000.0)
                looks.append((delay_s, await self._minute(open_ms)))
        except RestError as error:
            return f"lag not measured: {error}"
        final = looks[-1][1]
        if not final:
            return f"the minute was not there {LOOKS_S[-1]:g} s after its end"
        delay_s = next(delay for delay, state in looks if state == final)
        return f"a minute is final {delay_s:g} s after its end"

    async def _minute(self, open_ms: int) -> bytes:
        rows: Rows = await self._rest.candles(self._symbol, "1m", open_ms, open_ms)
        return rows.tobytes()

    async def _bars(self, first_ms: int, last_ms: int, resolution: str = "1m") -> list[int]:
        """Return the open times of one answer, in its own order."""
        parameters: dict[str, str | int] = {
            "symbol": self._symbol,
            "resolution": resolution,
            "start": first_ms // SECOND_MS,
            "end": last_ms // SECOND_MS,
        }
        body = (await self._rest.get("/v2/history/candles", parameters)).body
        bars = body.get("result") if isinstance(body, dict) else None
        return [time_to_ms(bar.get("time")) for bar in bars or [] if isinstance(bar, dict)]

    def _cache(self) -> str:
        names = ("Age", "Cache-Control", "X-Cache")
        found = [f"{name} {self._headers[name]}" for name in names if name in self._headers]
        return ", ".join(found) or "no cache headers"


def _shape(result: Any) -> str:
    if isinstance(result, list):
        return f"list of {len(result)}"
    if isinstance(result, dict):
        return f"object with {', '.join(sorted(result)) or 'nothing'}"
    return "null" if result is None else type(result).__name__


def clock_finding(offset_ms: float | None) -> Finding:
    """Return whether the clocks agree well enough to know when a candle ends."""
    check, expected = "the venue's clock minus ours", "within 5 s; beyond 30 s nothing is traded"
    if offset_ms is None:
        return Finding("venue", check, expected, "the venue does not tell its time", FindingStatus.DIFFERS)
    size_ms = abs(offset_ms)
    status = FindingStatus.OK if size_ms <= 5_000 else FindingStatus.FAILED
    if 5_000 < size_ms <= 30_000:
        status = FindingStatus.DIFFERS
    return Finding("venue", check, expected, f"{np.round(offset_ms):+.0f} ms", status)
