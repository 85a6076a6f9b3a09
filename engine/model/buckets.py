"""
What was stated against what came: predictions by how sure they were of the side that they took.

The side is that of the larger probability, confidence its probability, 0.5 … 1. The first buckets are narrow because that
is where honest models live.
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.scores import hits

CONFIDENCE_EDGES: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 1.0)
CONFIDENCE_BUCKETS: Final = tuple(f"{low:.2f}-{high:.2f}" for low, high in pairwise(CONFIDENCE_EDGES))


def bucket_of(p: FloatArray) -> IntArray:
    """Return the number of the bucket of each probability of a rise; a bucket holds its lower edge, the last one both."""
    confidence = np.maximum(p, 1.0 - p)
    return np.searchsorted(CONFIDENCE_EDGES[1:-1], confidence, side="right").astype(np.int64)


def confidence_buckets(y: FloatArray, p: FloatArray) -> list[dict[str, Any]]:
    """
    Return, for each bucket, `name`, `rows`, `stated` (mean confidence) and `realised` (share of hits), None without rows.

    y  outcomes, 0, 1 or one half, which is half a hit; p: probabilities of a rise
    """
    confidence = np.maximum(p, 1.0 - p)
    hit = hits(y, p)
    numbers = bucket_of(p)
    found = []
    for number, name in enumerate(CONFIDENCE_BUCKETS):
        chosen = numbers == number
        rows = int(chosen.sum())
        found.append(
            {
                "name": name,
                "rows": rows,
                "stated": float(confidence[chosen].mean()) if rows else None,
                "realised": float(hit[chosen].mean()) if rows else None,
            }
        )
    return found
