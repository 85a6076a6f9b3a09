"""
The composition root: from a configuration and a way to open a feed to a running daemon, in this order:

    lock ─ journal (made, or brought forward) ─ recovery ─ writer ─ feed, opened behind the newest candle ─ daemon
                                                                     └ calendar: retraining, watch on drift
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager

from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-untyped] # it ships no types
from apscheduler.triggers.interval import IntervalTrigger  # type: ignore[import-untyped] # it ships no types

from papertape.daemon.chapters.chapter import Chapter
from papertape.daemon.chapters.opening import Opening, refuse_at_first
from papertape.daemon.feeds.candle_schedule import Calendar, Interlude
from papertape.daemon.feeds.journalled import JournalledFeed, Tables
from papertape.daemon.feeds.protocol import FeedSource, FeedStart, FeedStats, Notice, OnNotice
from papertape.daemon.feeds.series import told_until
from papertape.daemon.journal import NAME, InlineWriter, Journal, ThreadWriter, Writer
from papertape.daemon.journal.archive import remove_unfinished
from papertape.daemon.journal.export import identity_of
from papertape.daemon.journal.identity import Identity, refuse_held, same_account
from papertape.daemon.learning.drift import DriftWatch
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.retraining import Retraining
from papertape.daemon.learning.shadow_watch import ShadowWatch
from papertape.daemon.learning.trainer import ProcessTrainer, ThreadTrainer, Trainer
from papertape.daemon.runtime import maintenance
from papertape.daemon.runtime.audit import Auditor, last_finding
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon, snapshot_work, wall_ms
from papertape.daemon.runtime.jobs import Job, Jobs, Pace, stats_of
from papertape.daemon.runtime.lock import only_one
from papertape.daemon.runtime.recovery import Recovered, begin, limit_of, recover
from papertape.daemon.runtime.strategy_faults import StrategyFaults
from papertape.daemon.runtime.upgrade.edited_code import keep_digests, refuse_edited
from papertape.engine.core import Engine
from papertape.engine.errors import PapertapeError
from papertape.replay.learning.settings import cadence_of, settings_of
from papertape.replay.runtime.loops import freezing

OpenFeed = Callable[[FeedStart], AbstractAsyncContextManager[FeedSource]]


async def serve(
    identity: Identity,
    open_feed: OpenFeed,
    hooks: Hooks | None = None,
    *,
    is_virtual: bool = False,
    has_jobs: bool | None = None,
    chapter: Opening | None = None,
) -> RunningDaemon:
    """
    Run a daemon on its state directory until it ends, and return it as it stood then.

    chapter     begins here, where the configuration decides otherwise than the account did so far
    is_virtual  time is a test's or the local exchange's: commits are made in the loop
    has_jobs    whether jobs are done, by the feed's clock where time is virtual; None: where it is not

    Raises DataError when another daemon holds the directory, ConfigError when it is about another account,
    InvariantError when the journal is damaged.
    """
    hooks = hooks or Hooks()
    state = identity.config.daemon.state
    if not (state / NAME).is_file():
        _refuse_at_first(identity, chapter)  # before there is a folder of it
    with only_one(state), _first_error():
        remove_unfinished(state)
        ModelStore(state / "models").tidy()
        with _closing_on_error(Journal.open(state, wall_ms())) as journal:
            account, recovered = _recover(journal, identity, hooks, chapter)
            job_stats, finding = stats_of(journal), last_finding(journal)
        make_writer = InlineWriter if is_virtual else ThreadWriter
        writer = make_writer(journal, hooks.on_commit)
        try:
            stats = FeedStats()
            on_notice = _notice_keeper(writer, hooks)
            async with open_feed(_feed_start(journal, account, recovered, stats, on_notice)) as source:
                engine, limit_ms = recovered.engine, limit_of(journal)
                feed = JournalledFeed(
                    source.feed,
                    engine,
                    writer,
                    journal,
                    source.now_ms,
                    limit_ms,
                    on_notice,
                    is_virtual=is_virtual,
                )
                tables = Tables(feed, engine, writer, limit_ms, recovered.closes)
                faults = StrategyFaults(engine, writer, hooks.on_fault)
                daemon = RunningDaemon(
                    state, account, engine, feed, tables, writer, source.now_ms, stats, job_stats, hooks, Auditor(state), faults, finding=finding
                )  # fmt: skip
                works = not is_virtual if has_jobs is None else has_jobs
                make_learning(daemon, journal, is_virtual=is_virtual, has_shadows=works)
                if works:
                    pace = Pace(source.now_ms, freezing()) if is_virtual else None
                    daemon.jobs = Jobs(make_jobs(daemon), writer, job_stats, wall_ms, pace)
                with _stopping_on_signals(daemon):
                    await _run(daemon)
                return daemon
        finally:
            await writer.close()


async def _run(daemon: RunningDaemon) -> None:
    """Run a daemon to its end."""
    try:
        await daemon.run()
    finally:
        await daemon.auditor.close()


def _feed_start(
    journal: Journal, account: Identity, recovered: Recovered, stats: FeedStats, on_notice: OnNotice
) -> FeedStart:
    """Return what the feed is opened with: where the journal ends, and what it has heard of each symbol."""
    engine, symbols = recovered.engine, account.symbols
    closes = tuple(engine.positions["last_price"].tolist())
    settled = journal.settled_ms(engine.base_ms, len(symbols))
    settled_ms = dict(zip(symbols, settled, strict=bool(settled)))
    told = {name: said for name in symbols if (said := journal.told_market(name)) is not None}
    return FeedStart(
        symbols,
        recovered.after_ms,
        on_notice,
        stats,
        closes,
        account.dropped,
        settled_ms,
        told_until(engine),
        told,
    )


def make_learning(daemon: RunningDaemon, journal: Journal, *, is_virtual: bool, has_shadows: bool) -> None:
    """Give a daemon its retraining, shadow records and watch on drift; an account that uses no model has none of them."""
    account, engine, hooks = daemon.identity, daemon.engine, daemon.hooks
    if not account.config.signals.use_ml:
        return
    settings = settings_of(account.config, engine.spec)
    trainer: Trainer = ProcessTrainer(daemon.state, settings, account.config.data.store)
    models = ModelStore(daemon.state / "models")
    retraining = daemon.retraining = Retraining(
        journal,
        daemon.journal_feed,
        engine,
        daemon.writer,
        models,
        hooks.trainer or (ThreadTrainer(trainer) if is_virtual else trainer),
        cadence_of(account.config, engine.spec),
        settings.activation_delay_ms,
        wall_ms,
        on_news=hooks.on_retrain,
        on_trouble=hooks.on_trouble,
        waiting=freezing(),
    )
    parts: list[Interlude] = [retraining]
    if settings.check_bars:
        feed = daemon.journal_feed
        watch = daemon.watch = DriftWatch(
            journal,
            engine,
            daemon.writer,
            retraining,
            settings,
            lambda: feed.is_warming,
            wall_ms,
            hooks.on_look,
        )
        retraining.tell(watch.on_retrain)
        parts.append(watch)
    daemon.journal_feed.calendar = Calendar(parts)
    if has_shadows:
        daemon.shadows = ShadowWatch(
            daemon.state,
            daemon.writer,
            models,
            settings.symbols,
            engine.length_ms,
            settings,
            hooks.on_shadows,
            hooks.on_trouble,
        )
        retraining.tell(daemon.shadows.on_retrain)


def make_jobs(daemon: RunningDaemon) -> list[Job]:
    """Return the jobs of a daemon with their times."""
    state, writer, settings = daemon.state, daemon.writer, daemon.identity.config.daemon

    async def backup() -> str:
        return await maintenance.backup(state, wall_ms())

    async def compaction() -> str:
        return await maintenance.compaction(state, writer, settings.keep_days)

    async def summary() -> str:
        return await maintenance.day_summary(state, writer)

    def every(seconds: float) -> IntervalTrigger:
        return IntervalTrigger(seconds=max(1, round(seconds)), timezone="UTC")

    def daily(minute: int) -> CronTrigger:
        return CronTrigger(hour=0, minute=minute, timezone="UTC")

    return [
        Job("snapshot", every(settings.snapshot_every_s), daemon.snapshot),
        Job("audit", every(settings.audit_every_s), daemon.audit),
        Job("summary", daily(5), summary),
        Job("backup", daily(20), backup),
        Job("compaction", daily(40), compaction),
    ]


def _recover(
    journal: Journal, identity: Identity, hooks: Hooks, chapter: Opening | None
) -> tuple[Identity, Recovered]:
    """Begin a journal, or return the account and engine of one that has begun, a chapter of it if one is asked for."""
    told: list[str] = []
    if journal.meta("identity") is None:
        _refuse_at_first(identity, chapter)
        journal.commit([begin(identity)])
        account = identity
    else:
        kept = identity_of(journal)
        identity = identity.counted_as(kept)
        begun = None if chapter is None else chapter.ready(journal, kept, identity)
        if begun is not None:
            told += _open_chapter(journal, begun, hooks)
            kept = begun.after
        told += same_account(kept, identity)
        # Everything that decides is equal; the rest may change at any start.
        account = kept._replace(config=identity.config)
    recovered = _recovered(journal, hooks)
    told = [*told, *refuse_held(account, recovered.engine)]
    _keep_stepped(journal, recovered, account)
    recovered = recovered._replace(told=tuple(dict.fromkeys([*told, *recovered.told])))
    hooks.on_recovered(recovered)
    return account, recovered


def _refuse_at_first(identity: Identity, chapter: Opening | None) -> None:
    """Raise for what cannot begin an account: a chapter, and what no engine can be built of."""
    refuse_at_first(chapter)
    Engine(identity.spec)


def _open_chapter(journal: Journal, chapter: Chapter, hooks: Hooks) -> list[str]:
    """
    Commit a chapter behind the journal's last input; return it and what recovery told; an engine sees it when it recovers.

    What is before it is written down first, so that nothing but the chapter itself is left to be stepped.
    """
    recovered = _recovered(journal, hooks)
    refuse_held(chapter.after, recovered.engine)
    _keep_stepped(journal, recovered, chapter.after)
    journal.commit([lambda j: chapter.add(j, wall_ms())])
    return [*recovered.told, str(chapter)]


def _recovered(journal: Journal, hooks: Hooks) -> Recovered:
    """Return the engine after the last input, unless a user's code that was edited would write something else of it."""
    digests = refuse_edited(journal)
    recovered = recover(journal, hooks.on_progress, hooks.on_compile)
    keep_digests(journal, digests)
    return recovered


