"""
How far a Sharpe ratio can be trusted where days hang together. All ratios here are per day, not annual.

What every day adds to a Sharpe ratio is laid over the slowest cosines of the history. Their mean square is the variance of the
ratio, dependence between days included, and no day need be independent of the next: of slow waves only what lasts for most of their
length could disturb one. They are few, nearly normal and independent of each other and of the ratio whatever a day looks like, so
the ratio over its error is Student's t with a degree of freedom for each.

Sources: D. H. Bailey and M. López de Prado, The Sharpe Ratio Efficient Frontier (2012; PSR), and The Deflated Sharpe Ratio (2014),
equations 1 and 2; O. Ledoit and M. Wolf, Robust Performance Hypothesis Testing with the Sharpe Ratio (2008), section 3.1 (what a
day adds); U. K. Müller, HAC Corrections for Strongly Autocorrelated Time Series (2014), and E. Lazarus, D. J. Lewis, J. H. Stock
and M. W. Watson, HAR Inference: Recommendations for Practice (2018; equally weighted cosines, and how many).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from papertape.engine.jit import FloatArray
from papertape.engine.performance.metrics import mean_of

# days on which an account moved; fewer tell no error, and luck alone passes for an edge
LEAST_MOVES: Final = 30
_NORMAL: Final = NormalDist()
_EULER_MASCHERONI: Final = float(np.euler_gamma)
_ROUNDING: Final = 1e-12  # a range of returns below it is no spread


def sample_skew(values: FloatArray) -> float | None:
    """Return the bias-corrected skew, √(n(n−1)) ÷ (n−2) · m₃ ÷ m₂^1.5; None below three values or without spread."""
    n = len(values)
    deviations = values - mean_of(values)
    second = mean_of(deviations**2)
    scale = second * math.sqrt(second)
    if n < 3 or scale == 0.0:
        return None
    third = mean_of(deviations**3)
    return math.sqrt(n * (n - 1)) / (n - 2) * third / scale


def sample_kurtosis(values: FloatArray) -> float | None:
    """
    Return the bias-corrected excess kurtosis, None below four values or without spread.

    (n−1) ÷ ((n−2)(n−3)) · ((n+1)(m₄ ÷ m₂² − 3) + 6)
    """
    n = len(values)
    deviations = values - mean_of(values)
    second = mean_of(deviations**2)
    if n < 4 or second**2 == 0.0:
        return None
    excess = mean_of(deviations**4) / second**2 - 3.0
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * excess + 6.0)


class SharpeWaves(NamedTuple):
    """
    Sharpe ratios of n days, and how they came about.

    sharpe  shape (n_trials,); 0 for one whose returns do not vary
    waves   what days add on each of the slowest cosines, shape (n_waves, n_trials); without skill √n · sharpe is one more of them
    """

    sharpe: FloatArray
    waves: FloatArray


def wave_count(n_days: int) -> int:
    """Return how many cosines tell the error of a Sharpe ratio of so many days: 0.4 · n^(2/3), rounded, at least 1."""
    return max(1, round(0.4 * math.pow(n_days, 2.0 / 3.0)))


def sharpe_waves(excess: FloatArray) -> SharpeWaves:
    """
    Return the Sharpe ratio of every trial and its slowest waves.

    excess  returns above the risk-free rate, shape (n_days, n_trials), at least two days

    A day adds z − SR ÷ 2 · (z² − 1), z its return less the mean over the deviation: so skew and fat tails count as they do in
    the variance 1 − γ₃·SR + (γ₄ − 1)/4 · SR² of independent days. Wave j is √(2/n) · Σ of it · cos(π·j·(t − ½)/n).
    """
    n = len(excess)
    mean = excess.mean(axis=0)
    deviations = excess - mean
    spread = np.sqrt((deviations**2).mean(axis=0))
    is_varied = np.ptp(excess, axis=0) > _ROUNDING
    z = np.divide(deviations, spread, out=np.zeros_like(deviations), where=is_varied)
    sharpe = np.divide(mean * math.sqrt((n - 1) / n), spread, out=np.zeros_like(mean), where=is_varied)
    added = z - sharpe / 2.0 * (z**2 - is_varied)
    return SharpeWaves(sharpe, slow_waves(added))


def slow_waves(values: FloatArray) -> FloatArray:
    """Return what a series, shape (n_days, n_trials), is on its slowest cosines; their mean square is n times its mean's variance."""
    n = len(values)
    # A cosine transform is half of a Fourier transform of twice the length, turned by half a day.
    turn = _turns(n)
    slow = np.fft.rfft(values, 2 * n, axis=0)[1 : len(turn) + 1]
    waves: FloatArray = math.sqrt(2.0 / n) * (slow * turn[:, None]).real
    return waves


