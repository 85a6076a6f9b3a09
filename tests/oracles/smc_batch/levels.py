"""
Previous highs and lows of the batch package: the second-last period whose label is before the candle.

Labels are the starts of periods, but of weeks the Sunday that ends them and of months their last day. So the first
candle of a period still shows the period before the previous one, and weeks are always one too old. Causal.
"""

from typing import Final

import numpy as np

from papertape.engine.candles import DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS, bucket_start
from papertape.engine.errors import DataError, did_you_mean
from tests.oracles.smc_batch.series import Rounding, Series, View

LENGTHS: Final = {"15min": 15 * MINUTE_MS, "1h": HOUR_MS, "4h": 4 * HOUR_MS, "1D": DAY_MS, "1W": WEEK_MS}
MONTH: Final = "1ME"


def period_label_ms(open_ms: int, period: str) -> int:
    """Return the label of the period that holds a candle."""
    if period == MONTH:
        after = np.datetime64(open_ms, "ms").astype("datetime64[M]") + 1
        return int(after.astype("datetime64[ms]").astype(np.int64)) - DAY_MS
    start = int(bucket_start(open_ms, LENGTHS[period]))
    return start + 6 * DAY_MS if period == "1W" else start


class PreviousLevels:
    """The last three periods, and whether the referenced one has been passed."""

    def __init__(self, series: Series, hold: Rounding, period: str = "1D") -> None:
        if period not in (*LENGTHS, MONTH):
            raise DataError(f"unknown period {period!r}{did_you_mean(period, (*LENGTHS, MONTH))}")
        self.series, self.hold, self.period = series, hold, period
        self.labels: list[int] = []
        self.ranges: list[tuple[float, float]] = []
        self.n_periods = 0
        self.n_before = -1
        self.highest, self.lowest = -np.inf, np.inf
        self.rows: list[tuple[float, float, int, int]] = []

    def step(self) -> None:
        """Take the newest candle of the series."""
        s, t = self.series, self.series.last
        self._add_to_period(period_label_ms(s.open_ms[t], self.period), s.high[t], s.low[t])
        is_counted = self.labels[-1] < s.open_ms[t]
        n_before = self.n_periods - (0 if is_counted else 1)
        if n_before != self.n_before:
            self.n_before, self.highest, self.lowest = n_before, -np.inf, np.inf
        self.highest, self.lowest = max(self.highest, s.high[t]), min(self.lowest, s.low[t])
        if n_before < 2:
            self.rows.append((np.nan, np.nan, 0, 0))
            return
        top, bottom = self.ranges[-2 if is_counted else -3]
        top, bottom = self.hold(top), self.hold(bottom)
        self.rows.append((top, bottom, int(self.highest > top), int(self.lowest < bottom)))

    def _add_to_period(self, label: int, high: float, low: float) -> None:
        if self.labels and self.labels[-1] == label:
            top, bottom = self.ranges[-1]
            self.ranges[-1] = (max(top, high), min(bottom, low))
            return
        self.labels, self.ranges = [*self.labels[-2:], label], [*self.ranges[-2:], (high, low)]
        self.n_periods += 1

    def view(self) -> View:
        """Return PreviousHigh, PreviousLow, BrokenHigh and BrokenLow."""
        columns = np.array(self.rows, dtype=np.float64).reshape(len(self.rows), 4).T
        names = ("PreviousHigh", "PreviousLow", "BrokenHigh", "BrokenLow")
        return dict(zip(names, columns, strict=True))
