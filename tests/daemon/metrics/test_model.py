"""Predictions, models, attempts and drift: one fact in, the right series up; expected values counted by hand."""

import math

import numpy as np
import pytest

from papertape.daemon.metrics import (
    PREFIX,
    DriftFigures,
    Metrics,
    ModelFacts,
    Restored,
    Scope,
    ShadowFigures,
    SymbolDrift,
    WindowScores,
    exposed_features,
)
from papertape.daemon.metrics.model_families import CONFIDENCE_BUCKETS, confidence_bucket
from tests.support.metric_values import value

SYMBOLS = ("AAA", "BBB")
SCOPE = Scope(
    symbols=SYMBOLS, base_timeframe="1m", timeframe="15m", currency="USD", features=("rsi_14", "adx_14")
)
START_S = 1_700_000_000.0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(SCOPE, START_S)


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a series' value, None where it is absent."""
    return metrics.registry.get_sample_value(PREFIX + name, labels)


def predictions(*rows: tuple[int, float]) -> np.ndarray:
    return np.array(list(rows), [("symbol", "i8"), ("probability", "f8")])


def test_predictions_are_counted_by_symbol_and_their_confidence_by_side(metrics: Metrics) -> None:
    rows = predictions((0, 0.58), (1, 0.42), (1, math.nan), (1, 0.9))

    metrics.model.on_predictions(rows, SYMBOLS)

    assert value(metrics, "predictions_total", model="champion", symbol="AAA") == 1.0
    assert value(metrics, "predictions_total", model="champion", symbol="BBB") == 2.0
    assert value(metrics, "prediction_confidence_bucket", model="champion", le="0.55") == 0.0
    # 0.42 says the other side with 0.58
    assert value(metrics, "prediction_confidence_bucket", model="champion", le="0.6") == 2.0
    assert value(metrics, "prediction_confidence_count", model="champion") == 3.0


def test_a_symbol_that_is_no_longer_traded_is_not_counted(metrics: Metrics) -> None:
    metrics.remove("BBB")

    metrics.model.on_predictions(predictions((1, 0.7)), SYMBOLS)
    figures = DriftFigures({"BBB": SymbolDrift(9, {"rsi_14": 1.0}, {})}, 0.0, 0.0, 0, {})
    metrics.drift.on_drift(figures, START_S)

    assert value(metrics, "prediction_confidence_count", model="champion") == 0.0


@pytest.mark.parametrize(
    ("probability", "outcome", "bucket", "hits"),
    [
        (0.62, 1.0, "0.60-0.65", 1.0),
        (0.62, 0.0, "0.60-0.65", 0.0),
        (0.25, 0.0, "0.70-0.80", 1.0),
        (0.25, 1.0, "0.70-0.80", 0.0),
        (0.5, 1.0, "0.50-0.55", 1.0),
        (1.0, 1.0, "0.80-1.00", 1.0),
        (0.25, 0.5, "0.70-0.80", 0.5),
    ],
)
def test_an_outcome_is_a_hit_or_a_miss_of_what_was_stated_or_half_of_each(
    metrics: Metrics, probability: float, outcome: float, bucket: str, hits: float
) -> None:
    metrics.model.on_outcome(probability, outcome)

    labels = {"model": "champion", "confidence_bucket": bucket}
    for name, share in (("hit", hits), ("miss", 1.0 - hits)):
        assert value(metrics, "prediction_outcomes_total", **labels, outcome=name) == share
    stated = value(metrics, "prediction_confidence_resolved_total", **labels)
    assert stated == max(probability, 1.0 - probability)


def test_buckets_meet_without_a_gap() -> None:
    found = [confidence_bucket(n / 1000.0) for n in range(500, 1001)]

    assert list(dict.fromkeys(found)) == list(CONFIDENCE_BUCKETS)
    assert confidence_bucket(0.55) == "0.55-0.60"


def test_scores_are_told_by_window(metrics: Metrics) -> None:
    metrics.model.on_scores(
        {500: WindowScores(500, 0.24, 0.68, 0.03), 2000: WindowScores(731, 0.25, 0.69, 0.04)}
    )

    labels = {"model": "champion", "window": "2000"}
    assert value(metrics, "predictions_resolved", **labels) == 731.0
    assert value(metrics, "prediction_brier_score", **labels) == 0.25
    assert value(metrics, "prediction_log_loss", **labels) == 0.69
    assert value(metrics, "calibration_error_ratio", **labels) == 0.04
    assert value(metrics, "calibration_error_ratio", model="champion", window="500") == 0.03


