"""The families of drift: how far features, predictions and outcomes have left the model's training data."""

from typing import Final

from papertape.daemon.metrics.definitions import Definition, Label, Scoped, counter, gauge
from papertape.daemon.metrics.model_families import CHAMPION

MODERATE_PSI: Final = 0.1
SEVERE_PSI: Final = 0.25
DRIFT_LEVELS: Final = ("moderate", "severe")
DRIFT_KINDS: Final = ("feature", "prediction", "target", "calibration", "performance")

_MODEL: Final = Label("model", (CHAMPION,))
_SYMBOL: Final = Label("symbol", Scoped.SYMBOL)
_FEATURE: Final = Label("feature", Scoped.FEATURE)

DRIFT_FAMILIES: Final[tuple[Definition, ...]] = (
    gauge(
        "feature_psi",
        "Population stability index of a feature, live window against the training reference.",
        _SYMBOL,
        _FEATURE,
    ),
    gauge("prediction_psi", "Population stability index of the probabilities.", _MODEL),
    gauge("target_psi", "Population stability index of the outcomes.", _MODEL),
    gauge(
        "feature_missing_ratio",
        "Share of missing values of a feature in the live window.",
        _SYMBOL,
        _FEATURE,
    ),
    gauge(
        "drifted_features",
        "Number of the model's features at or over a level: moderate from 0.1, severe from 0.25.",
        _SYMBOL,
        Label("level", DRIFT_LEVELS),
    ),
    gauge("drift_window_samples", "Live rows behind the latest drift figures.", _SYMBOL),
    gauge(
        "drift_reference_timestamp_seconds",
        "End of the training data that drift is measured against; start of the daemon without a model.",
    ),
    gauge(
        "drift_last_run_timestamp_seconds",
        "Latest finished drift computation; start of the daemon before the first.",
    ),
    gauge(
        "drift_cadence_seconds",
        "Time from one drift computation to the next; 0 while the watch is off.",
    ),
    counter("drift_events_total", "Alarms of the drift detectors.", Label("kind", DRIFT_KINDS)),
    gauge(
        "drift_level",
        "What the policy asks for: 0 nothing, 1 a warning, 2 smaller positions, 3 a retrain, 4 no entries.",
    ),
    gauge("size_factor_ratio", "Factor on the size of new entries that the policy has set."),
)
