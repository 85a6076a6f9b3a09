"""From the drift watch to the families of drift."""

from collections.abc import Mapping
from typing import NamedTuple

from papertape.daemon.metrics.drift_families import DRIFT_KINDS, MODERATE_PSI, SEVERE_PSI
from papertape.daemon.metrics.model_families import CHAMPION
from papertape.daemon.metrics.registry import Series


class SymbolDrift(NamedTuple):
    """One symbol's features in the live window, by column: the index, and the share of missing values."""

    rows: int
    psi: Mapping[str, float]
    missing: Mapping[str, float]


class DriftFigures(NamedTuple):
    """
    What one computation came to.

    level   of the policy, 0 … 4; None while no model is in force, and for an index that could not be measured
    alarms  by kind, new since the computation before
    """

    symbols: Mapping[str, SymbolDrift]
    prediction_psi: float | None
    target_psi: float | None
    level: int | None
    alarms: Mapping[str, int]


class Drifts:
    """Sets what a computation of the drift watch found."""

    def __init__(self, series: Series) -> None:
        self._series = series

    def on_drift(self, figures: DriftFigures, finished_s: float) -> None:
        """Take in a computation; `finished_s` is when, seconds since the epoch."""
        series = self._series
        for symbol, found in figures.symbols.items():
            if symbol in series.symbols:
                self._on_symbol(symbol, found)
        series.measure("prediction_psi", figures.prediction_psi, CHAMPION)
        series.measure("target_psi", figures.target_psi, CHAMPION)
        series.measure("drift_level", figures.level)
        for kind in DRIFT_KINDS:
            series.counters("drift_events_total")[(kind,)].inc(figures.alarms.get(kind, 0))
        series.gauges("drift_last_run_timestamp_seconds")[()].set(finished_s)

    def _on_symbol(self, symbol: str, found: SymbolDrift) -> None:
        """Set one symbol's gauges; of features beyond the budget of labels only their number is told."""
        series = self._series
        for name, values in (("feature_psi", found.psi), ("feature_missing_ratio", found.missing)):
            for feature in series.scope.features:
                series.measure(name, values.get(feature), symbol, feature)
        for level, bound in (("moderate", MODERATE_PSI), ("severe", SEVERE_PSI)):
            n = sum(value >= bound for value in found.psi.values()) if found.psi else None
            series.measure("drifted_features", n, symbol, level)
        series.gauges("drift_window_samples")[(symbol,)].set(found.rows)

    def forget(self) -> None:
        """Take back what was measured of a model that is no longer in force; features are those of every model."""
        for name in ("prediction_psi", "target_psi", "drift_level"):
            self._series.forget(name)

    def set_reference(self, end_s: float) -> None:
        """Say where the training data end that drift is measured against, seconds since the epoch."""
        self._series.gauges("drift_reference_timestamp_seconds")[()].set(end_s)

    def set_watch_cadence(self, seconds: float) -> None:
        """Say how far computations lie apart; 0: the watch is off."""
        self._series.gauges("drift_cadence_seconds")[()].set(seconds)

    def set_size_factor(self, factor: float) -> None:
        """Say what the size of new entries is multiplied by."""
        self._series.gauges("size_factor_ratio")[()].set(factor)

    def restore(self, level: int | None, checked_s: float | None) -> None:
        """Take over the policy's level, None for none, and the time of the latest computation from the journal."""
        self._series.measure("drift_level", level)
        if checked_s is not None:
            self._series.gauges("drift_last_run_timestamp_seconds")[()].set(checked_s)
