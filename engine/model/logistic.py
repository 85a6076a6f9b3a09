"""
The logistic model: standardise, weigh, squash. No state, so a swap needs no warm-up.

Weights lie one after the other in a flat vector, in the order of `shapes`:

    mean scale coefficients   one each per column
    intercept temperature     one each
"""

from typing import Final

import numpy as np

from engine.jit import FloatArray, IntArray, kernel, record
from engine.model.functions import sigmoid

STATE: Final = record(("unused", "f8"))
POSITIVE: Final = ("scale", "temperature")  # tensors whose every value is above zero


def shapes(n_columns: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors of an artefact with their shapes, in the order of the weight vector."""
    return {
        "mean": (n_columns,),
        "scale": (n_columns,),
        "coefficients": (n_columns,),
        "intercept": (1,),
        "temperature": (1,),
    }


@kernel
def step(features: FloatArray, rows: IntArray, k: int, weights: FloatArray) -> float:
    """Return the calibrated probability of a rise at close `k`; NaN while a feature is missing."""
    n = len(rows)
    z = weights[3 * n]
    for i in range(n):
        z += weights[2 * n + i] * ((features[rows[i], k] - weights[i]) / weights[n + i])
    if not np.isfinite(z):
        return np.nan
    return sigmoid(z / weights[3 * n + 1])
