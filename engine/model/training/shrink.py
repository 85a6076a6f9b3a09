"""
Shrinkage towards the base rate: how much of what a model says beyond it the later rows bear out.

    z' = base + share (z - base)          0 <= share <= 1

The share is the most probable one given the rows that the weights were not fitted to, before which it is normal with mean 0
and deviation 1: a penalised logistic regression with one coefficient. Without rows that speak for it a model says the base
rate; the further it leaves it, the fewer rows suffice to pull it back; it is never made surer than it was. The result is
in the weights themselves, for every kind is linear in its last step, so the kernels need not know.

Rows are counted by their uniqueness, and those of several symbols together as one market's, for they move together.
Sources: A. Hoerl, R. Kennard, Ridge Regression (1970); J. Platt, Probabilistic Outputs for Support Vector Machines (1999).
"""

from collections.abc import Mapping

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.calibrate import logistic
from papertape.engine.model.kinds import ModelKind


def share_borne_out(z: FloatArray, base: float, y: FloatArray, weights: FloatArray) -> float:
    """
    Return the share in [0, 1] that makes the total log-loss plus share²/2 smallest.

    z  log-odds of rows that the model was not fitted to; base: those of the base rate; weights: of the rows
    """
    beyond = z - base

    def slope(share: float) -> float:
        p = logistic(base + share * beyond)
        return float(np.sum(weights * beyond * (p - y))) + share

    if slope(0.0) >= 0.0:
        return 0.0
    if slope(1.0) <= 0.0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if slope(middle) < 0.0 else (low, middle)
    return 0.5 * (low + high)


def shrunk(
    kind: ModelKind, tensors: Mapping[str, FloatArray], base: FloatArray, share: FloatArray
) -> dict[str, FloatArray]:
    """
    Return the tensors of a model that says a share of what it said beyond the base rate.

    base, share  of shape (1,), or (n_symbols, 1) where every symbol has weights of its own
    """
    weights, bias = kind.output

    def by_symbol(values: FloatArray, name: str) -> FloatArray:
        return values.reshape(-1, *(1,) * (tensors[name].ndim - 1)) if values.ndim > 1 else values

    from_base = tensors[bias] - by_symbol(base, bias)
    return {
        **tensors,
        weights: tensors[weights] * by_symbol(share, weights),
        bias: by_symbol(base, bias) + by_symbol(share, bias) * from_base,
    }
