"""
What is seen of a running daemon from outside: metrics, HTTP, logs, systemd. All of it reads; orders go in as commands.

`Operation` hangs itself on the daemon's hooks; without it a daemon trades just the same.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import structlog

from papertape.daemon.backtests.service import BacktestService
from papertape.daemon.feeds.protocol import Notice
from papertape.daemon.journal import Journal
from papertape.daemon.journal.attempts import SUCCESSES, AttemptRow
from papertape.daemon.journal.identity import Identity
from papertape.daemon.metrics import AccountDay, Metrics, Restored, Scope, exposed_features
from papertape.daemon.monitoring.access import check_address, load_token
from papertape.daemon.monitoring.api.account import ApiAccount
from papertape.daemon.monitoring.api.closes import SeenFeatures
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.commands import Commands
from papertape.daemon.monitoring.log import set_up_logging
from papertape.daemon.monitoring.model_observer import ModelObserver, model_times
from papertape.daemon.monitoring.peers.tokens import load_peer_tokens
from papertape.daemon.monitoring.peers.watch import PeerWatch
from papertape.daemon.monitoring.schemas import InputState, JobState, ParityState, Status
from papertape.daemon.monitoring.server import Server, Views
from papertape.daemon.monitoring.states import (
    account_state,
    chapter_state,
    feed_state,
    locked_until_ms,
    order_states,
    order_told,
    position_states,
)
from papertape.daemon.monitoring.systemd import Notifier
from papertape.daemon.runtime.audit import AuditResult
from papertape.daemon.runtime.daemon import JOB_NAMES, Hooks, RunningDaemon, wall_ms
from papertape.daemon.runtime.recovery import Recovered
from papertape.engine.broker.grid import plain
from papertape.engine.broker.working.orders import CANCELLED, EXPIRED, REFUSED
from papertape.engine.candles import DAY_MS, timeframe_ms
from papertape.engine.core import Engine
from papertape.engine.features import columns_of
from papertape.engine.records import LIMIT_NAMES
from papertape.engine.report import Report, StrategyFault
from papertape.engine.spec import EngineSpec
from papertape.replay.config import Config
from papertape.replay.learning.settings import settings_of
from papertape.replay.report.features import drawn_columns
from papertape.replay.runtime.compile import ABOUT_S
from papertape.replay.runtime.loops import freezing

_OUTCOMES: Final[Mapping[str, Any]] = {"done": "ok", "failed": "failed", "missed": "missed"}


class Operation:
    """
    The outside of one daemon.

    is_paced  the loop's time is the local exchange's (`papertape.replay.runtime.loops`): how late it is, a timer of the machine tells
    secrets   what no log line may have, beside the token

    Raises ConfigError, before anything starts, for an address that others reach without a token.
    """

    def __init__(
        self, settings: Config, identity: Identity, *, is_paced: bool = False, secrets: Sequence[str] = ()
    ) -> None:
        self._is_paced = is_paced
        self._settings = settings
        self._token = load_token(settings.daemon.token_file, os.environ)
        check_address(settings.daemon.host, self._token)
        self._peer_tokens = load_peer_tokens(
            settings.daemon.peer_tokens_file, os.environ, settings.daemon.peers
        )
        self._feed = identity.config.live.venue
        self._started_s = time.time()
        self._peak = 0.0
        self._is_ruined = False
        self._daemon: RunningDaemon | None = None
        self._api: Api | None = None
        self._notifier = Notifier()
        spec = identity.spec
        self.metrics = Metrics(
            Scope(
                symbols=identity.symbols,
                base_timeframe=identity.base_timeframe,
                timeframe=spec.timeframe,
                currency=settings.account.quote,
                feeds=(self._feed,),
                jobs=JOB_NAMES,
                workers=("audit",),
                endpoints=Server.ENDPOINTS,
                features=exposed_features(_columns(spec), len(identity.symbols)),
            ),
            self._started_s,
        )
        set_up_logging(
            settings.daemon.log,
            secrets=[*secrets, *([self._token] if self._token else []), *self._peer_tokens.values()],
            on_message=self.metrics.on_log,
        )
        self._log = structlog.get_logger("daemon")
        self._learning = ModelObserver(self.metrics)

    def hang_on(self, hooks: Hooks) -> Hooks:
        """Return hooks that this hangs on, beside what was there."""
        before = hooks.on_recovered

        def on_recovered(recovered: Recovered) -> None:
            before(recovered)
            self._log.info("recovered", stepped=recovered.stepped, told=list(recovered.told))

        hooks.on_recovered = on_recovered
        # Without a terminal nothing else is said until then.
        hooks.on_compile = lambda: self._log.info("compiling", about_s=ABOUT_S)
        hooks.on_ready = self._on_ready
        hooks.on_notice = self._on_notice
        hooks.on_finding = self._on_finding
        hooks.on_commit = self.metrics.on_journal_commit
        hooks.on_retrain = self._learning.on_retrain
        hooks.on_look = self._learning.on_look
        hooks.on_shadows = self._learning.on_shadows
        hooks.on_trouble = self._learning.on_trouble
        hooks.on_fault = self._on_fault
        hooks.sinks = [*hooks.sinks, self._on_report]
        hooks.services = [
            *hooks.services,
            self._serve,
            lambda _: _for_ever(self._notifier.watchdog),
            lambda _: self.metrics.probe_loop(self._is_paced),
        ]
        return hooks

    def _on_ready(self, daemon: RunningDaemon) -> None:
        """Show what outlived the last process, before anybody is told that this one is ready."""
        self._daemon = daemon
        metrics = self.metrics
        metrics.identify(version("papertape"), daemon.identity.digest, "paper")
        metrics.on_jobs(daemon.job_stats)
        metrics.before_scrape(lambda: metrics.on_jobs(daemon.job_stats))
        metrics.before_scrape(lambda: metrics.on_feed(daemon.stats, self._feed))
        metrics.before_scrape(lambda: metrics.set_ready(not self._why_not_ready()))
        metrics.on_account(daemon.engine)
        self._learning.on_ready(daemon)

    async def _serve(self, daemon: RunningDaemon) -> None:
        """Restore, then serve until cancelled."""
        found = await daemon.writer.submit(_restored)
        self._peak = found.equity_peak
        self.metrics.restore(found)
        self.metrics.on_account(daemon.engine)  # with what was restored
        self._learning.restore(await daemon.writer.submit(model_times))
        settle = partial(_settled, daemon)
        api = self._api = Api(_account(daemon), self._status, settle)
        backtests = await self._backtests(daemon)
        settings = self._settings.daemon
        peers = PeerWatch(settings.peers, self._peer_tokens, api.stream.run)
        views = Views(self._status, self._why_not_ready, Commands(daemon).carry_out, api, backtests, peers)
        async with Server(
            self.metrics,
            views,
            version=version("papertape"),
            host=settings.host,
            hosts=settings.hosts,
            port=settings.port,
            token=self._token,
            held=freezing(),
        ) as server:
            self._log.info("started", address=f"http://{settings.host}:{server.port}")
            self._notifier.ready(f"following {self._feed}")
            try:
                await (backtests.run() if backtests is not None else _for_ever())
            finally:
                self._notifier.stopping()
                await peers.close()

    async def _backtests(self, daemon: RunningDaemon) -> BacktestService | None:
        """Return who makes backtests, with the jobs of earlier runs; None where they are switched off."""
        if not self._settings.backtests.at_once:
            return None
        folder = daemon.state / "backtests"
        return await asyncio.to_thread(BacktestService, self._settings, folder, wall_ms)

    def _on_report(self, report: Report) -> None:
        """Count what a step did, and how long it took when its candle was live."""
        daemon = self._running()
        feed = daemon.journal_feed
        now_s = time.perf_counter()
        latencies = None
        if report.candles and not feed.is_warming:
            latencies = {
                "journal": feed.committed_s - feed.accepted_s,
                "engine": now_s - feed.committed_s,
                "total": now_s - feed.accepted_s,
            }
        self.metrics.on_report(report, daemon.engine, latencies)
        self._learning.on_report(report, daemon)
        if self._api is not None:
            self._api.stream.on_step()
        if len(report.marks):
            highest = int(report.marks["equity"].max()) / daemon.engine.spec.units_per_quote
            self._peak = max(self._peak, highest)
        if daemon.engine.account[0].ruined_ms and not self._is_ruined:
            self._is_ruined = True
            self._log.error("ruin", close_ms=int(daemon.engine.account[0].ruined_ms))
        self._log_report(report, daemon.engine)

    def _log_report(self, report: Report, engine: Engine) -> None:
        for fill in report.fills:
            symbol = int(fill["symbol"])
            market = engine.markets[symbol]
            self._log.info(
                "fill",
                symbol=engine.symbols[symbol],
                side=int(fill["side"]),
                price=plain(fill["price"], market.tick_size),
                quantity=plain(fill["quantity"], market.lot_size),
            )
        for limit in report.limits:
            self._log.warning(
                "limit",
                limit=LIMIT_NAMES[int(limit["limit"])],
                value=float(limit["value"]),
                threshold=float(limit["threshold"]),
                until_ms=locked_until_ms(engine.account[0]),
            )
        for order in report.orders:
            if order["status"] in (CANCELLED, EXPIRED, REFUSED):
                self._log.info("order", **order_told(engine, order))

    def _on_fault(self, fault: StrategyFault) -> None:
        """Say that a user's strategy failed: entries are paused until somebody resumes them."""
        self._log.error("strategy_fault", symbol=fault.symbol, reason=str(fault))

    def _on_notice(self, notice: Notice) -> None:
        self.metrics.on_notice(notice, self._feed)
        self._log.info("feed", **{**notice._asdict(), "kind": notice.kind.value})

    def _on_finding(self, finding: AuditResult) -> None:
        self.metrics.on_audit("match" if finding.is_equal else "diverged", time.time())
        if not finding.is_equal:
            self._log.error("divergence", sequence=finding.sequence, difference=finding.difference)

    def _why_not_ready(self) -> str:
        daemon = self._daemon
        if daemon is None:
            return "recovery is not over"
        if daemon.journal_feed.is_warming:
            return "history from before the first start is still coming in"
        return "" if daemon.stats.is_connected else "the feed is not connected"

    def _status(self) -> Status:
        daemon = self._running()
        engine, finding, stats = daemon.engine, daemon.finding, daemon.job_stats
        close_ms = int(engine.last_open_ms[0]) + engine.base_ms
        newest = daemon.tables.stepped
        outcome: Any = None if finding is None else ("match" if finding.is_equal else "diverged")
        return Status(
            version=version("papertape"),
            mode="paper",
            venue=daemon.identity.venue,
            started_ms=round(self._started_s * 1000.0),
            uptime_s=time.time() - self._started_s,
            is_ready=not self._why_not_ready(),
            halted=self._learning.halted(daemon),
            account=account_state(engine, self._settings.account.quote, self._peak),
            chapter=chapter_state(daemon.identity),
            positions=position_states(engine),
            orders=order_states(engine),
            feeds=(feed_state(self._feed, daemon.stats, engine.symbols),),
            last_input=InputState(sequence=newest, kind="candles", time_ms=close_ms)
            if engine.account[0].instants
            else None,
            digest=engine.digest,
            model=self._learning.state(daemon),
            jobs=tuple(
                JobState(
                    name=name,
                    last_outcome=_OUTCOMES.get(stats.last_outcome.get(name, "")),
                    last_start_ms=stats.last_start_ms.get(name),
                    last_success_ms=stats.last_success_ms.get(name),
                )
                for name in JOB_NAMES
            ),
            parity=ParityState(
                outcome=outcome,
                checked_ms=stats.last_start_ms.get("audit"),
                sequence=None if finding is None else finding.sequence,
                detail="" if finding is None else finding.difference,
            ),
            makes_backtests=self._settings.backtests.at_once > 0,
        )

    def _running(self) -> RunningDaemon:
        assert self._daemon is not None, "the daemon tells when it is ready, before anything else"
        return self._daemon


