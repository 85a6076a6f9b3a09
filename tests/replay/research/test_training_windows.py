"""Training windows beside each other: the same rows for all, an edge found by each, and no claim about noise."""

import numpy as np
import pytest

from papertape.engine.errors import DataError
from papertape.engine.model.artefact import read_artefact
from papertape.replay.config.cadence import Cadence, cadence
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.evidence import opinions, outcomes
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.walk_forward import walk
from papertape.replay.research import training_windows
from papertape.replay.research.training_windows import compare_windows
from tests.support.planted_rows import planted_rows, quick_settings


def every(text: str) -> Cadence:
    found = cadence(text)
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Walk in this process: that the other one does the same is tested beside it."""

    async def here(folder: object, job: TrainingJob, *_: object) -> Learned:
        done = walk(job, train_model)
        return Learned(done.attempts, done.commands, done.summary, 0.0)

    monkeypatch.setattr(training_windows, "run_walk", here)


def test_every_window_is_measured_on_the_same_rows_and_finds_the_edge() -> None:
    rows = planted_rows(3_000)

    found = compare_windows(rows, quick_settings(), every("10d"), (20.0, 30.0, 60.0))

    assert [window.days for window in found] == [20.0, 30.0, 60.0]
    assert len({window.scores["challenger"]["rows"] for window in found}) == 1
    for window in found:
        accuracy = window.accuracy["challenger"]
        assert accuracy.lower < accuracy.value == window.scores["challenger"]["accuracy"]
        assert 0.5 < accuracy.lower < accuracy.value < accuracy.upper < 1.0
        difference = window.scores["majority"]["log_loss"] - window.scores["challenger"]["log_loss"]
        assert window.better["majority"].value == pytest.approx(difference)
        assert window.better["majority"].lower > 0.0
        # The logistic kind is its own baseline: there is nothing between them.
        assert window.better["logistic"] == (0.0, 0.0, 0.0)


def test_scores_are_those_of_the_models_that_were_in_turn() -> None:
    rows = planted_rows(2_400)
    settings = quick_settings(check_bars=0)

    found = compare_windows(rows, settings, every("10d"), (40.0,))[0]

    # By hand: the attempts of one walk, each asked for the rows until the next.
    due = every("10d").between(
        int(rows.time_ms[0]) + settings.window_ms + settings.gate_ms, int(rows.time_ms[-1]) - 1
    )
    attempts = walk(TrainingJob(settings, tuple(due), rows, is_walk=True), train_model).attempts
    y, said = outcomes(rows, settings).y[0], np.full(len(rows.time_ms), np.nan)
    for attempt in attempts:
        later = opinions(read_artefact(attempt.artefact), rows, attempt.due_ms)[0]
        said = np.where(np.isfinite(later), later, said)
    judged = np.isfinite(y) & np.isfinite(said)
    assert found.scores["challenger"]["rows"] == judged.sum()
    assert found.scores["challenger"]["accuracy"] == np.mean((said >= 0.5)[judged] == y[judged])


def test_noise_is_not_surely_better_than_its_baselines() -> None:
    rows = planted_rows(3_000, seed=11, edge=0.0)

    found = compare_windows(rows, quick_settings(), every("10d"), (20.0, 40.0))

    for window in found:
        assert window.better["majority"].lower < 0.0
        assert window.accuracy["challenger"].lower < 0.5 < window.accuracy["challenger"].upper
        assert window.promoted == 0


def test_a_window_that_the_candles_do_not_hold_is_refused_with_the_days() -> None:
    with pytest.raises(DataError, match="100 days of candles hold no due time after"):
        compare_windows(planted_rows(2_400), quick_settings(), every("10d"), (30.0, 90.0))
