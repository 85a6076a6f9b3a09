"""
How low the true mean of dependent rows may be: a one-sided bound by a studentised block bootstrap over time.

What is resampled is time, in blocks of whole instants from a circle: rows of one instant (several symbols) stay
together, and so do labels that overlap, as long as a block is no shorter than the horizon. Every mean is a ratio of sums, because
the number of rows that count differs from instant to instant.

Sources: D. N. Politis and J. P. Romano, A Circular Block-Resampling Procedure for Stationary Data (1992); F. Götze and
H. R. Künsch, Second-Order Correctness of the Blockwise Bootstrap, Annals of Statistics 24 (1996), for the studentised
form: with the few blocks that a month of hours holds, percentiles of the mean itself promise too much.
"""

import math
from typing import NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray


class Bound(NamedTuple):
    """An estimate and the value that it exceeds with the wanted confidence; NaN when there is nothing to estimate."""

    value: float
    lower: float


def draw_blocks(
    n_instants: int, block_instants: int, resamples: int, random: np.random.Generator
) -> IntArray:
    """
    Return where the blocks of every resampled history begin, shape (resamples, n_blocks).

    As many whole blocks as fit; what is left over is not made up for, which errs on the side of a wider bound.
    """
    assert 1 <= block_instants <= n_instants
    return random.integers(0, n_instants, (resamples, n_instants // block_instants))


def lower_bound(
    sums: FloatArray,
    counts: FloatArray,
    block_instants: int,
    draws: IntArray,
    alpha: float,
    widening: float = 1.0,
) -> Bound:
    """
    Return Σ sums ÷ Σ counts and its one-sided lower bound at confidence 1 − alpha.

    sums, counts  shape (n_instants,), of the rows of each instant; an instant without rows has 0 and 0
    draws         of `draw_blocks`; comparisons that share them are made on the same histories
    widening      factor of the error, for dependence that is known to be cut by the blocks

    With residuals E = sums − θ·counts of a block, θ* and s* of a resampled history, T* = (θ* − θ) ÷ s* and its quantile
    q at 1 − alpha, the bound is θ − q·s·widening. Both s and s* are √(k ÷ (k − 1) · Σ E²) ÷ Σ counts over
    k blocks.
    """
    n_blocks = draws.shape[1]
    total = float(counts.sum())
    if total <= 0.0 or n_blocks < 2:
        return Bound(math.nan, math.nan)
    value = float(sums.sum()) / total
    of_block, count_of_block = _circular(sums, block_instants), _circular(counts, block_instants)
    residuals = of_block - value * count_of_block
    shrink = n_blocks / (n_blocks - 1)  # blocks are measured from the mean that they made
    error = math.sqrt(shrink * float(np.mean(residuals**2)) / n_blocks) / float(count_of_block.mean())
    if error <= 1e-12 * max(abs(value), 1e-300):
        return Bound(value, value)
    drawn, drawn_counts = of_block[draws], count_of_block[draws]
    counted = drawn_counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = drawn.sum(axis=1) / counted
        spread = ((drawn - values[:, None] * drawn_counts) ** 2).sum(axis=1)
        t = (values - value) * counted / np.sqrt(shrink * spread)
    # A history without rows or without spread says nothing: it counts as one that is infinitely far off.
    t[np.isnan(t)] = np.inf
    place = min(math.ceil((1.0 - alpha) * (len(t) + 1)), len(t)) - 1
    return Bound(value, value - float(np.partition(t, place)[place]) * error * widening)


def _circular(values: FloatArray, length: int) -> FloatArray:
    """Return the sum of the `length` values from each place on, going round."""
    before = np.concatenate([[0.0], np.cumsum(np.concatenate([values, values[: length - 1]]))])
    total: FloatArray = before[length:] - before[:-length]
    return total
