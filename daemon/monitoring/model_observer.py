"""What is seen of a daemon's learning from outside: models, attempts and drift as metrics, log lines and status."""

import time
from typing import Any, Final, NamedTuple

import numpy as np
import structlog

from papertape.daemon.journal import Journal
from papertape.daemon.journal.attempts import ShadowTotal
from papertape.daemon.learning.drift import DriftCheck
from papertape.daemon.learning.retraining import News
from papertape.daemon.metrics import (
    DriftFigures,
    Metrics,
    ModelFacts,
    ShadowFigures,
    SymbolDrift,
    WindowScores,
)
from papertape.daemon.metrics.model_families import WINDOWS
from papertape.daemon.metrics.trading_families import LOCKS
from papertape.daemon.monitoring.schemas import AttemptState, ModelState
from papertape.daemon.runtime.daemon import RunningDaemon
from papertape.engine.broker.account import PAUSED_BY_COMMAND
from papertape.engine.candles import timeframe_ms
from papertape.engine.model.drift.monitor import Figures
from papertape.engine.model.drift.policy import LEVELS
from papertape.engine.model.scores import scores
from papertape.engine.report import Report
from papertape.replay.config.cadence import Cadence
from papertape.replay.learning.settings import cadence_of

_NOTHING: Final = WindowScores(0)


class ModelTimes(NamedTuple):
    """When the model in force took over, and when its attempt ended, in seconds of the machine's clock; None: unknown."""

    loaded_s: float | None
    trained_s: float | None


def model_times(journal: Journal) -> ModelTimes:
    """Return what the journal knows of the newest model."""
    loaded = journal.one("SELECT received_ms FROM inputs WHERE kind = 'model' ORDER BY sequence DESC LIMIT 1")
    trained = journal.one("SELECT ended_ms FROM attempts WHERE outcome = 'promoted' ORDER BY id DESC LIMIT 1")
    return ModelTimes(*(row[0] / 1000.0 if row else None for row in (loaded, trained)))


