"""
Sessions of the batch package: fixed hours in UTC, both ends included, no daylight saving. Causal.

High and low run from row to row while a session is on, so they start afresh only if a row outside lies between.
"""

from typing import Final

import numpy as np

from papertape.engine.candles import DAY_MS, HOUR_MS, MINUTE_MS
from tests.oracles.smc_batch.series import Rounding, Series, View

# Start and end as minutes of the day; names as the package spells them.
SESSIONS: Final = {
    "Sydney": (21 * 60, 6 * 60),
    "Tokyo": (0, 9 * 60),
    "London": (7 * 60, 16 * 60),
    "New York": (13 * 60, 22 * 60),
    "Asian kill zone": (0, 4 * 60),
    "London open kill zone": (6 * 60, 9 * 60),
    "New York kill zone": (11 * 60, 14 * 60),
    "london close kill zone": (14 * 60, 16 * 60),
}


class Session:
    """
    One session.

    hours_added  what the package adds to stamps: its "UTC+5" means stamps of UTC-5, so it adds 5
    """

    def __init__(self, series: Series, hold: Rounding, start: int, end: int, *, hours_added: int = 0) -> None:
        self.series, self.hold = series, hold
        self.start, self.end, self.hours_added = start, end, hours_added
        self.rows: list[tuple[int, float, float]] = []

    def step(self) -> None:
        """Take the newest candle of the series."""
        s, t = self.series, self.series.last
        minute = (s.open_ms[t] + self.hours_added * HOUR_MS) % DAY_MS // MINUTE_MS
        if self.start < self.end:
            is_active = self.start <= minute <= self.end
        else:
            is_active = minute >= self.start or minute <= self.end
        if not is_active:
            self.rows.append((0, 0.0, 0.0))
            return
        was_active, top, bottom = self.rows[-1] if self.rows else (0, 0.0, 0.0)
        high = max(s.high[t], top) if was_active else s.high[t]
        low = min(s.low[t], bottom) if was_active else s.low[t]
        self.rows.append((1, self.hold(high), self.hold(low)))

    def view(self) -> View:
        """Return Active, High and Low; 0 outside the session."""
        columns = np.array(self.rows, dtype=np.float64).reshape(len(self.rows), 3).T
        return dict(zip(("Active", "High", "Low"), columns, strict=True))
