"""A plain websocket and REST client for the venue's tests: it keeps frames as they come and shares no code with ours."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import aiohttp
import numpy as np

from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows
from papertape.replay.exchange import Faults, Switches, Venue
from papertape.replay.exchange.market import TapeMarket
from papertape.replay.exchange.products import list_tapes
from papertape.replay.runtime.clock import Clock
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.virtual_time import VirtualTimeLoop

MINUTE_MS = 60_000
START_MS = 1_795_428_900_000  # 2026-11-23 10:15 UTC, the reference's example
T0 = 1_795_392_000_000  # 2026-11-23 00:00 UTC, a Monday
HISTORY = 30  # candles before START_MS
AGENT = {"User-Agent": "venue-test/1"}

T = TypeVar("T")


def in_virtual_time(coroutine: Awaitable[T]) -> T:
    """Run a coroutine in a loop whose time jumps."""

    async def whole() -> T:
        return await coroutine

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(whole())


def make_tape(n: int = 5, symbol: str = "BTCUSDT", seed: int = 1) -> Tape:
    """Return a synthetic 1m tape with HISTORY candles before START_MS and `n` from there on."""
    first_ms = START_MS - HISTORY * MINUTE_MS
    return synthesize("noise", HISTORY + n, "1m", seed, symbol=symbol, start_ms=first_ms)


def make_market(volumes: list[float], minutes: list[int] | None = None) -> TapeMarket:
    """Return a market whose k-th candle has close 100 + k and this volume; minutes leave gaps."""
    rows: Rows = np.zeros(len(volumes), CANDLE)
    rows["open_ms"] = T0 + MINUTE_MS * np.asarray(range(len(volumes)) if minutes is None else minutes)
    k = np.arange(len(volumes))
    rows["open"], rows["close"] = 100.5 + k, 100.0 + k
    rows["high"], rows["low"] = 102.0 + k, 99.0 + k
    rows["volume"] = volumes
    tape = Tape(rows, "test", "BTCUSD", "1m")
    return TapeMarket(tape, list_tapes([tape])["BTCUSD"], seed=1)


class Client:
    """One venue and what can be asked of it, at START_MS of virtual time."""

    def __init__(self, venue: Venue, clock: Clock, http: aiohttp.ClientSession) -> None:
        self.venue = venue
        self.clock = clock
        self.http = http

    async def get(self, path: str, **query: Any) -> tuple[int, Any, Any]:
        """Return status, body (parsed when it is JSON) and headers."""
        url = f"{self.venue.rest_url}{path}"
        async with self.http.get(url, params=query) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text, response.headers

    async def candles(self, start_ms: int, end_ms: int, **query: Any) -> list[dict[str, Any]]:
        """Return the history's candles as they come: newest first."""
        query = {"symbol": "BTCUSDT", "resolution": "1m", **query}
        _, body, _ = await self.get(
            "/v2/history/candles", start=start_ms // 1000, end=end_ms // 1000, **query
        )
        found: list[dict[str, Any]] = body["result"]
        return found

    async def connect(self, url: str | None = None, **options: Any) -> "Socket":
        """Open a websocket."""
        url = url or self.venue.compact_url
        socket = await self.http.ws_connect(url, autoping=False, max_msg_size=0, **options)
        return Socket(self, socket)


class Socket:
    """A websocket that keeps (time of receipt in ms, text)."""

    def __init__(self, client: Client, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.client = client
        self.socket = socket
        self.texts: list[tuple[int, str]] = []
        self.is_closed = False

    async def tell(self, message: Any) -> None:
        """Send a message, or a text as it is."""
        await self.socket.send_str(message if isinstance(message, str) else json.dumps(message))

    async def subscribe(self, *channels: tuple[str, Sequence[str] | None]) -> None:
        """Subscribe to channels."""
        listed = [
            {"name": name} if symbols is None else {"name": name, "symbols": list(symbols)}
            for name, symbols in channels
        ]
        await self.tell({"type": "subscribe", "payload": {"channels": listed}})

    async def listen(self, until_ms: int) -> list[dict[str, Any]]:
        """Receive until a time or the connection's end; return the messages that are JSON."""
        start, clock = len(self.texts), self.client.clock
        try:
            async with clock.timeout((until_ms - clock.now_ms()) / 1000.0):
                async for message in self.socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        self.texts.append((clock.now_ms(), message.data))
            self.is_closed = True
        except TimeoutError:
            pass
        return [values for _, text in self.texts[start:] if (values := parsed(text)) is not None]


def parsed(text: str) -> dict[str, Any] | None:
    """Return a message, or None for what is no JSON."""
    try:
        values = json.loads(text, parse_constant=lambda name: name)
    except json.JSONDecodeError:
        return None
    assert isinstance(values, dict)
    return values


def of_type(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """Return the messages of a type."""
    return [message for message in messages if message["type"] == kind]


def with_venue(
    use: Callable[[Client], Awaitable[T]],
    tapes: Sequence[Tape] | None = None,
    switches: Switches | None = None,
    faults: Faults | None = None,
    **options: Any,
) -> T:
    """Run `use` against a venue in virtual time that stands at START_MS."""

    async def run() -> T:
        clock = Clock(START_MS)
        venue = Venue(
            tapes or [make_tape()], clock, switches=switches or Switches(), faults=faults, **options
        )
        await venue.start()
        try:
            async with aiohttp.ClientSession(headers=AGENT) as http:
                return await use(Client(venue, clock, http))
        finally:
            await venue.stop()

    return in_virtual_time(run())
