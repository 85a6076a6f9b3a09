"""From the process around the engine to its families: jobs, audits, commits, errors, requests, and the event loop."""

import asyncio
import contextlib
import resource
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

from papertape.daemon.metrics.operation_families import ERROR_KINDS, HTTP_STATUSES, OTHER, PARITY_FIELDS
from papertape.daemon.metrics.registry import Series

PROBE_S: Final = 0.1


class JobCounts(Protocol):
    """
    What a scheduler counts: runs by (job, outcome), and when each job last succeeded, ms since the epoch.

    durations_s  (job, seconds) of runs, which are taken out
    """

    @property
    def runs(self) -> Mapping[tuple[str, str], int]: ...

    @property
    def last_success_ms(self) -> Mapping[str, int]: ...

    @property
    def durations_s(self) -> deque[tuple[str, float]]: ...


class Runtime:
    """Takes single facts as they happen; every method is a few dictionary look-ups."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._jobs: dict[tuple[str, str], int] | None = None

    def on_job(
        self,
        job: str,
        outcome: Literal["ok", "failed", "missed"],
        seconds: float = 0.0,
        finished_s: float = 0.0,
    ) -> None:
        """
        Count a run of a scheduled job.

        seconds     wall time; not observed for a missed run
        finished_s  when it ended, seconds since the epoch; the last success when it went well
        """
        series = self._series
        series.counters("job_runs_total")[(job, outcome)].inc()
        if outcome != "missed":
            series.histograms("job_duration_seconds")[(job,)].observe(seconds)
        if outcome == "ok":
            series.gauges("job_last_success_timestamp_seconds")[(job,)].set(finished_s)

    def on_jobs(self, counts: JobCounts) -> None:
        """
        Add what a scheduler has counted since the last call, in place of `on_job`.

        Call it once before the jobs begin: what was counted in earlier processes is not counted again.
        """
        series, now = self._series, dict(counts.runs)
        before, self._jobs = now if self._jobs is None else self._jobs, now
        runs = series.counters("job_runs_total")
        for (job, outcome), n in now.items():
            key = (job, "ok" if outcome == "done" else outcome)
            if key in runs:
                runs[key].inc(max(n - before.get((job, outcome), 0), 0))
        for (job,), gauge in series.gauges("job_last_success_timestamp_seconds").items():
            if job in counts.last_success_ms:
                gauge.set(counts.last_success_ms[job] / 1000.0)
        durations = series.histograms("job_duration_seconds")
        while counts.durations_s:
            job, seconds = counts.durations_s.popleft()
            if (job,) in durations:
                durations[(job,)].observe(seconds)

    def on_audit(
        self,
        outcome: Literal["match", "diverged", "error"],
        finished_s: float,
        divergences: Iterable[tuple[str, str]] = (),
        pnl_difference: float = 0.0,
    ) -> None:
        """
        Count an audit.

        finished_s      seconds since the epoch
        divergences     (symbol, field): the record that differs first: decision, fill, trade, mark, state
        pnl_difference  live minus replayed equity at the last compared instant, quote
        """
        series = self._series
        series.counters("parity_checks_total")[(outcome,)].inc()
        if outcome == "error":
            return  # nothing was learned: the time of the last finished check keeps ageing
        series.gauges("parity_last_check_timestamp_seconds")[()].set(finished_s)
        series.measure("parity_pnl_difference", pnl_difference, series.scope.currency)
        for symbol, field in divergences:
            if symbol in series.symbols:
                key = (symbol, field if field in PARITY_FIELDS else OTHER)
                series.counters("parity_divergences_total")[key].inc()

    def on_journal_commit(self, seconds: float, ok: bool = True) -> None:
        """Count a commit and how long it took, fsync included."""
        outcome = "ok" if ok else "failed"
        self._series.counters("journal_commits_total")[(outcome,)].inc()
        self._series.histograms("journal_commit_duration_seconds")[()].observe(seconds)

    def on_error(self, component: str, error: BaseException) -> None:
        """Count an error that was handled, by the nearest known class it is of."""
        names = [kind.__name__ for kind in type(error).__mro__]
        kind = next((name for name in names if name in ERROR_KINDS), OTHER)
        self._series.counters("errors_total")[(component, kind)].inc()

    def on_log(self, level: str) -> None:
        """Count a log record of a level at warning or above."""
        self._series.counters("log_messages_total")[(level,)].inc()

    def on_task_restart(self, task: str) -> None:
        """Count a supervised task that was started again."""
        self._series.counters("task_restarts_total")[(task,)].inc()

    def on_dropped(self, queue: str, n: int = 1) -> None:
        """Count items that a full queue did not take."""
        self._series.counters("queue_dropped_total")[(queue,)].inc(n)

    def on_notified(self, outcome: Literal["sent", "failed", "dropped"], n: int) -> None:
        """Count lines for people by what became of them; any thread may."""
        self._series.counters("notifications_total")[(outcome,)].inc(n)

    def on_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the template, or `other` when none matched."""
        series = self._series
        endpoint = (method, route)
        if endpoint not in series.histograms("http_request_duration_seconds"):
            endpoint = (OTHER, OTHER)
        text = str(status) if str(status) in HTTP_STATUSES else OTHER
        series.counters("http_requests_total")[(*endpoint, text)].inc()
        series.histograms("http_request_duration_seconds")[endpoint].observe(seconds)

    def watch_worker(self, worker: str, pid: int) -> None:
        """Read the resident memory of a child process at every scrape; 0 when it is gone."""
        self._series.watch("worker_resident_memory_bytes", lambda: resident_bytes(pid), worker)


def resident_bytes(pid: int) -> float:
    """Return the resident memory of a process, 0 when there is none."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0.0
    return float(int(pages) * resource.getpagesize())


async def probe_loop(series: Series, is_paced: bool = False) -> None:
    """
    Measure for ever how late the event loop comes to a timer of 100 ms, and how many tasks live.

    is_paced  the loop's time is not the machine's: the timer is one of the machine's, which a thread keeps
    """
    late_by = _by_the_machine if is_paced else _by_the_loop
    lag, tasks = (series.histograms("event_loop_lag_seconds")[()], series.gauges("event_loop_tasks")[()])
    while True:
        lag.observe(max(await late_by(PROBE_S), 0.0))
        tasks.set(float(len(asyncio.all_tasks())))


async def _by_the_loop(interval_s: float) -> float:
    loop = asyncio.get_running_loop()
    due_s = loop.time() + interval_s
    await asyncio.sleep(interval_s)
    return loop.time() - due_s


async def _by_the_machine(interval_s: float) -> float:
    loop = asyncio.get_running_loop()
    woken_s: asyncio.Future[float] = loop.create_future()

    def wait() -> None:
        now_s = _slept(interval_s)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_tell, woken_s, now_s)

    # None of the loop's own threads: a loop whose time stands still while they work would never move on.
    threading.Thread(target=wait, name="papertape-timer", daemon=True).start()
    at_s = await woken_s
    return time.perf_counter() - at_s


def _tell(woken_s: asyncio.Future[float], now_s: float) -> None:
    if not woken_s.done():
        woken_s.set_result(now_s)


def _slept(interval_s: float) -> float:
    """Return when a timer of the machine went off."""
    time.sleep(interval_s)
    return time.perf_counter()
