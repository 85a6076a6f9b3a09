"""
How likely the best of many trials is only the luckiest: from the matrix of all their returns, never from the best alone.

Sources: D. H. Bailey, J. Borwein, M. López de Prado and Q. J. Zhu, The Probability of Backtest Overfitting (2017), section 3
(CSCV); J. P. Romano and M. Wolf, Stepwise Multiple Testing as Formalized Data Snooping (2005), section 4 (studentised step-down);
Ø. Langsrud, Rotation Tests (2005).
"""

import math
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.significance import has_moved_enough, sharpe_waves

SLICES: Final = 10  # 252 ways to choose half of them
_HELD_TO: Final = 0.5  # of the level; fat tails, regimes and few days take up to the other half, as `papertape calibrate` measures
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


def overfitting(returns: FloatArray, slices: int = SLICES, block: float = 1.0) -> Overfitting | None:
    """
    Return the probability of backtest overfitting by combinatorially symmetric cross-validation.

    returns  shape (n_times, n_trials): all that were tried, in time order; slices: even
    block    returns that hang together: shorter slices would know each other

    A logit of 0 (rank exactly in the middle) counts as overfitting, as in the source. None below two trials that differ, or
    where a slice is shorter than LEAST_PER_SLICE or a block.
    """
    assert slices >= 2
    assert slices % 2 == 0
    n_times, n_trials = returns.shape
    length = n_times // slices
    if n_trials < 2 or length < max(LEAST_PER_SLICE, block) or np.ptp(returns, axis=1).max() == 0.0:
        return None
    # Sums of a half are sums of its slices; the oldest returns that fill no slice are left out.
    used = returns[n_times - slices * length :].reshape(slices, length, n_trials)
    sums, squares = used.sum(axis=1), (used**2).sum(axis=1)
    inside = np.zeros((math.comb(slices, slices // 2), slices))
    for split, chosen in enumerate(combinations(range(slices), slices // 2)):
        inside[split, list(chosen)] = 1.0
    # Not a product of BLAS, which may round two trials that are the same differently, and they have to share a rank.
    before, after = (
        _sharpes(
            np.einsum("sk,kn->sn", half, sums), np.einsum("sk,kn->sn", half, squares), length * slices // 2
        )
        for half in (inside, 1.0 - inside)
    )
    best = np.argmax(before, axis=1)[:, None]
    chosen_before, chosen_after = (np.take_along_axis(half, best, axis=1) for half in (before, after))
    below = np.count_nonzero(after < chosen_after, axis=1)
    equal = np.count_nonzero(after == chosen_after, axis=1)
    rank = (below + (equal + 1) / 2.0) / (n_trials + 1.0)
    return Overfitting(
        float(np.mean(rank <= 0.5)),
        float(np.mean(chosen_after - chosen_before)),
        float(np.mean(chosen_after < 0.0)),
        len(inside),
    )


def _sharpes(sums: FloatArray, squares: FloatArray, n: int) -> FloatArray:
    """Return the Sharpe ratio of every half and trial from its sums over n returns; 0 for one that never moved."""
    mean = sums / n
    variance = (squares - n * mean**2) / (n - 1)
    # What is left of equal returns is rounding, not spread.
    is_moving = variance > 1e-12 * np.maximum(squares / n, 1e-300)
    result: FloatArray = np.divide(mean, np.sqrt(np.abs(variance)), out=np.zeros_like(mean), where=is_moving)
    return result


def superior(returns: FloatArray, level: float = 0.05, draws: int = 2_000, seed: int = 1) -> IntArray:
    """
    Return the places of the trials that have a Sharpe ratio above 0, with a probability of at most `level` that one of them has not.

    returns  shape (n_times, n_trials), of all that were tried; those that hardly moved are left out

    Without skill √n · sharpe and the slow waves of a history (`significance`) are independent draws of one normal distribution,
    however its trials resemble each other and its days hang together, so turning their space in any direction makes another
    history as likely as this one. A trial stands where its own direction points most of all to its Sharpe ratio: the cosine is a
    studentised one. Step-down: what is found is taken out and the rest are held to the largest of themselves, until nothing more
    is found.
    """
    n_times, n_trials = returns.shape
    is_left = has_moved_enough(returns)
    is_found = np.zeros(n_trials, bool)
    if is_left.any():
        found = sharpe_waves(returns)
        rows = np.vstack([math.sqrt(n_times) * found.sharpe, found.waves])
        length = np.sqrt((rows**2).sum(axis=0))
        is_left &= length > 0.0
        cosines = np.divide(rows, length, out=np.zeros_like(rows), where=length > 0.0)
        turned = np.random.default_rng(seed).standard_normal((draws, len(rows)))
        drawn = turned / np.sqrt((turned**2).sum(axis=1, keepdims=True)) @ cosines
    while is_left.any():
        limit = np.quantile(drawn[:, is_left].max(axis=1), 1.0 - _HELD_TO * level, method="higher")
        more = is_left & (cosines[0] > limit)
        if not more.any():
            break
        is_left &= ~more
        is_found |= more
    return np.flatnonzero(is_found).astype(np.int64)
