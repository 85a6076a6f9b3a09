"""How far the world has moved from the training data."""

from panels.panel import CHAMPION, GREEN, ORANGE, RED, SYMBOL, Panel

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
