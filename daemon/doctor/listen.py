"""What a public socket says in a while, as it came. Nothing is judged here."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import aiohttp
import orjson

from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_http import USER_AGENT

CONNECT_S: Final = 15.0
PING_S: Final = 25.0
SILENT_S: Final = 60.0  # without any frame the line counts as dead
FRAME_BYTES: Final = 4 * 1024 * 1024
PING: Final = '{"type":"ping"}'
HEARTBEAT: Final = '{"type":"enable_heartbeat"}'
LEAVE_S: Final = 2.0


class HeardFrame(NamedTuple):
    """One text frame and when it came."""

    time_ms: int
    text: str


class Heard(NamedTuple):
    """
    One connection.

    ended   why it ended before its time; "" when it did not
    """

    url: str
    opened_ms: int
    ended_ms: int
    frames: list[HeardFrame]
    ended: str


def subscription(channels: Mapping[str, Sequence[str]]) -> str:
    """Return a subscribe message."""
    wanted = [{"name": name, "symbols": list(symbols)} for name, symbols in channels.items()]
    message: dict[str, Any] = {"type": "subscribe", "payload": {"channels": wanted}}
    return orjson.dumps(message).decode()


async def listen(
    url: str,
    messages: Sequence[str],
    seconds: float,
    clock: Clock,
    *,
    on_frame: Callable[[int, str], None] = lambda time_ms, text: None,
    enough: Callable[[str], bool] = lambda text: False,
) -> Heard:
    """
    Return what a socket says in so many seconds after some messages.

    on_frame   shown every frame at once
    enough     true for a frame that ends it early
    """
    frames: list[HeardFrame] = []
    opened_ms = 0
    ended = ""
    try:
        async with aiohttp.ClientSession(headers={"User-Agent": USER_AGENT}) as session:
            async with asyncio.timeout(CONNECT_S):
                socket = await session.ws_connect(url, max_msg_size=FRAME_BYTES)
            opened_ms = clock.now_ms()
            try:
                async with clock.timeout(seconds):
                    for message in (HEARTBEAT, *messages):
                        await socket.send_str(message)
                    ended = await _read(socket, clock, frames, on_frame, enough)
            except TimeoutError:
                ended = ""  # its time is over
            async with asyncio.timeout(LEAVE_S):
                await socket.close()
    except TimeoutError:
        ended = ended or (f"no connection within {CONNECT_S:g} s" if not opened_ms else "")
    except (aiohttp.ClientError, OSError) as error:
        ended = str(error) or type(error).__name__
    return Heard(url, opened_ms, clock.now_ms(), frames, ended)


async def _read(
    socket: aiohttp.ClientWebSocketResponse,
    clock: Clock,
    frames: list[HeardFrame],
    on_frame: Callable[[int, str], None],
    enough: Callable[[str], bool],
) -> str:
    """Read until the socket ends or there is enough; return why it ended."""
    quiet_s = 0.0
    while quiet_s < SILENT_S:
        try:
            async with clock.timeout(PING_S):
                message = await socket.receive()
        except TimeoutError:
            quiet_s += PING_S
            await socket.send_str(PING)
            continue
        quiet_s = 0.0
        if message.type is not aiohttp.WSMsgType.TEXT:
            return f"closed by the venue, code {socket.close_code}"
        time_ms = clock.now_ms()
        frames.append(HeardFrame(time_ms, message.data))
        on_frame(time_ms, message.data)
        if enough(message.data):
            return ""
    return f"no frame for {SILENT_S:g} s"
