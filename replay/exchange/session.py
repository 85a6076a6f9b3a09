"""One websocket connection: its messages, acknowledgements, heartbeat, idle cut, and what it is still owed."""

import asyncio
from collections import deque
from functools import partial
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import WSMsgType, web

from papertape.replay.exchange.frame_faults import FrameFaults, stamped
from papertape.replay.exchange.hub import Hub
from papertape.replay.exchange.messages import US, Host
from papertape.replay.exchange.subscriptions import Reply, Subscriptions, Topic
from papertape.replay.exchange.world import World

ANSWER_MS: Final = 100  # between a message and its answer
IDLE_MS: Final = 60_000
OWED_FRAMES_MAX: Final = 50_000  # of a client that does not read; then it is cut
_HEARTBEATS_BEFORE_STOP: Final = 3


class Closing(NamedTuple):
    """In place of a frame: close the connection with this code."""

    code: int


class Session:
    """A connection of one client on one host."""

    def __init__(self, world: World, hub: Hub, host: Host) -> None:
        self.host: Host = host
        self.subscriptions = Subscriptions(host, world.markets)
        self._world, self._hub = world, hub
        self._outbox: deque[bytes | Closing] = deque()
        self._has_mail = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._heard_ms = world.now_ms
        self._heartbeat = 0  # number of the running heartbeat; 0: none
        self._n_heartbeats = 0
        self._frame_faults = FrameFaults(world.faults, hub.next_session())
        self._is_answered = world.faults.on("never_ack") is None
        self.is_open = True
        self.is_dead = False  # half open: it takes everything and gives nothing

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the connection until either side ends it."""
        socket = web.WebSocketResponse(autoping=False, compress=self.host == "legacy")
        await socket.prepare(request)
        self._transport = request.transport
        self._hub.sessions[self] = None
        self._watch_idle(self._world.now_ms)
        try:
            async with asyncio.TaskGroup() as group:
                writer = group.create_task(self._write(socket))
                async for message in socket:
                    await self._receive(socket, message.type, message.data)
                writer.cancel()
        finally:
            self._leave()
        return socket

    def deliver(self, topic: Topic, frame: bytes) -> None:
        """Send a frame of a topic, or what faults make of it."""
        if not self._world.faults.has_frame_faults and not self._frame_faults.has_held:
            self.send(frame)
            return
        for altered in self._frame_faults.frames(*topic, frame):
            self.send(altered)

    def send(self, frame: bytes | Closing) -> None:
        """Put a frame in line; a client that does not read is cut in the end."""
        faults = self._world.faults
        if self.is_dead or (faults.now and faults.on("freeze")):
            return
        if len(self._outbox) >= OWED_FRAMES_MAX:
            self.abort()
            return
        self._outbox.append(frame)
        if not (faults.now and faults.on("stall")):
            self._has_mail.set()

    def resume(self) -> None:
        """Send what a stall has held back."""
        self._has_mail.set()

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        if self._transport is not None:
            self._transport.abort()

    async def _write(self, socket: web.WebSocketResponse) -> None:
        while True:
            await self._has_mail.wait()
            self._has_mail.clear()
            while self._outbox:
                frame = self._outbox.popleft()
                if isinstance(frame, Closing):
                    await socket.close(code=frame.code)
                    return
                try:
                    await socket.send_frame(frame, WSMsgType.TEXT)
                except ConnectionError:
                    return  # the reader learns it too and ends the session

    async def _receive(self, socket: web.WebSocketResponse, kind: WSMsgType, data: Any) -> None:
        self._heard_ms = self._world.now_ms
        is_mute = self.is_dead or self._world.faults.on("freeze", "stall")
        if kind is WSMsgType.PING and not is_mute:
            await socket.pong(data)
        if kind is not WSMsgType.TEXT:
            return
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError:
            return  # the venue does not answer what it cannot read
        if isinstance(message, dict):
            self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        kind, now_ms = message.get("type"), self._world.now_ms
        if kind == "subscribe":
            self._answer(self.subscriptions.subscribe(message.get("payload")))
        elif kind == "unsubscribe":
            self._answer(self.subscriptions.unsubscribe(message.get("payload")))
            self._watch_idle(now_ms)
        elif kind == "ping":
            self._answer(Reply({"type": "pong"}))
        elif kind == "enable_heartbeat" and not self._heartbeat:
            self._n_heartbeats += 1
            self._heartbeat = self._n_heartbeats
            self._put(now_ms + ANSWER_MS, partial(self._beat, self._heartbeat, 1))
        elif kind == "disable_heartbeat":
            self._heartbeat = 0
            self._watch_idle(now_ms)
        elif kind in ("auth", "key-auth"):
            self._answer(Reply({"message": "auth is not supported here", "type": "error"}))

    def _answer(self, reply: Reply) -> None:
        for topic in reply.left:
            self._hub.leave(self, topic)
        self._put(self._world.now_ms + ANSWER_MS, partial(self._acknowledge, reply))

    def _acknowledge(self, reply: Reply, now_ms: int) -> None:
        if not self._is_answered and reply.message["type"] == "subscriptions":
            return
        self.send(orjson.dumps(reply.message))
        wanted = set(self.subscriptions.topics())
        for topic in reply.joined:
            if topic in wanted:  # not left again meanwhile
                self._hub.join(self, topic, now_ms)

    def _beat(self, number: int, n: int, now_ms: int) -> None:
        if number != self._heartbeat:
            return
        how = self._world.switches.heartbeat
        frame: dict[str, Any] = {}
        if how != "bare":
            frame = {"ts_origin": now_ms * US, "ts_publish": now_ms * US + 1200}
        data = orjson.dumps({**frame, "type": "heartbeat"})
        skew = self._world.faults.on("stamp_skew")
        self.send(data if skew is None or skew.symbol else stamped(data, skew.amount))
        if how != "stops" or n < _HEARTBEATS_BEFORE_STOP:
            period_ms = 30_000 if how == "bare" else 5_000
            self._put(now_ms + period_ms, partial(self._beat, number, n + 1))

    def _watch_idle(self, now_ms: int) -> None:
        """Cut the connection when it has neither subscription nor heartbeat and says nothing for a minute."""
        if self.subscriptions or self._heartbeat:
            return
        if now_ms - self._heard_ms >= IDLE_MS:
            self.abort()
        else:
            self._put(self._heard_ms + IDLE_MS, self._watch_idle)

    def _put(self, time_ms: int, action: Any) -> None:
        """Do something later, if the connection is still there then."""

        def act(now_ms: int) -> None:
            if self.is_open:
                action(now_ms)

        self._world.schedule.put(time_ms, act)

    def _leave(self) -> None:
        self.is_open = False
        self._heartbeat = 0
        for topic in self.subscriptions.topics():
            self._hub.leave(self, topic)
        self._hub.sessions.pop(self, None)
