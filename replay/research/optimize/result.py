"""What came of a search: the best trial of one goal, of several those that no other beats in all; the table of all."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.replay.research.optimize.goals import Constraint, Goal
from papertape.replay.research.sweep.result import TrialsFound, plain_row
from papertape.replay.research.sweep.trial import TrialRow


class SearchOutcome(NamedTuple):
    """
    What a search knows of a trial.

    values    of every goal, more is better; None where it has none
    excesses  by how much it misses what must hold, by what that is
    """

    row: TrialRow
    values: tuple[float | None, ...]
    excesses: Mapping[str, float]

    @property
    def is_measured(self) -> bool:
        """Return whether it has a value of every goal."""
        return None not in self.values

    @property
    def counts(self) -> bool:
        """Return whether it is measured and misses nothing."""
        return self.is_measured and all(excess <= 0.0 for excess in self.excesses.values())


@dataclass(slots=True, kw_only=True)
class OptimizeResult(TrialsFound):
    """
    What a search found; in its counts, one that was proposed again is `repeated`, one that was given up `pruned`.

    feasible  trials that are measured and miss nothing of what must hold
    best      of those, the best first; of several goals only those that no other beats in one without losing in another
    windows   in how many the goal is measured, of which it is the mean; 0: in all candles at once
    pruned    how many trials were given up after each of them
    """

    goals: Sequence[Goal]
    bounds: Sequence[Constraint]
    sampler: str
    feasible: int
    best: Sequence[SearchOutcome]
    windows: int = 0
    pruned: Mapping[int, int] = field(default_factory=dict)

    @property
    def first(self) -> TrialRow | None:
        """Return the best trial, None where none counts."""
        return self.best[0].row if self.best else None

    @property
    def doubts(self) -> list[str]:
        """Return what a reader must know of the best, as sentences."""
        # By name: a dataclass with slots is another class than the one that `super()` alone looks in.
        found = super(OptimizeResult, self).doubts
        if not self.pruned or self.first is None:
            return found
        after = ", ".join(f"{count:,} after window {window}" for window, count in self.pruned.items())
        told = len(self.data_doubts) + 1
        return [
            *found[:told],
            f"{sum(self.pruned.values()):,} of them were given up, {after} of {self.windows}: behind half of those before; what "
            "they would have come to is not known, and they count as trials.",
            *found[told:],
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the search as plain values, without the trials that are not among the best."""
        return {
            **self._plain(),
            "goals": [goal.to_json() for goal in self.goals],
            "bounds": [str(bound) for bound in self.bounds],
            "sampler": self.sampler,
            "windows": self.windows,
            "pruned": {str(window): count for window, count in self.pruned.items()},
            "feasible": self.feasible,
            "best": [self._outcome(outcome) for outcome in self.best],
        }

    def _outcome(self, outcome: SearchOutcome) -> dict[str, Any]:
        values = {
            goal.name: None if value is None else goal.sign * value
            for goal, value in zip(self.goals, outcome.values, strict=True)
        }
        return {**plain_row(outcome.row), "goals": values}


def best_of(outcomes: Sequence[SearchOutcome], top: int) -> list[SearchOutcome]:
    """Return the best that count, a tie to the lower number; of several goals the front, best in the first goal first."""
    able = [outcome for outcome in outcomes if outcome.counts]
    values = np.array([outcome.values for outcome in able], np.float64)
    if able and values.shape[1] > 1:
        able = [able[place] for place in front(values)]
    return sorted(able, key=lambda one: (-(one.values[0] or 0.0), one.row.number))[:top]


def pruned_after(outcomes: Iterable[SearchOutcome]) -> dict[int, int]:
    """Return how many trials were given up after each window."""
    after = [len(one.row.values) for one in outcomes if one.row.outcome == "pruned"]
    return {window: after.count(window) for window in sorted(set(after))}


def front(values: FloatArray) -> list[int]:
    """Return the rows that no other row beats: nowhere worse, and better somewhere; of equals the first."""
    found: list[int] = []
    for place, row in enumerate(values):
        no_worse = (values >= row).all(axis=1)
        is_beaten = no_worse & (values > row).any(axis=1)
        is_equal = no_worse & ~is_beaten
        if not is_beaten.any() and not is_equal[:place].any():
            found.append(place)
    return found
