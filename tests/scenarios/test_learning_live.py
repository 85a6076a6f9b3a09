"""
Live = replay with learning: models trained beside the trading, from what came over the sockets, are those of a replay.

The trainer is a formula: weights are what each feature had in common with the next candle's direction. It reads the journal
as the training process does, so models that are equal to the bit prove that their rows were.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.learning.dataset import gather
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.trainer import TrainingRequest
from papertape.daemon.runtime.daemon import Hooks
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.events import NewModel
from papertape.engine.model import ModelRecord, with_version, write_artefact
from papertape.engine.model.dataset import Dataset
from papertape.replay.exchange import Faults
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.settings import settings_of
from papertape.replay.tapes.store import Store
from tests.support.streams import Scenario, identity, replayed, streamed, tape

MINUTE_MS = 60_000
PAIR = (tape("AAA", 150, 3), tape("BBB", 150, 4))
FEATURES = ("log_return_1", "log_return_6", "rsi_14", "volume_z_20", "until_1")
SECTIONS: dict[str, Any] = {
    "strategy": {"name": "confluence", "parameters": {"confidence_threshold": 0.2}},
    "signals": {"use_smc": False, "retrain_every": "40m", "model_features": FEATURES},
    "drift": {"check_bars": 7, "least_rows": 50},
    "learning": {"horizon_bars": 3},
}


def learnt(rows: Dataset) -> bytes:
    """Return a model of some rows: the mean product of each scaled input and the direction of the next candle."""
    x = rows.x.reshape(-1, rows.x.shape[2])
    up = np.sign(np.diff(rows.close, axis=1, append=np.nan)).reshape(-1)
    chosen = np.isfinite(x).all(axis=1) & np.isfinite(up)
    x, up = x[chosen], up[chosen]
    mean, scale = x.mean(axis=0), x.std(axis=0)
    coefficients = ((x - mean) / scale * up[:, None]).mean(axis=0)
    tenths = {"edges": [-1.0 + n / 4.0 for n in range(9)], "shares": [0.1] * 10}
    reference = {
        "inputs": dict.fromkeys(rows.columns, tenths),
        "probability": {**tenths, "edges": [n / 10.0 for n in range(1, 10)]},
        "base_rate": 0.5,
    }
    record = ModelRecord(
        "logistic", FEATURES, rows.timeframe, 1, end_ms=int(rows.time_ms[-1]), reference=reference
    )
    tensors = {
        "mean": mean[None],
        "scale": scale[None],
        "coefficients": 20.0 * coefficients,
        "intercept": np.zeros(1),
        "temperature": np.ones(1),
    }
    return write_artefact(record, tensors)


class FromJournal:
    """Learns from the journal as it is at the due time; every attempt is promoted."""

    def __init__(self, state: Path, scenario: Scenario) -> None:
        about = identity(scenario, state)
        self.state, self.settings = state, settings_of(about.config, about.spec)

    async def attempt(self, request: TrainingRequest) -> Attempt:
        with Journal.read(self.state) as journal:
            found = gather(self.state, journal, request.due_ms, self.settings, Store(self.state))
        return Attempt(
            request.due_ms,
            request.effective_ms,
            request.trigger,
            "promoted",
            "every model is",
            artefact=learnt(found.rows.until(request.due_ms)),
        )


def assert_learns_as_a_replay(scenario: Scenario, state: Path) -> list[tuple[int, str]]:
    """Stream a scenario, compare it with a replay, and return what the watch on drift asked for."""
    daemon = streamed(scenario, state, Hooks(trainer=FromJournal(state, scenario)))

    first_ms = int(PAIR[0].candles["open_ms"][0])
    rows = dataset_of(("AAA", "BBB"), [one.candles for one in PAIR], "1m", "1m", FEATURES)
    models, asked = [], []
    for number in (1, 2, 3):  # intervals count from 1970, and 2020 begins with a whole one
        due_ms = first_ms + 40 * number * MINUTE_MS
        data = with_version(learnt(rows.until(due_ms)), number)
        assert ModelStore(state / "models").read(number) == data
        models.append((due_ms, NewModel(number, data)))
    with Journal.read(state) as journal:
        reached_ms = 0
        for found in journal.inputs():
            if found.kind == "candles":
                reached_ms = found.last_ms + MINUTE_MS
            elif found.kind == "command":
                asked.append((reached_ms, found.event))
        looks = journal.one("SELECT count(*), max(level) FROM drift_checks")
    plain = replayed(scenario, events=[*models, *asked])
    assert daemon.engine.digest == plain.digest
    assert daemon.engine.snapshot() == plain.snapshot()
    assert int(plain.account[0].trades) > 0
    # 40, 80 and 120 minutes in, and every seven from each of them on
    assert looks[0] == 5 + 5 + 4
    assert verify_state(state).is_equal
    return [(time_ms, command.action.value) for time_ms, command in asked]


def assert_scaled(asked: list[tuple[int, str]]) -> None:
    """The references fit nothing: positions are smaller once there are rows enough, and whole again with each model."""
    assert asked
    assert {action for _, action in asked} == {"scale"}


@pytest.mark.slow
def test_models_trained_beside_the_trading_are_those_of_a_replay(tmp_path: Path) -> None:
    assert_scaled(assert_learns_as_a_replay(Scenario(PAIR, sections=SECTIONS), tmp_path))


@pytest.mark.slow
def test_an_outage_over_a_retrain_changes_no_model(tmp_path: Path) -> None:
    """Down from five minutes before the second due time until ten behind it: the model takes over at its time all the same."""
    faults = Faults.single("down", 75 * MINUTE_MS, 15 * MINUTE_MS)

    scenario = Scenario(PAIR, sections=SECTIONS, faults=faults)
    assert_scaled(assert_learns_as_a_replay(scenario, tmp_path))

    with Journal.read(tmp_path) as journal:
        assert journal.one("SELECT count(*) FROM outages")[0] > 0