def _restored(journal: Journal) -> Restored:
    """Return what the journal knows from before the start."""
    peak = journal.one("SELECT max(equity) FROM equity")[0] or 0
    checked_ms = journal.one("SELECT max(time_ms) FROM audits")[0]
    attempt, success = (
        AttemptRow.newest(journal, condition)
        for condition in ("1", f"outcome IN {SUCCESSES} AND ended_ms IS NOT NULL")
    )
    look = journal.one("SELECT level, checked_ms, version FROM drift_checks ORDER BY time_ms DESC LIMIT 1")
    model = journal.one("SELECT version FROM models ORDER BY sequence DESC LIMIT 1")
    is_of_model = look is not None and model is not None and look[2] == model[0]
    successes = journal.all("SELECT job, max(ended_ms) FROM job_runs WHERE outcome = 'done' GROUP BY job")
    return Restored(
        equity_peak=peak / journal.units_per_quote,
        day=_newest_day(journal),
        job_success_s={job: ended_ms / 1000.0 for job, ended_ms in successes if job in JOB_NAMES},
        last_check_s=None if checked_ms is None else checked_ms / 1000.0,
        last_attempt_s=attempt.started_ms / 1000.0 if attempt else None,
        last_retrain_s=success.ended_ms / 1000.0 if success and success.ended_ms else None,
        drift_level=look[0] if is_of_model else None,
        last_drift_s=look[1] / 1000.0 if look else None,
    )