@lru_cache(16)
def _turns(n: int) -> npt.NDArray[np.complex128]:
    """Return by what each of the slowest waves of so many days is turned."""
    turns: npt.NDArray[np.complex128] = np.exp(-0.5j * np.pi / n * np.arange(1, wave_count(n) + 1))
    return turns


def has_moved_enough(returns: FloatArray) -> npt.NDArray[np.bool_]:
    """Return for every trial whether an error can be told: returns, shape (n_days, n_trials), were not 0 on enough days."""
    return np.asarray(np.count_nonzero(returns, axis=0) >= LEAST_MOVES)


def sharpe_error(waves: FloatArray, n_days: int) -> float:
    """Return the standard error of one Sharpe ratio from its waves, shape (n_waves,)."""
    return math.sqrt(mean_of(waves**2) / n_days)


def probability_above(sharpe: float, threshold: float, error: float, n_days: int) -> float:
    """Return T((SR − SR*) ÷ standard error), T Student's with a degree of freedom a wave: the PSR against a threshold."""
    return student_probability((sharpe - threshold) / error, wave_count(n_days))


def student_probability(t: float, freedom: int) -> float:
    """
    Return the probability that Student's t is below `t`.

    freedom  degrees of freedom, whole, at least 1

    Source: M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions (1964), equations 26.7.3 and 26.7.4.
    """
    angle = math.atan(t / math.sqrt(freedom))
    square = math.cos(angle) ** 2
    is_odd = freedom % 2
    term = math.cos(angle) if is_odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + is_odd, freedom - 1, 2):
        term *= square * (k - 1) / k
        total += term
    within = math.sin(angle) * total
    if is_odd:
        within = 2.0 / math.pi * (angle + within)
    return (1.0 + within) / 2.0


def sharpe_spread(trials: Sequence[tuple[float, int]]) -> float | None:
    """
    Return how widely the Sharpe ratios of trials spread over one day; over √n that is √V[SR] of a run of n days.

    √(Σ nᵢ·(SRᵢ − SR̄)² ÷ (N − 1)), with SR̄ = Σ nᵢ·SRᵢ ÷ Σ nᵢ; of trials of one length √n times their standard deviation

    trials  Sharpe ratio and days of each, at least one day; None below two of them

    The variance of a Sharpe ratio without skill goes with 1 ÷ nᵢ, so each weighs as its days do.
    Source: W. G. Cochran, The Combination of Estimates from Different Experiments (1954), section 3.
    """
    if len(trials) < 2:
        return None
    # `fsum`, since a result carries the bits and is checked against them on any machine.
    mean = math.fsum(days * sharpe for sharpe, days in trials) / sum(days for _, days in trials)
    squares = math.fsum(days * (sharpe - mean) ** 2 for sharpe, days in trials)
    return math.sqrt(squares / (len(trials) - 1))


def expected_best_sharpe(trials: int, deviation: float) -> float:
    """
    Return the Sharpe ratio that the best of `trials` worthless strategies is expected to show.

    √V[SR] · ((1 − γ)·Φ⁻¹(1 − 1/N) + γ·Φ⁻¹(1 − 1/(N·e))), with γ the Euler–Mascheroni constant

    trials     all that were tried, discarded ones included, at least 2
    deviation  √V[SR], the spread of the trials' Sharpe ratios
    """
    assert trials >= 2
    # Φ⁻¹(1 − p) = −Φ⁻¹(p), which keeps its digits for millions of trials.
    first = -_NORMAL.inv_cdf(1.0 / trials)
    second = -_NORMAL.inv_cdf(1.0 / (trials * math.e))
    return deviation * ((1.0 - _EULER_MASCHERONI) * first + _EULER_MASCHERONI * second)
