"""From predictions, models and attempts to replace them to the families of the model."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from papertape.daemon.metrics.model_families import (
    ATTEMPT_SUCCESSES,
    CHAMPION,
    CONTENDERS,
    CRITERIA,
    SCORE_NAMES,
    SHADOWED,
    WINDOWS,
    confidence_bucket,
)
from papertape.daemon.metrics.registry import Series
from papertape.engine.jit import Rows


class ModelFacts(NamedTuple):
    """
    What is said about the model in force.

    feature_set  digest of the inputs, short
    data_end_s   last candle that it was trained on; trained_s, loaded_s: end of its attempt, and when it took over;
                 seconds since the epoch, None where unknown
    """

    version: int
    algorithm: str
    feature_set: str
    data_end_s: float
    loaded_s: float | None = None
    trained_s: float | None = None


class WindowScores(NamedTuple):
    """Scores over the latest resolved predictions; rows says how many there are, and without any there are no scores."""

    rows: int
    brier: float | None = None
    log_loss: float | None = None
    calibration_error: float | None = None


class ShadowFigures(NamedTuple):
    """
    What the models would have earned, traded or not.

    trades, net_return  of all of them; log_loss: of the newest by SHADOWED, None before an outcome; last_close_s: epoch seconds
    """

    trades: int
    net_return: float
    log_loss: tuple[float | None, float | None]
    last_close_s: float


class Models:
    """Takes facts of the model as they happen; counters of earlier processes are not counted again."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._predictions = series.counters("predictions_total")
        self._confidence = series.histograms("prediction_confidence")[(CHAMPION,)]
        self._outcomes = series.counters("prediction_outcomes_total")
        self._stated = series.counters("prediction_confidence_resolved_total")
        self.on_model(None)

    def on_predictions(self, rows: Rows, symbols: Sequence[str]) -> None:
        """Count the predictions of a report; one without a probability is none."""
        for index, probability in zip(rows["symbol"].tolist(), rows["probability"].tolist(), strict=True):
            if symbols[index] in self._series.symbols and not math.isnan(probability):
                self._predictions[(CHAMPION, symbols[index])].inc()
                self._confidence.observe(max(probability, 1.0 - probability))

    def on_outcome(self, probability: float, outcome: float) -> None:
        """Count a prediction whose outcome is known now: 1, 0, or one half, which is half a hit and half a miss."""
        confidence = max(probability, 1.0 - probability)
        bucket = confidence_bucket(confidence)
        hit = outcome if probability >= 0.5 else 1.0 - outcome
        for name, share in (("hit", hit), ("miss", 1.0 - hit)):
            self._outcomes[(CHAMPION, bucket, name)].inc(share)
        self._stated[(CHAMPION, bucket)].inc(confidence)

    def on_scores(self, scores: Mapping[int, WindowScores]) -> None:
        """Set the scores by window, resolved predictions."""
        series = self._series
        for window in WINDOWS:
            key, found = (CHAMPION, str(window)), scores[window]
            series.measure("prediction_brier_score", found.brier, *key)
            series.measure("prediction_log_loss", found.log_loss, *key)
            series.measure("calibration_error_ratio", found.calibration_error, *key)
            series.gauges("predictions_resolved")[key].set(found.rows)

    def on_model(self, facts: ModelFacts | None) -> None:
        """Say which model is in force, None for none."""
        series = self._series
        told = facts or ModelFacts(0, "none", "none", 0.0)
        # A label without a value is no label to Prometheus.
        end = f"{datetime.fromtimestamp(told.data_end_s, UTC):%Y-%m-%dT%H:%MZ}" if facts else "none"
        series.info(
            "model_info",
            model=CHAMPION,
            version=str(told.version),
            algorithm=told.algorithm,
            feature_set=told.feature_set,
            data_end=end,
        )
        if facts is None:
            return
        series.gauges("model_data_end_timestamp_seconds")[(CHAMPION,)].set(facts.data_end_s)
        self.on_times(facts.loaded_s, facts.trained_s)

    def on_times(self, loaded_s: float | None, trained_s: float | None) -> None:
        """Say when the model in force took over and when its attempt ended; None where unknown."""
        for name, time_s in (("loaded", loaded_s), ("trained", trained_s)):
            if time_s is not None:
                gauges = self._series.gauges(f"model_{name}_timestamp_seconds")
                gauges[(CHAMPION,)].set(time_s)

    def set_cadence(self, seconds: float) -> None:
        """Say how far scheduled attempts lie apart; 0: retraining is off."""
        self._series.gauges("retrain_cadence_seconds")[()].set(seconds)

    def on_attempt_begun(self, started_s: float) -> None:
        """Say that an attempt runs, since when."""
        self._series.gauges("retrain_in_progress")[()].set(1.0)
        self._series.gauges("retrain_last_attempt_timestamp_seconds")[()].set(started_s)

    def on_attempt(self, trigger: str, outcome: str, wall_s: float, ended_s: float) -> None:
        """Count an attempt that has ended, when, in seconds since the epoch."""
        series = self._series
        series.gauges("retrain_in_progress")[()].set(0.0)
        series.counters("retrain_runs_total")[(trigger, outcome)].inc()
        series.histograms("retrain_duration_seconds")[()].observe(wall_s)
        if outcome in ATTEMPT_SUCCESSES:
            series.gauges("retrain_last_success_timestamp_seconds")[()].set(ended_s)

    def on_gate(self, scores: Mapping[str, Mapping[str, float]], criteria: Mapping[str, bool]) -> None:
        """
        Set what a gate said: scores by contender and metric, and whether each criterion was met.

        What it does not have is absent; an attempt that came to no gate leaves those of the gate before.
        """
        if not scores:
            return
        for criterion in CRITERIA:
            is_passed = criteria.get(criterion)
            value = None if is_passed is None else float(is_passed)
            self._series.measure("gate_criterion_passed", value, criterion)
        for contender in CONTENDERS:
            for metric in SCORE_NAMES:
                score = scores.get(contender, {}).get(metric)
                self._series.measure("retrain_validation_score", score, contender, metric)

    def on_recipe(self, capital: float, boundary: float, *, is_passed: bool) -> None:
        """Set what the recipe has shown so far, and from where on that is enough."""
        for name, value in (
            ("recipe_evidence", capital),
            ("recipe_boundary", boundary),
            ("recipe_passed", float(is_passed)),
        ):
            self._series.measure(name, value)

    def on_shadows(self, found: ShadowFigures) -> None:
        """Set what the models would have earned."""
        self._series.measure("shadow_trades", found.trades)
        self._series.measure("shadow_return_ratio", found.net_return)
        for model, value in zip(SHADOWED, found.log_loss, strict=True):
            self._series.measure("shadow_log_loss", value, model)
        self._series.measure("shadow_last_close_timestamp_seconds", found.last_close_s)

    def restore(self, attempt_s: float | None, success_s: float | None) -> None:
        """Take over when the journal's latest attempt began and its latest success ended, seconds since the epoch."""
        for name, time_s in (("attempt", attempt_s), ("success", success_s)):
            if time_s is not None:
                self._series.gauges(f"retrain_last_{name}_timestamp_seconds")[()].set(time_s)
