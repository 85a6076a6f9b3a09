"""Axes cut into cells: what trials of each cell of a pair of axes, or of one axis, show; nothing is fitted or filled in."""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.research.sweep.axes import Axis

# of one axis; more values, or none, are joined to stretches, fewer where trials are few
MOST_CELLS: Final = 24
_LEAST_CELLS: Final = 4


class AxisCells(NamedTuple):
    """
    An axis as cells.

    labels  one per cell; places: the cell of each trial
    """

    name: str
    labels: Sequence[str]
    places: IntArray


def cells_of(axis: Axis, changes: Sequence[Mapping[str, Any]]) -> AxisCells:
    """Return the cells of an axis: a cell a value where there are few of them, else stretches of one length."""
    given = [changed[axis.key] for changed in changes]
    values = sorted(axis.values) if axis.is_ordered else list(axis.values)
    if values and (len(values) <= MOST_CELLS or not axis.is_ordered):
        index = {repr(value): place for place, value in enumerate(values)}
        places = np.array([index[repr(value)] for value in given], np.int64)
        return AxisCells(axis.name, [label(value) for value in values], places)
    low, high = (values[0], values[-1]) if values else (axis.low, axis.high)
    n = min(MOST_CELLS, max(_LEAST_CELLS, round(2.0 * len(given) ** 0.5)))
    if axis.is_whole or (values and all(type(value) is int for value in values)):
        n = min(n, int(high - low) + 1)
        first = [int(low) + -(-place * (int(high - low) + 1) // n) for place in range(n + 1)]
        places = np.searchsorted(np.array(first), np.array(given), "right") - 1
        labels = [f"{a}" if a == b - 1 else f"{a} to {b - 1}" for a, b in pairwise(first)]
        return AxisCells(axis.name, labels, places)
    edges = np.linspace(low, high, n + 1)
    places = np.clip(np.searchsorted(edges, np.array(given, np.float64), "right") - 1, 0, n - 1)
    return AxisCells(axis.name, [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)], places)


def pairs_of(cells: Sequence[AxisCells], values: FloatArray) -> list[dict[str, Any]]:
    """Return for every pair of axes the mean and the best value of each cell, row by row of the second; None where none is."""
    found = []
    for x, y in combinations(range(len(cells)), 2):
        width, height = len(cells[x].labels), len(cells[y].labels)
        place = cells[y].places * width + cells[x].places
        found.append({"x": x, "y": y, **_of_cells(place, width * height, values)})
    return found


def slices_of(
    cells: Sequence[AxisCells], values: FloatArray, changes: Sequence[Mapping[str, Any]], peak: int
) -> list[dict[str, Any]]:
    """Return for every axis the mean and best of each cell, and of the trials that are the peak but for this axis."""
    found = []
    for own in cells:
        others = [other for other in cells if other is not own]
        is_through = np.ones(len(changes), np.bool_)
        for other in others:
            is_through &= other.places == other.places[peak]
        through = np.where(is_through, values, np.nan)
        n = len(own.labels)
        found.append({**_of_cells(own.places, n, values), "peak": _of_cells(own.places, n, through)["best"]})
    return found


def _of_cells(places: IntArray, n: int, values: FloatArray) -> dict[str, list[float | None]]:
    """Return mean and best of what falls into each of n cells."""
    is_known = np.isfinite(values)
    count = np.bincount(places[is_known], minlength=n)
    total = np.bincount(places[is_known], values[is_known], minlength=n)
    best = np.full(n, -np.inf)
    np.maximum.at(best, places[is_known], values[is_known])
    mean = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return {"mean": _plain(mean), "best": _plain(np.where(count > 0, best, np.nan))}


def _plain(values: FloatArray) -> list[float | None]:
    return [float(f"{value:.5g}") if np.isfinite(value) else None for value in values]


def label(value: Any) -> str:
    """Return a value of an axis as text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
