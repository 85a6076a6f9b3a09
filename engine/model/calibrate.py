"""Calibration: the one number by which log-odds are divided so that a probability is a share of outcomes."""

from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray

TEMPERATURES: Final = (0.05, 20.0)  # beyond these a model is broken rather than over-confident


def fit_temperature(z: FloatArray, labels: FloatArray, weights: FloatArray | None = None) -> float:
    """
    Return the T within limits for which sigmoid(z / T) has the smallest log-loss.

    weights  of the rows; equal by default

    The loss is convex in 1/T, whose derivative is the mean of z (p - label): its root is found by halving.
    Source: C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On Calibration of Modern Neural Networks (2017), section 4.2.
    """
    low, high = 1.0 / TEMPERATURES[1], 1.0 / TEMPERATURES[0]
    for _ in range(80):
        middle = 0.5 * (low + high)
        slopes = z * (logistic(middle * z) - labels)
        slope = float(np.average(slopes, weights=weights))
        low, high = (middle, high) if slope < 0.0 else (low, middle)
    return 1.0 / (0.5 * (low + high))


def log_loss(z: FloatArray, labels: FloatArray, weights: FloatArray | None = None) -> float:
    """Return the (weighted) mean negative log-likelihood of log-odds `z`, in nats, without overflow."""
    return float(np.average(np.logaddexp(0.0, z) - labels * z, weights=weights))


def logistic(z: FloatArray) -> FloatArray:
    """Return 1 / (1 + e^-z), from the side on which nothing overflows."""
    small = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, small) / (1.0 + small)
