"""
Live = replay where models are asked whether the strategy's own signal pays: the same models, the same watch, the same account.

The market of `recipe_crashes` goes on as the quarter before did; the daemon trains on what its journal holds, is stopped between
two models and begun again, and a second one takes every candle in one day's batches without a stop.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity, same_account
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.errors import ConfigError
from papertape.engine.model import read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.replay.backtesting.prepare import model_events
from papertape.replay.backtesting.run import replay
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.settings import LearningSettings, settings_of
from papertape.replay.learning.walk_forward import Walked, walk
from tests.support.journals import SYMBOLS, recorded, served
from tests.support.recipe_crashes import ALONE, DAY, FEATURES, ROWS, Here, account

pytestmark = pytest.mark.slow
N = 9 * DAY  # candles of each symbol: before the edge of the market ends


def about(state: Path, **signals: Any) -> Identity:
    kept = account(state).config
    asked = {"model_use": "filter", "model_asks": "signal", **signals}
    config = kept.model_copy(
        update={
            "signals": kept.signals.model_copy(update=asked),
            "learning": kept.learning.model_copy(
                update={"policy": "newest", "label": "bracket", "no_trade": False, "horizon_bars": 4}
            ),
            "drift": kept.drift.model_copy(update={"is_watched": True, "check_bars": 24}),
        }
    )
    return account(state)._replace(config=config)


class HereAboutSignals(Here):
    """Makes each attempt in this process, about signals."""

    def __init__(self, state: Path) -> None:
        self.state, self.settings = state, how(state)


def how(state: Path) -> LearningSettings:
    return settings_of(about(state).config, about(state).spec)


def lived(state: Path, batch: int, stops: tuple[int, ...] = ()) -> RunningDaemon:
    for first, last in zip((0, *stops), (*stops, N), strict=True):
        hooks = Hooks(trainer=HereAboutSignals(state))
        part = ROWS[len(SYMBOLS) * first : len(SYMBOLS) * last]
        daemon = served(state, recorded(part, batch), hooks, about(state))
    return daemon


def told(state: Path) -> dict[str, list[Any]]:
    with Journal.read(state) as journal:
        attempts = journal.all(
            "SELECT due_ms, effective_ms, outcome, reason, version, gate FROM attempts ORDER BY id"
        )
        looks = journal.all("SELECT time_ms, version, level, detail FROM drift_checks ORDER BY time_ms")
    return {"attempts": attempts, "looks": looks}


def rows_of(state: Path) -> Dataset:
    spec = about(state).spec
    return dataset_of(SYMBOLS, [one[:N] for one in ALONE], "15m", "15m", FEATURES, asker=spec)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunningDaemon]:
    state = tmp_path_factory.mktemp("stopped")
    return state, lived(state, 37, (8 * DAY + 11,))


@pytest.fixture(scope="module")
def walked(stopped: tuple[Path, RunningDaemon]) -> Walked:
    state, _ = stopped
    due_ms = tuple(row[0] for row in told(state)["attempts"] if row[4])
    return walk(TrainingJob(how(state), due_ms, rows_of(state), is_walk=True), train_model)


def test_attempts_and_models_are_those_of_a_replay(
    stopped: tuple[Path, RunningDaemon], walked: Walked
) -> None:
    state, _ = stopped
    trained = [row for row in told(state)["attempts"] if row[4]]

    assert [row[2] for row in trained] == ["promoted"] * len(trained)
    assert len(trained) >= 2
    for row, again in zip(trained, walked.attempts, strict=True):
        assert (row[2], row[3]) == (again.outcome, again.reason)
        live, gate = json.loads(row[5]), json.loads(json.dumps(again.gate))
        assert live == gate
        model, other = read_artefact(ModelStore(state / "models").read(row[4])), read_artefact(again.artefact)
        assert model.record.asks == "signal"
        assert model.record.label == other.record.label
        for name, tensor in model.tensors.items():
            assert np.array_equal(tensor, other.tensors[name])


def test_the_account_is_that_of_a_replay_with_the_same_models(
    stopped: tuple[Path, RunningDaemon], tmp_path: Path
) -> None:
    state, daemon = stopped
    whole = lived(tmp_path, 96)

    assert daemon.engine.digest == whole.engine.digest
    assert daemon.engine.snapshot() == whole.engine.snapshot()
    assert told(state)["looks"] == told(tmp_path)["looks"]
    trained = [row for row in told(state)["attempts"] if row[4]]
    models = [(row[1], ModelStore(state / "models").read(row[4])) for row in trained]
    assert [ms for ms, _ in model_events(models)] == [row[1] for row in trained]
    with Journal.read(state) as journal:
        commands = [found.event for found in journal.inputs() if found.kind == "command"]
    assert commands == []  # of the watch: inputs stay what they were, and errors it does not see
    run = replay(about(state).spec, [one[:N] for one in ALONE], models=models)
    assert run.engine.digest == daemon.engine.digest
    assert len(run.trades) > 0
    assert verify_state(state, trust_code=True).is_equal


def test_the_watch_sees_inputs_and_no_error_live_as_in_a_replay(
    stopped: tuple[Path, RunningDaemon], walked: Walked
) -> None:
    state, _ = stopped
    looks = [(ms, version, level, json.loads(detail)) for ms, version, level, detail in told(state)["looks"]]
    measured = [detail for _, version, _, detail in looks if version and detail]

    assert measured
    assert walked.commands == []
    levels = {level for _, version, level, _ in looks if version}
    assert levels == {0} | {1 for look in walked.summary["drift"] if look["level"] == "warn"}
    asked_otherwise = about(state, model_asks="side")
    with pytest.raises(ConfigError, match=r"signals\.model_asks: 'side' is not 'signal', with which"):
        same_account(about(state), asked_otherwise)
