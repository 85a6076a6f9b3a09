"""Trials by number: every point of a grid, or seeded draws; nothing is listed, so a million of them take no memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.jit import IntArray
from papertape.replay.research.sweep.axes import Axis

LIMIT: Final = 100_000
_LARGEST: Final = 1 << 62  # points of a grid that are drawn without repeating one


@dataclass(slots=True, frozen=True)
class Space:
    """
    What a sweep tries.

    draws  None: every point of the grid, the last axis fastest; else so many of them, none twice where it is a grid
    """

    axes: tuple[Axis, ...]
    draws: int | None = None
    seed: int = 1
    _drawn: IntArray | None = field(default=None)

    @property
    def size(self) -> int:
        """Return how many trials there are."""
        return self.points if self.draws is None else self.draws

    @property
    def points(self) -> int:
        """Return how many points the grid has; axes without steps count as one."""
        return math.prod(len(axis.values) or 1 for axis in self.axes)

    @property
    def is_grid(self) -> bool:
        """Return whether every axis has steps."""
        return all(axis.values for axis in self.axes)

    def point(self, number: int) -> int:
        """Return which point of the grid a trial is, -1 when it is drawn from no grid."""
        if self.draws is None:
            return number
        return -1 if self._drawn is None else int(self._drawn[number])

    def changes(self, number: int) -> dict[str, Any]:
        """Return what a trial changes, by key."""
        assert 0 <= number < self.size
        point = self.point(number)
        if point < 0:
            return self._draw(number)
        found: list[Any] = []
        for axis in reversed(self.axes):
            point, place = divmod(point, len(axis.values))
            found.append(axis.values[place])
        return {axis.key: value for axis, value in zip(self.axes, reversed(found), strict=True)}

    def _draw(self, number: int) -> dict[str, Any]:
        """Return a trial whose numbers depend on the seed and its own number alone."""
        generator = np.random.default_rng([self.seed, number])
        drawn: dict[str, Any] = {}
        for axis in self.axes:
            if axis.values:
                drawn[axis.key] = axis.values[int(generator.integers(len(axis.values)))]
            elif axis.is_whole:
                drawn[axis.key] = int(generator.integers(int(axis.low), int(axis.high) + 1))
            else:
                drawn[axis.key] = float(generator.uniform(axis.low, axis.high))
        return drawn


def make_space(axes: Sequence[Axis], draws: int | None = None, seed: int = 1, limit: int = LIMIT) -> Space:
    """Return a space that is neither empty nor larger than what was asked for, or raise ConfigError."""
    if not axes:
        raise ConfigError("sweep: nothing varies; name a --grid KEY=VALUES at least")
    keys = [axis.key for axis in axes]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(f"--grid {key}: it stands twice; write its values together")
    if draws is not None and draws < 1:
        raise ConfigError(f"--draw {draws}: draw one trial at least")
    if seed < 0:
        raise ConfigError(f"--seed {seed}: it is below 0")
    space = Space(tuple(axes), draws, seed)
    if draws is None and not space.is_grid:
        key = next(axis.key for axis in axes if not axis.values)
        raise ConfigError(f"--grid {key}: it has no step; write LOW:HIGH:STEP, or draw with --draw N")
    if draws is not None and space.is_grid and draws > space.points:
        raise ConfigError(
            f"--draw {draws:,}: the grid has {space.points:,} points; leave --draw out and every one is tried"
        )
    if space.size > limit:
        raise ConfigError(
            f"sweep: {space.size:,} trials are more than {limit:,}; draw some of them with --draw N, or allow more with "
            "--limit"
        )
    if draws is not None and space.is_grid and space.points < _LARGEST:
        chosen = np.random.default_rng(seed).choice(space.points, draws, replace=False)
        space = Space(tuple(axes), draws, seed, chosen.astype(np.int64))
    return space
