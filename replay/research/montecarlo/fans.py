"""How paths went and where they ended, as it is drawn: quantiles along the way, histograms of the ends, and the run itself in both."""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.paths import Curves, Paths, equity_at, walk

LEVELS: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
FEW: Final = 12  # paths that are drawn one by one, for quantiles of them say nothing
BINS: Final = 30


class Fan(NamedTuple):
    """
    How the accounts of one kind went, ÷ capital.

    places  after how many returns, shape (n_points,)
    bands   quantiles at `LEVELS` over all paths, shape (5, n_points)
    paths   each by itself where they are few, else none, shape (n, n_points)
    own     of the run itself, shape (n_points,); None where it has other days
    """

    places: IntArray
    bands: FloatArray
    paths: FloatArray
    own: FloatArray | None


class Histogram(NamedTuple):
    """How many paths lie in each stretch: edges of shape (n + 1,), the last one included; counts of shape (n,)."""

    edges: FloatArray
    counts: IntArray


def fan_of(curves: Curves, own: FloatArray | None) -> Fan:
    """Return how these accounts went; own: returns of the run itself, None where it has other days."""
    way = None
    if own is not None:
        way = np.ones((1, len(curves.places)))
        equity_at(np.ascontiguousarray(own[None, :]), curves.places, way)
        way = way[0]
    is_few = len(curves.equity) <= FEW
    bands = np.quantile(curves.equity, LEVELS, axis=0)
    return Fan(curves.places, bands, curves.equity if is_few else curves.equity[:0], way)


def own_path(returns: FloatArray, ruin: float) -> Paths:
    """Return what the run itself went through, as one path; ruin: the loss of capital that is called so."""
    out = np.empty((1, len(Paths._fields)))
    walk(np.ascontiguousarray(returns[None, :]), 1.0 - ruin, out)
    return Paths(*np.ascontiguousarray(out.T))


def histogram(values: FloatArray, own: float | None = None) -> Histogram:
    """Return how values lie, over a span that holds the run's own as well; one stretch where they are all the same."""
    every = values if own is None else np.append(values, own)
    low, high = float(every.min()), float(every.max())
    # Totals of the same trades in another order differ in the last bits alone.
    if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        return Histogram(np.array([low, high]), np.array([len(values)]))
    counts, edges = np.histogram(values, BINS, (low, high))
    return Histogram(edges, counts.astype(np.int64))
