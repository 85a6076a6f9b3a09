"""What inputs, probabilities and outcomes looked like in training, for the watch on drift: tenths and what they hold."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from engine.jit import FloatArray

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


def reference(
    columns: Mapping[str, FloatArray], probability: FloatArray, outcomes: FloatArray
) -> dict[str, Any]:
    """
    Return the reference of a record: `inputs` by name, `probability`, and `base_rate` of the outcomes.

    columns      of the rows in training, every symbol's values together
    probability  of rows that the weights were not fitted to; outcomes: 0 or 1, of the rows in training
    """
    return {
        "inputs": {name: tenths(values) for name, values in columns.items()},
        "probability": tenths(probability),
        "base_rate": float(outcomes.mean()),
    }
