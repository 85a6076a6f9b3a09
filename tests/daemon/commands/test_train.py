"""`papertape train`, `models compare` and `windows`: what a user types and sees, with the quickest kind."""

import json
import os
import sys
import time
import tomllib
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import papertape as front
import papertape.daemon.learning.train as train_module
import papertape.replay.research.training_windows as windows_module
from papertape.daemon.cli import app
from papertape.daemon.learning.model_store import ModelStore
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.jit import Rows
from papertape.engine.model import read_artefact
from papertape.replay.learning.attempt import Attempt, Learned
from papertape.replay.learning.jobs import runner
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.walk_forward import walk
from papertape.replay.runtime.clock import WallClock
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize
from tests.support.binance_server import BinanceServer
from tests.support.journals import filled, identity
from tests.support.loopback import serving_beside

ROOT = Path(__file__).resolve().parents[3]
QUICK = ("--set", "signals.model=logistic", "--set", "signals.use_smc=false")
SHORT = ("--set", "learning.window_days=60", "--set", "learning.horizon_bars=6")


async def attempt_here(folder: object, job: TrainingJob, *_: object) -> Attempt:
    """Make an attempt in this process: what the other one does is the same, and tested beside it."""
    return walk(job, train_model).attempts[0]


async def walk_here(folder: object, job: TrainingJob, *_: object) -> Learned:
    return Learned(*walk(job, train_model), 0.0)


@pytest.fixture(autouse=True)
def _without_processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_process" not in request.fixturenames:
        monkeypatch.setattr(train_module, "run_attempt", attempt_here)
        monkeypatch.setattr(windows_module, "run_walk", walk_here)


@pytest.fixture
def real_process() -> None:
    """Leave the training to a process of its own."""


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_TAPES", str(tmp_path / "tapes"))
    monkeypatch.setenv("PAPERTAPE_MODELS", str(tmp_path / "models"))
    Store().save(synthesize("noise", 2_600, "1h", seed=4))


def papertape(*arguments: object) -> Result:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def train(*arguments: object) -> Result:
    return papertape("train", *QUICK, *SHORT, *arguments)


def test_a_model_of_a_tape_goes_through_the_gate_into_the_store() -> None:
    store = ModelStore()
    beside = store.folder / ".training" / "another"  # that another shell makes meanwhile
    beside.mkdir(parents=True)
    given_up = beside.with_name("killed_last_month")
    given_up.mkdir()
    os.utime(given_up, (time.time() - 31 * 86_400,) * 2)
    done = train("--tape", "SYNTH")

    assert "on rows that none of them has seen" in done.output
    assert "refused: " in done.output
    assert "model 1, not promoted" in done.output
    assert done.exit_code == 1  # a failed check
    assert (store.versions(), store.champion()) == ([1], 0)
    record = store.show(1)
    assert record.gate["is_promoted"] is False
    assert record.tapes == (Store().find("SYNTH").sha256,)
    # 30 days of the gate are kept from training: the newest row that it has seen lies before them.
    last_ms = int(Store().find("SYNTH").candles["open_ms"][-1]) + 3_600_000
    assert record.end_ms == last_ms - 30 * 86_400_000
    assert list((store.folder / ".training").iterdir()) == [beside]


def test_a_model_that_the_disk_does_not_take_is_not_trained_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had come to was removed before it was kept."""

    def full(*_: object) -> int:
        raise DataError("v000001.safetensors: cannot be written: no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ModelStore, "add", full)
        with pytest.raises(DataError, match="no space left"):
            train("--tape", "SYNTH")
        (kept,) = (ModelStore().folder / ".training").iterdir()

    assert "model 1, not promoted" in train("--tape", "SYNTH").output
    assert ModelStore().versions() == [1]
    assert not kept.exists()


def test_a_training_that_is_killed_once_its_model_is_added_adds_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given again, the same command added the same model as a second version."""
    assert "model 1, not promoted" in train("--tape", "SYNTH").output

    class Killed(BaseException):
        pass

    real = ModelStore.add

    def killed(store: ModelStore, artefact: bytes) -> int:
        real(store, artefact)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ModelStore, "add", killed)
        with pytest.raises(Killed):
            train("--tape", "SYNTH")
    assert ModelStore().versions() == [1, 2]

    assert "model 2, not promoted" in train("--tape", "SYNTH").output
    assert ModelStore().versions() == [1, 2]
    # Without a kill it is a training of its own.
    assert "model 3, not promoted" in train("--tape", "SYNTH").output


