"""The model in force, its retraining and its gate; what models would have earned that do not trade."""

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
