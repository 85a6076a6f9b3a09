"""What models would have earned, from a journal: as a replay measures its challengers on the same candles, each half by itself."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.journal.attempts import ShadowRow, write_shadows
from papertape.daemon.journal.identity import Identity
from papertape.daemon.learning import shadow
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.shadow import seen_rows, shadow_records, unsettled
from papertape.daemon.runtime.daemon import Hooks
from papertape.engine.candles import FLAG_ABSENT, HOUR_MS
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.engine.model import MODEL_FEATURES, ModelRecord, write_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.kinds import lstm
from papertape.engine.model.training.labels import SIGNAL
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.settings import LearningSettings, settings_of
from papertape.replay.learning.walk_forward import measure_shadows
from tests.support.helpers import interleave, random_candles
from tests.support.journals import SYMBOLS, Scripted, identity, model_bytes, recorded, served

N = 3_000  # quarters of an hour, 31 days: more closes of an hour than a model is warmed up with
ALONE = [random_candles(N, 30 + number, "15m") for number in range(len(SYMBOLS))]
GONE = slice(2_848, 2_872)  # of the second symbol: six whole hours that the newest model goes through
OUTCOMES = {2: "rejected", 3: "failed", 4: "rejected"}


def received() -> Rows:
    """Return the candles as a daemon gets them, an absence declared."""
    rows = [one.copy() for one in ALONE]
    last = rows[1]["close"][GONE.start - 1]
    for name in ("open", "high", "low", "close"):
        rows[1][name][GONE] = last
    rows[1]["volume"][GONE], rows[1]["flag_bits"][GONE] = 0.0, FLAG_ABSENT
    return interleave(rows)


ROWS = received()


def lstm_bytes(seed: int) -> bytes:
    """Return a model with a memory and opinions of its own."""
    record = ModelRecord("lstm", MODEL_FEATURES, "1h", 12, sizes={"hidden": 4})
    n = len(record.columns)
    own = lstm.initial(n, record.sizes, seed)
    own["output_weights"] *= 6.0
    shared = {"mean": np.zeros((1, n)), "scale": np.full((1, n), 10.0), "temperature": np.ones(1)}
    return write_artefact(record, {**shared, **own})


class Making(Scripted):
    """A trainer of models of a kind; `made` keeps what each attempt came to."""

    def __init__(self, make: Callable[[int], bytes]) -> None:
        super().__init__(OUTCOMES)
        self.make, self.made = make, dict[int, Attempt]()

    async def attempt(self, request: Any) -> Attempt:
        found = await super().attempt(request)
        if found.artefact:
            data = self.make(request.number)
            found = replace(found, artefact=data, baseline=data, gate={"majority": 0.48})
        self.made[request.number] = found
        return found


def about(state: Path) -> Identity:
    signals = {"use_smc": False, "retrain_every": "6d"}
    return identity(daemon={"state": str(state)}, signals=signals, learning={"horizon_bars": 12})


def settings() -> LearningSettings:
    account = about(Path("nowhere"))
    return settings_of(account.config, account.spec)


def lived(state: Path, trainer: Scripted, rows: Rows = ROWS, batch: int = 40) -> None:
    served(state, recorded(rows, batch), Hooks(trainer=trainer), about(state))


def records(state: Path, learning: LearningSettings | None = None) -> list[ShadowRow]:
    read = ModelStore(state / "models").read
    with Journal.read(state) as journal:
        return shadow_records(journal, SYMBOLS, HOUR_MS, learning or settings(), read)


def replayed() -> Dataset:
    """Return the rows of a replay over tapes that lack what was declared absent."""
    tapes = [ALONE[0], np.delete(ALONE[1], GONE)]
    return dataset_of(SYMBOLS, tapes, "15m", "1h", settings().features)


@pytest.fixture(scope="module", params=[model_bytes, lstm_bytes], ids=["logistic", "lstm"])
def life(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Making]:
    """Return what a daemon left that was never interrupted, and who made its models."""
    state, trainer = tmp_path_factory.mktemp("life"), Making(request.param)
    lived(state, trainer)
    return state, trainer


def test_what_was_seen_at_each_close_is_what_a_replay_learns_from(life: tuple[Path, Making]) -> None:
    expected = replayed()

    with Journal.read(life[0]) as journal:
        found = seen_rows(journal, SYMBOLS, expected.columns, "1h", HOUR_MS, 0)

    assert found.time_ms.tolist() == expected.time_ms.tolist()
    assert np.isnan(found.close[1]).sum() == 6
    for name in ("x", "atr", "open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)


@pytest.mark.parametrize(
    "changes", [{}, {"label": "variance", "no_trade": True}], ids=["bracket", "variance"]
)
def test_a_daemon_and_a_replay_come_to_the_same_record(
    life: tuple[Path, Making], changes: dict[str, Any]
) -> None:
    state, trainer = life
    learning = replace(settings(), **changes)
    attempts = [trainer.made[number] for number in sorted(trainer.made)]
    assert [each.outcome for each in attempts] == ["promoted", "rejected", "failed", "rejected", "promoted"]
    measured, _ = measure_shadows(replayed(), attempts, learning)
    trained = [each for each in measured if each.artefact]

    found = records(state, learning)

    assert [row.since_ms for row in found] == [each.due_ms for each in trained]
    assert [row.version for row in found] == [1, 2, 3, 4]
    for row, each in zip(found, trained, strict=True):
        said = each.shadow["challenger"]
        assert (row.trades, row.net_return) == (said["paper_trades"], said["paper_return"])
        assert row.rows == said["rows"] > 100
        assert row.log_loss == said["log_loss"]
        assert row.majority_log_loss == each.shadow["majority"]["log_loss"]
        assert row.trades > 5
    # a failed attempt brought nothing to go on with: the model before it is followed until the next one
    assert found[1].until_ms == trained[2].due_ms > attempts[2].due_ms
    assert [row.is_settled for row in found] == [1, 1, 1, 0]
    assert found[-1].waiting > 0 == found[0].waiting


def test_the_curve_ends_with_the_record_and_shows_its_true_lowest(life: tuple[Path, Making]) -> None:
    for row in records(life[0]):
        curve = np.array(json.loads(row.curve))
        assert curve[-1, 1] == pytest.approx(row.net_return, abs=1e-12)
        assert (np.diff(curve[:, 0]) >= 0).all()
        assert row.since_ms < curve[0, 0]


def test_a_restart_leaves_the_same_record(life: tuple[Path, Making], tmp_path: Path) -> None:
    """It comes after a model was due, in batches of another size."""
    make = life[1].make
    lived(tmp_path, Making(make), ROWS[: 2 * 2_610], 64)

    lived(tmp_path, Making(make), ROWS, 17)

    assert records(tmp_path) == records(life[0])


def test_what_is_settled_is_not_measured_again(life: tuple[Path, Making], tmp_path: Path) -> None:
    shutil.copytree(life[0], tmp_path, dirs_exist_ok=True)
    before = records(tmp_path)
    with Journal.open(tmp_path, 0) as journal:
        (total,) = journal.commit([write_shadows(before)])
        assert [each.attempt for each in unsettled(journal)] == [5]

    assert records(tmp_path) == before[-1:]
    assert total is not None
    assert (total.models, total.trades) == (4, sum(row.trades for row in before))
    assert total.newest == before[-1]
    assert total.net_return == pytest.approx(sum(row.net_return for row in before))


def test_what_closes_do_not_reach_any_more_stays_as_it_was_found(
    life: tuple[Path, Making], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the oldest were let go of, a model is measured if all closes are there that it was warmed up with."""
    whole = records(life[0])
    monkeypatch.setattr(shadow, "MOST_CLOSES", shadow.RECENT + N // 4 - 10)

    with Journal.read(life[0]) as journal:
        oldest_ms = journal.one("SELECT min(time_ms) FROM closes")[0]
    left = records(life[0])

    assert left == [r for r in whole if r.since_ms - shadow.RECENT * HOUR_MS >= oldest_ms]
    assert 0 < len(left) < len(whole)


def test_models_about_signals_and_those_of_other_features_are_left_out(
    life: tuple[Path, Making], tmp_path: Path
) -> None:
    assert records(life[0], replace(settings(), asks=SIGNAL)) == []
    shutil.copytree(life[0], tmp_path, dirs_exist_ok=True)
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.set_meta(close_columns=["atr_14"])])
    assert records(tmp_path) == []


def test_a_model_that_the_store_has_lost_is_told(life: tuple[Path, Making], tmp_path: Path) -> None:
    shutil.copytree(life[0], tmp_path, dirs_exist_ok=True)
    ModelStore(tmp_path / "models").path(1).unlink()

    with pytest.raises(DataError, match="there is no model 1"):
        records(tmp_path)