def test_without_a_resolved_prediction_there_are_no_scores(metrics: Metrics) -> None:
    """0 would be a perfect model."""
    names = ("prediction_brier_score", "prediction_log_loss", "calibration_error_ratio")
    labels = {"model": "champion", "window": "500"}

    def shown() -> list[float | None]:
        return [sample(metrics, name, **labels) for name in names]

    assert shown() == [None] * 3
    one, none = WindowScores(1, 0.2, 0.6, 0.4), WindowScores(0)
    metrics.model.on_scores({500: one, 2000: one})
    assert shown() == [0.2, 0.6, 0.4]
    metrics.model.on_scores({500: none, 2000: none})
    assert shown() == [None] * 3
    assert value(metrics, "predictions_resolved", **labels) == 0.0


def test_the_model_in_force_is_one_series_and_none_is_version_0(metrics: Metrics) -> None:
    none = {"version": "0", "algorithm": "none", "feature_set": "none", "data_end": "none"}
    assert value(metrics, "model_info", model="champion", **none) == 1.0

    metrics.model.on_model(ModelFacts(3, "cnn_lstm", "ab12", 1_699_999_200.0, START_S + 5.0))

    told = {"version": "3", "algorithm": "cnn_lstm", "feature_set": "ab12", "data_end": "2023-11-14T22:00Z"}
    assert value(metrics, "model_info", model="champion", **told) == 1.0
    assert metrics.registry.get_sample_value(PREFIX + "model_info", {"model": "champion", **none}) is None
    assert value(metrics, "model_data_end_timestamp_seconds", model="champion") == 1_699_999_200.0
    assert value(metrics, "model_loaded_timestamp_seconds", model="champion") == START_S + 5.0
    # When its attempt ended is not known: it ages from the start of the daemon.
    assert value(metrics, "model_trained_timestamp_seconds", model="champion") == START_S


def test_only_an_attempt_that_did_not_fail_moves_the_last_success(metrics: Metrics) -> None:
    metrics.model.set_cadence(86_400.0)
    metrics.model.on_attempt_begun(START_S + 10.0)
    assert value(metrics, "retrain_in_progress") == 1.0
    assert value(metrics, "retrain_last_attempt_timestamp_seconds") == START_S + 10.0

    metrics.model.on_attempt("schedule", "rejected", 12.0, START_S + 22.0)
    metrics.model.on_attempt("drift", "timeout", 600.0, START_S + 900.0)

    assert value(metrics, "retrain_in_progress") == 0.0
    assert value(metrics, "retrain_runs_total", trigger="schedule", outcome="rejected") == 1.0
    assert value(metrics, "retrain_runs_total", trigger="drift", outcome="timeout") == 1.0
    assert value(metrics, "retrain_last_success_timestamp_seconds") == START_S + 22.0
    assert value(metrics, "retrain_duration_seconds_sum") == 612.0
    assert value(metrics, "retrain_cadence_seconds") == 86_400.0


def test_gate_scores_have_a_place_for_every_contender(metrics: Metrics) -> None:
    scores = {"challenger": {"log_loss": 0.69, "auc": math.nan}, "majority": {"log_loss": 0.692}}

    metrics.model.on_gate(scores, {"log_loss_below_majority": True, "net_return_above_0": False})

    for contender, metric, expected in (
        ("challenger", "log_loss", 0.69),
        ("majority", "log_loss", 0.692),
        ("champion", "log_loss", None),  # there was none
        ("challenger", "auc", None),  # not defined on these rows
    ):
        found = sample(metrics, "retrain_validation_score", model=contender, metric=metric)
        assert found == expected

    for criterion, expected in (
        ("log_loss_below_majority", 1.0),
        ("net_return_above_0", 0.0),
        ("log_loss_below_champion", None),
    ):
        assert sample(metrics, "gate_criterion_passed", criterion=criterion) == expected

    metrics.model.on_gate({}, {})
    kept = value(metrics, "retrain_validation_score", model="challenger", metric="log_loss")
    assert kept == 0.69  # an attempt that came to no gate says nothing about the last one


def test_a_recipe_shows_its_evidence_and_where_it_is_enough(metrics: Metrics) -> None:
    names = ("recipe_evidence", "recipe_boundary", "recipe_passed")
    assert [sample(metrics, name) for name in names] == [None, None, None]

    metrics.model.on_recipe(3.5, 20.0, is_passed=False)
    assert [sample(metrics, name) for name in names] == [3.5, 20.0, 0.0]
    metrics.model.on_recipe(28.0, 20.0, is_passed=True)
    assert [sample(metrics, name) for name in names] == [28.0, 20.0, 1.0]


def test_a_shadow_record_is_absent_until_there_is_one(metrics: Metrics) -> None:
    names = ("shadow_trades", "shadow_return_ratio", "shadow_last_close_timestamp_seconds")
    assert [sample(metrics, name) for name in names] == [None, None, None]

    metrics.model.on_shadows(ShadowFigures(0, 0.0, (None, None), START_S))
    assert [sample(metrics, name) for name in names] == [0.0, 0.0, START_S]
    assert sample(metrics, "shadow_log_loss", model="challenger") is None
    metrics.model.on_shadows(ShadowFigures(12, -0.031, (0.7, 0.69), START_S + 60.0))
    assert [sample(metrics, name) for name in names] == [12.0, -0.031, START_S + 60.0]
    for model, expected in (("challenger", 0.7), ("majority", 0.69)):
        assert sample(metrics, "shadow_log_loss", model=model) == expected


