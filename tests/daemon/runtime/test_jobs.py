"""Jobs run at their times, one at a time, and the journal knows how each went; the audit finds what differs."""

import asyncio
import hashlib
import sqlite3
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from papertape.daemon.app import serve
from papertape.daemon.journal import InlineWriter, Journal
from papertape.daemon.monitoring.model_observer import ModelObserver
from papertape.daemon.runtime.audit import Auditor
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.jobs import Job, Jobs, JobStats, is_overdue, stats_of
from papertape.daemon.runtime.maintenance import backup, day_summary
from papertape.daemon.runtime.restep import Again, Difference
from papertape.engine.candles import DAY_MS, FLAG_ABSENT
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from tests.support.journals import candles, filled, identity, recorded, until

ROWS = candles(800)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def runs(state: Path) -> list[Any]:
    with Journal.read(state) as journal:
        return journal.all("SELECT job, outcome, cause, detail FROM job_runs ORDER BY id")


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        ("2024-05-01 00:20:03", "2024-05-02 00:19:59", False),
        ("2024-05-01 00:20:03", "2024-05-02 00:20:00", True),
        ("2024-05-01 00:20:03", "2024-05-09 12:00:00", True),
    ],
)
def test_a_daily_job_is_overdue_once_its_time_has_passed(last: str, now: str, expected: bool) -> None:
    trigger = CronTrigger(hour=0, minute=20, timezone="UTC")

    assert is_overdue(trigger, at(last), at(now)) is expected
    assert not is_overdue(trigger, None, at(now))  # never ran: it waits for its time


def test_an_interval_is_overdue_after_its_length() -> None:
    trigger = IntervalTrigger(seconds=300, timezone="UTC")

    assert not is_overdue(trigger, at("2024-05-01 10:00:00"), at("2024-05-01 10:04:59"))
    assert is_overdue(trigger, at("2024-05-01 10:00:00"), at("2024-05-01 10:05:01"))


@pytest.mark.asyncio
async def test_a_bell_is_rung_in_the_loop_and_in_no_thread_of_the_scheduler(tmp_path: Path) -> None:
    """A bell is an asyncio.Queue: rung from a thread it may wake nobody, or somebody who is just being cancelled."""
    rung: list[int] = []
    is_done = asyncio.Event()

    async def work() -> str:
        is_done.set()
        return ""

    class Heard(Jobs):
        def ring(self, name: str, cause: str = "schedule") -> None:
            rung.append(threading.get_ident())
            super().ring(name, cause)

    at_once = DateTrigger(datetime.now(UTC))
    writer = InlineWriter(Journal.open(tmp_path, 0))
    jobs = Heard([Job("one", at_once, work)], writer, JobStats(), lambda: 0)
    running = asyncio.create_task(jobs.run())
    await is_done.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await writer.close()

    assert rung == [threading.get_ident()]


@pytest.mark.asyncio
async def test_jobs_run_and_the_journal_knows_how_each_went(tmp_path: Path) -> None:
    never = CronTrigger(year=2999, timezone="UTC")
    journal = Journal.open(tmp_path, 0)
    first, release, failed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        first.set()
        await release.wait()
        return "seven things"

    async def bad() -> str:
        failed.set()
        raise OSError(28, "No space left on device")

    async def work() -> JobStats:
        # Last night's run is missing: it is made up for at the start.
        stats = JobStats(last_success_ms={"slow": at("2024-05-01 00:20:00")})
        daily = CronTrigger(hour=0, minute=20, timezone="UTC")
        jobs = Jobs(
            [Job("slow", daily, slow), Job("bad", never, bad)],
            InlineWriter(journal),
            stats,
            lambda: at("2024-05-03 09:00:00"),
        )
        task = asyncio.ensure_future(jobs.run())
        await asyncio.wait_for(first.wait(), 10)
        jobs.ring("slow")  # while it runs: missed
        jobs.ring("bad", "request")
        await asyncio.wait_for(failed.wait(), 10)
        release.set()
        await until(lambda: stats.runs.total() == 3)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return stats

    started_s = time.monotonic()
    stats = await work()
    took_s = time.monotonic() - started_s
    journal.close()

    assert sorted(runs(tmp_path)) == [
        ("bad", "failed", "request", "[Errno 28] No space left on device"),
        ("slow", "done", "catch_up", "seven things"),
        ("slow", "missed", "schedule", "the run before it is not over"),
    ]
    assert stats.runs == {("slow", "done"): 1, ("slow", "missed"): 1, ("bad", "failed"): 1}
    assert [name for name, _ in stats.durations_s] == ["bad", "slow"]
    assert all(0.0 <= seconds <= took_s for _, seconds in stats.durations_s)
    with Journal.open(tmp_path, 0) as journal:
        again = stats_of(journal)
    assert again.runs == stats.runs
    assert again.last_success_ms == {"slow": at("2024-05-03 09:00:00")}


