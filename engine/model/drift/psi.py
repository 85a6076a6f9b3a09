"""
Population stability index: how far the recent values of a column have left the bins of the training data.

    PSI = Σ (recent − reference) ln(recent ÷ reference) over the shares of the bins

The customary marks are 0.1 (look) and 0.25 (act). They were made for thousands of independent customers. Rows of candles are not
independent: an oscillator over 14 bars says much the same for 14 bars, so 500 rows hold a few dozen facts, and the PSI of
perfectly stationary data passes 0.25 most of the time. So every PSI comes with the noise that stationary data of the same dependence
reach: an alarm needs the mark and more than noise.

For n recent and N reference rows, PSI is asymptotically the chi-squared distance of the two samples, so PSI ÷ (1/n + 1/N)
is chi-squared with bins − 1 degrees of freedom for independent rows (B. Yurdakul and J. Naranjo, Statistical Properties of the
Population Stability Index, Journal of Risk Model Validation 14 (2020)). Dependence makes it a weighted sum of such variables,
whose weights are the eigenvalues λ of the bins' long-run covariance; it is taken for Σλ² ÷ Σλ times a chi-squared with
(Σλ)² ÷ Σλ² degrees of freedom (J. N. K. Rao and A. J. Scott, JASA 76 (1981), the second-order correction). Autocovariances are
summed up to the lag where those of all bins together first fall to zero (C. J. Geyer, Practical Markov Chain Monte Carlo,
Statistical Science 7 (1992)).
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray

_NORMAL: Final = NormalDist()
_LEAST_SHARE: Final = 1e-4  # of the reference: a bin it never saw
_STILL: Final = 1e-12
_HALF_ROW: Final = 0.5  # added to every recent bin, so that an empty one is not infinitely far away


class Psi(NamedTuple):
    """An index, and what stationary data with the same dependence exceed with the chance that was asked for."""

    value: float
    noise: float

    def reaches(self, mark: float) -> bool:
        """Return whether it is at or over a mark and more than noise."""
        return self.value >= mark and self.value > self.noise


class Dependence(NamedTuple):
    """
    What dependence does to the counts of bins.

    effect   rows that say as much as one independent row does, at least 1
    freedom  degrees of freedom of the distance; bins − 1 for independent rows
    """

    effect: float
    freedom: float


def bins(edges: FloatArray, values: FloatArray) -> IntArray:
    """Return the bin of each value; a value on an edge is above it."""
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def psi(shares: FloatArray, edges: FloatArray, values: FloatArray) -> float:
    """
    Return the index of finite values against the reference's shares, 0 without values.

    shares  shape (n_bins,); edges: (n_bins − 1,), ascending

    >>> psi(np.array([0.5, 0.5]), np.array([0.0]), np.array([-1.0, 1.0, -2.0, 2.0]))  # as it was
    0.0
    """
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0
    counts = np.bincount(bins(edges, values), minlength=len(shares)).astype(np.float64)
    return of_counts(shares, counts)


def of_counts(shares: FloatArray, counts: FloatArray) -> float:
    """Return the index of recent counts against the reference's shares; bins that neither saw do not count."""
    seen = (shares > 0.0) | (counts > 0.0)
    recent = counts[seen] + _HALF_ROW
    recent /= recent.sum()
    expected = np.maximum(shares[seen], _LEAST_SHARE)
    return float(np.sum((recent - expected) * np.log(recent / expected)))


def dependence(shares: FloatArray, edges: FloatArray, series: Sequence[FloatArray]) -> Dependence:
    """
    Return how the counts of the bins spread in dependent rows.

    series  one per symbol, of equal length and in time order; missing values fall in no bin

    Symbols are averaged at each close before covariances are taken, so that what moves them together counts. Better
    measured on the training rows than on a short recent window, whose own mean hides what is slow.
    """
    n = len(series[0])
    used = np.flatnonzero(shares > 0.0)
    if n < 2 or len(used) < 2:
        return Dependence(1.0, float(max(len(used) - 1, 0)))
    inside = _inside(shares[used], used, edges, series)  # (n_bins, n)
    length = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(inside, length, axis=1)
    covariance = np.fft.irfft((np.abs(spectrum) ** 2).sum(axis=0), length)[:n]
    # Rounding leaves a little where nothing moved.
    fallen = np.flatnonzero(covariance <= _STILL)
    if len(fallen) and fallen[0] == 0:
        return Dependence(float(n), 1.0)  # nothing moved in all these rows: they are one fact
    last = int(fallen[0]) if len(fallen) else n
    window = np.zeros(length)
    window[:last] = 1.0
    window[length - last + 1 :] = 1.0
    summed = np.fft.irfft(spectrum * np.fft.rfft(window), length, axis=1)[:, :n]
    # Rows of several symbols at one close count as so many rows.
    long_run = _products(summed, inside) * len(series) / n
    long_run = 0.5 * (long_run + long_run.T)
    total, squares = float(np.trace(long_run)), float((long_run**2).sum())
    most = float(len(used) - 1)
    if not total > 0.0:
        return Dependence(float(n), 1.0)
    return Dependence(max(1.0, squares / total), float(np.clip(total * total / squares, 1.0, most)))


def _inside(
    shares: FloatArray, used: IntArray, edges: FloatArray, series: Sequence[FloatArray]
) -> FloatArray:
    """Return (is in bin − share) ÷ √share at every close, the mean of the symbols, centred."""
    total = np.zeros((len(used), len(series[0])))
    for values in series:
        is_value = np.isfinite(values)
        hit = bins(edges, np.where(is_value, values, 0.0))[None, :] == used[:, None]
        total += np.where(is_value, hit - shares[:, None], 0.0)
    total -= total.mean(axis=1, keepdims=True)
    total /= np.sqrt(shares)[:, None] * len(series)
    return total


def _products(one: FloatArray, two: FloatArray) -> FloatArray:
    """Return one · twoᵀ, added up in the same order whatever the number of threads."""
    total: FloatArray = np.stack([(row * two).sum(axis=1) for row in one])
    return total


def noise_level(found: Dependence, rows: float, reference_rows: float, chance: float) -> float:
    """Return the index that stationary data exceed with a chance, of so many recent and reference rows."""
    if rows <= 0.0:
        return math.inf
    return found.effect * (1.0 / rows + 1.0 / reference_rows) * chi_squared(found.freedom, chance)


def chi_squared(freedom: float, chance: float) -> float:
    """
    Return what a chi-squared variable exceeds with a chance, 0 without degrees of freedom.

    E. B. Wilson and M. M. Hilferty (1931): its cube root is nearly normal; good to a few per cent far out.
    """
    if freedom <= 0.0:
        return 0.0
    if freedom <= 1.0:
        return _NORMAL.inv_cdf(1.0 - chance / 2.0) ** 2  # the square of a normal, exactly
    part = 2.0 / (9.0 * freedom)
    return freedom * (1.0 - part + _NORMAL.inv_cdf(1.0 - chance) * math.sqrt(part)) ** 3
