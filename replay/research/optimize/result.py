"""What came of a search: the best trial of one goal, of several those that no other beats in all; the table of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.performance.standing import Standing
from papertape.replay.research.optimize.goals import Constraint, Goal
from papertape.replay.research.sweep.axes import Axis
from papertape.replay.research.sweep.result import TABLE
from papertape.replay.research.sweep.trial import TrialRow
from papertape.replay.research.trials.matrix import TrialVerdict

if TYPE_CHECKING:
    import pandas as pd


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


@dataclass(slots=True)
class OptimizeResult:
    """
    What a search found.

    folder    of its file of trials and its table
    size      trials that were asked for; counts: of those that ended, by outcome; one that was proposed again is `repeated`
    feasible  trials that are measured and miss nothing of what must hold
    best      of those, the best first; of several goals only those that no other beats in one without losing in another
    checked   trials that were replayed again by themselves, digest and metrics equal
    reasons   the first reason of each outcome but done
    standing  of its trials among all that are on record for their tapes; verdict: what their returns say together
    page      of its surface, None where no trial counts
    """

    folder: Path
    axes: Sequence[Axis]
    goals: Sequence[Goal]
    bounds: Sequence[Constraint]
    sampler: str
    size: int
    counts: Mapping[str, int]
    feasible: int
    best: Sequence[SearchOutcome]
    checked: Sequence[int]
    reasons: Mapping[str, str]
    standing: Standing
    verdict: TrialVerdict
    page: Path | None = None

    @property
    def doubts(self) -> list[str]:
        """Return what a reader must know of the best, as sentences."""
        if not self.best:
            return []
        return [
            f"The first is the best of {self.counts['done']:,} that were tried here; none of them has seen other candles.",
            *self.standing.sentences(self.best[0].row.metrics),
            *self.verdict.sentences(),
        ]

    @property
    def left(self) -> int:
        """Return how many trials are not finished."""
        return self.size - sum(self.counts.values())

    @property
    def table(self) -> "pd.DataFrame":
        """Return one row per finished trial, by number: what it changed, how it ended, every metric."""
        import pandas as pd

        return pd.read_parquet(self.folder / TABLE).sort_values("number", ignore_index=True)

    def to_json(self) -> dict[str, Any]:
        """Return the search as plain values, without the trials that are not among the best."""
        return {
            "folder": str(self.folder),
            "page": str(self.page) if self.page is not None else None,
            "axes": [axis.to_json() for axis in self.axes],
            "goals": [goal.to_json() for goal in self.goals],
            "bounds": [str(bound) for bound in self.bounds],
            "sampler": self.sampler,
            "trials": self.size,
            "left": self.left,
            "counts": dict(self.counts),
            "feasible": self.feasible,
            "reasons": dict(self.reasons),
            "checked": list(self.checked),
            "best": [self._plain(outcome) for outcome in self.best],
            "verdict": self.verdict.to_json(),
            "ledger": self.standing.section(self.best[0].row.metrics if self.best else {}),
        }

    def _plain(self, outcome: SearchOutcome) -> dict[str, Any]:
        row = {name: value for name, value in outcome.row._asdict().items() if name != "returns"}
        values = {
            goal.name: None if value is None else goal.sign * value
            for goal, value in zip(self.goals, outcome.values, strict=True)
        }
        return {**row, "goals": values}


def best_of(outcomes: Sequence[SearchOutcome], top: int) -> list[SearchOutcome]:
    """Return the best that count, a tie to the lower number; of several goals the front, best in the first goal first."""
    able = [outcome for outcome in outcomes if outcome.counts]
    values = np.array([outcome.values for outcome in able], np.float64)
    if able and values.shape[1] > 1:
        able = [able[place] for place in front(values)]
    return sorted(able, key=lambda one: (-(one.values[0] or 0.0), one.row.number))[:top]


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