def _newest_day(journal: Journal) -> AccountDay | None:
    """Return the day of the newest mark that is kept; days begin with one that is."""
    found = journal.one("SELECT time_ms, equity FROM equity ORDER BY time_ms DESC LIMIT 1")
    if found is None:
        return None
    number = (found[0] - 1) // DAY_MS
    before = journal.one(
        "SELECT equity FROM equity WHERE time_ms <= ? ORDER BY time_ms DESC LIMIT 1", number * DAY_MS
    )
    units = journal.units_per_quote
    start = None if before is None else before[0] / units
    return AccountDay(number, start, found[1] / units)


async def _settled(daemon: RunningDaemon) -> int:
    """Return the newest input whose rows are on the disk: what the engine has taken, once the writer has come that far."""
    newest = daemon.tables.stepped
    await daemon.writer.submit(lambda journal: journal.sequence)
    return newest


def _account(daemon: RunningDaemon) -> ApiAccount:
    """Return what the API tells of a daemon's account without asking anybody."""
    about, spec = daemon.identity, daemon.engine.spec
    columns = daemon.engine.frames.columns
    return ApiAccount(
        daemon.state,
        about.venue,
        about.config.strategy.name,
        timeframe_ms(spec.timeframe),
        timeframe_ms(about.base_timeframe),
        spec.capital,
        about.markets,
        SeenFeatures(tuple(columns), tuple(drawn_columns(spec.requests, columns))),
        settings_of(about.config, spec) if about.config.signals.use_ml else None,
    )


def _columns(spec: EngineSpec) -> list[str]:
    """Return the columns that models may read, each once."""
    names = (name for request in spec.model_features for name in columns_of(request))
    return list(dict.fromkeys(names))


async def _for_ever(first: Callable[[], Any] | None = None) -> None:
    """Do something that may end, then wait until cancelled."""
    if first is not None:
        await first()
    await asyncio.Event().wait()
