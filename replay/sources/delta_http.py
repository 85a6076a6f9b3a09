"""
One request to Delta's REST interface, done properly: budget, timeouts, retries, bounded bodies, the venue's clock.

What the answers mean is for `delta_parse` and `delta_products`. Source: ../shared/reference/delta-exchange.md,
sections 4.1 to 4.4 and 6.11.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Self

import aiohttp
import orjson

from papertape.engine.errors import ConfigError
from papertape.replay.runtime.clock import Clock, Steps
from papertape.replay.sources.errors import RestError, RestRefused, RestUnavailable

USER_AGENT: Final = "papertape/0.1"

TOTAL_S: Final = 15.0
CONNECT_S: Final = 5.0
CONCURRENCY: Final = 4
RETRIES: Final = 5
BACKOFF_FIRST_S: Final = 0.5
BACKOFF_LAST_S: Final = 30.0
RESET_LAST_S: Final = 360.0  # the longest pause that X-RATE-LIMIT-RESET may ask for

BODY_BYTES: Final = 16 * 1024 * 1024
TOLD_BYTES: Final = 500  # of a bad body, in an error

QUOTA: Final = 10_000  # units per window
QUOTA_WINDOW_S: Final = 300.0
WEIGHT: Final = 3  # of every public request
# A full bucket and what flows in during one of the venue's fixed windows stay under nine tenths of the quota.
BURST_SHARE: Final = 0.18
FLOW_SHARE: Final = 0.72


class HttpAnswer(NamedTuple):
    """A good answer: its JSON, and the venue's time at which it was true."""

    body: Any
    as_of_ms: int


class SeenHeaders(NamedTuple):
    """One answer as it came, whatever it was worth; for recorders."""

    path: str
    parameters: Mapping[str, str | int]
    status: int
    headers: Mapping[str, str]
    text: bytes


class Budget:
    """A token bucket over the venue's quota, on the clock's own time scale; never ahead of the quota's window."""

    def __init__(self, clock: Clock, quota: int = QUOTA) -> None:
        self.capacity = quota * BURST_SHARE
        self.flow = quota * FLOW_SHARE / QUOTA_WINDOW_S  # units a second
        self.used = 0  # units, since the start
        self._clock = clock
        self._left = self.capacity
        self._filled_s = self._now_s()
        self._closed_until_s = 0.0

    def _now_s(self) -> float:
        # The loop's time, because the wall's may jump.
        return asyncio.get_running_loop().time() * self._clock.speed

    def close_for(self, pause_s: float) -> None:
        """Let nobody through for a while: the venue has asked for it."""
        self._closed_until_s = max(self._closed_until_s, self._now_s() + pause_s)

    async def take(self, weight: int = WEIGHT) -> None:
        """Wait until a request of this weight may go out."""
        while (wait_s := self._wait_s(weight)) > 0.0:
            await self._clock.sleep(wait_s)
        self._left -= weight
        self.used += weight

    def _wait_s(self, weight: int) -> float:
        now_s = self._now_s()
        self._left = min(self.capacity, self._left + (now_s - self._filled_s) * self.flow)
        self._filled_s = now_s
        return max(self._closed_until_s - now_s, (weight - self._left) / self.flow)


class ClockOffset:
    """
    How far the venue's clock is ahead of ours, from the answers that say when the venue had the request.

    The truth lies within half a round trip of each measurement, so the quickest of the last few counts. One that
    contradicts it means that a clock has jumped: what was measured before is forgotten.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=8)  # (doubt, offset), ms

    @property
    def offset_ms(self) -> float | None:
        """Return venue minus local, or None before the first measurement."""
        return min(self._samples)[1] if self._samples else None

    @property
    def doubt_ms(self) -> float:
        """Return how far off `offset_ms` may be: half the way of its request, and the resolution of our clock."""
        return min(self._samples)[0] if self._samples else 0.0

    def shift(self, by_ms: float) -> None:
        """Follow our own clock, which was set forward by so much."""
        moved = [(doubt, offset - by_ms) for doubt, offset in self._samples]
        self._samples.clear()
        self._samples.extend(moved)

    def measure(self, sent_ms: int, received_ms: int, in_ms: float, out_ms: float) -> None:
        """Take one measurement: local times of the request, the venue's times of its work on it."""
        offset = (in_ms + out_ms - sent_ms - received_ms) / 2.0
        # Local times are whole milliseconds.
        doubt = max(received_ms - sent_ms - (out_ms - in_ms), 0.0) / 2.0 + 1.0
        if self._samples:
            best_doubt, best = min(self._samples)
            if abs(offset - best) > doubt + best_doubt:
                self._samples.clear()
        self._samples.append((doubt, offset))


