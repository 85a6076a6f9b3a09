"""
Work that is done at times: APScheduler says when, the daemon's own tasks do it.

Where time is the local exchange's, its triggers are asked by that clock instead, which stands still while a job is done.

The scheduler lives in memory, in UTC, coalesces what was missed into one run, and calls nothing but a function that
rings a bell; one task per job waits for its bell, so a job never runs twice at once and its failure is seen. When
each job last began and last succeeded is in the journal, and from that follows at the start what is overdue.
"""

import asyncio
import logging
import math
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from apscheduler.events import EVENT_JOB_MISSED, JobExecutionEvent  # type: ignore[import-untyped] # it ships no types
from apscheduler.schedulers.asyncio import AsyncIOScheduler  # type: ignore[import-untyped] # it ships no types
from apscheduler.triggers.base import BaseTrigger  # type: ignore[import-untyped] # it ships no types

from papertape.daemon.journal import Journal, Work, Writer
from papertape.engine.errors import PapertapeError

MISFIRE_GRACE_S: Final = 30  # a bell that could not be rung within this is a missed run
_KEPT_RUNS: Final = 1000  # per job; older rows go
_KEPT_DURATIONS: Final = 1000  # of all jobs, where nobody takes them


class Job(NamedTuple):
    """
    Something to be done at times.

    run  does it and returns what is worth telling about it
    """

    name: str
    trigger: BaseTrigger
    run: Callable[[], Awaitable[str]]


@dataclass(slots=True)
class JobStats:
    """
    What jobs did: runs by (job, outcome), and how and when each last began and last succeeded, in ms.

    durations_s  (job, seconds) of the runs that have ended in this process, for whoever takes them out
    """

    runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_start_ms: dict[str, int] = field(default_factory=dict)
    last_success_ms: dict[str, int] = field(default_factory=dict)
    last_outcome: dict[str, str] = field(default_factory=dict)
    durations_s: deque[tuple[str, float]] = field(default_factory=lambda: deque(maxlen=_KEPT_DURATIONS))


def stats_of(journal: Journal) -> JobStats:
    """Return what the journal knows of earlier runs, and close those that a kill left open."""
    journal.commit(
        [
            lambda j: j.connection.execute(
                "UPDATE job_runs SET outcome = 'failed', detail = 'the daemon ended meanwhile' "
                "WHERE outcome = 'running'"
            )
        ]
    )
    stats = JobStats()
    for job, outcome, runs, started_ms, ended_ms in journal.all(
        "SELECT job, outcome, count(*), max(started_ms), max(ended_ms) FROM job_runs GROUP BY 1, 2"
    ):
        stats.runs[job, outcome] = runs
        stats.last_start_ms[job] = max(started_ms, stats.last_start_ms.get(job, 0))
        if outcome == "done":
            stats.last_success_ms[job] = ended_ms
    for job, outcome, _ in journal.all("SELECT job, outcome, max(id) FROM job_runs GROUP BY job"):
        stats.last_outcome[job] = outcome
    return stats


def is_overdue(trigger: BaseTrigger, last_success_ms: int | None, now_ms: int) -> bool:
    """Return whether a run was due between its last success and now; a job that never ran waits for its time."""
    if last_success_ms is None:
        return False
    last = datetime.fromtimestamp(last_success_ms / 1000.0, UTC)
    due = trigger.get_next_fire_time(last, last)
    return due is not None and due.timestamp() * 1000.0 <= now_ms


def next_run(trigger: BaseTrigger, now_ms: int) -> int | None:
    """Return when a job is due next after a time of any clock, in ms; None: never."""
    now = datetime.fromtimestamp(now_ms / 1000.0, UTC)
    due = trigger.get_next_fire_time(now, now)
    return None if due is None else max(round(due.timestamp() * 1000.0), now_ms + 1)


class Pace(NamedTuple):
    """
    A clock that is not the machine's.

    now_ms      its time
    frozen      entered while a job is done
    at_least_s  by the machine's clock between two runs of a job: at 100,000 times the speed a minute is half a ms
    """

    now_ms: Callable[[], int]
    frozen: Callable[[], AbstractContextManager[Any]]
    at_least_s: float = 5.0


