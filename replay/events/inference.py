"""
How sure a mean over clustered, overlapping events can be: a block bootstrap over time, and false discoveries.

Sources: D. N. Politis and J. P. Romano, The Stationary Bootstrap, JASA 89 (1994): blocks of geometric length from a
circle; Y. Benjamini and Y. Hochberg, Controlling the False Discovery Rate, JRSS B 57 (1995), the step-up procedure;
D. L. Wallace, Annals of Mathematical Statistics 30 (1959), Student's t as a normal deviate.

What is resampled is time, in cells of candles, not events: events that share a cell or a trend stay together, and
every row of a study sees the same resampled histories.
"""

import math
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray

CELLS_MOST: Final = 2048  # a longer tape has more candles per cell, so that memory stays flat
BLOCKS_WANTED: Final = 200  # blocks per history: enough to vary, long enough to hold dependence
_NORMAL: Final = NormalDist()


class Cells(NamedTuple):
    """How a tape of `n` candles is cut into cells, and how long the mean block is, in cells."""

    n_cells: int
    candles_per_cell: int
    block_cells: int

    def of(self, bars: IntArray) -> IntArray:
        """Return the cell of each candle."""
        return bars // self.candles_per_cell

    def totals(self, bars: IntArray, values: FloatArray | None = None) -> FloatArray:
        """Return the sum of values, or the number of bars, in every cell."""
        return np.bincount(self.of(bars), values, minlength=self.n_cells).astype(np.float64)


def cut_cells(n: int, longest_horizon: int) -> Cells:
    """
    Return the cells for `n` candles.

    The mean block is four times the longest horizon, because dependence that a block cuts is lost and the error comes
    out too small, or a two-hundredth of the tape if that is longer.
    """
    per_cell = -(-n // CELLS_MOST)
    block = max(4 * longest_horizon, n // BLOCKS_WANTED)
    return Cells(-(-n // per_cell), per_cell, max(1, round(block / per_cell)))


def stationary_weights(n: int, mean_length: float, resamples: int, random: np.random.Generator) -> FloatArray:
    """
    Return how often each of `n` cells is drawn in each resampled history, shape (resamples, n); rows sum to n.

    Blocks start anywhere on the circle, have geometric lengths with this mean, and the last one is cut off at n.
    """
    weights = np.zeros((resamples, n + 1))
    for row in weights:
        drawn = 0
        while drawn < n:
            wanted = max(16, int(1.2 * (n - drawn) / mean_length))
            lengths = random.geometric(1.0 / mean_length, wanted)
            starts = random.integers(0, n, wanted)
            before = drawn + np.concatenate([[0], np.cumsum(lengths)[:-1]])
            lengths = np.clip(n - before, 0, lengths)
            ends = starts + lengths
            wraps = ends > n
            row += np.bincount(starts, lengths > 0, n + 1)[: n + 1]
            row -= np.bincount(np.minimum(ends, n), lengths > 0, n + 1)[: n + 1]
            # What passes the end goes on at the beginning of the circle.
            row[0] += wraps.sum()
            row -= np.bincount(ends[wraps] - n, minlength=n + 1)[: n + 1]
            drawn += int(lengths.sum())
    return np.cumsum(weights, axis=1)[:, :n]


def two_sided(estimate: float, error: float, clusters: int) -> float:
    """
    Return the chance of an estimate so far from zero, on either side, if its true value were zero.

    Student's t with clusters - 1 degrees of freedom ν, because an error that is itself estimated from few stretches
    of time is too small too often; by Wallace's approximation z = (8ν + 1)/(8ν + 3) · √(ν ln(1 + t²/ν)), at least
    two clusters.
    """
    assert clusters >= 2
    if not error > 0.0:
        return 1.0
    t, freedom = estimate / error, clusters - 1
    z = (8 * freedom + 1) / (8 * freedom + 3) * math.sqrt(freedom * math.log1p(t * t / freedom))
    # Φ(−z) keeps its digits where 1 − Φ(z) has none.
    return min(1.0, 2.0 * _NORMAL.cdf(-z))


def false_discovery(p_values: FloatArray) -> FloatArray:
    """
    Return the smallest false-discovery rate at which each test would be a discovery (adjusted p, "q").

    q of the i-th smallest of m: the least of m·p(j)/j over j ≥ i, at most 1. NaN (not tested) stays NaN and does not
    count into m.
    """
    found: FloatArray = np.full(len(p_values), np.nan)
    tested = np.flatnonzero(~np.isnan(p_values))
    if not len(tested):
        return found
    order = tested[np.argsort(p_values[tested], kind="stable")]
    m = len(order)
    raised = p_values[order] * m / np.arange(1, m + 1)
    found[order] = np.minimum(np.minimum.accumulate(raised[::-1])[::-1], 1.0)
    return found
