"""Rows for the researcher: is the model to be believed, and does live still equal replay?"""

from panels.panel import CHAMPION, GREEN, ORANGE, RED, SYMBOL, Panel

CADENCE = "papertape_retrain_cadence_seconds"

MODEL = (
    Panel("Model in force", "stat", 6, "bool_yes_no", "Version, kind and the end of its training data; version 0 is none.",
          (("papertape_model_info" + CHAMPION, "v{{version}} {{algorithm}} up to {{data_end}}"),)),
    Panel("Age of the training data", "stat", 3, "s", "Of the model in force; the alert is at three cadences.",
          (("max(time() - papertape_model_data_end_timestamp_seconds" + CHAMPION + ")", "age"),)),
    Panel("Last good retrain", "stat", 3, "s", "Promoted or not; the alert is at two cadences.",
          (("max(time() - papertape_retrain_last_success_timestamp_seconds)", "age"),)),
    Panel("Retrain running", "stat", 3, "bool_yes_no", "1 while the training process is at work.",
          (("sum(papertape_retrain_in_progress)", "running"),)),
    Panel("Retrain cadence", "stat", 3, "s", "From one scheduled attempt to the next; 0 is off.",
          (("max(" + CADENCE + ")", "cadence"),)),
    Panel("Drift level", "stat", 3, "suffix: of 4", "0 nothing, 1 warning, 2 smaller positions, 3 retrain, 4 no entries.",
          (("max(papertape_drift_level)", "level"),), ((None, GREEN), (1, ORANGE), (3, RED))),
    Panel("Size factor", "stat", 3, "percentunit", "What the drift policy leaves of the size of new entries.",
          (("min(papertape_size_factor_ratio)", "factor"),), ((None, RED), (1, GREEN)), 0),
    Panel("Retrain outcomes per day", "timeseries", 8, "suffix: /d", "Attempts: promoted, rejected by the gate, failed, timed out.",
          (("sum by (outcome) (increase(papertape_retrain_runs_total[1d]))", "{{outcome}}"),)),
    Panel("Retrain duration", "timeseries", 8, "s", "Wall time of the attempts of a day, mean and 95th percentile.",
          (("sum(increase(papertape_retrain_duration_seconds_sum[1d])) / (sum(increase(papertape_retrain_duration_seconds_count[1d])) > 0)",
            "mean"),
           ("histogram_quantile(0.95, sum by (le) (increase(papertape_retrain_duration_seconds_bucket[1d])))", "p95"))),
    Panel("Log-loss at the gate", "timeseries", 8, "suffix: nats",
          "Of the latest gate, on candles that no contender saw; lower is better, a coin has 0.693.",
          (('papertape_retrain_validation_score{metric="log_loss"}', "{{model}}"),)),
    Panel("Accuracy at the gate", "timeseries", 8, "percentunit", "Of the latest gate, on candles that no contender saw.",
          (('papertape_retrain_validation_score{metric="accuracy"}', "{{model}}"),)),
    Panel("Net return at the gate", "timeseries", 8, "percentunit", "Mean per trade of each contender's plain rule, after costs.",
          (('papertape_retrain_validation_score{metric="net_return"}', "{{model}}"),)),
    Panel("Criteria of the gate", "timeseries", 8, "bool_yes_no", "1 where the latest challenger met the criterion; all are needed.",
          (("papertape_gate_criterion_passed", "{{criterion}}"),)),
    Panel("Evidence of the recipe", "timeseries", 8, "suffix: units",
          "A unit bet on every model of the recipe, on rows that it had not seen; at the boundary the recipe passes.",
          (("papertape_recipe_evidence", "evidence"), ("papertape_recipe_boundary", "boundary"))),
    Panel("Predictions per hour", "timeseries", 8, "suffix: /h", "One per symbol and closed strategy candle.",
          (("sum by (symbol) (increase(papertape_predictions_total" + SYMBOL + "[1h]))", "{{symbol}}"),)),
)  # fmt: skip

