"""
Training windows beside each other: how many days of the past a model should learn from, walk-forward and out of sample.

Every window has the same due times, beginning when the longest one is whole, and is measured on the same rows: those
between one due time and the next, which no model had seen. Beside each stand the logistic model and the majority of the
same window, and how sure all of it is: a block bootstrap over time, in blocks of two horizons.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.scores import hits, losses, scores
from papertape.replay.config.cadence import Cadence
from papertape.replay.learning.attempt import Attempt, Learned
from papertape.replay.learning.challenge import BASELINE
from papertape.replay.learning.evidence import outcomes
from papertape.replay.learning.jobs.job import CHILD, TrainingJob
from papertape.replay.learning.jobs.runner import run_walk
from papertape.replay.learning.settings import DAY_MS, LearningSettings
from papertape.replay.learning.unseen.comparison import Interval, Intervals
from papertape.replay.learning.walk_forward import said_of
from papertape.replay.runtime.sync import wait_for
from papertape.replay.runtime.worker import OnEvent

CONTENDERS: Final = ("challenger", BASELINE, "majority")


class WindowStudy(NamedTuple):
    """
    What one window came to.

    scores    by contender; accuracy: the same with its interval
    better    by rival: how much lower the model's log-loss is, with its interval
    """

    days: float
    models: int
    promoted: int
    scores: dict[str, dict[str, float]]
    accuracy: dict[str, Interval]
    better: dict[str, Interval]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = self._asdict()
        for name in ("accuracy", "better"):
            values[name] = {key: found._asdict() for key, found in values[name].items()}
        return values


def compare_windows(
    rows: Dataset,
    settings: LearningSettings,
    cadence: Cadence,
    days: Sequence[float],
    on_progress: Callable[[str, int, int], None] | None = None,
    command: Sequence[str] = CHILD,
) -> list[WindowStudy]:
    """
    Return what models that learn from each of these windows say out of sample.

    Raises DataError when the rows do not hold the longest window, or when no row has an outcome and every opinion.
    """
    first_ms, last_ms = int(rows.time_ms[0]), int(rows.time_ms[-1])
    longest_ms = round(max(days) * DAY_MS)
    due = cadence.between(first_ms + longest_ms + settings.gate_ms, last_ms - 1)
    if not due:
        raise DataError(
            f"windows: {(last_ms - first_ms) / DAY_MS:.0f} days of candles hold no due time after the longest window of "
            f"{max(days):g} days and the {settings.gate_ms / DAY_MS:g} of the gate; give more candles or shorter windows"
        )
    walks = []
    for length in days:
        chosen = replace(settings, window_ms=round(length * DAY_MS), check_bars=0, policy="model")
        job = TrainingJob(chosen, tuple(due), rows, is_walk=True)
        with tempfile.TemporaryDirectory(prefix="papertape-") as folder:
            shown = _shown(f"{length:g} days", on_progress)
            walks.append(wait_for(run_walk(Path(folder), job, shown, command)))
    return _measured(rows, settings, days, walks)


def _shown(name: str, on_progress: Callable[[str, int, int], None] | None) -> OnEvent | None:
    if on_progress is None:
        return None

    def heard(event: dict[str, Any]) -> None:
        if event["event"] == "ended":
            on_progress(name, int(event["number"]) + 1, int(event["of"]))

    return heard


def _measured(
    rows: Dataset, settings: LearningSettings, days: Sequence[float], walks: Sequence[Learned]
) -> list[WindowStudy]:
    """Return the scores of every window on the rows that all windows have an opinion on."""
    followed = outcomes(rows, settings).y
    said = [_opinions(rows, walk.attempts) for walk in walks]
    chosen = np.isfinite(followed)
    for by_name in said:
        for values in by_name.values():
            chosen = chosen & np.isfinite(values)
    if not chosen.any():
        reasons = [a.reason for walk in walks for a in walk.attempts if not a.artefact]
        raise DataError(f"windows: no row was judged: {(reasons or ['the rows are too few'])[0]}")
    bars = np.broadcast_to(np.arange(followed.shape[1]), followed.shape)[chosen]
    order = np.argsort(bars, kind="stable")
    y = followed[chosen][order]
    return [
        _study(
            length,
            walk,
            bars[order],
            y,
            {name: values[chosen][order] for name, values in by_name.items()},
            settings,
        )
        for length, walk, by_name in zip(days, walks, said, strict=True)
    ]


def _opinions(rows: Dataset, attempts: Sequence[Attempt]) -> dict[str, FloatArray]:
    """Return what the models of a walk said of each row until the next attempt, NaN where nobody did."""
    found = {name: np.full(rows.open.shape, np.nan) for name in CONTENDERS}
    for number, attempt in enumerate(attempts):
        if not attempt.artefact:
            continue
        end_ms = attempts[number + 1].due_ms if number + 1 < len(attempts) else None
        said = said_of(rows, attempt, end_ms, None)
        for name, values in said.contenders.items():
            found[name][:, said.chosen] = values
        found["majority"][:, said.chosen] = said.majority
    return found


def _study(
    days: float,
    walk: Learned,
    bars: IntArray,
    y: FloatArray,
    said: dict[str, FloatArray],
    settings: LearningSettings,
) -> WindowStudy:
    """Return the scores of one window, each accuracy and difference with its interval."""
    sure = Intervals(bars, settings.horizon_bars, settings.seed)
    lost = {name: losses(y, p) for name, p in said.items()}
    return WindowStudy(
        days,
        sum(bool(attempt.artefact) for attempt in walk.attempts),
        sum(attempt.is_promoted for attempt in walk.attempts),
        {name: dict(scores(y, p)._asdict()) for name, p in said.items()},
        {name: sure.of(hits(y, p)) for name, p in said.items()},
        {name: sure.of(lost[name] - lost["challenger"]) for name in CONTENDERS if name != "challenger"},
    )
