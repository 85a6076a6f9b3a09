"""
Series drawn again from themselves: the stationary bootstrap, and how long its blocks should be.

Sources: D. N. Politis and J. P. Romano, The Stationary Bootstrap (1994); D. N. Politis and H. White, Automatic Block-Length
Selection for the Dependent Bootstrap (2004), with the correction of A. Patton, D. N. Politis and H. White (2009).
"""

import math
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.significance import slow_waves

_LEAST: Final = 10  # values from which a length can be estimated
_POINT: Final = 1.645  # of the normal distribution at 5 %
_QUIET: Final = 5  # correlations in a row that have to be small


def block_length(values: FloatArray) -> float:
    """
    Return the mean length of blocks for the stationary bootstrap of a series, at least 1; 1 for one that never moves.

    (2·G² ÷ D)^(1/3) · n^(1/3) with G = Σ λ(k/M)·|k|·R(k) and D = 2·(Σ λ(k/M)·R(k))², sums over both signs of k, R the
    autocovariance and λ the flat-top window. M is twice the lag that begins five correlations within ±2·√(log₁₀ n ÷ n). The
    length is at most min(3·√n, n/3), rounded up.
    """
    n = len(values)
    if n < _LEAST or float(np.ptp(values)) == 0.0:
        return 1.0
    deviations = values - values.mean()
    most = min(math.ceil(math.sqrt(n)) + _QUIET, n - 2)
    covariance = np.array([np.dot(deviations[k:], deviations[: n - k]) for k in range(most + 1)]) / n
    squares = np.cumsum(deviations**2)
    ahead, behind = (squares[-1] - np.append(0.0, squares[:most]), squares[n - 1 - np.arange(most + 1)])
    correlation = np.abs(covariance) * n / np.sqrt(np.maximum(ahead * behind, 1e-300))
    is_quiet = correlation < 2.0 * math.sqrt(math.log10(n) / n)
    starts = (k for k in range(1, most - _QUIET + 1) if is_quiet[k : k + _QUIET].all())
    lag = min(2 * next(starts, most), most)
    k = np.arange(1, lag + 1)
    weighted = np.where(k <= lag / 2.0, 1.0, 2.0 * (1.0 - k / lag)) * covariance[1 : lag + 1]
    slope = 2.0 * float(np.dot(weighted, k))
    variance = float(covariance[0]) + 2.0 * float(weighted.sum())
    if slope == 0.0 or variance == 0.0:
        return 1.0
    length = float((slope**2 / variance**2 * n) ** (1.0 / 3.0))
    return max(1.0, min(length, math.ceil(min(3.0 * math.sqrt(n), n / 3.0))))


def stretched(values: FloatArray, block: float) -> FloatArray:
    """
    Return a series whose days lie further from their mean, so that means of its resampled blocks vary as its own mean does.

    Blocks break what hangs together and have their own mean, so the variance of a resampled mean,
    R(0) + 2·Σ (1 − k/n)·(1 − 1/block)^k·R(k) with R around the end (Politis and Romano 1994, lemma 1), falls short of that of the
    mean itself, which its slow waves tell (`significance`), widened for their number. Never drawn closer together.
    """
    n = len(values)
    if n < _LEAST or block <= 1.0 or float(np.ptp(values)) == 0.0:
        return values
    deviations = values - values.mean()
    spectrum = np.abs(np.fft.rfft(deviations)) ** 2
    k = np.arange(n)
    # Blocks run around the end, and so does this covariance.
    covariance = np.fft.irfft(spectrum, n) / n
    kept = 1.0 - 1.0 / block
    weights = np.where(k == 0, 1.0, 2.0 * (1.0 - k / n) * kept**k)
    short = float(np.dot(weights, covariance))
    waves = slow_waves(deviations[:, None])
    # So few waves know it no better than Student's t says, whose 5 % point is nearly this much further out than the normal's.
    wider = 1.0 + (_POINT**2 + 1.0) / (4.0 * len(waves))
    own = float(np.mean(waves**2)) * wider**2
    if short <= 0.0 or own <= short:
        return values
    found: FloatArray = values.mean() + deviations * math.sqrt(own / short)
    return found


def stationary_indices(n: int, size: int, block: float, generator: np.random.Generator) -> IntArray:
    """
    Return `size` places in a series of n: blocks from anywhere, around its end, of geometric lengths with this mean.

    block  at least 1; 1 draws every place by itself
    """
    assert n > 0
    assert block >= 1.0
    starts = generator.random(size) < 1.0 / block
    if size:
        starts[0] = True
    begun = np.flatnonzero(starts)
    first = generator.integers(0, n, len(begun))
    place = np.arange(size) - np.repeat(begun, np.diff(np.append(begun, size)))
    result: IntArray = (np.repeat(first, np.diff(np.append(begun, size))) + place) % n
    return result