def test_the_same_training_in_two_shells_is_refused_to_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def second(folder: Path) -> None:
        monkeypatch.setattr(train_module, "run_attempt", attempt_here)
        with pytest.raises(DataError, match="another process is at this training; wait for its"):
            train("--tape", "SYNTH")
        assert folder.is_dir()

    async def with_another(folder: Path, job: TrainingJob, *_: object) -> Attempt:
        second(folder)
        return await attempt_here(folder, job)

    monkeypatch.setattr(train_module, "run_attempt", with_another)

    assert "model 1, not promoted" in train("--tape", "SYNTH").output
    assert ModelStore().versions() == [1]


def test_json_is_one_document_and_the_same_command_makes_the_same_weights() -> None:
    first = json.loads(train("--tape", "SYNTH", "--json").output)
    second = json.loads(train("--tape", "SYNTH", "--json").output)

    assert (first["version"], second["version"]) == (1, 2)
    assert first["outcome"] == "rejected"
    store = ModelStore()
    for name, values in read_artefact(store.read(1)).tensors.items():
        assert values.tobytes() == read_artefact(store.read(2)).tensors[name].tobytes()


def test_two_versions_are_compared_on_rows_that_neither_has_learnt_from() -> None:
    train("--tape", "SYNTH")
    train("--tape", "SYNTH", "--set", "data.end=2020-03-20")

    done = papertape("models", "compare", 1, 2, "--tape", "SYNTH", "--json", *QUICK[2:])

    found = json.loads(done.output)
    newest = max(ModelStore().show(version).end_ms for version in (1, 2))
    assert found["start_ms"] == newest + 3_600_000
    assert found["scores"][0]["rows"] == found["scores"][1]["rows"] > 600
    losses = [scores["log_loss"] for scores in found["scores"]]
    assert found["difference"]["value"] == pytest.approx(losses[1] - losses[0])
    shown = papertape("models", "compare", 1, 2, "--tape", "SYNTH", *QUICK[2:]).output
    assert "seen by neither" in shown
    assert "share of rises" in shown


def test_a_version_is_shown_on_a_screen_with_its_judgement_and_whole_to_machines() -> None:
    told = train("--tape", "SYNTH").output

    shown = papertape("models", "show", 1).output
    record = json.loads(papertape("models", "show", 1, "--json").output)

    judged = [line.rstrip() for line in told.splitlines() if line.startswith(("not  ", "ok   ", "refused: "))]
    assert len(judged) >= 3
    assert [line for line in map(str.rstrip, shown.splitlines()) if line in judged] == judged
    for part in ("validate", "calibrate"):
        loss, rows = record["metrics"][f"{part}_log_loss"], record["metrics"][f"rows_{part}"]
        (line,) = [line for line in shown.splitlines() if line.startswith(part)]
        assert line.split()[1] == f"{rows:.0f}"
        assert f"{loss:.4f}" in line.split()
    assert {"options", "reference", "curve", "importance"} <= record.keys()
    assert not any(
        line.startswith(("options", "reference", "curve", "importance")) for line in shown.splitlines()
    )
    assert len(shown.splitlines()) < 80


def test_models_that_foresee_different_things_are_not_compared() -> None:
    train("--tape", "SYNTH")
    train("--tape", "SYNTH", "--set", "learning.horizon_bars=12")

    with pytest.raises(DataError, match="nothing is right for both"):
        papertape("models", "compare", 1, 2, "--tape", "SYNTH", *QUICK[2:])


