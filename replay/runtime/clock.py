"""
Clocks of the outer rooms: the wall, a faster one, and virtual time for tests.

Everything that waits for a venue asks its clock, so that a tape can be streamed at any speed and a test of a day takes
a second. The engine has no clock: its time is the candle's.
"""

import asyncio
import os
import selectors
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Clock:
    """
    Venue time that runs `speed` times as fast as the event loop's, from `start_ms` on (default: the wall's now).

    Make it inside a running loop. Delays and timeouts are given in seconds of this clock.
    """

    def __init__(self, start_ms: int | None = None, speed: float = 1.0) -> None:
        self.speed = speed
        self._loop = asyncio.get_running_loop()
        self._loop_start_s = self._loop.time()
        self._start_ms = time.time() * 1000.0 if start_ms is None else float(start_ms)

    def now_ms(self) -> int:
        """Return the time in ms since the epoch, UTC."""
        return int(self._start_ms + (self._loop.time() - self._loop_start_s) * self.speed * 1000.0)

    def elapsed_ms(self) -> float:
        """Return how long this clock has run, in ms: nobody can set that."""
        return (self._loop.time() - self._loop_start_s) * self.speed * 1000.0

    async def sleep(self, delay_s: float) -> None:
        """Wait."""
        await asyncio.sleep(max(delay_s, 0.0) / self.speed)

    async def sleep_until(self, time_ms: int) -> None:
        """Wait until a time of this clock; return at once when it has passed."""
        while (left_ms := time_ms - self.now_ms()) > 0:
            await self.sleep(left_ms / 1000.0)

    def timeout(self, delay_s: float | None) -> asyncio.Timeout:
        """Return `asyncio.timeout` for a delay of this clock; None never ends."""
        return asyncio.timeout(None if delay_s is None else delay_s / self.speed)


class WallClock(Clock):
    """The machine's clock, read anew each time, so that a correction of it is followed."""

    def now_ms(self) -> int:
        """Return the time in ms since the epoch, UTC."""
        return int(time.time() * 1000.0)


STEP_MS: Final = 500.0  # a smaller correction of a clock is drift


class Steps:
    """Tells when a clock was set: its time and the time that it ran have moved apart."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base_ms = self._apart_ms()

    def _apart_ms(self) -> float:
        return self._clock.now_ms() - self._clock.elapsed_ms()

    def take(self) -> float:
        """Return by how many ms the clock was set forward since the last call; 0.0 when it was not."""
        step_ms = self._apart_ms() - self._base_ms
        self._base_ms += step_ms
        return step_ms if abs(step_ms) >= STEP_MS else 0.0


_THREAD_WAIT_S: Final = 0.05


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: when no socket is ready, the loop's time jumps to the next timer."""

    jumped_s = 0.0
    # Loopback data is readable when `send` returns, unless the kernel put the delivery off to a thread of its own,
    # which runs when we yield. Waiting instead costs a whole millisecond, epoll's unit, at every jump.
    looks = 2
    # Calls that threads are working on: time stands still until they are done.
    in_threads = 0
    settle_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; otherwise move time on by `timeout`."""
        ready = super().select(0)
        if ready or timeout is None or timeout <= 0:
            return ready if ready or timeout is not None else super().select(None)
        if self.in_threads:
            return super().select(_THREAD_WAIT_S)  # its end wakes the loop
        for _ in range(self.looks):
            os.sched_yield()
            ready = super().select(self.settle_s)
            if ready:
                return ready
        self.jumped_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """
    An event loop whose time stands still while anything happens and jumps to the next timer when nothing does.

    Sockets are real, as long as both ends live in this loop; hours of venue time pass in seconds, and a timeout
    never fires because the machine was slow. What `run_in_executor` was given is waited for; other processes are not.

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
