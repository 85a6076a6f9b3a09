"""What inputs, probabilities and outcomes looked like in training, for the watch on drift: tenths and what they hold."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.drift.psi import dependence

_TENTHS: Final = np.arange(1, 10) / 10.0


def bin_shares(values: FloatArray, edges: FloatArray) -> FloatArray:
    """Return the share of the finite values in each of the len(edges) + 1 bins; a value on an edge is above it."""
    finite = values[np.isfinite(values)]
    counts = np.bincount(np.searchsorted(edges, finite, side="right"), minlength=len(edges) + 1)
    return counts / max(len(finite), 1)


def tenths(values: FloatArray) -> dict[str, Any]:
    """
    Return the nine inner edges of ten bins of the finite values, the share in each, and how many values there were.

    The shares of a continuous value are a tenth each; one with few values has equal edges, and bins that hold nothing.
    """
    finite = values[np.isfinite(values)]
    edges = np.quantile(finite, _TENTHS)
    shares = bin_shares(finite, edges)
    return {"edges": edges.tolist(), "shares": shares.tolist(), "rows": len(finite)}


def described(values: FloatArray) -> dict[str, Any]:
    """
    Return what `tenths` says of a column, and how much its values depend on each other.

    values  shape (n_symbols, n), in time order; NaN in rows that do not take part
    """
    series = values[:, np.isfinite(values).any(axis=0)]
    found = tenths(series)
    shares, edges = np.array(found["shares"]), np.array(found["edges"])
    found |= dependence(shares, edges, list(series))._asdict()
    return found


def reference(
    columns: Mapping[str, FloatArray], probability: FloatArray, outcomes: FloatArray
) -> dict[str, Any]:
    """
    Return the reference of a record: `inputs` by name, `probability`, and `base_rate` of the outcomes.

    columns      of the rows in training, shape (n_symbols, n) with NaN in every other row
    probability  likewise, of rows that the weights were not fitted to; outcomes: 0, 1 or one half, of the rows in training
    """
    return {
        "inputs": {name: described(values) for name, values in columns.items()},
        "probability": described(probability),
        "base_rate": float(outcomes.mean()),
    }
