"""
A running daemon: what commands, the server and the jobs may ask of it, and how it comes to its end.

    feed pump ─ journalled feed ─ engine loop ─ tables and other sinks
    writer's failure · jobs · services (HTTP, watchdog, …)

One task group owns them all. The engine loop ends when its feed does or when it is told to stop; then a last snapshot
is written and everything else is cancelled. A task that fails takes all of them down; what was accepted is on the disk.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from papertape.daemon.feeds.journalled import JournalledFeed, Tables
from papertape.daemon.feeds.protocol import FeedStats, OnNotice
from papertape.daemon.journal import Journal, OnCommit, Snapshot, Work, Writer
from papertape.daemon.journal.identity import Identity
from papertape.daemon.learning.drift import DriftCheck, DriftWatch
from papertape.daemon.learning.retraining import MANUAL, News, Retraining
from papertape.daemon.learning.shadow_watch import OnShadows, ShadowWatch
from papertape.daemon.learning.trainer import Trainer
from papertape.daemon.runtime.audit import Auditor, AuditResult
from papertape.daemon.runtime.jobs import Jobs, JobStats
from papertape.daemon.runtime.recovery import Progress, Recovered
from papertape.daemon.runtime.strategy_faults import StrategyFaults
from papertape.engine.broker.account import equity
from papertape.engine.broker.grid import plain
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Action, Command, Event
from papertape.engine.loop import run
from papertape.engine.records import LIMIT_NAMES
from papertape.engine.report import Sink, StrategyFault

Service = Callable[["RunningDaemon"], Coroutine[Any, Any, None]]

_KEPT_AUDITS = 10_000  # a week of one a minute

JOB_NAMES = ("snapshot", "audit", "summary", "backup", "compaction")


@dataclass(slots=True)
class Hooks:
    """
    Where the rest of the daemon hangs on.

    sinks         see every report, after the tables
    services      run beside the engine until they are cancelled: HTTP, watchdog
    on_recovered  called once, before the feed is opened, with what an operator should know
    on_ready      called when the engine loop begins
    on_notice     called with every notice of the feed, after it was handed to the journal
    on_finding    called with every audit's finding
    on_commit     called with the seconds that a commit took, flush included, and whether it went well
    on_progress   called during recovery
    on_compile    called before kernels are compiled, which takes a while, where some are not on disk
    on_retrain    called when an attempt to replace the model begins, and when it has ended
    on_trouble    called with what went wrong, in a sentence, where the daemon goes on
    on_look       called with every look of the watch on drift
    on_shadows    called with what models would have earned, those of which it may still change
    on_fault      called with a fault of a user's strategy, once until it is another
    trainer       makes those attempts, in place of a process
    """

    sinks: Sequence[Sink] = ()
    services: Sequence[Service] = ()
    on_recovered: Callable[[Recovered], None] = lambda _: None
    on_ready: Callable[["RunningDaemon"], None] = lambda _: None
    on_notice: OnNotice = lambda _: None
    on_finding: Callable[[AuditResult], None] = lambda _: None
    on_commit: OnCommit = lambda seconds, ok: None
    on_progress: Progress | None = None
    on_compile: Callable[[], None] = lambda: None
    on_retrain: Callable[[News], None] = lambda _: None
    on_trouble: Callable[[str], None] = lambda _: None
    on_look: Callable[[DriftCheck], None] = lambda _: None
    on_shadows: OnShadows = lambda _: None
    on_fault: Callable[[StrategyFault], None] = lambda _: None
    trainer: Trainer | None = None


@dataclass(slots=True)
class RunningDaemon:
    """A running daemon: what commands, the server and the jobs may ask of it."""

    state: Path
    identity: Identity
    engine: Engine
    journal_feed: JournalledFeed
    tables: Tables
    writer: Writer
    now_ms: Callable[[], int]
    stats: FeedStats
    job_stats: JobStats
    hooks: Hooks
    auditor: Auditor
    faults: StrategyFaults
    jobs: Jobs | None = None
    retraining: Retraining | None = None
    watch: DriftWatch | None = None
    shadows: ShadowWatch | None = None
    finding: AuditResult | None = None

    async def offer(self, event: Event, beside: Work[Any] | None = None) -> int:
        """
        Let a command, model or settlement in between two instants; return its sequence when it is in force.

        beside  done in the transaction that accepts it
        """
        return await self.journal_feed.offer(event, beside)

    async def command(
        self, action: Action, reason: str = "", value: float = 1.0, beside: Work[Any] | None = None
    ) -> int:
        """Carry out an operator's action; return its sequence when it is in force. The reason goes to the notices."""
        if self.watch is not None:
            self.watch.on_operator(action)
        event = Command(action, value if action is Action.SCALE else 1.0)
        sequence = await self.offer(event, beside)
        if reason:
            row = (self.now_ms(), f"input {sequence}, {action.value}: {reason}")
            self.writer.post(
                lambda journal: journal.connection.execute(
                    "INSERT INTO notices (time_ms, kind, symbol, open_ms, value, detail) "
                    "VALUES (?, 'command', '', 0, 0.0, ?)",
                    row,
                )
            )
        return sequence

    def retrain(self) -> str:
        """Let a model be trained and judged before its time, and say when; raises DataError when that cannot be."""
        if self.retraining is None:
            raise DataError("this account uses no model: signals.use_ml is off")
        return self.retraining.ask(MANUAL)

    @property
    def is_diverged(self) -> bool:
        """Return whether the newest audit, of this process's time or before it, stopped trading for a difference."""
        is_halting = self.identity.config.daemon.halt_on_divergence
        return is_halting and self.finding is not None and not self.finding.is_equal

    def status(self) -> dict[str, Any]:
        """Return how the daemon stands, as plain values for JSON."""
        engine, feed = self.engine, self.journal_feed
        account = engine.account[0]
        worth = equity(account, engine.positions, engine.markets)
        return {
            "venue": self.identity.venue,
            "symbols": list(engine.symbols),
            "is_connected": self.stats.is_connected,
            "is_warming": feed.is_warming,
            "is_paused": bool(account.is_paused),
            "is_ruined": account.ruined_ms != 0,
            "locked_by": LIMIT_NAMES.get(int(account.locked_by)),
            "sequence": self.tables.stepped,
            "digest": engine.digest,
            "last_close_ms": int(engine.last_open_ms[0]) + engine.base_ms if account.instants else None,
            "equity": worth / engine.spec.units_per_quote,
            "cash": int(account.cash) / engine.spec.units_per_quote,
            "positions": {
                symbol: plain(position["quantity"], market.lot_size)
                for symbol, position, market in zip(
                    engine.symbols, engine.positions, engine.markets, strict=True
                )
            },
            "model_version": int(account.model_version),
            "audit": None if self.finding is None else self.finding._asdict(),
            "jobs": {
                name: {"last_start_ms": start_ms, "last_success_ms": self.job_stats.last_success_ms.get(name)}
                for name, start_ms in self.job_stats.last_start_ms.items()
            },
        }

    def stop(self) -> None:
        """End after the candle that is being taken."""
        self.journal_feed.stop()

    async def snapshot(self) -> str:
        """Write the engine as it is now to the journal."""
        keep = self.identity.config.daemon.keep_snapshots
        work = snapshot_work(self.engine, self.tables.stepped, wall_ms(), keep)
        return f"input {await self.writer.submit(work)}"

    async def audit(self) -> str:
        """Let the auditor step up to here, journal what it finds, and halt trading if so configured."""
        sequence, digest = self.tables.stepped, self.engine.digest
        sha256 = hashlib.sha256(self.engine.snapshot()).hexdigest()
        await self.writer.submit(lambda journal: journal.sequence)  # tables up to here are on the disk
        finding = self.finding = await self.auditor.check(sequence, digest, sha256)
        await self.writer.submit(_audit_work(wall_ms(), finding))
        self.hooks.on_finding(finding)
        if finding.is_equal:
            return f"equal up to input {sequence}"
        if self.identity.config.daemon.halt_on_divergence and not self.engine.account[0].is_paused:
            await self.command(Action.PAUSE, f"audit: {finding.difference}")
        raise DataError(finding.difference)

    async def run(self) -> None:
        """Run until the feed ends or `stop` is called; leave a last snapshot behind."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self.journal_feed.pump(), name="feed"),
                group.create_task(self.writer.failed(), name="writer"),
                *(group.create_task(service(self)) for service in self.hooks.services),
            ]
            if self.jobs is not None:
                beside.append(group.create_task(self.jobs.run(), name="jobs"))
            if self.retraining is not None:
                beside.append(group.create_task(self.retraining.run(), name="retraining"))
            if self.shadows is not None:
                beside.append(group.create_task(self.shadows.run(), name="shadows"))
            self.hooks.on_ready(self)
            watches = [each for each in (self.watch, self.shadows) if each is not None]
            inner: list[Sink] = [self.tables, self.faults, *watches]
            await run(self.engine, self.journal_feed, [*inner, *self.hooks.sinks])
            for task in beside:
                task.cancel()
        await self.snapshot()


def wall_ms() -> int:
    """Return the machine's time: jobs go by it, whatever the feed's clock says."""
    return time.time_ns() // 1_000_000


def snapshot_work(engine: Engine, sequence: int, now_ms: int, keep: int) -> Work[int]:
    """Return the work that writes the engine, which has taken the inputs up to `sequence`."""
    state, digest = engine.snapshot(), engine.digest
    fingerprint, sha256 = engine.spec.fingerprint(), hashlib.sha256(state).digest()

    def work(journal: Journal) -> int:
        at = journal.hash_of(sequence)
        snapshot = Snapshot(sequence, now_ms, fingerprint, digest, at, sha256, state)
        journal.add_snapshot(snapshot, keep)
        return sequence

    return work


def _audit_work(now_ms: int, finding: AuditResult) -> Work[Any]:
    """Return the work that writes an audit's finding; what differs is kept for ever, what is equal for a while."""
    sequence, live, again, difference = finding
    outcome = "equal" if finding.is_equal else "differs"

    def work(journal: Journal) -> None:
        journal.connection.execute(
            "INSERT INTO audits (time_ms, sequence, outcome, digest_live, digest_again, detail) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (now_ms, sequence, outcome, live, again, difference),
        )
        journal.connection.execute(
            "DELETE FROM audits WHERE outcome = 'equal' AND id <= (SELECT max(id) FROM audits) - ?",
            (_KEPT_AUDITS,),
        )

    return work