def test_a_run_that_a_kill_cut_off_has_failed(tmp_path: Path) -> None:
    with Journal.open(tmp_path, 0) as journal:
        journal.commit(
            [
                lambda j: j.connection.execute(
                    "INSERT INTO job_runs (job, started_ms, outcome, detail) VALUES ('backup', 5, 'running', '')"
                )
            ]
        )
        stats = stats_of(journal)

    assert runs(tmp_path) == [("backup", "failed", "schedule", "the daemon ended meanwhile")]
    assert stats.runs == {("backup", "failed"): 1}
    assert stats.last_success_ms == {}


@pytest.mark.asyncio
async def test_a_bug_in_a_job_ends_the_daemon(tmp_path: Path) -> None:
    async def buggy() -> str:
        raise ZeroDivisionError

    async def work() -> None:
        jobs = Jobs(
            [Job("buggy", CronTrigger(year=2999, timezone="UTC"), buggy)],
            InlineWriter(Journal.open(tmp_path, 0)),
            JobStats(),
            lambda: 0,
        )
        jobs.ring("buggy")
        await asyncio.wait_for(jobs.run(), 10)

    with pytest.raises(ExceptionGroup) as caught:
        await work()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


def test_every_whole_day_gets_its_summary(tmp_path: Path) -> None:
    rows = ROWS.copy()
    rows["flag_bits"][200:230] = FLAG_ABSENT  # second day: candles 192 … 383
    filled(tmp_path, rows)
    engine = Engine(identity().spec)
    report = engine.step(rows)

    with Journal.open(tmp_path, 0) as journal:
        writer = InlineWriter(journal)
        said = [asyncio.run(day_summary(tmp_path, writer)) for _ in range(2)]
        days = journal.all("SELECT * FROM days ORDER BY day")

    # 800 quarters of an hour are eight days and eight hours
    assert said == ["8 days", "no new day is over"]
    start_ms = int(rows["open_ms"][0])
    for number, row in enumerate(days):
        first, end = start_ms + number * DAY_MS, start_ms + (number + 1) * DAY_MS
        trades = report.trades[(report.trades["exit_ms"] >= first) & (report.trades["exit_ms"] < end)]
        marks = report.marks[report.marks["time_ms"] == end]
        decisions = (report.decisions["time_ms"] > first) & (report.decisions["time_ms"] <= end)
        assert row == (
            f"2020-01-0{number + 1}",
            marks["equity"][0],
            trades["pnl"].sum(),
            len(trades),
            (trades["pnl"] > 0).sum(),
            trades["fees"].sum(),
            decisions.sum(),
            0,
            30 if number == 1 else 0,
        )
    assert sum(row[3] for row in days) > 5


def test_a_backup_job_tells_what_it_wrote(tmp_path: Path) -> None:
    filled(tmp_path, ROWS[:200])

    said = asyncio.run(backup(tmp_path, at("2024-05-01 10:20:30")))

    path = tmp_path / "backup" / "journal-20240501T102030.db"
    assert said == f"journal-20240501T102030.db: {path.stat().st_size:,} bytes"


def audits(state: Path) -> list[Any]:
    with Journal.read(state) as journal:
        return journal.all("SELECT sequence, outcome, detail FROM audits ORDER BY id")