def test_drift_figures_by_symbol_feature_and_level(metrics: Metrics) -> None:
    found = SymbolDrift(480, {"rsi_14": 0.3, "adx_14": 0.12, "beyond": 0.9}, {"rsi_14": 0.01})
    metrics.drift.on_drift(
        DriftFigures({"AAA": found}, 0.05, 0.02, 2, {"feature": 2, "performance": 1}), START_S + 7.0
    )
    metrics.drift.set_reference(START_S - 500.0)
    metrics.drift.set_watch_cadence(3_600.0)
    metrics.drift.set_size_factor(0.5)

    assert value(metrics, "feature_psi", symbol="AAA", feature="rsi_14") == 0.3
    assert sample(metrics, "feature_psi", symbol="BBB", feature="rsi_14") is None
    assert value(metrics, "feature_missing_ratio", symbol="AAA", feature="rsi_14") == 0.01
    # The third one is beyond the budget of labels, but it counts.
    assert value(metrics, "drifted_features", symbol="AAA", level="severe") == 2.0
    assert value(metrics, "drifted_features", symbol="AAA", level="moderate") == 3.0
    assert value(metrics, "drift_window_samples", symbol="AAA") == 480.0
    assert value(metrics, "prediction_psi", model="champion") == 0.05
    assert value(metrics, "target_psi", model="champion") == 0.02
    assert value(metrics, "drift_level") == 2.0
    assert value(metrics, "drift_events_total", kind="feature") == 2.0
    assert value(metrics, "drift_events_total", kind="performance") == 1.0
    assert value(metrics, "drift_events_total", kind="target") == 0.0
    assert value(metrics, "drift_last_run_timestamp_seconds") == START_S + 7.0
    assert value(metrics, "drift_reference_timestamp_seconds") == START_S - 500.0
    assert value(metrics, "drift_cadence_seconds") == 3_600.0
    assert value(metrics, "size_factor_ratio") == 0.5


def test_drift_that_was_not_measured_is_absent_and_not_0(metrics: Metrics) -> None:
    found = {"AAA": SymbolDrift(20, {}, {"rsi_14": 0.0}), "BBB": SymbolDrift(0, {}, {})}
    champion = {"model": "champion"}

    def shown() -> list[float | None]:
        return [
            sample(metrics, "drift_level"),
            sample(metrics, "prediction_psi", **champion),
            sample(metrics, "target_psi", **champion),
            sample(metrics, "feature_psi", symbol="AAA", feature="rsi_14"),
            sample(metrics, "drifted_features", symbol="AAA", level="severe"),
            sample(metrics, "feature_missing_ratio", symbol="AAA", feature="rsi_14"),
            sample(metrics, "feature_missing_ratio", symbol="BBB", feature="rsi_14"),
        ]

    assert shown() == [None] * 7
    metrics.drift.on_drift(DriftFigures(found, None, None, 0, {}), START_S)
    assert shown() == [0.0, None, None, None, None, 0.0, None]

    found["AAA"] = SymbolDrift(500, {"rsi_14": 0.0}, {"rsi_14": 0.0})
    metrics.drift.on_drift(DriftFigures(found, 0.1, 0.2, 1, {}), START_S)
    assert shown() == [1.0, 0.1, 0.2, 0.0, 0.0, 0.0, None]

    metrics.drift.forget()  # another model took over
    assert shown() == [None, None, None, 0.0, 0.0, 0.0, None]
    metrics.remove("AAA")
    metrics.drift.on_drift(DriftFigures(found, None, None, None, {}), START_S)
    assert shown() == [None] * 7


def test_what_outlives_a_process_is_restored(metrics: Metrics) -> None:
    metrics.restore(
        Restored(
            last_attempt_s=START_S - 90.0,
            last_retrain_s=START_S - 80.0,
            drift_level=3,
            last_drift_s=START_S - 9.0,
        )
    )

    assert value(metrics, "retrain_last_attempt_timestamp_seconds") == START_S - 90.0
    assert value(metrics, "retrain_last_success_timestamp_seconds") == START_S - 80.0
    assert value(metrics, "drift_level") == 3.0
    assert value(metrics, "drift_last_run_timestamp_seconds") == START_S - 9.0


def test_features_become_labels_as_far_as_the_budget_of_a_family_goes() -> None:
    columns = [f"f{number}" for number in range(100)]

    assert exposed_features(columns, 1) == tuple(columns)
    assert exposed_features(columns, 5) == tuple(columns[:30])