class ModelObserver:
    """Reads what the retraining and the watch on drift tell; sets nothing there."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._attempt: AttemptState | None = None
        self._daemon: RunningDaemon | None = None
        self._log = structlog.get_logger("learning")

    def on_ready(self, daemon: RunningDaemon) -> None:
        """Show the model in force and the cadences."""
        self._daemon = daemon
        config, spec = daemon.identity.config, daemon.engine.spec
        cadence = cadence_of(config, spec)
        self._metrics.model.set_cadence(seconds_of(cadence, daemon.now_ms()) if cadence else 0.0)
        every_s = config.drift.check_bars * timeframe_ms(spec.timeframe) / 1000.0
        self._metrics.drift.set_watch_cadence(every_s if daemon.watch is not None else 0.0)
        self._on_account(daemon)
        self._on_model(daemon, ModelTimes(None, None))

    def restore(self, times: ModelTimes) -> None:
        """Take over when the model in force was made and loaded."""
        self._metrics.model.on_times(times.loaded_s, times.trained_s)

    def on_report(self, report: Report, daemon: RunningDaemon) -> None:
        """Count predictions, and show a model that has taken over."""
        self._metrics.model.on_predictions(report.predictions, daemon.engine.symbols)
        if len(report.swaps):
            self._metrics.drift.forget()  # what was measured was another model's
            now_s = daemon.now_ms() / 1000.0
            self._on_model(daemon, ModelTimes(now_s, now_s))
            self._log.info("model", version=int(report.swaps["version"][-1]))
        self._on_account(daemon)

    def _on_account(self, daemon: RunningDaemon) -> None:
        self._metrics.drift.set_size_factor(float(daemon.engine.account[0].size_factor))
        halted = self.halted(daemon)
        for reason in ("drift", "divergence"):
            self._metrics.on_halt(reason, reason in halted)

    def _on_model(self, daemon: RunningDaemon, times: ModelTimes) -> None:
        """Show the model in force."""
        artefact = daemon.engine.model.artefact
        if artefact is None:
            return
        record = artefact.record
        version = int(daemon.engine.account[0].model_version)
        end_s = record.end_ms / 1000.0
        self._metrics.model.on_model(ModelFacts(version, record.kind, record.features_digest, end_s, *times))
        self._metrics.drift.set_reference(end_s)

    def on_retrain(self, news: News) -> None:
        """Count an attempt that begins or has ended."""
        metrics, attempt, started_s = self._metrics.model, news.attempt, news.started_ms / 1000.0
        self._attempt = AttemptState(
            trigger=news.trigger,
            outcome=attempt.outcome if attempt else "",
            reason=attempt.reason if attempt else "",
            started_ms=news.started_ms,
        )
        if attempt is None:
            metrics.on_attempt_begun(started_s)
            self._log.info("retraining", trigger=news.trigger)
            return
        ended_s = news.ended_ms / 1000.0
        metrics.on_attempt(news.trigger, attempt.outcome, attempt.wall_s, ended_s)
        metrics.on_gate(gate_scores(attempt.gate), gate_criteria(attempt.gate))
        if recipe := attempt.gate.get("recipe"):
            is_passed = bool(recipe["state"]["is_passed"])
            metrics.on_recipe(recipe["capital"], recipe["boundary"], is_passed=is_passed)
        self._log.info("retrained", outcome=attempt.outcome, reason=attempt.reason, version=news.version)

    def on_shadows(self, found: ShadowTotal) -> None:
        """Show what the models would have earned."""
        newest = found.newest
        self._metrics.model.on_shadows(
            ShadowFigures(
                found.trades,
                found.net_return,
                (newest.log_loss, newest.majority_log_loss),
                found.until_ms / 1000.0,
            )
        )

    def on_trouble(self, sentence: str) -> None:
        """Say what went wrong beside the trading."""
        self._log.warning("learning", reason=sentence)

    def on_look(self, look: DriftCheck) -> None:
        """Show what a look at drift came to."""
        if look.version == 0:
            self._on_training(look)
            return
        outcomes = look.outcomes
        for p, y in zip(outcomes.p.tolist(), outcomes.y.tolist(), strict=True):
            if p == p and y == y:
                self._metrics.model.on_outcome(p, y)
        found = {window: window_scores(look.recent[-window:]) for window in WINDOWS}
        self._metrics.model.on_scores(found)
        if look.figures is not None:
            self._metrics.drift.on_drift(as_metrics(look.figures), time.time())
            if look.figures.policy.level:
                level = LEVELS[look.figures.policy.level]
                self._log.warning("drift", level=level, reason=look.figures.reason)

    def _on_training(self, look: DriftCheck) -> None:
        """Show features alone: no model is in force, and no policy acts."""
        assert look.figures is not None
        figures = as_metrics(look.figures)
        quiet = figures._replace(prediction_psi=None, target_psi=None, level=None)
        self._metrics.drift.on_drift(quiet, time.time())
        if self._daemon is not None and self._daemon.watch is not None:
            end_ms = self._daemon.watch.training_end_ms
            if end_ms is not None:
                self._metrics.drift.set_reference(end_ms / 1000.0)

    def halted(self, daemon: RunningDaemon) -> tuple[str, ...]:
        """Return why no new position is entered; a market that does not trade with its symbol."""
        engine, watch = daemon.engine, daemon.watch
        found = ["ruin"] if engine.account[0].ruined_ms else []
        if engine.account[0].is_paused & PAUSED_BY_COMMAND:
            found.append("manual")
            if daemon.is_diverged:
                found.append("divergence")
            if watch is not None and watch.policy.is_paused:
                found.append("drift")
        if daemon.faults.is_halting:
            found.append("errors")
        if limit := int(engine.account[0].locked_by):
            found.append(LOCKS[limit])
        if engine.account[0].is_skewed:
            found.append("clock")
        for reason, field in (("market", "is_halted"), ("gone", "is_gone")):
            concerned = np.flatnonzero(engine.positions[field])
            found += [f"{reason} {engine.symbols[number]}" for number in concerned]
        return tuple(found)

    def state(self, daemon: RunningDaemon) -> ModelState:
        """Return the part of the status that is about the model."""
        artefact, watch = daemon.engine.model.artefact, daemon.watch
        return ModelState(
            version=int(daemon.engine.account[0].model_version),
            kind=artefact.record.kind if artefact else "",
            data_end_ms=artefact.record.end_ms if artefact else None,
            drift=LEVELS[watch.level] if watch and watch.level is not None else None,
            attempt=self._attempt,
        )


def seconds_of(cadence: Cadence, now_ms: int) -> float:
    """Return how far the next two due times lie apart, 0 where there are not two."""
    due = cadence.after(now_ms)
    following = cadence.after(due) if due is not None else None
    return 0.0 if due is None or following is None else (following - due) / 1000.0


def window_scores(recent: tuple[tuple[float, float], ...]) -> WindowScores:
    """Return the scores of some (probability, outcome)."""
    if not recent:
        return _NOTHING
    p, y = np.array(recent).T
    found = scores(y, p)
    return WindowScores(found.rows, found.brier, found.log_loss, found.ece)


def as_metrics(figures: Figures) -> DriftFigures:
    """Return a look's figures as the metrics take them; an index without enough rows is None."""
    return DriftFigures(
        symbols={
            symbol: SymbolDrift(rows, figures.symbols[symbol], figures.missing[symbol])
            for symbol, rows in figures.rows.items()
        },
        prediction_psi=figures.prediction.value if figures.prediction else None,
        target_psi=figures.target.value if figures.target else None,
        level=figures.policy.level,
        alarms=figures.kinds(),
    )


def gate_scores(gate: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return a gate's numbers by contender, those that are numbers."""
    contenders = gate.get("contenders", {})
    return {
        name: {key: float(value) for key, value in numbers.items() if isinstance(value, int | float)}
        for name, numbers in contenders.items()
    }


def gate_criteria(gate: dict[str, Any]) -> dict[str, bool]:
    """Return whether each criterion of a gate was met."""
    return {found["name"]: bool(found["is_passed"]) for found in gate.get("criteria", ())}