class RestTransport:
    """
    A session with one REST host. Use it as an async context manager.

    stats    counts answers by status, and failures as `timeout`, `transport` or `bad_body`
    jitter   a number in [0, 1) for each pause; tests pass their own
    on_seen  shown every answer, good or bad
    """

    def __init__(
        self,
        base_url: str,
        clock: Clock,
        *,
        stats: Counter[str] | None = None,
        quota: int = QUOTA,
        retries: int = RETRIES,
        jitter: Callable[[], float] = random.random,
        on_seen: Callable[[SeenHeaders], None] = lambda seen: None,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigError(f"rest_url: {base_url!r} is not an http:// or https:// address")
        self.base_url = base_url.rstrip("/")
        self.clock = clock
        self.stats: Counter[str] = Counter() if stats is None else stats
        self.budget = Budget(clock, quota)
        self.offset = ClockOffset()
        self._steps = Steps(clock)
        self._moved_ms = 0.0  # how far our own clock was set in all
        self._retries = retries
        self._jitter = jitter
        self._on_seen = on_seen
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            # In the loop's seconds: a network is not quicker because the clock is.
            timeout=aiohttp.ClientTimeout(total=TOTAL_S, sock_connect=CONNECT_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the session and its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, parameters: Mapping[str, str | int] | None = None) -> HttpAnswer:
        """
        Return the answer to a GET.

        Raises RestRefused for an answer that asking again would not change, RestUnavailable after the last retry.
        """
        last: RestUnavailable | None = None
        for attempt in range(self._retries + 1):
            if last is not None:
                await self.clock.sleep(self._jitter() * min(BACKOFF_FIRST_S * 2.0**attempt, BACKOFF_LAST_S))
            await self.budget.take()
            try:
                async with self._slots:
                    return await self._try(path, parameters or {})
            except RestUnavailable as error:
                last = error
        assert last is not None
        raise last

    async def _try(self, path: str, parameters: Mapping[str, str | int]) -> HttpAnswer:
        assert self._session is not None, "use DeltaRest as an async context manager"
        what = f"GET {self.base_url}{path}"
        self.follow_clock()
        sent_ms, moved_ms = self.clock.now_ms(), self._moved_ms
        try:
            async with self._session.get(
                self.base_url + path, params=parameters, allow_redirects=False
            ) as response:
                text = await _bounded(response, what)
        except TimeoutError as error:
            self.stats["timeout"] += 1
            raise RestUnavailable(f"{what}: no answer within {TOTAL_S:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            self.stats["transport"] += 1
            reason = (str(error) or type(error).__name__).rstrip(".")
            raise RestUnavailable(f"{what}: not reached: {reason}") from error
        self.stats[str(response.status)] += 1
        self._on_seen(SeenHeaders(path, parameters, response.status, response.headers, text))
        self._obey_limit(response)
        age_s = _age_s(response.headers)
        self.follow_clock()
        sent_ms += int(self._moved_ms - moved_ms)  # by the clock as it is now
        if age_s is None:
            self._measure(response.headers, sent_ms)
        body = self._judge(response.status, text, what)
        venue_ms = sent_ms + (self.offset.offset_ms or 0.0) - 1000.0 * (age_s or 0.0)
        return HttpAnswer(body, int(venue_ms))

    def follow_clock(self) -> None:
        """Keep the venue's time when our own clock was set."""
        if step_ms := self._steps.take():
            self._moved_ms += step_ms
            self.offset.shift(step_ms)

    def _obey_limit(self, response: aiohttp.ClientResponse) -> None:
        """Close the budget for as long as a 429 asks for."""
        if response.status == 429:
            reset_ms = _number(response.headers.get("X-RATE-LIMIT-RESET"))
            self.budget.close_for(min((reset_ms or 0.0) / 1000.0, RESET_LAST_S))

    def _measure(self, headers: Mapping[str, str], sent_ms: int) -> None:
        """Measure the venue's clock where an answer from the origin says when it was made, in µs."""
        in_us, out_us = (_number(headers.get(f"Request-{way}-Time")) for way in ("In", "Out"))
        if in_us and out_us and out_us >= in_us:
            self.offset.measure(sent_ms, self.clock.now_ms(), in_us / 1000.0, out_us / 1000.0)

    def _judge(self, status: int, text: bytes, what: str) -> Any:
        """Return the JSON of a good answer; the status decides first, then the envelope."""
        told = text[:TOLD_BYTES].decode("utf-8", "replace").strip()
        if status == 429 or status >= 500:
            raise RestUnavailable(f"{what}: answered {status}: {told}", status)
        body = None
        if text.lstrip()[:1] in (b"{", b"["):
            try:
                body = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                if status == 200:
                    self.stats["bad_body"] += 1
                    raise RestUnavailable(f"{what}: not whole JSON: {told}", status) from error
        if isinstance(body, dict) and body.get("success") is False:
            raise _refusal(body.get("error"), status, what)
        if status != 200:
            raise RestRefused(f"{what}: answered {status}: {told}", status)
        if body is None:
            self.stats["bad_body"] += 1
            raise RestUnavailable(f"{what}: not JSON: {told}", status)
        return body


async def _bounded(response: aiohttp.ClientResponse, what: str) -> bytes:
    """Return the body, or refuse one that no honest answer needs."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(65_536):
        size += len(part)
        if size > BODY_BYTES:
            raise RestRefused(f"{what}: the answer is longer than {BODY_BYTES:,} bytes", 200)
        parts.append(part)
    return b"".join(parts)


def _refusal(error: Any, status: int, what: str) -> RestError:
    """Return the venue's own words; `error` is an object with a code, or a bare string."""
    code = str(error.get("code")) if isinstance(error, dict) else str(error)
    context = error.get("context") if isinstance(error, dict) else None
    faults = context.get("schema_errors") if isinstance(context, dict) else None
    told = [
        str(fault.get("message"))
        for fault in (faults if isinstance(faults, list) else [])
        if isinstance(fault, dict)
    ]
    message = f"{what}: {': '.join([code, ', '.join(told)] if told else [code])}"[: TOLD_BYTES * 2]
    kind = RestUnavailable if code == "unavailable" else RestRefused
    return kind(message, status)


def _age_s(headers: Mapping[str, str]) -> float | None:
    """Return how old a cached answer is; None for one from the origin."""
    age_s = _number(headers.get("Age"))
    if age_s:
        return age_s
    return 0.0 if headers.get("X-Cache", "").lower().startswith("hit") else None


def _number(text: str | None) -> float | None:
    """Return a header's number that is not negative, None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0.0 <= value < 1e18 else None
