"""
How far a Sharpe ratio can be trusted. All ratios here are per day, not annual.

Source: D. H. Bailey and M. López de Prado, The Sharpe Ratio Efficient Frontier (2012), equations 6 to 9 (PSR), and
The Deflated Sharpe Ratio (2014), equations 1 and 2 (DSR).
"""

import math
from statistics import NormalDist
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray

_NORMAL: Final = NormalDist()
_EULER_MASCHERONI: Final = float(np.euler_gamma)


def sample_skew(values: FloatArray) -> float | None:
    """Return the bias-corrected skew, √(n(n−1)) ÷ (n−2) · m₃ ÷ m₂^1.5; None below three values or without spread."""
    n = len(values)
    deviations = values - values.mean()
    second = float(np.mean(deviations**2))
    scale = second * math.sqrt(second)
    if n < 3 or scale == 0.0:
        return None
    third = float(np.mean(deviations**3))
    return math.sqrt(n * (n - 1)) / (n - 2) * third / scale


def sample_kurtosis(values: FloatArray) -> float | None:
    """
    Return the bias-corrected excess kurtosis, None below four values or without spread.

    (n−1) ÷ ((n−2)(n−3)) · ((n+1)(m₄ ÷ m₂² − 3) + 6)
    """
    n = len(values)
    deviations = values - values.mean()
    second = float(np.mean(deviations**2))
    if n < 4 or second**2 == 0.0:
        return None
    excess = float(np.mean(deviations**4)) / second**2 - 3.0
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * excess + 6.0)


def sharpe_error(sharpe: float, n: int, skew: float, excess_kurtosis: float) -> float | None:
    """
    Return the standard error of a Sharpe ratio of `n` days.

    √((1 − γ₃·SR + (γ₄ − 1)/4 · SR²) ÷ (n − 1)) with raw kurtosis γ₄ = excess + 3. None when the corrected moments
    leave nothing under the root, which a handful of days can do.
    """
    raw_kurtosis = excess_kurtosis + 3.0
    inner = 1.0 - skew * sharpe + (raw_kurtosis - 1.0) / 4.0 * sharpe**2
    return math.sqrt(inner / (n - 1)) if inner > 0.0 else None


def probability_above(sharpe: float, threshold: float, error: float) -> float:
    """Return Φ((SR − SR*) ÷ standard error): the PSR against a threshold."""
    return _NORMAL.cdf((sharpe - threshold) / error)


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
