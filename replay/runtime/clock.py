"""
Clocks of the outer rooms: the wall, and a faster one.

Everything that waits for a venue asks its clock, so that a tape can be streamed at any speed and a test of a day takes
a second. The engine has no clock: its time is the candle's.
"""

import asyncio
import time
from typing import Final


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
