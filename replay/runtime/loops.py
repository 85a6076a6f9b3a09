"""
An event loop for the local exchange at speed: its seconds pass `speed` times as fast, and stand still while work is done.

A clock that simply ran faster would let every timeout fire: at 3,600 seconds a second, ten seconds to connect are three
milliseconds. Here time moves only when nothing is left to do, by as much as the next timer asks for, and not faster than
`speed` on average. A machine that cannot keep up is slower, and comes to the same result. What another process is
waited for is work too: time is frozen meanwhile.
"""

import asyncio
import os
import selectors
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

_FROZEN_S: Final = 0.05  # between two looks while time stands still; what ends it wakes the loop
_WORTH_WAITING_S: Final = 0.001  # the unit of epoll; less is made up for by the next wait


class _PacedSelector(selectors.DefaultSelector):
    """A selector that waits a `speed`-th of what it is asked to, then says that all of it has passed."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self.now_s = 0.0
        self.frozen = 0
        self._speed = speed
        self._started_s = time.monotonic()

    def select(self, timeout: float | None = None) -> Any:
        """Return what is ready; when nothing is, move time on by `timeout`."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            return super().select(None)
        if self.frozen:
            ready = super().select(_FROZEN_S)
            self._started_s = time.monotonic() - self.now_s / self._speed
            return ready
        os.sched_yield()  # loopback data may be on its way in a thread of the kernel
        wait_s = self._started_s + (self.now_s + timeout) / self._speed - time.monotonic()
        ready = super().select(wait_s if wait_s > _WORTH_WAITING_S else 0)
        if not ready:
            self.now_s += timeout
        return ready


class PacedLoop(asyncio.SelectorEventLoop):
    """A loop whose seconds pass `speed` times as fast as the machine's, at most."""

    def __init__(self, speed: float) -> None:
        self._paced, self._made_s = _PacedSelector(speed), time.monotonic()
        super().__init__(self._paced)

    def time(self) -> float:
        """Return the loop's time in seconds."""
        return self._paced.now_s

    @property
    def effective_speed(self) -> float:
        """Return how many of its seconds have passed per second of the machine since it was made."""
        took_s = time.monotonic() - self._made_s
        return self._paced.now_s / took_s if took_s > 0.0 else 0.0

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let no time pass, whatever timers wait for, until the end of the block."""
        self._paced.frozen += 1
        try:
            yield
        finally:
            self._paced.frozen -= 1


def freezing() -> Callable[[], AbstractContextManager[Any]]:
    """Return what lets no time pass meanwhile, where the running loop's time is ours to stop."""
    loop = asyncio.get_running_loop()
    return loop.standing_still if isinstance(loop, PacedLoop) else nullcontext