SHADOW = (
    Panel("Shadow record", "timeseries", 8, "percentunit",
          "Sum of the net returns of paper trades that the models would have made, traded or not; none of it is in the account.",
          (("papertape_shadow_return_ratio", "on paper, not in the account"),)),
    Panel("Shadow trades", "timeseries", 8, "suffix: trades", "Paper trades behind the shadow record.",
          (("papertape_shadow_trades", "paper trades"),)),
    Panel("Log-loss in the shadow", "timeseries", 8, "suffix: nats",
          "Of the newest model on closes that it had not seen, beside the share that was known when it was trained.",
          (("papertape_shadow_log_loss", "{{model}}"),)),
)  # fmt: skip

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

DRIFT = (
    Panel("Features that have moved most", "bargauge", 8, "suffix: PSI", "Population stability index; severe from 0.25.",
          (("topk(10, max by (feature) (papertape_feature_psi" + SYMBOL + "))", "{{feature}}"),),
          ((None, GREEN), (0.1, ORANGE), (0.25, RED)), 2),
    Panel("Feature PSI", "timeseries", 16, "suffix: PSI", "The worst symbol of each feature; moderate from 0.1, severe from 0.25.",
          (("max by (feature) (papertape_feature_psi" + SYMBOL + ")", "{{feature}}"),)),
    Panel("Prediction and outcome PSI", "timeseries", 8, "suffix: PSI", "Probabilities and outcomes against those of training.",
          (("papertape_prediction_psi" + CHAMPION, "predictions"), ("papertape_target_psi" + CHAMPION, "outcomes"))),
    Panel("Drifted features", "timeseries", 8, "suffix: features", "Number of features at or over a level.",
          (("sum by (level, symbol) (papertape_drifted_features" + SYMBOL + ")", "{{level}} {{symbol}}"),)),
    Panel("Missing values", "timeseries", 8, "percentunit", "The worst feature of each symbol; the alert is at 5 %.",
          (("max by (symbol) (papertape_feature_missing_ratio" + SYMBOL + ")", "{{symbol}}"),)),
    Panel("Drift alarms per day", "timeseries", 8, "suffix: /d", "Of the detectors, by what they watch.",
          (("sum by (kind) (increase(papertape_drift_events_total[1d]))", "{{kind}}"),)),
    Panel("Policy", "timeseries", 8, "locale", "Level that drift asks for, and what is left of the size.",
          (("papertape_drift_level", "level"), ("papertape_size_factor_ratio", "size factor"))),
    Panel("Drift computed", "stat", 4, "s", "Age of the latest computation; the alert is at two cadences.",
          (("max(time() - papertape_drift_last_run_timestamp_seconds)", "age"),)),
    Panel("Live rows", "stat", 4, "suffix: rows", "Of the symbol with the fewest; alerts on features ask for 500.",
          (("min(papertape_drift_window_samples" + SYMBOL + ")", "rows"),)),
    Panel("Age of the reference", "stat", 4, "s", "End of the training data that live rows are compared with.",
          (("max(time() - papertape_drift_reference_timestamp_seconds)", "age"),)),
    Panel("Watch cadence", "stat", 4, "s", "From one computation to the next; 0 is off.",
          (("max(papertape_drift_cadence_seconds)", "cadence"),)),
)  # fmt: skip

PARITY = (
    Panel("Divergences 24h", "stat", 4, "locale", "Differences between live and replay; any is an alarm.",
          (("sum(increase(papertape_parity_divergences_total" + SYMBOL + "[1d]))", "divergences"),),
          ((None, GREEN), (0.5, RED)), 0),
    Panel("Parity checks per hour", "timeseries", 8, "suffix: /h", "Audits: live inputs stepped again and compared.",
          (("sum by (outcome) (increase(papertape_parity_checks_total[1h]))", "{{outcome}}"),)),
    Panel("Time since the last parity check", "stat", 4, "s", "Of the latest audit that finished.",
          (("max(time() - papertape_parity_last_check_timestamp_seconds)", "age"),),
          ((None, GREEN), (3600, ORANGE), (10800, RED))),
    Panel("Divergences per hour", "timeseries", 8, "suffix: /h", "By the kind of record that differed first.",
          (("sum by (field) (increase(papertape_parity_divergences_total" + SYMBOL + "[1h]))", "{{field}}"),)),
)  # fmt: skip
