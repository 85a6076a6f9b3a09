"""
The daemon's metrics: one catalogue, and sinks that only read.

    definitions         what a definition is, and what labels take from the configuration
    trading_families    account, positions, trades, decisions
    model_families      predictions, the model in force, retraining; drift_families: how far the world has moved
    operation_families  feed and candles, parity, process
    catalogue           all of them, budgets, and the table for the documentation
    registry            the live series
    trading, model, drift, feeds, runtime   from reports, feeds and the process to series

`Metrics` puts them together. Counters begin at zero in every process: `increase()` sees the reset, so nothing is counted twice,
provided that inputs which are stepped again after a restart are not given to `on_report`. Gauges that outlive
the process come from the engine's state (`on_account`) and from the journal (`restore`). In a daemon:

    metrics = Metrics(Scope(…, endpoints=Server.ENDPOINTS))
    metrics.identify(version, config_hash, "paper")
    metrics.restore(Restored(…)); metrics.on_account(engine)      after recovery
    metrics.before_scrape(lambda: metrics.on_feed(stats, "delta"))
    metrics.watch("queue_depth", queue.qsize, "candles")
    sinks: lambda report: metrics.on_report(report, engine, {"total": seconds})
    tasks: metrics.probe_loop()
    metrics.set_ready(True)                                        warmed up
"""

import platform
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from papertape.daemon.metrics.catalogue import CATALOGUE, exposed_features, markdown
from papertape.daemon.metrics.definitions import PREFIX, Scope
from papertape.daemon.metrics.drift import DriftFigures, Drifts, SymbolDrift
from papertape.daemon.metrics.feeds import Feeds
from papertape.daemon.metrics.model import ModelFacts, Models, ShadowFigures, WindowScores
from papertape.daemon.metrics.registry import Series
from papertape.daemon.metrics.runtime import Runtime, probe_loop
from papertape.daemon.metrics.trading import AccountDay, Trading
from papertape.engine.candles import timeframe_ms


class Restored(NamedTuple):
    """What the journal knows from before the start; times in seconds since the epoch."""

    equity_peak: float = 0.0
    day: AccountDay | None = None  # of the newest mark
    last_close_s: Mapping[str, float] = {}  # by symbol
    job_success_s: Mapping[str, float] = {}  # by job
    last_check_s: float | None = None  # the latest finished audit
    last_attempt_s: float | None = None  # when the latest attempt to replace the model began
    last_retrain_s: float | None = None  # when the latest one ended that did not fail
    drift_level: int | None = None
    last_drift_s: float | None = None


class Metrics:
    """
    Every series of one daemon, and the sinks that feed them; all of them are plain calls on the event loop.

    on_report, on_account, on_halt     see `Trading`
    on_feed, on_notice                 see `Feeds`
    on_job, on_jobs, on_audit, on_journal_commit, on_error, on_log, on_request, …   see `Runtime`
    model                              see `Models`
    drift                              see `Drifts`
    watch                              see `Series`
    """

    def __init__(self, scope: Scope, start_s: float | None = None) -> None:
        """Make every series; `start_s` is the start of the daemon, seconds since the epoch (default: now)."""
        self.scope = scope
        self._series = series = Series(CATALOGUE, scope)
        trading, feeds, runtime = Trading(series), Feeds(series), Runtime(series)
        self._trading = trading
        self.model, self.drift = Models(series), Drifts(series)
        self._before_scrape: list[Callable[[], None]] = []
        self.on_report, self.on_account, self.on_halt = (
            trading.on_report,
            trading.on_account,
            trading.on_halt,
        )
        self.on_feed, self.on_notice = feeds.on_feed, feeds.on_notice
        self.on_job, self.on_jobs, self.on_audit = runtime.on_job, runtime.on_jobs, runtime.on_audit
        self.on_journal_commit, self.on_error = runtime.on_journal_commit, runtime.on_error
        self.on_log, self.on_request = runtime.on_log, runtime.on_request
        self.on_notified = runtime.on_notified
        self.on_task_restart, self.on_dropped = runtime.on_task_restart, runtime.on_dropped
        self.watch, self.watch_worker, self.remove = (series.watch, runtime.watch_worker, series.remove)
        self._start_times(time.time() if start_s is None else start_s)

    @property
    def registry(self) -> CollectorRegistry:
        """Return what a scrape reads."""
        return self._series.registry

    def _start_times(self, start_s: float) -> None:
        """Let every time of an event begin at the start: what never comes ages from there on and alarms in time."""
        for definition in CATALOGUE:
            if definition.name.endswith("_timestamp_seconds"):
                for gauge in self._series.gauges(definition.name).values():
                    gauge.set(start_s)
        for (timeframe,), gauge in self._series.gauges("timeframe_seconds").items():
            gauge.set(timeframe_ms(timeframe) / 1000.0)

    def identify(self, version: str, config_hash: str, mode: str, revision: str = "") -> None:
        """Say what runs: version and source revision, the configuration's hash, mode paper or replay."""
        self._series.info(
            "build_info", version=version, revision=revision, python_version=platform.python_version()
        )
        self._series.info("config_info", config_hash=config_hash, mode=mode)

    def restore(self, before: Restored) -> None:
        """Take over what the journal knows, before `set_ready`."""
        self._trading.restore(before.equity_peak, before.day)
        closes = self._series.gauges("candle_last_close_timestamp_seconds")
        for symbol, close_s in before.last_close_s.items():
            closes[(symbol, self.scope.base_timeframe)].set(close_s)
        jobs = self._series.gauges("job_last_success_timestamp_seconds")
        for job, success_s in before.job_success_s.items():
            jobs[(job,)].set(success_s)
        if before.last_check_s is not None:
            check = self._series.gauges("parity_last_check_timestamp_seconds")[()]
            check.set(before.last_check_s)
        self.model.restore(before.last_attempt_s, before.last_retrain_s)
        self.drift.restore(before.drift_level, before.last_drift_s)

    def set_ready(self, is_ready: bool) -> None:
        """Say whether the daemon is warmed up and able to decide."""
        self._series.gauges("ready")[()].set(float(is_ready))

    def before_scrape(self, call: Callable[[], None]) -> None:
        """Call this before every scrape, for what is counted elsewhere: `on_feed`, `on_jobs`."""
        self._before_scrape.append(call)

    def refresh(self) -> None:
        """Read what is counted elsewhere and what is watched; the server calls this before every scrape."""
        for call in self._before_scrape:
            call()
        self._series.refresh()

    async def probe_loop(self, is_paced: bool = False) -> None:
        """Measure the event loop's lag for ever: a task of the daemon's group; paced: its time is not the machine's."""
        await probe_loop(self._series, is_paced)


__all__ = [
    "CATALOGUE",
    "PREFIX",
    "AccountDay",
    "DriftFigures",
    "Metrics",
    "ModelFacts",
    "Restored",
    "Scope",
    "ShadowFigures",
    "SymbolDrift",
    "WindowScores",
    "exposed_features",
    "markdown",
]
