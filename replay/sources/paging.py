"""
Paging backwards through history by what came back, never by what was asked for.

A window is asked for from its newest end; the next one ends before the oldest candle that came back. Venues cap,
drop and omit candles as they like, and this rule survives all of it. Pure: no network here.
"""

from typing import Final, NamedTuple

# A thin market may have no trade for a whole window; history has ended when several in a row are empty.
EMPTY_WINDOWS_MAX: Final = 3


class PageWindow(NamedTuple):
    """Open times to ask for, both included."""

    first_ms: int
    last_ms: int


class BackwardPages:
    """
    The windows of a range of open times, newest first.

    window_bars  at most so many candles are asked for at once
    """

    def __init__(self, first_ms: int, last_ms: int, length_ms: int, window_bars: int) -> None:
        assert window_bars >= 1
        self.first_ms = first_ms
        self._last_ms = last_ms
        self._length_ms = length_ms
        self._span_ms = (window_bars - 1) * length_ms
        self._empty = 0

    def next_window(self) -> PageWindow | None:
        """Return what to ask for next; None when the range is done or history has ended."""
        if self._last_ms < self.first_ms or self._empty >= EMPTY_WINDOWS_MAX:
            return None
        return PageWindow(max(self.first_ms, self._last_ms - self._span_ms), self._last_ms)

    def take(self, window: PageWindow, oldest_ms: int | None) -> None:
        """Say what came back: the oldest open time in the window, None when it was empty."""
        if oldest_ms is None:
            self._empty += 1
            self._last_ms = window.first_ms - self._length_ms
            return
        assert window.first_ms <= oldest_ms <= window.last_ms
        self._empty = 0
        self._last_ms = oldest_ms - self._length_ms
