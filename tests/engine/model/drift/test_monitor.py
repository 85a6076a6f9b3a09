"""The watch on drift: its figures, and that batching, saving and dropping old blocks change nothing."""

import json
from typing import Any

import numpy as np
import pytest

from papertape.engine.model.drift.detectors import Block, Detectors
from papertape.engine.model.drift.monitor import BLOCKS_KEPT, DriftMonitor
from papertape.engine.model.drift.policy import OK, RETRAIN, SMALLER, WARN, DriftOptions
from papertape.engine.model.drift.psi import psi
from papertape.engine.model.training.reference import reference

HORIZON = 4


def make(seed: int = 1, n: int = 2_000, **options: Any) -> DriftMonitor:
    random = np.random.default_rng(seed)
    columns = {name: random.normal(size=(1, n)) for name in ("a", "b", "c")}
    p = random.uniform(0.3, 0.7, (1, n))
    y = (random.uniform(size=n) < p[0]).astype(np.float64)
    return DriftMonitor(reference(columns, p, y), HORIZON, DriftOptions(**options))


def recent(seed: int = 2, shift: float = 0.0, columns: int = 3, n: int = 512) -> dict[str, np.ndarray]:
    rows = np.random.default_rng(seed).normal(size=(n, 3))
    rows[:, :columns] += shift
    return {"X": rows}


