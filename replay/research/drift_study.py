"""
How often the watch on drift cries wolf, and how soon it sees one: measured on rows of a known law.

A stretch of training rows makes the reference, as training does; then rows come that follow the same law, or that leave it halfway. Eight
inputs wander as slowly as features of candles do (returns forget at once, an oscillator over 14 bars in 14, a trend index in
28, a volatility in 50), and the signal that the model knows is one of them. Labels overlap by the horizon.

    stationary         nothing changes: every alarm is false
    mean shift         every input moves up by one deviation
    variance           every input swings twice as far
    label flip         what foretold a rise foretells a fall
    calibration break  the model becomes four times as sure as it may be, in log-odds

Rates are false alarms per 1,000 rows, delays are in rows; a detector that is silent to the end has missed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.model.drift.detectors import DETECTORS
from papertape.engine.model.drift.monitor import DriftMonitor
from papertape.engine.model.drift.policy import DriftOptions
from papertape.engine.model.training.reference import reference
from papertape.replay.research.planted import planted_edge, sigmoid, slow

SEEN_BY: Final = ("feature_psi", "prediction_psi", "target_psi", *DETECTORS)
CASES: Final = ("stationary", "mean shift", "variance", "label flip", "calibration break")
MEMORIES: Final = (0.1, 0.1, 3.0, 14.0, 14.0, 28.0, 50.0)  # of the inputs beside the signal, bars
_WINDOW: Final = 512  # rows that are looked at, as in the engine's ring
_LOOK: Final = 24  # rows between two looks


class DriftRow(NamedTuple):
    """
    One detector in one case.

    alarms_per_1000  per 1,000 rows before anything changed (stationary: of all)
    delay_rows       median over the runs in which it spoke after the change; None without a change or when it never spoke
    seen             share of the runs in which it spoke after the change
    """

    case: str
    detector: str
    runs: int
    alarms_per_1000: float
    delay_rows: float | None
    seen: float | None


@dataclass(frozen=True, slots=True)
class DriftStudyOptions:
    """Runs per case, rows in training and rows that are watched, of which the change comes halfway."""

    runs: int = 12
    training_rows: int = 2_160
    rows: int = 4_320
    horizon_bars: int = 12
    accuracy: float = 0.62
    seed: int = 1
    cases: tuple[str, ...] = CASES


def drift_study(
    options: DriftStudyOptions | None = None,
    watch: DriftOptions | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[DriftRow]:
    """Yield a row per case and detector, case by case."""
    options, watch = options or DriftStudyOptions(), watch or DriftOptions()
    for case in options.cases:
        place, found = CASES.index(case), []
        for run in range(options.runs):
            random = np.random.default_rng((options.seed, place, run))
            found.append(_alarms(random, case, options, watch))
            if on_progress is not None:
                on_progress(f"drift: {case}", run + 1, options.runs)
        for detector in SEEN_BY:
            yield _row(case, detector, [alarms[detector] for alarms in found], options)


def _row(case: str, detector: str, runs: list[list[int]], options: DriftStudyOptions) -> DriftRow:
    """Return what the alarms of every run, numbers of rows, come to."""
    is_still = case == "stationary"
    change = options.rows if is_still else options.rows // 2
    false = sum(row < change for alarms in runs for row in alarms)
    delays = (
        []
        if is_still
        else [
            min(row for row in alarms if row >= change) - change
            for alarms in runs
            if any(row >= change for row in alarms)
        ]
    )
    return DriftRow(
        case,
        detector,
        len(runs),
        1_000.0 * false / (change * len(runs)),
        float(np.median(delays)) if delays else None,
        None if is_still else len(delays) / len(runs),
    )


def _alarms(
    random: np.random.Generator, case: str, options: DriftStudyOptions, watch: DriftOptions
) -> dict[str, list[int]]:
    """Return the rows at which each detector spoke in one run."""
    trained, h = options.training_rows, options.horizon_bars
    n = trained + options.rows
    law = planted_edge(random, n, h, options.accuracy)
    inputs = np.column_stack([law.signal, *(slow(random, n, bars) for bars in MEMORIES)])
    p, y = law.probability.copy(), law.outcomes
    columns = {f"input_{i}": column[None, :trained] for i, column in enumerate(inputs.T)}
    monitor = DriftMonitor(reference(columns, p[None, :trained], y[:trained]), h, watch)
    change = trained + options.rows // 2
    if case == "mean shift":
        inputs[change:] += 1.0
    elif case == "variance":
        inputs[change:] *= 2.0
    elif case == "label flip":
        # Outcomes of the last rows before the change lie beyond it.
        y[change - h :] = 1.0 - y[change - h :]
    elif case == "calibration break":
        p[change:] = sigmoid(4.0 * np.log(p[change:] / (1.0 - p[change:])))
    heard: dict[str, list[int]] = {name: [] for name in SEEN_BY}
    for at in range(trained + _LOOK, n + 1, _LOOK):
        known = np.arange(at - _LOOK, at) - h
        known = known[known >= trained]
        monitor.resolve(known, p[known], y[known])
        recent = slice(max(trained, at - _WINDOW), at)
        figures = monitor.check({"X": inputs[recent]}, {"X": p[recent]}, at)
        for name, count in figures.alarms.items():
            detector = "feature_psi" if name.startswith("feature_") else name
            heard[detector] += [at - trained] * count
    return heard
