"""
A scripted venue for tests of the connection: one websocket on the loopback that streams small markets, and a history
beside it that may lag or fail. What it does wrong is set from outside, at any time.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.replay.runtime.clock import Clock
from tests.support.feed_market import CONTRACT_VALUE, LENGTH_MS, START_MS, Market, Switches


@dataclass
class Product:
    """A contract as the feed sees it."""

    contract_value: float = CONTRACT_VALUE
    funding_interval_s: int = 28_800
    tick_size: float = 0.5
    state: str = "live"
    trading_status: str = "operational"


class ScriptedHistory:
    """The REST side: candles of the markets, or a failure."""

    def __init__(self, markets: Sequence[Market], clock: Clock, switches: Switches) -> None:
        self.markets = {market.symbol: market for market in markets}
        self.listed = {market.symbol: Product() for market in markets}
        self.clock, self.switches = clock, switches
        self.fails = False
        self.n_requests = 0
        self.clock_offset_ms: float | None = 0.0
        self.clock_doubt_ms = 1.0

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
        assert include_forming
        self.n_requests += 1
        await self.clock.sleep(0.08)
        if self.fails:
            raise DataError("history: HTTP 503")
        market = self.markets[symbol]
        now_ms = self.clock.now_ms()
        return market.history(self.switches, first_ms, min(last_ms, now_ms), now_ms, volume_scale)

    async def products(self) -> dict[str, Product]:
        if self.fails:
            raise DataError("history: HTTP 503")
        return dict(self.listed)


class ScriptedVenue:
    """
    The websocket side.

    spoil   sees every candle frame's bytes and returns what is sent in its place
    """

    def __init__(self, markets: Sequence[Market], clock: Clock, switches: Switches) -> None:
        self.markets, self.clock, self.switches = markets, clock, switches
        self.url = ""
        self.refusal: int | None = None  # HTTP status of the upgrade
        self.acknowledges = True
        self.knows_channels = True
        self.refused_channels: dict[str, str] = {}
        self.is_frozen = False
        self.has_trades = False
        self.silent: set[str] = set()
        self.spoil: Callable[[bytes], list[bytes]] = lambda data: [data]
        self.received: list[dict[str, Any]] = []
        self.user_agents: list[str | None] = []
        self.close_codes: list[int | None] = []
        self.n_upgrades = 0
        self.sockets: list[web.WebSocketResponse] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection."""
        self.n_upgrades += 1
        self.user_agents.append(request.headers.get("User-Agent"))
        if self.refusal is not None:
            return web.Response(status=self.refusal)
        socket = web.WebSocketResponse(autoping=True, timeout=0.2)
        await socket.prepare(request)
        self.sockets.append(socket)
        stream = asyncio.create_task(self._stream(socket))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(socket, orjson.loads(message.data))
        finally:
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)
            self.sockets.remove(socket)
            self.close_codes.append(socket.close_code)
        return socket

    async def send(self, message: dict[str, Any] | bytes) -> None:
        """Send something to everybody who is connected."""
        for socket in list(self.sockets):
            data = message if isinstance(message, bytes) else orjson.dumps(message)
            await socket.send_str(data.decode("latin-1"))

    def abort(self) -> None:
        """Cut every connection without a word."""
        for socket in self.sockets:
            request: Any = socket._req
            if request is not None and request.transport is not None:
                request.transport.abort()

    async def _answer(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        self.received.append(message)
        if self.is_frozen or not self.acknowledges:
            return
        if message["type"] == "ping":
            await socket.send_str('{"type":"pong"}')
        elif message["type"] == "subscribe" and not self.knows_channels:
            await socket.send_str(
                '{"message":"Subscription forbidden: Invalid channel array","type":"error"}'
            )
        elif message["type"] == "subscribe":
            channels = [
                {"name": entry["name"], "error": self.refused_channels[entry["name"]]}
                if entry["name"] in self.refused_channels
                else entry
                for entry in message["payload"]["channels"]
            ]
            await socket.send_str(orjson.dumps({"channels": channels, "type": "subscriptions"}).decode())

    async def _stream(self, socket: web.WebSocketResponse) -> None:
        """Send candles, trades and heartbeats from now on."""
        now_ms = self.clock.now_ms()
        for time_ms, symbol, data in self._script():
            if time_ms < now_ms:
                continue
            await self.clock.sleep_until(time_ms)
            if self.is_frozen or symbol in self.silent:
                continue
            for part in self.spoil(data) if symbol else [data]:
                await socket.send_str(part.decode("latin-1"))

    def _script(self) -> list[tuple[int, str, bytes]]:
        events: list[tuple[int, str, dict[str, Any]]] = []
        for market in self.markets:
            events += ((ms, market.symbol, f) for ms, f in market.frames(self.switches))
            events += (
                (
                    t.time_ms + 260,
                    market.symbol,
                    {
                        "p": str(t.price),
                        "r": "t",
                        "s": float(t.contracts),
                        "sy": market.symbol,
                        "t": t.time_ms * 1000,
                        "ts": (t.time_ms + 260) * 1000,
                        "type": "trades",
                    },
                )
                for t in (market.trades if self.has_trades else ())
            )
        n_beats = (self.markets[0].n_bars + 2) * LENGTH_MS // 5_000
        for beat in range(n_beats):
            ms = START_MS + beat * 5_000
            events.append((ms, "", {"ts_publish": ms * 1000, "type": "heartbeat"}))
        return [(ms, symbol, orjson.dumps(f)) for ms, symbol, f in sorted(events, key=lambda e: e[0])]


@asynccontextmanager
async def serving(venue: ScriptedVenue) -> AsyncIterator[str]:
    """Yield the websocket's address."""
    application = web.Application()
    application.router.add_get("/", venue.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server: Any = site._server
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


def subscribed(venue: ScriptedVenue) -> list[str]:
    """Return the names of all channels that were asked for, in order."""
    entries = (message["payload"]["channels"] for message in venue.received if message["type"] == "subscribe")
    return [entry["name"] for entry in itertools.chain.from_iterable(entries)]
