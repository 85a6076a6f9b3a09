"""
Which trial of a search is chosen: the peak, or the centre of the plateau.

The peak is the best value. The centre of the plateau is the trial whose neighbourhood is best: the mean of its value and its
neighbours', one step away in any direction of a grid, of draws the nearest ones, the best of them left out, so that one
lucky trial lifts none. A neighbour that could not be run, or has no value, counts as missing, and a trial with more than half
of its neighbourhood missing is no centre.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.space import Space

RULES: Final = ("plateau", "peak")
_LEAST_SHARE: Final = 0.5
_BLOCK: Final = 512  # draws that are compared with all at once


class SearchChoice(NamedTuple):
    """The trials of one search that stand out, and how good each neighbourhood is; NaN where there is none."""

    peak: int
    plateau: int
    around: FloatArray


def choose(space: Space, values: FloatArray) -> SearchChoice | None:
    """
    Return what stands out among the trials of a space, None when none has a value; a tie goes to the lower number.

    values  shape (space.size,), more is better, NaN for a trial without
    """
    if space.draws is None and space.is_grid:
        return _stand_out(values, _around_grid(space.axes, values))
    changes = [space.changes(number) for number in range(space.size)]
    return choose_among(space.axes, changes, values)


def choose_among(
    axes: Sequence[Axis], changes: Sequence[Mapping[str, Any]], values: FloatArray
) -> SearchChoice | None:
    """Return what stands out among trials that are points of no whole grid; changes: what each of them is."""
    return _stand_out(values, _around_points(axes, positions(axes, changes), values))


def _stand_out(values: FloatArray, around: FloatArray) -> SearchChoice | None:
    if not np.isfinite(values).any():
        return None
    peak = int(np.nanargmax(values))
    plateau = int(np.nanargmax(around)) if np.isfinite(around).any() else peak
    return SearchChoice(peak, plateau, around)


def rank(values: FloatArray, chosen: int) -> int | None:
    """Return the place of a trial among those with a value, 1 for the best; equals share the better place."""
    if not np.isfinite(values[chosen]):
        return None
    return 1 + int(np.count_nonzero(values > values[chosen]))


def _around_grid(axes: Sequence[Axis], values: FloatArray) -> FloatArray:
    """Return the mean over each point's neighbourhood on a grid."""
    cube = values.reshape([len(axis.values) for axis in axes])
    has_value = np.isfinite(cube)
    total, count = np.where(has_value, cube, 0.0), has_value.astype(np.float64)
    possible, best = np.ones_like(count), np.where(has_value, cube, -np.inf)
    for place, axis in enumerate(axes):
        if axis.is_ordered:
            total, count, possible = (_with_next(one, place, np.add) for one in (total, count, possible))
            best = _with_next(best, place, np.maximum)
    return _means(total, count, possible, best, has_value).reshape(-1)


def _with_next(cube: FloatArray, place: int, joined: Callable[..., FloatArray]) -> FloatArray:
    """Return each point's value joined with those before and after it on one axis."""
    moved = np.moveaxis(cube, place, 0)
    found = moved.copy()
    found[1:] = joined(found[1:], moved[:-1])
    found[:-1] = joined(found[:-1], moved[1:])
    return np.moveaxis(found, 0, place)


def nearest(axes: Sequence[Axis], points: FloatArray, part: slice, count: int) -> IntArray:
    """Return the numbers of the trials that are nearest to each of some, itself the first, shape (n, count)."""
    far = np.zeros((len(points[part]), len(points)))
    for place, axis in enumerate(axes):
        apart = points[part, place, None] - points[None, :, place]
        far += np.square(apart) if axis.is_ordered else apart != 0.0
    return np.argsort(far, axis=1, kind="stable")[:, :count]


def _around_points(axes: Sequence[Axis], points: FloatArray, values: FloatArray) -> FloatArray:
    """Return the mean over each point and its nearest ones, two of them for each axis."""
    wanted = min(2 * len(axes) + 1, len(points))
    total, count, best = (np.zeros(len(points)) for _ in range(3))
    for first in range(0, len(points), _BLOCK):
        part = slice(first, first + _BLOCK)
        near = nearest(axes, points, part, wanted)
        total[part], count[part] = np.nansum(values[near], axis=1), np.isfinite(values[near]).sum(1)
        best[part] = np.where(np.isfinite(values[near]), values[near], -np.inf).max(axis=1)
    return _means(total, count, np.full(len(points), float(wanted)), best, np.isfinite(values))


def positions(axes: Sequence[Axis], changes: Sequence[Mapping[str, Any]]) -> FloatArray:
    """Return where each trial stands, shape (n_trials, n_axes): from 0 to 1 on an axis of numbers, else the place in its list."""
    found = np.zeros((len(changes), len(axes)))
    for place, axis in enumerate(axes):
        chosen = [changed[axis.key] for changed in changes]
        if axis.is_ordered:
            bounds = axis.values or (axis.low, axis.high)
            low, high = min(bounds), max(bounds)
            found[:, place] = (np.array(chosen, np.float64) - low) / ((high - low) or 1.0)
        else:
            found[:, place] = [axis.values.index(value) for value in chosen]
    return found


def _means(
    total: FloatArray, count: FloatArray, possible: FloatArray, best: FloatArray, has_value: Any
) -> FloatArray:
    """Return the means without the best of each neighbourhood, NaN for what is no centre."""
    is_centre = has_value & (count >= _LEAST_SHARE * possible) & (count > 1.0)
    return np.where(
        is_centre, (total - np.where(is_centre, best, 0.0)) / np.maximum(count - 1.0, 1.0), np.nan
    )
