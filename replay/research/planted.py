"""
Rows without candles: what a model knew and what became of it, drawn from a law that is known. For studies of the gate and of drift.

Step t + j of the price drifts by μ s(t + j − 1), s a slow signal of variance 1 with s(t) = φ s(t − 1) + √(1 − φ²) ε and φ = exp(−1/m)
for a memory of m bars. Given s(t), the sum of the next h steps is normal with mean μ s(t) (1 − φ^h) ÷ (1 − φ).
"""

import math
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, kernel

STEP: Final = 0.008  # volatility of an hourly candle

Random = np.random.Generator


class Planted(NamedTuple):
    """The signal, the true probability that the next h steps rise, and their sum, at each of n rows."""

    signal: FloatArray
    probability: FloatArray
    returns: FloatArray

    @property
    def outcomes(self) -> FloatArray:
        """Return 1 where the sum of the steps is above 0, else 0."""
        return (self.returns > 0.0).astype(np.float64)


def planted_edge(random: Random, n: int, horizon_bars: int, accuracy: float) -> Planted:
    """
    Return rows whose better side is right with probability `accuracy`, from 0.5 (nothing to know) up to what can be.

    accuracy is 1/2 + atan(ratio)/π, with ratio the deviation of what the signal tells of the sum to that of the rest.
    """
    keep = math.exp(-0.5 / horizon_bars)
    signal = slow(random, n + horizon_bars, 2.0 * horizon_bars)
    reach = (1.0 - keep**horizon_bars) / (1.0 - keep)  # of the signal into the sum
    # What the signal's own later shocks add: one that comes after i of the h steps still works in h − i of them.
    left = np.arange(1, horizon_bars)
    fresh = float(np.sum(((1.0 - keep**left) / (1.0 - keep)) ** 2)) * (1.0 - keep * keep)
    ratio = math.tan(math.pi * (accuracy - 0.5))
    # ratio² = μ² reach² ÷ (h σ² + μ² fresh)
    drift = ratio * STEP * math.sqrt(horizon_bars / (reach**2 - ratio**2 * fresh))
    steps = drift * signal[:-1] + random.normal(0.0, STEP, n + horizon_bars - 1)
    told = drift * reach / math.sqrt(horizon_bars * STEP**2 + drift**2 * fresh)
    probability = told * signal[:n]
    below(probability)
    return Planted(signal[:n], probability, sum_ahead(steps, horizon_bars)[:n])


@kernel
def below(values: FloatArray) -> None:
    """Replace deviations by the chance of a normal value below them, in place."""
    for i in range(len(values)):
        values[i] = 0.5 * (1.0 + math.erf(values[i] / math.sqrt(2.0)))


def walk_ahead(random: Random, n: int, horizon_bars: int) -> FloatArray:
    """Return the sum of the next steps of a random walk at each of n rows."""
    return sum_ahead(random.normal(0.0, STEP, n + horizon_bars), horizon_bars)[:n]


def sum_ahead(values: FloatArray, length: int) -> FloatArray:
    """Return the sum of `length` values from each one on."""
    before = np.concatenate([[0.0], np.cumsum(values)])
    total: FloatArray = before[length:] - before[:-length]
    return total


def slow(random: Random, n: int, memory_bars: float) -> FloatArray:
    """Return a stationary series of variance 1 whose memory fades to 1/e in so many bars."""
    keep = math.exp(-1.0 / memory_bars)
    shocks = random.standard_normal(n) * math.sqrt(1.0 - keep * keep)
    remember_shocks(shocks, keep, float(random.standard_normal()))
    return shocks


@kernel
def remember_shocks(values: FloatArray, keep: float, value: float) -> None:
    """Turn shocks into the series that they make, in place; value: before the first of them."""
    for i in range(len(values)):
        value = keep * value + values[i]
        values[i] = value


def sigmoid(z: FloatArray) -> FloatArray:
    """Return 1 ÷ (1 + e^−z)."""
    return 1.0 / (1.0 + np.exp(-z))
