"""A scripted server on the loopback and a loop whose time jumps: what the tests of every venue client share."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from aiohttp import web

from tests.support.virtual_time import VirtualTimeLoop

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def in_virtual_time(main: Coroutine[Any, Any, T], settle_s: float = 0.0) -> T:
    """Return what a coroutine returns, run on a loop whose time jumps when nothing happens."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(settle_s)) as runner:
        return runner.run(main)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Yield the address of a server that answers every request with `handler`."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        server: Any = site._server
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


@contextmanager
def serving_beside(make: Callable[[], Handler]) -> Iterator[str]:
    """Yield the address of a server on a loop and a thread of its own, for commands that run their own loop."""
    address: list[str] = []
    is_up = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        async with serving(make()) as url:
            address.append(url)
            is_up.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    try:
        assert is_up.wait(20.0)
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20.0)
        loop.close()


def free_port() -> int:
    """Return a port on which nobody listened a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
