"""What predictions stated, against what came."""

from panels.panel import CHAMPION, GREEN, ORANGE, RED, Panel

LONG_WINDOW = '{model="champion",window="2000"}'
OUTCOMES = "papertape_prediction_outcomes_total"
RESOLVED = "sum by (confidence_bucket) (increase(" + OUTCOMES + CHAMPION + "[$__range]))"
HITS = "sum by (confidence_bucket) (increase(" + OUTCOMES + '{model="champion",outcome="hit"}[$__range]))'
STATED = (
    "sum by (confidence_bucket) (increase(papertape_prediction_confidence_resolved_total"
    + CHAMPION
    + "[$__range]))"
)

CALIBRATION = (
    Panel("Hit rate by confidence", "bargauge", 8, "percentunit",
          "A calibrated model hits as often as it says; look at the number beside it.",
          ((HITS + " / (" + RESOLVED + " > 0)", "{{confidence_bucket}}"),), decimals=1),
    Panel("Over-confidence by bucket", "bargauge", 8, "percentunit", "Stated minus realised; above zero it claims too much.",
          (("(" + STATED + " - " + HITS + ") / (" + RESOLVED + " > 0)", "{{confidence_bucket}}"),),
          ((None, GREEN), (0.05, ORANGE), (0.1, RED)), 1),
    Panel("Resolved predictions by bucket", "bargauge", 8, "suffix: predictions", "How many outcomes the figures beside rest on.",
          ((RESOLVED, "{{confidence_bucket}}"),), decimals=0),
    Panel("Confidence", "heatmap", 8, "percentunit", "How sure the model was, over time.",
          (("sum by (le) (increase(papertape_prediction_confidence_bucket" + CHAMPION + "[$__rate_interval]))", "{{le}}"),)),
    Panel("Log-loss live", "timeseries", 8, "suffix: nats", "Over the latest resolved predictions; the alert is at a coin's 0.693.",
          (("papertape_prediction_log_loss" + CHAMPION, "latest {{window}}"),)),
    Panel("Brier score and calibration error", "timeseries", 8, "percentunit", "Over the latest 2,000 resolved predictions.",
          (("papertape_prediction_brier_score" + LONG_WINDOW, "brier"),
           ("papertape_calibration_error_ratio" + LONG_WINDOW, "calibration error"))),
    Panel("Hit rate over a day", "timeseries", 12, "percentunit", "By stated confidence.",
          (("instance_bucket:papertape_hit_ratio:1d", "{{confidence_bucket}}"),)),
    Panel("Predictions behind the scores", "timeseries", 12, "suffix: predictions", "Alerts on scores ask for 500.",
          (("papertape_predictions_resolved" + CHAMPION, "latest {{window}}"),)),
)  # fmt: skip