class Jobs:
    """
    The jobs of one daemon; `run` does them until it is cancelled.

    now_ms  the machine's clock, which the journal's times of runs go by
    pace    the clock that their times go by, when that is another one
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        writer: Writer,
        stats: JobStats,
        now_ms: Callable[[], int],
        pace: Pace | None = None,
    ) -> None:
        self.stats = stats
        self._jobs = {job.name: job for job in jobs}
        self._writer, self._now_ms, self._pace = writer, now_ms, pace
        self._bells = {job.name: asyncio.Queue[str](1) for job in jobs}
        self._running: set[str] = set()

    async def run(self) -> None:
        """Ring the bells at their times and answer them; first those that are overdue."""
        now_ms = self._now_ms()
        for name, job in self._jobs.items():
            if is_overdue(job.trigger, self.stats.last_success_ms.get(name), now_ms):
                self.ring(name, "catch_up")
        scheduler = None if self._pace is not None else self._schedule()
        try:
            async with asyncio.TaskGroup() as group:
                for job in self._jobs.values():
                    group.create_task(self._answer(job), name=f"job {job.name}")
                    if self._pace is not None:
                        group.create_task(self._ring_at_pace(job, self._pace))
        finally:
            if scheduler is not None:
                scheduler.shutdown(wait=False)

    def _schedule(self) -> AsyncIOScheduler:
        """Return a running scheduler by the machine's clock."""
        scheduler = AsyncIOScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": MISFIRE_GRACE_S},
        )
        # Two lines at info for every bell say less than the journal's one row.
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        scheduler.add_listener(self._on_missed, EVENT_JOB_MISSED)
        for name, job in self._jobs.items():
            scheduler.add_job(self._ring_here, job.trigger, args=[name], id=name)
        scheduler.start()
        return scheduler

    async def _ring_at_pace(self, job: Job, pace: Pace) -> None:
        """Ring a bell at its times by another clock; what comes too soon after the last run is passed over."""
        rung_s = -math.inf
        while True:
            now_ms = pace.now_ms()
            due = next_run(job.trigger, now_ms)
            if due is None:
                return
            await asyncio.sleep((due - now_ms) / 1000.0)
            is_free = job.name not in self._running and not self._bells[job.name].full()
            if is_free and time.monotonic() - rung_s >= pace.at_least_s:
                rung_s = time.monotonic()
                self.ring(job.name)

    def ring(self, name: str, cause: str = "schedule") -> None:
        """Ask for a run; one that is still going on or waiting makes this one a missed one."""
        if name in self._running or self._bells[name].full():
            self._missed(name, "the run before it is not over", cause)
        else:
            self._bells[name].put_nowait(cause)

    async def _ring_here(self, name: str) -> None:
        """Ring in the loop: what is no coroutine the scheduler calls in a thread, where no bell may be touched."""
        self.ring(name)

    def _on_missed(self, event: JobExecutionEvent) -> None:
        self._missed(event.job_id, f"due {event.scheduled_run_time:%Y-%m-%d %H:%M:%S}Z", "schedule")

    def _missed(self, name: str, detail: str, cause: str) -> None:
        now_ms = self._now_ms()
        self.stats.runs[name, "missed"] += 1
        self.stats.last_outcome[name] = "missed"
        self._writer.post(
            lambda journal: journal.connection.execute(
                "INSERT INTO job_runs (job, started_ms, ended_ms, outcome, detail, cause) VALUES (?, ?, ?, ?, ?, ?)",
                (name, now_ms, now_ms, "missed", detail, cause),
            )
        )

    async def _answer(self, job: Job) -> None:
        """Run a job each time its bell rings."""
        while True:
            cause = await self._bells[job.name].get()
            self._running.add(job.name)
            try:
                with nullcontext() if self._pace is None else self._pace.frozen():
                    await self.run_once(job, cause)
            finally:
                self._running.discard(job.name)

    async def run_once(self, job: Job, cause: str) -> str:
        """Run a job now and return its outcome; what it is refused is journalled, a bug of ours ends the daemon."""
        started_ms, started_s = self._now_ms(), time.monotonic()
        self.stats.last_start_ms[job.name] = started_ms
        number = await self._writer.submit(_started(job.name, started_ms, cause))
        try:
            detail, outcome = await job.run(), "done"
        except (PapertapeError, OSError, sqlite3.Error, TimeoutError) as error:
            detail, outcome = f"{error}" or type(error).__name__, "failed"
        ended_ms = self._now_ms()
        if outcome == "done":
            self.stats.last_success_ms[job.name] = ended_ms
        self.stats.runs[job.name, outcome] += 1
        self.stats.last_outcome[job.name] = outcome
        self.stats.durations_s.append((job.name, time.monotonic() - started_s))
        await self._writer.submit(
            lambda journal: journal.connection.execute(
                "UPDATE job_runs SET ended_ms = ?, outcome = ?, detail = ? WHERE id = ?",
                (ended_ms, outcome, detail, number),
            )
        )
        return outcome


def _started(name: str, started_ms: int, cause: str) -> Work[int]:
    def work(journal: Journal) -> int:
        cursor = journal.connection.execute(
            "INSERT INTO job_runs (job, started_ms, outcome, detail, cause) VALUES (?, ?, 'running', '', ?)",
            (name, started_ms, cause),
        )
        journal.connection.execute(
            "DELETE FROM job_runs WHERE job = ? AND id <= "
            "(SELECT id FROM job_runs WHERE job = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
            (name, name, _KEPT_RUNS),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    return work
