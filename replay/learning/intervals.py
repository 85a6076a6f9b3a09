"""How sure a mean over rows is whose labels overlap: intervals by a block bootstrap over time."""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.gate.bootstrap import draw_blocks, lower_bound

ALPHA: Final = 0.05  # on each side: intervals are of 90 %
_RESAMPLES: Final = 2_000
_BLOCK_HORIZONS: Final = 2


class Interval(NamedTuple):
    """An estimate and the limits between which the true value lies in nine of ten histories."""

    value: float
    lower: float
    upper: float


class Intervals:
    """
    Intervals of means over the same rows, all on the same resampled histories.

    bars  number of the close of each row, never falling; horizon_bars: over which labels overlap
    """

    def __init__(self, bars: IntArray, horizon_bars: int, seed: int) -> None:
        self._place = bars - bars[0]
        n = self._n = int(self._place[-1]) + 1
        wanted = max(_BLOCK_HORIZONS * horizon_bars, round(n ** (1 / 3)))
        self._block = min(wanted, max(n // 2, 1))
        self._draws = draw_blocks(n, self._block, _RESAMPLES, np.random.default_rng(seed))
        self._counts: FloatArray = np.bincount(self._place, minlength=n).astype(np.float64)

    def of(self, values: FloatArray) -> Interval:
        """Return the mean of one value per row with its limits."""
        sums: FloatArray = np.bincount(self._place, values, self._n).astype(np.float64)
        low = lower_bound(sums, self._counts, self._block, self._draws, ALPHA)
        high = lower_bound(-sums, self._counts, self._block, self._draws, ALPHA)
        return Interval(low.value, low.lower, -high.lower)


def losses(y: FloatArray, p: FloatArray) -> FloatArray:
    """Return the log-loss of each row."""
    safe = np.clip(p, 1e-15, 1.0 - 1e-15)
    return -np.where(y == 1.0, np.log(safe), np.log1p(-safe))