def resolved(n: int, seed: int = 3, is_flipped: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    p = random.choice([0.3, 0.7], n)
    y = (random.uniform(size=n) < (1.0 - p if is_flipped else p)).astype(np.float64)
    return np.arange(n), p, y


def test_rows_like_those_in_training_are_level_0() -> None:
    monitor = make()
    monitor.resolve(*resolved(800))
    figures = monitor.check(recent(), {"X": np.random.default_rng(5).uniform(0.3, 0.7, 512)}, 800)

    assert figures.policy.level == OK
    assert figures.reason == "as in training"
    assert figures.alarms == {}
    assert figures.rows == {"X": 512}
    assert set(figures.features) == {"a", "b", "c"}
    assert figures.prediction is not None
    assert figures.target is not None
    json.dumps(figures.to_json(), allow_nan=False)


def test_one_feature_of_three_that_left_is_a_warning_or_more_and_is_told_once() -> None:
    monitor = make(severe_share=0.5)
    first = monitor.check(recent(shift=1.0, columns=1), {}, 0)
    second = monitor.check(recent(shift=1.0, columns=1), {}, 1)

    assert first.policy.level == WARN
    assert first.alarms == {"feature_a": 1}
    assert first.kinds() == {"feature": 1, "prediction": 0, "target": 0, "calibration": 0, "performance": 0}
    assert "1 of 3 features left the training data, 1 far (a)" in first.reason
    assert second.alarms == {}
    assert make(severe_share=0.3).check(recent(shift=1.0, columns=1), {}, 0).policy.level == SMALLER


def test_too_few_rows_have_no_index_and_missing_ones_are_counted() -> None:
    rows = recent()["X"]
    rows[:128, 1] = np.nan
    figures = make().check({"X": rows}, {"X": np.full(100, 0.5)}, 0)

    assert set(figures.features) == {"a", "c"}
    assert figures.missing["X"] == {"a": 0.0, "b": 0.25, "c": 0.0}
    assert figures.prediction is None
    assert figures.target is None


def test_a_model_without_a_reference_is_watched_by_its_outcomes_alone() -> None:
    monitor = DriftMonitor({}, HORIZON)
    bars, p, y = resolved(1_200)
    monitor.resolve(bars, p, y)
    monitor.resolve(bars + 1_200, p, 1.0 - y)
    figures = monitor.check({"X": np.zeros((512, 0))}, {"X": p[:512]}, 2_400)

    assert (figures.features, figures.prediction, figures.target) == ({}, None, None)
    assert figures.policy.level == RETRAIN


def test_symbols_are_looked_at_together_and_told_apart() -> None:
    monitor = make()
    rows = {"X": recent(2)["X"], "Y": recent(3, shift=1.0)["X"]}
    figures = monitor.check(rows, {}, 0)
    entry = monitor._bins["a"]

    both = np.concatenate([rows["X"][:, 0], rows["Y"][:, 0]])
    assert figures.features["a"].value == psi(entry.shares, entry.edges, both)
    for symbol, part in rows.items():
        assert figures.symbols[symbol]["a"] == psi(entry.shares, entry.edges, part[:, 0])
    assert figures.symbols["Y"]["a"] > 0.25 > figures.symbols["X"]["a"]


def test_flipped_outcomes_raise_alarms_and_ask_for_a_training() -> None:
    monitor = make()
    bars, p, y = resolved(1_200)
    monitor.resolve(bars, p, y)
    before = monitor.check(recent(), {}, 1_200)
    bars, p, y = resolved(800, seed=4, is_flipped=True)
    monitor.resolve(bars + 1_200, p, y)
    after = monitor.check(recent(), {}, 2_000)

    assert before.policy.level == OK
    assert after.kinds()["performance"] > 0
    assert after.kinds()["calibration"] > 0
    assert after.policy.level == RETRAIN
    assert after.policy.is_retrain_due
    monitor.retrained(2_001, is_promoted=False)
    assert monitor.policy.level == SMALLER


def test_an_improvement_is_no_alarm_of_performance() -> None:
    monitor = make()
    bars, p, y = resolved(1_200)
    monitor.resolve(bars, p, y)
    monitor.resolve(bars + 1_200, np.where(y == 1.0, 0.7, 0.3), y)

    assert monitor.check(recent(), {}, 2_400).kinds()["performance"] == 0


def test_how_predictions_were_batched_changes_nothing() -> None:
    bars, p, y = resolved(900)
    p[::17], y[::23] = np.nan, np.nan
    whole, single = make(), make()
    whole.resolve(bars, p, y)
    for i in range(len(bars)):
        single.resolve(bars[i : i + 1], p[i : i + 1], y[i : i + 1])

    assert whole.save() == single.save()


def test_blocks_are_the_closes_of_a_horizon_summed() -> None:
    monitor = make()
    p = np.array([0.6, 0.4, 0.7, 0.5, 0.2])
    y = np.array([1.0, 1.0, 0.0, 0.0, 1.0])
    monitor.resolve(np.array([4, 5, 5, 7, 8]), p, y)

    (block,) = (Block(*values) for values in monitor.save()["blocks"])
    assert block.rows == 4
    assert block.rises == 2.0
    assert block.brier == pytest.approx(0.16 + 0.36 + 0.49 + 0.25)
    assert block.bias == pytest.approx(0.4 + 0.6 - 0.7 - 0.5)
    # The second prediction was for a fall, so its surprise counts against its sharpness.
    assert block.sharpness == pytest.approx(0.4 - 0.6 - 0.7 - 0.5)


@pytest.mark.parametrize("stop", [3, 500, 4_111])
def test_a_restart_from_json_goes_on_as_if_nothing_had_happened(stop: int) -> None:
    """Over the dropping of old blocks as well: 4,400 closes are more than twice what is kept."""
    n = 4_400
    assert n // HORIZON > 2 * BLOCKS_KEPT
    bars, p, y = resolved(n)
    y[3_000:] = 1.0 - y[3_000:]
    one, two = make(), make()
    one.resolve(bars[:stop], p[:stop], y[:stop])
    two.load(json.loads(json.dumps(one.save())))
    told = []
    for monitor in (one, two):
        figures = []
        for start in range(stop, n, 200):
            part = slice(start, start + 200)
            monitor.resolve(bars[part], p[part], y[part])
            figures.append(monitor.check(recent(), {}, start + 200))
        told.append(figures)

    assert told[0] == told[1]
    assert one.save() == two.save()
    assert len(one.save()["blocks"]) < 2 * BLOCKS_KEPT
    assert any(figures.alarms for figures in told[0])


def test_detectors_wait_for_blocks_and_do_not_speak_of_a_series_that_never_moves() -> None:
    detectors = Detectors(DriftOptions(least_blocks=20))

    assert not any(detectors.add(Block(1.0, 0.0, 0.0, 2.0, 4)) for _ in range(100))
