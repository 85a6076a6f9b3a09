"""Backtests that learn on the way: models that earned their place take over, and the result can be done again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.spec import EngineSpec
from papertape.replay import Result, Tape, backtest
from papertape.replay.backtesting import prepare
from papertape.replay.backtesting.verify import verify
from papertape.replay.config.spec import make_spec
from papertape.replay.learning import learning_pass
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.settings import DAY_MS
from papertape.replay.learning.walk_forward import walk
from tests.support.helpers import START_MS, make_candles, needs_lightgbm

LEARNING = {"window_days": 40, "gate_days": 20, "label": "direction", "horizon_bars": 2}


async def walk_here(folder: object, job: TrainingJob, *_: object) -> Learned:
    return Learned(*walk(job, train_model), 0.0)


@pytest.fixture(autouse=True)
def _without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_pass, "run_walk", walk_here)


def trending(n: int = 2_400) -> Tape:
    """Return hours in which every return is seven tenths of the last one and some noise."""
    random = np.random.default_rng(3)
    moves = np.zeros(n)
    for i in range(1, n):
        moves[i] = 0.7 * moves[i - 1] + 0.004 * random.normal()
    close = 100.0 * np.exp(np.cumsum(moves))
    opens = np.concatenate([[100.0], close[:-1]])
    rows = zip(
        opens, np.maximum(opens, close) * 1.0005, np.minimum(opens, close) * 0.9995, close, strict=True
    )
    return Tape(make_candles(list(rows)), "binance-usdm", "TREND", "1h", source="made in a test")


def learnt(tape: Tape, model: str = "logistic", policy: str = "model", **more: Any) -> Result:
    return backtest(
        tapes=[tape],
        model=model,
        retrain_every="10d",
        use_smc=False,
        learning={**LEARNING, "policy": policy},
        signals={"model_features": ["log_return_1", "rsi_14"]},
        report={"sensitivity": False},
        **more,
    )


@pytest.fixture(scope="module")
def result() -> Result:
    patch = pytest.MonkeyPatch()
    patch.setattr(learning_pass, "run_walk", walk_here)
    try:
        return learnt(trending())
    finally:
        patch.undo()


def test_models_that_passed_take_over_and_those_that_did_not_are_told(result: Result) -> None:
    model = result.summary["model"]
    promoted = [attempt for attempt in model["attempts"] if attempt["outcome"] == "promoted"]

    assert len(model["lineage"]) == len(promoted) == len(result.models) > 0
    assert [entry["effective_ms"] for entry in model["lineage"]] == [
        attempt["effective_ms"] for attempt in promoted
    ]
    # Half of the window before the gate: nothing is trained in the first forty days.
    for attempt in model["attempts"]:
        is_early = attempt["due_ms"] - START_MS < 40 * DAY_MS
        assert (attempt["outcome"] == "skipped") == is_early
    assert not any("No model took part" in line for line in result.summary["warnings"])
    assert result.summary["timings"]["learning_s"] > 0.0


def test_a_result_that_learnt_verifies_from_its_own_models(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "out")

    verdict = verify(folder, [trending()])

    assert verdict.differences == ()


@needs_lightgbm
def test_trees_are_retrained_take_over_and_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_pass, "run_walk", walk_here)
    found = learnt(trending(), "lightgbm", "newest")

    lineage = found.summary["model"]["lineage"]
    assert {entry["kind"] for entry in lineage} == {"lightgbm"}
    assert verify(found.save(tmp_path / "out"), [trending()]).differences == ()


def test_the_end_of_the_tape_changes_nothing_that_was_decided_before(result: Result) -> None:
    cut = learnt(trending(), end="2020-03-25")

    n = len(cut.decisions)
    assert n > 0
    assert cut.decisions.tobytes() == result.decisions[:n].tobytes()
    count = len(cut.models)
    assert list(cut.models) == list(result.models[:count])


def test_what_a_tape_holds_before_the_replay_may_be_learnt_from() -> None:
    found = learnt(trending(), start="2020-03-01")

    attempts = found.summary["model"]["attempts"]
    assert attempts[0]["due_ms"] >= START_MS + 60 * DAY_MS
    assert attempts[0]["outcome"] in ("promoted", "rejected")
    assert attempts[0]["record"]["end_ms"] == attempts[0]["due_ms"] - 20 * DAY_MS


def test_a_backtest_that_learns_is_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One specification for retraining and replay, so that a user's strategy is made once."""
    planned: list[EngineSpec] = []

    def counted(*given: Any) -> EngineSpec:
        planned.append(make_spec(*given))
        return planned[-1]

    monkeypatch.setattr(prepare, "make_spec", counted)

    result = learnt(trending(300))

    assert [attempt["outcome"] for attempt in result.summary["model"]["attempts"]] == ["skipped"]
    assert len(planned) == 1


def asked_about_signals(**more: Any) -> Result:
    learning = {"window_days": 40, "gate_days": 20, "horizon_bars": 4, "policy": "newest"}
    return backtest(
        tapes=[trending()],
        model="logistic",
        retrain_every="20d",
        use_smc=False,
        learning=learning | more.pop("learning", {}),
        signals={"model_features": ["log_return_1", "rsi_14"], "model_use": "filter", "model_asks": "signal"},
        report={"sensitivity": False},
        **more,
    )


def test_models_about_signals_filter_a_replay_that_verifies_from_them(result: Result, tmp_path: Path) -> None:
    found = asked_about_signals()

    lineage = found.summary["model"]["lineage"]
    assert {entry["label"].get("asks") for entry in lineage} == {"signal"}
    assert lineage[0]["label"]["signals_of"].startswith("confluence:")
    assert "in_force" in result.summary["model"]
    assert "in_force" not in found.summary["model"]  # a prediction does not say the signal
    assert verify(found.save(tmp_path / "out"), [trending()]).differences == ()


def test_signals_that_are_too_few_are_told_before_anything_is_trained() -> None:
    with pytest.raises(ConfigError, match=r"learning\.window_days: 40 days hold at most \d+ closes"):
        asked_about_signals(parameters={"confidence_threshold": 0.75}, learning={"policy": "model"})