def test_what_is_no_model_leaves_the_store_as_it_was(
    real_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    train("--tape", "SYNTH")
    ModelStore().promote(1)

    with pytest.raises(DataError, match="of 60 days to learn from"):
        train("--tape", "SYNTH", "--set", "data.end=2020-01-20")
    monkeypatch.setattr(runner, "START_GRACE_S", 0.0)
    with pytest.raises(DataError, match="training took longer than 0 s"):
        train("--tape", "SYNTH", "--set", "learning.time_limit_s=0.01")

    assert (ModelStore().versions(), ModelStore().champion()) == ([1], 1)


def test_a_model_of_a_daemon_goes_into_the_store_of_its_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    rows: Rows = synthesize("noise", 2_600, "1h", seed=5).candles.copy()
    about = identity()
    portfolio = np.repeat(rows, len(about.symbols))
    portfolio["symbol"] = np.tile(np.arange(len(about.symbols)), len(rows))
    filled(state, portfolio)

    done = train("--state", state)

    store = ModelStore(state / "models")
    assert "model 1, not promoted" in done.output
    assert store.show(1).symbols == about.symbols
    assert ModelStore().versions() == []


def test_fresh_candles_are_fetched_first() -> None:
    # The small venue's volume is the same in every hour, and six hours later its price is where it was.
    read = ("--set", 'signals.model_features=["rsi_14", "log_return_1"]', "--set", "learning.horizon_bars=4")
    asked = ("--fresh", "BTCUSDT", "--days", 80, "--venue", "binance")
    with serving_beside(lambda: BinanceServer(WallClock(), ["BTCUSDT"]).handle) as url:
        done = train(*asked, "--rest-url", url, *read)

    assert "model 1" in done.output
    tape = Store().find("binance-spot_BTCUSDT_1h")
    record = ModelStore().show(1)
    assert record.tapes == (tape.sha256,)
    assert 1_918 <= len(tape.candles) <= 1_920
    assert record.end_ms == int(tape.candles["open_ms"][-1]) + 3_600_000 - 30 * 86_400_000


def test_sources_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="exclude each other"):
        train("--tape", "SYNTH", "--fresh", "BTCUSD")


@pytest.mark.parametrize(
    "alone", [("--days", 30), ("--venue", "binance"), ("--rest-url", "http://127.0.0.1:1")]
)
def test_what_only_a_download_needs_is_refused_without_one(alone: tuple[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"{alone[0]} without --fresh SYMBOL"):
        train("--tape", "SYNTH", *alone)


def test_windows_stand_beside_their_baselines() -> None:
    cadence = ("--set", "signals.retrain_every=10d", "--set", "learning.gate_days=20")
    asked: list[Any] = [*QUICK, *SHORT, *cadence, "--tape", "SYNTH", "--days", 30, "--days", 45]

    shown = papertape("windows", *asked).output
    found = json.loads(papertape("windows", *asked, "--json").output)

    assert [window["days"] for window in found] == [30.0, 45.0]
    for window in found:
        assert set(window["scores"]) == {"challenger", "logistic", "majority"}
        assert f"{window['accuracy']['challenger']['value']:.3f}" in shown
    assert "of 2 windows tried: log-loss surely below both baselines with none" in shown


def test_train_from_python_is_the_same_training_with_its_baselines_beside_it(tmp_path: Path) -> None:
    sections = {"learning": {"horizon_bars": 6}}
    found = front.train(
        "SYNTH", model="logistic", days_back=60, use_smc=False, store=tmp_path / "own", **sections
    )
    by_command = json.loads(train("--tape", "SYNTH", "--json").output)

    contenders = by_command["gate"]["contenders"]
    assert found.version == 1
    assert found.path.is_file()
    assert found.metrics["test_accuracy"] == contenders["challenger"]["accuracy"]
    assert found.metrics["test_accuracy_majority"] == contenders["majority"]["accuracy"]
    assert found.metrics["test_log_loss_majority"] == contenders["majority"]["log_loss"]
    assert (found.is_promoted, found.reason) == (False, by_command["reason"])
    assert list(found.gate["is_passed"]) == [c["is_passed"] for c in by_command["gate"]["criteria"]]
    assert set(found.scores.index) == set(contenders)
    assert len(repr(found)) < 300
    assert "majority" in repr(found)
    assert escape(found.reason) in found._repr_html_()


def test_windows_from_python_are_those_of_the_command() -> None:
    told = json.loads(
        papertape(
            "windows",
            *QUICK,
            "--set",
            "learning.horizon_bars=6",
            "--tape",
            "SYNTH",
            "--days",
            20,
            "--days",
            30,
            "--json",
        ).output
    )

    found = front.windows(
        "SYNTH", days=(20, 30), model="logistic", use_smc=False, learning={"horizon_bars": 6}
    )

    model = found[found["contender"] == "challenger"].set_index("days")
    for window in told:
        assert model.loc[window["days"], "log_loss"] == window["scores"]["challenger"]["log_loss"]
        assert model.loc[window["days"], "models"] == window["models"]
    assert len(found) == 2 * 3


def test_without_torch_a_network_is_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails as if it were not there
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    with pytest.raises(DataError) as refused:
        papertape("train", *SHORT, "--set", "signals.use_smc=false", "--tape", "SYNTH")

    assert "torch, which is not installed" in str(refused.value)
    assert f"`pip install {extras['train'][0]} --index-url https://" in str(refused.value)
    assert "model 1" in train("--tape", "SYNTH").output  # the logistic one needs none
