"""A backtest with features of somebody's own, from the strategy and from the configuration."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import papertape
from papertape.engine import Engine
from papertape.engine.errors import DataError, StrategyError
from papertape.engine.events import NewModel
from papertape.engine.features.own.definition import definition_of
from papertape.engine.features.own.names import own_features
from papertape.engine.model import ModelRecord, read_artefact
from papertape.engine.model.artefact import write_artefact
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.model.training.train import train
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.jobs.job import TrainingJob, read_job, write_job
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.runtime.warm import Silent
from tests.support.helpers import random_candles
from tests.support.own_features import FEATURES, Efficiency, Trader, spec_of, wilder

QUIET: dict[str, Any] = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}


def tape() -> papertape.Tape:
    return papertape.Tape(random_candles(400, 3), "binance-usdm", "T", "1h")


def test_a_strategy_trades_on_its_own_features() -> None:
    result = papertape.backtest(tape(), strategy=Trader, **QUIET)

    assert len(result.trades) > 5


class Loud(Efficiency):
    """Says what it is shown."""

    def update(self, candle: Any) -> float:
        print("shown", candle.open_ms)  # noqa: T201
        return super().update(candle)


class Reader:
    features = (Loud(), wilder)

    def decide(self, view: Any) -> None:
        return None


def test_each_candle_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    papertape.backtest(tape(), strategy=Reader, **QUIET)

    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("shown")]
    assert len(shown) == len(set(shown)) == 400


class Broken(Efficiency):
    """Has no value at one candle."""

    name = "broken"

    def update(self, candle: Any) -> Any:
        return "none" if super().update(candle) > 0.5 else 0.0


class Fragile:
    features = (Broken(),)

    def decide(self, view: Any) -> None:
        return None


def test_a_replay_ends_at_the_first_value_that_is_none() -> None:
    message = r"Fragile: T, candle closed 2020-\S+Z: feature broken: it returned 'none', which is no number"
    with pytest.raises(StrategyError, match=message):
        papertape.backtest(tape(), strategy=Fragile, **QUIET)


READ = ("wilder", "stretch@4h", "log_return_1")


def test_models_are_trained_on_what_the_configuration_brings() -> None:
    path = "tests.support.own_features"
    result = papertape.backtest(
        papertape.Tape(random_candles(3_000, 3), "binance-usdm", "T", "1h"),
        model="logistic",
        retrain_every="60d",
        signals={"own_features": [f"{path}:wilder", f"{path}:stretch"], "model_features": READ},
        learning={"window_days": 60, "gate_days": 30, "horizon_bars": 12},
        report={"sensitivity": False, "random_draws": 0},
    )

    attempts = result.summary["model"]["attempts"]
    assert {attempt["outcome"] for attempt in attempts} & {"promoted", "rejected"}, attempts


def test_a_model_reads_them_in_the_engine_in_any_batching() -> None:
    candles = random_candles(1_200, 3)
    rows = dataset_of(["AAA"], [candles], "1h", "1h", READ, own=own_features(FEATURES))
    options = TrainingOptions("logistic", READ, label="direction", horizon_bars=12)
    artefact = train(rows, options).data
    spec = spec_of(Silent(("ema_5",)), own_features=FEATURES, model_features=READ)

    def said(batch: int) -> Any:
        engine = Engine(spec)
        engine.step(candles[:100])
        engine.step(NewModel(1, artefact))
        parts = [engine.step(candles[i : i + batch]) for i in range(100, 1_200, batch)]
        return np.concatenate([report.predictions["probability"] for report in parts])

    whole = said(1_100)
    expected = read_rows(read_artefact(artefact), "AAA", rows.x[0])[0]
    np.testing.assert_allclose(whole[-1_000:], expected[-1_000:], rtol=1e-12)
    np.testing.assert_array_equal(said(7), whole)


def test_a_model_that_reads_what_is_not_there_says_how_to_bring_it() -> None:
    rows = dataset_of(["AAA"], [random_candles(600, 3)], "1h", "1h", READ, own=own_features(FEATURES))
    options = TrainingOptions("logistic", READ, label="direction", horizon_bars=12)
    engine = Engine(spec_of(Silent(()), model_features=("log_return_1",)))

    with pytest.raises(DataError, match="feature 'wilder' is not computed here; add it to model_features"):
        engine.step(NewModel(1, train(rows, options).data))


def test_a_model_whose_feature_has_changed_is_refused_and_one_that_is_the_same_is_not(tmp_path: Path) -> None:
    """The record holds the definition of every feature of somebody's own that it reads, through a job's file as well."""
    rows = dataset_of(["AAA"], [random_candles(600, 3)], "1h", "1h", READ, own=own_features(FEATURES))
    known = {feature.name: definition_of(feature) for feature in own_features(FEATURES).values()}
    read = {request.partition("@")[0] for request in READ} & known.keys()
    assert dict(rows.definitions) == {name: known[name] for name in read} != {}
    write_job(tmp_path, TrainingJob(LearningSettings("logistic", "1h", READ), (1,), rows, "manual"))
    rows = read_job(tmp_path).rows.until(int(rows.time_ms[-1]))
    data = train(rows, TrainingOptions("logistic", READ, label="direction", horizon_bars=12)).data
    artefact = read_artefact(data)
    assert artefact.record.definitions == {name: known[name] for name in read}
    spec = spec_of(Silent(()), own_features=FEATURES, model_features=READ)
    Engine(spec).step(NewModel(1, data))

    changed = {**artefact.record.definitions, "wilder": "0123456789abcdef"}
    other = write_artefact(replace(artefact.record, definitions=changed), artefact.tensors)
    with pytest.raises(
        DataError, match="model 1: feature 'wilder' is not the one that it was trained on; train it"
    ):
        Engine(spec).step(NewModel(1, other))


def test_a_model_of_built_in_features_names_no_definitions() -> None:
    record = ModelRecord("logistic", ("rsi_14",), "1h", 4)

    assert "definitions" not in record.to_json()
    with pytest.raises(DataError, match="definitions 3 is not a table of texts"):
        ModelRecord.from_json({**record.to_json(), "definitions": 3})