@pytest.mark.asyncio
async def test_an_audit_process_that_was_killed_is_told_with_its_signal(tmp_path: Path) -> None:
    auditor = Auditor(tmp_path)
    process = await auditor._child()
    process.kill()

    with pytest.raises(DataError, match=r"^audit: the process was killed by signal 9 \(SIGKILL, as"):
        await auditor.check(20, "", "")


def test_the_audit_process_agrees_and_finds_the_first_record_that_differs(tmp_path: Path) -> None:
    engine = filled(tmp_path, ROWS)  # 40 inputs
    half = Engine(identity().spec)
    half.step(ROWS[:800])

    def question(stood: Engine) -> tuple[str, str]:
        return stood.digest, hashlib.sha256(stood.snapshot()).hexdigest()

    async def ask() -> list[Any]:
        auditor = Auditor(tmp_path)
        found = [
            await auditor.check(20, *question(half)),
            await auditor.check(40, *question(engine)),
            await auditor.check(40, "another", question(engine)[1]),
            await auditor.check(40, question(engine)[0], "another"),
        ]
        await auditor.close()
        return found

    first, second, digest, state = asyncio.run(ask())
    assert first.is_equal
    assert second.is_equal
    assert (second.sequence, second.digest_again) == (40, engine.digest)
    assert "input 40, digest: the daemon has another" in digest.difference
    assert state.difference == "input 40: the records are equal, the state of the engine is not"

    connection = sqlite3.connect(tmp_path / "journal.db")
    with connection:
        number, value = connection.execute("SELECT sequence, cash FROM fills LIMIT 1 OFFSET 2").fetchone()
        connection.execute("UPDATE fills SET cash = cash + 1 WHERE sequence = ?", (number,))
    connection.close()
    with Journal.read(tmp_path) as journal:
        difference = list(Again(tmp_path, journal).advance(40))[-1]
    assert isinstance(difference, Difference)
    assert str(difference).endswith(
        f"fills {number}, field cash: the daemon has {value + 1}, stepped again it is {value}"
    )


@pytest.mark.asyncio
@pytest.mark.parametrize("halts", [True, False])
async def test_a_divergence_is_journalled_told_and_halts_trading_if_so_configured(
    tmp_path: Path, halts: bool
) -> None:
    findings = []
    said: list[str] = []

    async def spoil(daemon: RunningDaemon) -> None:
        await until(lambda: daemon.tables.stepped >= 20)
        if halts:  # one of the two is enough: each audit here starts a process
            said.append(await daemon.audit())
        connection = sqlite3.connect(tmp_path / "journal.db")
        with connection:
            connection.execute("UPDATE decisions SET confidence = 9 WHERE input > 20 OR sequence = 0")
        connection.close()
        await daemon.auditor.close()
        with pytest.raises(DataError, match=r"decisions 0, field confidence: the daemon has 9\.0"):
            await daemon.audit()
        said.append(str(daemon.status()["is_paused"]))
        go.set()

    async def hold(instant: int) -> None:
        if instant == 400:
            await go.wait()

    go = asyncio.Event()
    about = identity(daemon={"state": str(tmp_path), "halt_on_divergence": halts})
    hooks = Hooks(services=[spoil_service(spoil)], on_finding=findings.append)
    first = await serve(about, recorded(ROWS, hold=hold), hooks, is_virtual=True)
    again = await serve(about, recorded(ROWS), is_virtual=True)

    for daemon in (first, again):  # the reason outlives the process that found it
        assert ModelObserver.halted(None, daemon) == (("manual", "divergence") if halts else ())  # type: ignore[arg-type]
    assert said == (["equal up to input 20", "True"] if halts else ["False"])
    assert [finding.is_equal for finding in findings] == ([True, False] if halts else [False])
    expected = [(20, "equal"), (20, "differs")]
    assert [(row[0], row[1]) for row in audits(tmp_path)] == expected[0 if halts else 1 :]


def spoil_service(work: Any) -> Any:
    async def service(daemon: RunningDaemon) -> None:
        await work(daemon)
        await asyncio.Event().wait()

    return service
