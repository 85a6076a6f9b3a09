"""
How likely the best of many trials is only the luckiest: from the matrix of all their returns, never from the best alone.

Sources: D. H. Bailey, J. Borwein, M. López de Prado and Q. J. Zhu, The Probability of Backtest Overfitting (2017), section 3
(CSCV); J. P. Romano and M. Wolf, Stepwise Multiple Testing as Formalized Data Snooping (2005), algorithm 3.1, without
studentisation.
"""

from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.resampling import stationary_indices

SLICES: Final = 10  # 252 ways to choose half of them
LEAST_PER_SLICE: Final = 4  # returns; a Sharpe ratio of fewer says nothing


class Overfitting(NamedTuple):
    """
    What CSCV found.

    probability  share of splits whose best of one half is not above the middle of the other
    degradation  mean Sharpe ratio of the best, out of sample minus in sample
    loss         share of splits whose best of one half lost in the other
    splits       how many there were
    """

    probability: float
    degradation: float
    loss: float
    splits: int


def overfitting(returns: FloatArray, slices: int = SLICES) -> Overfitting | None:
    """
    Return the probability of backtest overfitting by combinatorially symmetric cross-validation.

    returns  shape (n_times, n_trials): all that were tried, in time order; slices: even

    A logit of 0 (rank exactly in the middle) counts as overfitting, as in the source. None below two trials that differ, or
    with fewer than LEAST_PER_SLICE returns in a slice.
    """
    assert slices >= 2
    assert slices % 2 == 0
    n_times, n_trials = returns.shape
    length = n_times // slices
    if n_trials < 2 or length < LEAST_PER_SLICE or np.ptp(returns, axis=1).max() == 0.0:
        return None
    # Sums of a half are sums of its slices; the oldest returns that fill no slice are left out.
    used = returns[n_times - slices * length :].reshape(slices, length, n_trials)
    sums, squares = used.sum(axis=1), (used**2).sum(axis=1)
    n_over = n_lost = n_splits = 0
    fallen = 0.0
    for chosen in combinations(range(slices), slices // 2):
        inside = np.zeros(slices, bool)
        inside[list(chosen)] = True
        before = _sharpes(sums[inside], squares[inside], length)
        after = _sharpes(sums[~inside], squares[~inside], length)
        best = int(np.argmax(before))
        below = np.count_nonzero(after < after[best])
        equal = np.count_nonzero(after == after[best])
        rank = (below + (equal + 1) / 2.0) / (n_trials + 1.0)
        n_over += rank <= 0.5
        n_lost += after[best] < 0.0
        fallen += after[best] - before[best]
        n_splits += 1
    return Overfitting(n_over / n_splits, float(fallen / n_splits), n_lost / n_splits, n_splits)


def _sharpes(sums: FloatArray, squares: FloatArray, length: int) -> FloatArray:
    """Return the Sharpe ratio of every trial from sums over slices; 0 for one that never moved."""
    n = len(sums) * length
    mean = sums.sum(axis=0) / n
    variance = (squares.sum(axis=0) - n * mean**2) / (n - 1)
    # What is left of equal returns is rounding, not spread.
    is_moving = variance > 1e-12 * np.maximum(squares.sum(axis=0) / n, 1e-300)
    result: FloatArray = np.divide(
        mean, np.sqrt(np.abs(variance)), out=np.zeros(len(mean)), where=is_moving
    )
    return result


def superior(
    returns: FloatArray, level: float = 0.05, draws: int = 1_000, block: float = 5.0, seed: int = 1
) -> IntArray:
    """
    Return the places of the trials that have a mean return above 0, with a probability of at most `level` that one of them has not.

    returns  shape (n_times, n_trials), of all that were tried
    block    mean length of the blocks of the stationary bootstrap

    Step-down: what is found is taken out and the rest are held to the largest of themselves, until nothing more is found.
    """
    n_times, n_trials = returns.shape
    found = np.zeros(n_trials, bool)
    mean = returns.mean(axis=0)
    deviations = np.empty((draws, n_trials))
    generator = np.random.default_rng(seed)
    for draw in range(draws):
        index: IntArray = stationary_indices(n_times, n_times, block, generator)
        deviations[draw] = returns[index].mean(axis=0) - mean
    while not found.all():
        limit = np.quantile(deviations[:, ~found].max(axis=1), 1.0 - level, method="higher")
        more = ~found & (mean > limit)
        if not more.any():
            break
        found |= more
    return np.flatnonzero(found).astype(np.int64)
