"""
An event loop for tests whose time jumps: hours of a venue pass in seconds, and no timeout fires because a machine is slow.

Time may only jump when nothing is under way. What a socket sends is readable at the other end when `send` returns, unless
the kernel put the delivery off to a thread of its own. So the bytes between two sockets of the loop are counted, and
only while some are missing is the processor given up for that thread: on a machine with other work, that costs a time
slice each time.
"""

import asyncio
import os
import selectors
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_THREAD_WAIT_S: Final = 0.05
_LOOKS: Final = 2  # at what may be under way, before a jump
_RESTLESS_JUMPS: Final = 8  # after a connection is made or ends: no bytes tell of that


class _Wires:
    """What is under way between the sockets of a loop; with a socket that is not the loop's, it is never quiet."""

    def __init__(self) -> None:
        self._bytes: Counter[tuple[Any, Any]] = Counter()  # by sender and receiver
        self._restless = 0

    def move(self, way: tuple[Any, Any], n: int) -> None:
        """Take note of bytes that were sent (n > 0) or received."""
        self._bytes[way] += n
        if not self._bytes[way]:
            del self._bytes[way]

    def end(self, way: tuple[Any, Any]) -> None:
        """Forget a connection."""
        self._bytes.pop(way, None)
        self._bytes.pop(way[::-1], None)
        self.stir()

    def stir(self) -> None:
        """Expect what no bytes tell of: that somebody connects, or leaves."""
        self._restless = _RESTLESS_JUMPS

    def is_quiet(self) -> bool:
        """Return whether nothing can be under way."""
        if self._restless:
            self._restless -= 1
            return False
        return not self._bytes


class _Counted:
    """A connected socket that counts what goes through it."""

    def __init__(self, inner: socket.socket, wires: _Wires) -> None:
        self._inner, self._wires = inner, wires
        self._way = (inner.getsockname(), inner.getpeername())

    def send(self, data: Any) -> int:
        n = self._inner.send(data)
        self._wires.move(self._way, n)
        return n

    def recv(self, size: int) -> bytes:
        data = self._inner.recv(size)
        self._wires.move(self._way[::-1], -len(data))
        return data

    def recv_into(self, buffer: Any) -> int:
        n = self._inner.recv_into(buffer)
        self._wires.move(self._way[::-1], -n)
        return n

    def shutdown(self, how: int) -> None:
        self._wires.stir()
        self._inner.shutdown(how)

    def close(self) -> None:
        self._wires.end(self._way)
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: when no socket is ready, the loop's time jumps to the next timer."""

    jumped_s = 0.0
    # Calls that threads are working on: time stands still until they are done.
    in_threads = 0
    settle_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.wires = _Wires()

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; otherwise move time on by `timeout`."""
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            return ready if ready or timeout is not None else super().select(None)
        if self.in_threads:
            return super().select(_THREAD_WAIT_S)  # its end wakes the loop
        if self.settle_s or not self.wires.is_quiet():
            for _ in range(_LOOKS):
                os.sched_yield()
                ready = super().select(self.settle_s)
                if ready:
                    return ready
        self.jumped_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """
    An event loop whose time stands still while anything happens and jumps to the next timer when nothing does.

    Sockets are real, as long as both ends live in this loop. What `run_in_executor` was given is waited for; other
    processes are not.

    settle_s  real time that passes before each jump: for libraries that look at the wall's clock themselves
    """

    def __init__(self, settle_s: float = 0.0) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.settle_s = settle_s
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the loop's time in seconds: jumps only."""
        return self._jumping.jumped_s

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Run a call in a thread, as every loop does; time stands still meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.in_threads += 1
        future.add_done_callback(self._thread_is_done)
        return future

    def _thread_is_done(self, _: Any) -> None:
        self._jumping.in_threads -= 1

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect, as every loop does; the other end has to accept before time goes on."""
        self._jumping.wires.stir()
        await super().sock_connect(sock, address)

    def _make_socket_transport(self, sock: socket.socket, *args: Any, **options: Any) -> Any:
        transport = super()._make_socket_transport(sock, *args, **options)  # type: ignore[misc]
        transport._sock = _Counted(sock, self._jumping.wires)
        return transport