def _keep_stepped(journal: Journal, recovered: Recovered, account: Identity) -> None:
    """Commit a snapshot of what recovery had to step, so that it need not be stepped again, whatever ends this start."""
    if recovered.stepped:
        keep = account.config.daemon.keep_snapshots
        journal.commit([snapshot_work(recovered.engine, journal.sequence, wall_ms(), keep)])


def _notice_keeper(writer: Writer, hooks: Hooks) -> OnNotice:
    """Return what keeps every notice of the feed in the journal and passes it on."""

    def keep(notice: Notice) -> None:
        row = (notice.time_ms, notice.kind.value, *notice[2:])
        writer.post(
            lambda journal: journal.connection.execute(
                "INSERT INTO notices (time_ms, kind, symbol, open_ms, value, detail) VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
        )
        hooks.on_notice(notice)

    return keep


@contextmanager
def _closing_on_error(journal: Journal) -> Iterator[Journal]:
    try:
        yield journal
    except BaseException:
        journal.close()
        raise


@contextmanager
def _stopping_on_signals(daemon: RunningDaemon) -> Iterator[None]:
    """Stop after the candle at the first SIGTERM or SIGINT, at once at the second: the journal is whole at any time."""
    loop, seen = asyncio.get_running_loop(), False

    def on_signal(number: int) -> None:
        nonlocal seen
        if seen:
            os._exit(128 + number)
        seen = True
        daemon.stop()

    # In another thread whoever runs the loop there stops it.
    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def _first_error() -> Iterator[None]:
    """Raise the error that ended a task group by itself; of several, ours before others."""
    try:
        yield
    except BaseExceptionGroup as group:
        leaves = list(_leaves(group))
        ours = [error for error in leaves if isinstance(error, PapertapeError)]
        raise (ours or leaves)[0] from group


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


__all__ = ["OpenFeed", "make_jobs", "serve"]
