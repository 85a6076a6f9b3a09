"""The families of drift: how far features, predictions and outcomes have left the model's training data."""

from typing import Final

from papertape.daemon.metrics.definitions import Definition, Label, Scoped, counter, gauge, measured
from papertape.daemon.metrics.model_families import CHAMPION

MODERATE_PSI: Final = 0.1
SEVERE_PSI: Final = 0.25
DRIFT_LEVELS: Final = ("moderate", "severe")
DRIFT_KINDS: Final = ("feature", "prediction", "target", "calibration", "performance")

_MODEL: Final = Label("model", (CHAMPION,))
_SYMBOL: Final = Label("symbol", Scoped.SYMBOL)
_FEATURE: Final = Label("feature", Scoped.FEATURE)

DRIFT_FAMILIES: Final[tuple[Definition, ...]] = (
    measured("feature_psi",
        "Population stability index of a feature, live window against the training reference; absent until measured.",
        _SYMBOL, _FEATURE),
    measured("prediction_psi", "Population stability index of the probabilities; absent until measured.",
        _MODEL),
    measured("target_psi", "Population stability index of the outcomes; absent until measured.", _MODEL),
    measured("feature_missing_ratio",
        "Share of missing values of a feature in the live window; absent until there is one.", _SYMBOL,
        _FEATURE),
    measured("drifted_features",
        "Number of the model's features at or over a level: moderate from 0.1, severe from 0.25; absent until measured.",
        _SYMBOL, Label("level", DRIFT_LEVELS)),
    gauge("drift_window_samples", "Live rows behind the latest drift figures.", _SYMBOL),
    gauge("drift_reference_timestamp_seconds",
        "End of the training data that drift is measured against, of the latest training while no model is in force; start of the daemon without either."),
    gauge("drift_last_run_timestamp_seconds",
        "Latest finished drift computation; start of the daemon before the first."),
    gauge("drift_cadence_seconds", "Time from one drift computation to the next; 0 while the watch is off."),
    counter("drift_events_total", "Alarms of the drift detectors.", Label("kind", DRIFT_KINDS)),
    measured("drift_level",
        "What the policy asks for: 0 nothing, 1 a warning, 2 smaller positions, 3 a retrain, 4 no entries; absent until a model in force was looked at."),
    gauge("size_factor_ratio", "Factor on the size of new entries that the policy has set."),
)  # fmt: skip
