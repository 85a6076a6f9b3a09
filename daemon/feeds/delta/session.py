"""
One open socket: subscribe, read, keep alive, notice when it is dead.

Two tasks: the reader hands every frame on, the keeper looks at the clock once a second. Any frame feeds the watchdog;
a ping wants its pong; subscriptions want their acknowledgement (delta-exchange.md 3.4 and 6).
"""

import asyncio
from collections.abc import Callable, Iterable

import aiohttp

from papertape.daemon.feeds.delta.messages import (
    Ack,
    CandleFrame,
    Frame,
    FundingFrame,
    MarkFrame,
    Pong,
    Refusal,
    TradeFrame,
    parse,
)
from papertape.daemon.feeds.delta.recorder import FrameRecorder
from papertape.daemon.feeds.delta.subscriptions import ENABLE_HEARTBEAT, PING, Protocol, Subscriptions
from papertape.replay.runtime.clock import Clock

WATCHDOG_S = 35.0
PING_EVERY_S = 25.0
PONG_WITHIN_S = 10.0
ACK_WITHIN_S = 10.0
SEND_WITHIN_S = 10.0
LEAVE_WITHIN_S = 1.5
STEADY_S = 60.0  # of data, after which a connection counts as good
SEND_PAUSE_S = 0.2  # at most five frames a second
FRAMES_PER_TURN = 64
_DATA = (CandleFrame, TradeFrame, MarkFrame, FundingFrame)


class Session:
    """
    The life of one socket.

    on_frame       sees every frame, parsed
    on_subscribed  called once, when everything that candles need was acknowledged
    on_refused     called with a channel and the venue's words
    """

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        protocol: Protocol,
        subscriptions: Subscriptions,
        clock: Clock,
        *,
        on_frame: Callable[[Frame], None],
        on_subscribed: Callable[[], None],
        on_refused: Callable[[str, str], None],
        recorder: Callable[[], FrameRecorder | None] = lambda: None,
    ) -> None:
        self.protocol = protocol
        self.is_subscribed = False
        self.is_steady = False
        self.is_refused = False  # as a whole: this host does not know our channels
        self._socket = socket
        self._subscriptions = subscriptions
        self._clock = clock
        self._on_frame, self._on_subscribed, self._on_refused = on_frame, on_subscribed, on_refused
        self._recorder = recorder
        self._loop = asyncio.get_running_loop()
        self._outbox: list[bytes] = []
        self._opened_s = self._last_s = self._pinged_s = self._now_s()
        self._awaits_pong = False
        self._data_since_s: float | None = None
        self._reason = ""

    async def run(self) -> str:
        """Talk until the socket ends; return why: closed, timeout or error."""
        self._outbox = [ENABLE_HEARTBEAT, *self._subscriptions.requests(self.protocol)]
        async with asyncio.TaskGroup() as tasks:
            keeper = tasks.create_task(self._keep())
            reason = await self._read()
            keeper.cancel()
        return self._reason or reason

    async def leave(self) -> None:
        """Say goodbye and close, within two seconds whatever the venue does."""
        try:
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await self._transmit(self._subscriptions.farewell(self.protocol))
                await self._socket.close(code=aiohttp.WSCloseCode.OK)
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            return  # it was gone already

    def renew(self, symbols: Iterable[str]) -> None:
        """Subscribe some symbols anew."""
        self._outbox += self._subscriptions.renewal(self.protocol, symbols)

    async def end(self, reason: str) -> None:
        """Close the socket; the reader sees it and `run` returns the reason."""
        self._reason = self._reason or reason
        await self._socket.close()

    def _now_s(self) -> float:
        # The loop's time, on the clock's scale: a wall clock that is set kills no connection.
        return self._loop.time() * self._clock.speed

    async def _read(self) -> str:
        n_read = 0
        while True:
            message = await self._socket.receive()  # the keeper bounds the wait
            self._last_s = self._now_s()
            if message.type is aiohttp.WSMsgType.TEXT:
                self._take(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                self._on_frame(parse(message.data))
            elif message.type is aiohttp.WSMsgType.ERROR:
                return "error"
            else:
                return "closed"
            n_read += 1
            if n_read % FRAMES_PER_TURN == 0:
                await asyncio.sleep(0)  # a full buffer is read without ever waiting

    def _take(self, text: str) -> None:
        recorder = self._recorder()
        if recorder is not None:
            recorder.write(self._clock.now_ms(), "in", text)
        frame = parse(text)
        if isinstance(frame, Ack):
            self._acknowledge(frame)
        elif isinstance(frame, Pong):
            self._awaits_pong = False
        elif isinstance(frame, Refusal):
            self.is_refused = not self.is_subscribed
        elif isinstance(frame, _DATA) and self._data_since_s is None:
            self._data_since_s = self._last_s
        self._on_frame(frame)

    def _acknowledge(self, ack: Ack) -> None:
        for channel in self._subscriptions.acknowledge(ack, self.protocol):
            self._on_refused(channel, self._subscriptions.refused[channel])
        if not self.is_subscribed and not self._subscriptions.missing(self.protocol):
            self.is_subscribed = True
            self._on_subscribed()

    async def _keep(self) -> None:
        """Send what is due; close the socket when it is dead."""
        try:
            while not self._reason:
                await self._send_due()
                self._look()
                if self._reason:
                    break
                await self._clock.sleep(1.0)
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            self._reason = self._reason or "error"
        await self._socket.close()

    async def _send_due(self) -> None:
        now_s = self._now_s()
        if now_s - self._pinged_s >= PING_EVERY_S:
            self._pinged_s, self._awaits_pong = now_s, True
            self._outbox.append(PING)
        while self._outbox:
            await self._transmit(self._outbox.pop(0))
            if self._outbox:
                await self._clock.sleep(SEND_PAUSE_S)

    async def _transmit(self, data: bytes) -> None:
        text = data.decode()
        recorder = self._recorder()
        if recorder is not None:
            recorder.write(self._clock.now_ms(), "out", text)
        async with asyncio.timeout(SEND_WITHIN_S):
            await self._socket.send_str(text)

    def _look(self) -> None:
        """Find out whether the other side is dead."""
        now_s = self._now_s()
        is_mute = now_s - self._last_s >= WATCHDOG_S
        has_no_pong = self._awaits_pong and now_s - self._pinged_s >= PONG_WITHIN_S
        has_no_ack = not self.is_subscribed and now_s - self._opened_s >= ACK_WITHIN_S
        if self.is_refused:
            self._reason = "error"
        elif is_mute or has_no_pong or has_no_ack:
            self._reason = "timeout"
        if self._data_since_s is not None and self._last_s - self._data_since_s >= STEADY_S:
            self.is_steady = True
