"""The families of the model: predictions and what became of them, the versions in force, retraining and its gate."""

from itertools import pairwise
from typing import Final

from papertape.daemon.metrics.definitions import (
    Definition,
    Label,
    Scoped,
    counter,
    gauge,
    histogram,
    measured,
)
from papertape.daemon.metrics.operation_families import JOB

# Who predicts live, and who is measured when a challenger stands before the gate.
CHAMPION: Final = "champion"
CONTENDERS: Final = (CHAMPION, "challenger", "logistic", "majority")
SHADOWED: Final = ("challenger", "majority")
TRIGGERS: Final = ("schedule", "drift", "manual", "catch_up")
ATTEMPT_OUTCOMES: Final = ("promoted", "rejected", "demoted", "skipped", "failed", "timeout")
ATTEMPT_SUCCESSES: Final = ("promoted", "rejected", "demoted", "skipped")
CRITERIA: Final = (
    "log_loss_below_majority",
    "log_loss_below_logistic",
    "log_loss_below_champion",
    "net_return_above_0",
    "net_return_not_below_champion",
)
SCORE_NAMES: Final = ("accuracy", "log_loss", "brier", "ece", "auc", "mcc", "net_return")
WINDOWS: Final = (500, 2_000)  # resolved predictions, of all symbols together
# Bounds of the stated confidence, max(p, 1 - p); finer where most of it lies.
CONFIDENCE_BOUNDS: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 1.0)
CONFIDENCE_BUCKETS: Final = tuple(f"{low:.2f}-{high:.2f}" for low, high in pairwise(CONFIDENCE_BOUNDS))
CONFIDENCE: Final = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)

_MODEL: Final = Label("model", (CHAMPION,))
_WINDOW: Final = Label("window", tuple(str(window) for window in WINDOWS))
_BUCKET: Final = Label("confidence_bucket", CONFIDENCE_BUCKETS)

MODEL_FAMILIES: Final[tuple[Definition, ...]] = (
    counter("predictions_total",
        "Probabilities that the model in force gave, one per symbol and closed strategy candle.", _MODEL,
        Label("symbol", Scoped.SYMBOL)),
    histogram("prediction_confidence",
        "Confidence of the predicted side: the larger of the probability and its complement.", CONFIDENCE,
        _MODEL),
    counter("prediction_outcomes_total", "Predictions whose outcome is known, by stated confidence.", _MODEL,
        _BUCKET, Label("outcome", ("hit", "miss"))),
    counter("prediction_confidence_resolved_total",
        "Sum of the stated confidence of predictions whose outcome is known.", _MODEL, _BUCKET),
    measured("prediction_brier_score",
        "Brier score over the latest resolved predictions; absent before the first.", _MODEL, _WINDOW),
    measured("prediction_log_loss",
        "Log-loss in nats over the latest resolved predictions; absent before the first.", _MODEL, _WINDOW),
    measured("calibration_error_ratio",
        "Expected calibration error, ten bins, over the latest resolved predictions; absent before the first.",
        _MODEL, _WINDOW),
    gauge("predictions_resolved", "Resolved predictions behind the scores of a window.", _MODEL, _WINDOW),
    gauge("model_info", "Always 1; the version in force, 0 for none.", Label("model", None),
        Label("version", None), Label("algorithm", None), Label("feature_set", None),
        Label("data_end", None)),
    gauge("model_trained_timestamp_seconds",
        "End of the attempt that made the model in force; start of the daemon where unknown.", _MODEL),
    gauge("model_data_end_timestamp_seconds",
        "Last candle in the training data of the model in force; start of the daemon without one.", _MODEL),
    gauge("model_loaded_timestamp_seconds",
        "When the model in force took over; start of the daemon without one.", _MODEL),
    counter("retrain_runs_total", "Finished attempts to replace the model.", Label("trigger", TRIGGERS),
        Label("outcome", ATTEMPT_OUTCOMES)),
    histogram("retrain_duration_seconds", "Wall time of attempts.", JOB),
    gauge("retrain_in_progress", "1 while an attempt runs."),
    gauge("retrain_cadence_seconds",
        "Time from one scheduled attempt to the next; 0 while retraining is off."),
    gauge("retrain_last_attempt_timestamp_seconds",
        "Start of the latest attempt; start of the daemon before the first."),
    gauge("retrain_last_success_timestamp_seconds",
        "End of the latest attempt that ended without failure, promoted or not."),
    measured("gate_criterion_passed",
        "1 where the challenger of the latest gate met the criterion, 0 where not; absent where it was not asked.",
        Label("criterion", CRITERIA)),
    measured("retrain_validation_score",
        "Scores of the latest gate, on candles that no contender saw; absent where there are none.",
        Label("model", CONTENDERS), Label("metric", SCORE_NAMES)),
    measured("recipe_evidence",
        "What a unit bet on every model of the recipe has become, each on rows that it had not seen; absent before one was."),
    measured("recipe_boundary", "Evidence from which on the recipe has passed; absent before any."),
    measured("recipe_passed",
        "1 while the recipe has passed and has not faded, 0 otherwise; absent before any evidence."),
    measured("shadow_trades",
        "Paper trades that the models would have made, traded or not, each on closes that it had not seen; absent before a model."),
    measured("shadow_return_ratio",
        "Sum of the net returns of those paper trades, each of what it staked; none of it is in the account."),
    measured("shadow_log_loss",
        "Log-loss in nats of the newest model on those closes, beside the share that was known when it was trained.",
        Label("model", SHADOWED)),
    measured("shadow_last_close_timestamp_seconds",
        "The newest close of the shadow record; absent before a model."),
)  # fmt: skip


def confidence_bucket(confidence: float) -> str:
    """Return the bucket of a stated confidence, 0.5 … 1; a bound belongs to the bucket above it."""
    for bound, bucket in zip(CONFIDENCE_BOUNDS[1:], CONFIDENCE_BUCKETS, strict=True):
        if confidence < bound:
            return bucket
    return CONFIDENCE_BUCKETS[-1]
