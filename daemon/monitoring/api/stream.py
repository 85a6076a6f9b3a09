"""
`/api/v1/stream`: a snapshot, then numbered deltas of what the journal's tables got, the same text for everybody.

    {"kind": "snapshot", "run": …, "number": n, "sequence": …, "status": {…}}
    {"kind": "delta", "number": n + 1, "sequence": …, "status": {…}, "candles": […], "features": […], "decisions": […], …}

Deltas are made while somebody looks on: at most every PAUSE_S when the engine took something, and every BEAT_S otherwise, so
that silence means a broken connection. The trading loop sets a flag, nothing more; what happened is read by the API's
thread once the journal has it. The newest KEPT are kept for who comes back: with the run and the number of its last message a
client gets what it missed, or a snapshot where that is too long ago. A client that does not keep up is dropped with code
TOO_SLOW, rather than let its messages grow or hold up the others.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import numpy as np
import orjson
from aiohttp import WSCloseCode, web
from pydantic import BaseModel, ConfigDict, Field

from papertape.daemon.journal import Journal
from papertape.daemon.journal.codec import CANDLES
from papertape.daemon.monitoring.api.closes import SeenFeatures, drawn_values
from papertape.daemon.monitoring.api.listings import LISTINGS, shown
from papertape.daemon.monitoring.api.reader import ApiReader
from papertape.daemon.monitoring.routes import Refused, read_query
from papertape.daemon.monitoring.schemas import Status
from papertape.engine.candles import CANDLE, FLAG_ABSENT
from papertape.engine.errors import DataError

PROTOCOL: Final = "papertape"
MOST_CLIENTS: Final = 128
MOST_QUEUED: Final = 64  # messages of one client
MOST_ROWS_SENT: Final = 200  # of one table in one delta; beyond, a client is told to load again
MOST_CANDLES_SENT: Final = 1_000
KEPT: Final = 256
PAUSE_S: Final = 0.2
BEAT_S: Final = 5.0
TOO_SLOW: Final = 4008
CLOSE_S: Final = 2.0
_SENT: Final = tuple(
    listing
    for listing in LISTINGS
    if listing.name in ("decisions", "fills", "trades", "orders", "limits", "models", "changes", "events")
)

_CLOSES: Final = (
    "SELECT symbol, time_ms, features FROM closes WHERE input > ? AND input <= ? AND features IS NOT NULL "
    "ORDER BY symbol, time_ms LIMIT ?"
)


class StreamQuery(BaseModel):
    """Where a client was."""

    model_config = ConfigDict(extra="forbid")

    run: str | None = Field(None, max_length=32, description="`run` of the snapshot it had")
    after: int | None = Field(None, ge=0, le=2**53, description="number of its last message")


class StreamClient:
    """One connection: what waits to be sent, and whether it has been given up."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str] = asyncio.Queue(MOST_QUEUED)
        self.is_too_slow = asyncio.Event()

    def send(self, message: str) -> None:
        """Let a message wait for its turn, or give the client up."""
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.is_too_slow.set()


