"""
Newton's method on the penalised log-loss: how the logistic kind learns.

The sums are done without a matrix library, whose order of addition depends on the number of threads: the same rows give
the same weights. There is no randomness.
"""

from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.calibrate import logistic

_LARGEST_STEPS: Final = 100
_TOLERANCE: Final = 1e-10  # of the gradient, per row


def newton(x: FloatArray, labels: FloatArray, l2: float, weights: FloatArray | None = None) -> FloatArray:
    """
    Return the coefficients and, last, the intercept that make the total log-loss plus l2/2 |coefficients|² smallest.

    x        shape (n, n_columns), standardised
    weights  of the rows in the total, 1 by default

    The loss is strictly convex, so Newton's steps, halved while they do not lower it, end at its one minimum.
    """
    n, n_columns = x.shape
    share = np.ones(n) if weights is None else weights
    rows = np.column_stack([x, np.ones(n)])
    penalty = np.append(np.full(n_columns, l2), 0.0)
    found = np.zeros(n_columns + 1)

    def loss(w: FloatArray) -> float:
        z = _products(rows, w)
        total = np.sum(share * (np.logaddexp(0.0, z) - labels * z))
        return float(total + 0.5 * np.sum(penalty * w * w))

    now = loss(found)
    for _ in range(_LARGEST_STEPS):
        p = logistic(_products(rows, found))
        gradient = np.einsum("ni,n->i", rows, share * (p - labels)) + penalty * found
        if float(np.abs(gradient).max()) <= _TOLERANCE * n:
            break
        curvature = share * p * (1.0 - p)
        hessian = np.einsum("ni,nj->ij", rows * curvature[:, None], rows, optimize=False)
        direction = np.linalg.solve(hessian + np.diag(penalty), gradient)
        size = 1.0
        while size > 1e-12 and not loss(found - size * direction) <= now:
            size *= 0.5
        found = found - size * direction
        now = loss(found)
    return found


def _products(rows: FloatArray, weights: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ni,i->n", rows, weights))
