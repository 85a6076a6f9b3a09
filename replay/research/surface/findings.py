"""What a search says beside its best trial: the centre of its plateau, its edges, and how lonely the best is."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.space import Space
from papertape.replay.research.walkforward.choice import choose, choose_among, nearest, positions

MOST_POINTS: Final = 5_000  # that are compared with each other where there is no grid
_MOST_OF_IT: Final = 0.5
_NEAR_THE_EDGE: Final = 0.01  # of the range, where there are no steps


class Findings(NamedTuple):
    """
    What stands out among trials, by their place among those given.

    plateau  None where there are too many to compare
    keep     neighbours of the peak that keep at least half of what it has above the middle trial; of so many
    edges    axes at whose end the peak lies, as sentences
    """

    peak: int
    plateau: int | None
    keep: int
    of: int
    edges: list[str]

    def sentences(self) -> list[str]:
        """Return it in words."""
        found = [f"The best lies on the edge that was searched: {edge}." for edge in self.edges]
        if self.of:
            found.append(
                f"{self.keep} of the {self.of} neighbours of the best keep at least half of what it has above the middle trial."
            )
        return found


def find(
    axes: Sequence[Axis], changes: Sequence[Mapping[str, Any]], values: FloatArray, space: Space | None
) -> Findings | None:
    """
    Return what stands out, None where no trial has a value.

    changes, values  of every trial; more is better, NaN for one without a value
    space            of which these are all the trials, None for a search
    """
    if not np.isfinite(values).any():
        return None
    peak = int(np.nanargmax(values))
    is_grid = space is not None and space.draws is None and space.is_grid
    choice = None
    if space is not None and is_grid:
        choice = choose(space, values)
    elif len(values) <= MOST_POINTS:
        choice = choose_among(axes, changes, values)
    points = positions(axes, changes)
    neighbours = _beside(axes, changes, peak) if is_grid else _near(axes, points, peak)
    middle = float(np.nanmedian(values))
    enough = middle + _MOST_OF_IT * (float(values[peak]) - middle)
    keep = sum(bool(values[other] >= enough) for other in neighbours)
    edges = [edge for axis in axes if (edge := _edge(axis, changes[peak][axis.key]))]
    return Findings(peak, choice.plateau if choice is not None else None, keep, len(neighbours), edges)


def _beside(axes: Sequence[Axis], changes: Sequence[Mapping[str, Any]], peak: int) -> list[int]:
    """Return the trials of a grid that are at most one step from the peak on every ordered axis, and like it on the others."""
    is_near = np.ones(len(changes), np.bool_)
    for axis in axes:
        order = {repr(value): place for place, value in enumerate(axis.values)}
        places = np.array([order[repr(changed[axis.key])] for changed in changes])
        is_near &= np.abs(places - places[peak]) <= (1 if axis.is_ordered else 0)
    return [int(other) for other in np.flatnonzero(is_near) if other != peak]


def _near(axes: Sequence[Axis], points: FloatArray, peak: int) -> list[int]:
    """Return the trials that are nearest to the peak, two for each axis."""
    wanted = min(2 * len(axes) + 1, len(points))
    return [int(other) for other in nearest(axes, points, slice(peak, peak + 1), wanted)[0] if other != peak]


def _edge(axis: Axis, value: Any) -> str:
    """Return where a value is the first or last that was searched, empty where it is not."""
    if not axis.is_ordered or (axis.values and len(axis.values) < 3):
        return ""
    low, high = (min(axis.values), max(axis.values)) if axis.values else (axis.low, axis.high)
    room = 0.0 if axis.values or axis.is_whole else _NEAR_THE_EDGE * (high - low)
    if value <= low + room:
        return f"{axis.name} is {value:.4g}, and nothing below {low:.4g} was tried"
    if value >= high - room:
        return f"{axis.name} is {value:.4g}, and nothing above {high:.4g} was tried"
    return ""