class DeltaStream:
    """
    Makes deltas and hands them to every client.

    settle  returns the newest input whose rows are in the journal for certain
    """

    def __init__(
        self,
        reader: ApiReader,
        status: Callable[[], Status],
        settle: Callable[[], Awaitable[int]],
        symbols: tuple[str, ...],
        features: SeenFeatures,
    ) -> None:
        self._reader, self._status, self._settle, self._symbols = reader, status, settle, symbols
        self._features = features
        self.run = secrets.token_hex(8)
        self.number, self.sequence = 0, 0
        self.clients: set[StreamClient] = set()
        self._seats_taken = 0
        self._kept: deque[tuple[int, str]] = deque(maxlen=KEPT)
        self._has_clients = asyncio.Event()
        self._turn = asyncio.Lock()  # a client is greeted between two deltas
        self._is_changed, self._told_s = False, 0.0
        self._sockets: set[web.WebSocketResponse] = set()

    def on_step(self) -> None:
        """Note that the engine took something."""
        self._is_changed = True

    async def make(self) -> None:
        """Make deltas for ever."""
        while True:
            await self._has_clients.wait()
            # The machine's time, also where the loop's time is the local exchange's.
            await asyncio.to_thread(time.sleep, PAUSE_S)
            is_due = time.monotonic() - self._told_s >= BEAT_S
            if self.clients and (self._is_changed or is_due):
                await self.publish()

    async def publish(self) -> None:
        """Make one delta of what was journalled since the last, and hand it to every client."""
        async with self._turn:
            await self._publish()

    async def _publish(self) -> None:
        self._is_changed, self._told_s = False, time.monotonic()
        try:
            upto = await self._settle()
            after = self.sequence
            found = await self._reader.ask(lambda journal: self._changes(journal, after, upto))
        except DataError:
            self._is_changed = True  # too many ask at the moment; the next round has it
            return
        self.sequence = max(after, upto)
        self.number += 1
        message = self._text("delta", found)
        self._kept.append((self.number, message))
        for client in self.clients:
            client.send(message)

    def _text(self, kind: str, found: dict[str, Any]) -> str:
        about = {"kind": kind, "run": self.run, "number": self.number, "sequence": self.sequence}
        status = self._status().model_dump(mode="json")
        return orjson.dumps({**about, "status": status, **found}).decode()

    def _changes(self, journal: Journal, after: int, upto: int) -> dict[str, Any]:
        """Return rows of the inputs after one of them, by table; `reload` where there are too many to send."""
        found: dict[str, Any] = {"candles": [], "reload": False}
        span = (after, upto)
        rows = journal.all(
            "SELECT CAST(payload AS BLOB) FROM inputs WHERE kind = ? AND sequence > ? AND sequence <= ? "
            "ORDER BY sequence LIMIT ?",
            CANDLES,
            *span,
            MOST_CANDLES_SENT,
        )
        candles = np.frombuffer(b"".join(payload for (payload,) in rows), CANDLE)
        candles = candles[candles["flag_bits"] & FLAG_ABSENT == 0]
        if len(candles) >= MOST_CANDLES_SENT:
            return {**found, "reload": True}
        found["candles"] = [
            [self._symbols[symbol], open_ms, *prices] for open_ms, symbol, *prices, _ in candles.tolist()
        ]
        if self._features.drawn:
            closes = journal.all(_CLOSES, *span, MOST_ROWS_SENT)
            if len(closes) >= MOST_ROWS_SENT:
                return {"candles": [], "reload": True}
            found["features"] = [
                [symbol, time_ms, drawn_values(self._features, stored)] for symbol, time_ms, stored in closes
            ]
        for listing in _SENT:
            names = ", ".join(f'"{column.name}"' for column in listing.columns)
            rows = journal.all(
                f"SELECT {names} FROM {listing.table} WHERE input > ? AND input <= ? "  # noqa: S608
                f"ORDER BY {', '.join(listing.key)} LIMIT ?",
                *span,
                MOST_ROWS_SENT,
            )
            if len(rows) >= MOST_ROWS_SENT:
                return {"candles": [], "reload": True}
            if rows:
                found[listing.name] = [shown(listing, row, journal.units_per_quote) for row in rows]
        return found

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one client until it goes, is too slow, or the daemon stops."""
        asked = read_query(request, StreamQuery)
        if self._seats_taken >= MOST_CLIENTS:
            raise Refused(503, f"{MOST_CLIENTS} clients look on already; close one of them")
        socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=1024, compress=False)
        if not socket.can_prepare(request):
            raise Refused(426, "this is a websocket; connect with one", Upgrade="websocket")
        self._seats_taken += 1  # before it is greeted, which may wait for a delta
        try:
            return await self._serve(request, socket, asked)
        finally:
            self._seats_taken -= 1

    async def _serve(
        self, request: web.Request, socket: web.WebSocketResponse, asked: StreamQuery
    ) -> web.StreamResponse:
        await socket.prepare(request)
        client = StreamClient()
        try:
            async with self._turn:
                await self._greet(client, asked)
        except DataError as error:
            await _close(request, socket, WSCloseCode.TRY_AGAIN_LATER, str(error).encode()[:120])
            return socket
        self._sockets.add(socket)
        sender = asyncio.create_task(_send(client, socket))
        dropper = asyncio.create_task(client.is_too_slow.wait())
        listener = asyncio.create_task(_listen(socket))
        try:
            await asyncio.wait({sender, dropper, listener}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave(client)
            self._sockets.discard(socket)
            for task in (sender, dropper, listener):
                task.cancel()
            await asyncio.gather(sender, dropper, listener, return_exceptions=True)
        if client.is_too_slow.is_set():
            await _close(request, socket, TOO_SLOW, b"too slow: messages waited")
        return socket

    async def _greet(self, client: StreamClient, asked: StreamQuery) -> None:
        """Send what the client missed, or a snapshot; from here on it gets every delta."""
        if not self.clients:
            # Nobody looked on: what happened meanwhile was not kept.
            self._kept.clear()
            self.sequence = max(self.sequence, await self._settle())
            self.number += 1
        missed = [text for number, text in self._kept if number > (asked.after or 0)]
        is_known = asked.run == self.run and asked.after is not None
        is_whole = is_known and asked.after == self.number - len(missed) and len(missed) < MOST_QUEUED
        for message in missed if is_whole else [self._text("snapshot", {})]:
            client.send(message)
        self.clients.add(client)
        self._has_clients.set()

    def _leave(self, client: StreamClient) -> None:
        self.clients.discard(client)
        if not self.clients:
            self._has_clients.clear()

    async def close(self) -> None:
        """Tell every client that the daemon goes away."""
        for socket in list(self._sockets):
            try:
                async with asyncio.timeout(CLOSE_S):
                    await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the daemon stops")
            except TimeoutError:
                continue


async def _send(client: StreamClient, socket: web.WebSocketResponse) -> None:
    while True:
        await socket.send_str(await client.queue.get())


async def _listen(socket: web.WebSocketResponse) -> None:
    """Wait until the client goes; what it says is not for us."""
    async for _ in socket:
        pass


async def _close(request: web.Request, socket: web.WebSocketResponse, code: int, message: bytes) -> None:
    """Close a connection that may not take another byte."""
    try:
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code=code, message=message)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
