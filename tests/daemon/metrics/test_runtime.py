"""Jobs, audits, commits, errors, requests and the loop probe: one fact in, the right series up."""

import asyncio
import os
import threading
import time
from collections import deque
from pathlib import Path

import pytest

from papertape.daemon.metrics import Metrics, Scope, runtime
from papertape.engine.errors import DataError, InvariantError
from papertape.replay.runtime.loops import PacedLoop
from tests.support.metric_values import value
from tests.support.virtual_time import VirtualTimeLoop

SCOPE = Scope(
    symbols=("BTCUSD",),
    base_timeframe="1m",
    timeframe="15m",
    currency="USD",
    jobs=("audit", "backup"),
    workers=("audit",),
    endpoints=(("GET", "/status"), ("POST", "/api/v1/commands/{command}")),
)
START_S = 1_700_000_000.0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(SCOPE, START_S)


def test_only_a_good_run_of_a_job_moves_its_last_success(metrics: Metrics) -> None:
    metrics.on_job("backup", "ok", 2.5, START_S + 10.0)
    metrics.on_job("backup", "failed", 0.5, START_S + 20.0)
    metrics.on_job("backup", "missed")

    for outcome in ("ok", "failed", "missed"):
        assert value(metrics, "job_runs_total", job_name="backup", outcome=outcome) == 1.0
    assert value(metrics, "job_last_success_timestamp_seconds", job_name="backup") == START_S + 10
    assert value(metrics, "job_last_success_timestamp_seconds", job_name="audit") == START_S
    assert value(metrics, "job_duration_seconds_count", job_name="backup") == 2.0
    assert value(metrics, "job_duration_seconds_sum", job_name="backup") == 3.0


class Counts:
    """A scheduler's counters, as the journal keeps them over restarts."""

    def __init__(self, runs: dict[tuple[str, str], int], last_success_ms: dict[str, int]) -> None:
        self.runs, self.last_success_ms = runs, last_success_ms
        self.durations_s: deque[tuple[str, float]] = deque()


def test_a_schedulers_counters_are_followed_from_where_they_stood(metrics: Metrics) -> None:
    counts = Counts({("audit", "done"): 40, ("audit", "failed"): 2}, {"audit": 1_600_000_000_500})
    metrics.on_jobs(counts)
    assert value(metrics, "job_runs_total", job_name="audit", outcome="ok") == 0.0
    assert value(metrics, "job_last_success_timestamp_seconds", job_name="audit") == 1_600_000_000.5

    counts.runs.update({("audit", "done"): 43, ("audit", "missed"): 1, ("unheard", "done"): 9})
    counts.last_success_ms["audit"] = 1_700_000_000_000
    counts.durations_s.extend([("audit", 0.5), ("unheard", 9.0), ("audit", 1.5)])
    for _ in range(2):
        metrics.on_jobs(counts)

    assert value(metrics, "job_runs_total", job_name="audit", outcome="ok") == 3.0
    assert value(metrics, "job_runs_total", job_name="audit", outcome="failed") == 0.0
    assert value(metrics, "job_runs_total", job_name="audit", outcome="missed") == 1.0
    assert value(metrics, "job_last_success_timestamp_seconds", job_name="audit") == 1_700_000_000.0
    assert value(metrics, "job_last_success_timestamp_seconds", job_name="backup") == START_S
    assert value(metrics, "job_duration_seconds_count", job_name="audit") == 2.0
    assert value(metrics, "job_duration_seconds_sum", job_name="audit") == 2.0


def test_an_audit_that_failed_does_not_count_as_a_check(metrics: Metrics) -> None:
    metrics.on_audit("match", START_S + 60.0)
    metrics.on_audit("error", START_S + 120.0)

    assert value(metrics, "parity_checks_total", outcome="match") == 1.0
    assert value(metrics, "parity_checks_total", outcome="error") == 1.0
    assert value(metrics, "parity_last_check_timestamp_seconds") == START_S + 60.0


def test_divergences_name_the_record(metrics: Metrics) -> None:
    found = [("BTCUSD", "fill"), ("BTCUSD", "wing"), ("GONE", "fill")]

    metrics.on_audit("diverged", START_S, found, -12.5)

    assert value(metrics, "parity_divergences_total", symbol="BTCUSD", field="fill") == 1.0
    assert value(metrics, "parity_divergences_total", symbol="BTCUSD", field="other") == 1.0
    assert value(metrics, "parity_pnl_difference", currency="USD") == -12.5


def test_commits_are_counted_and_timed(metrics: Metrics) -> None:
    metrics.on_journal_commit(0.004)
    metrics.on_journal_commit(0.3, ok=False)

    assert value(metrics, "journal_commits_total", outcome="ok") == 1.0
    assert value(metrics, "journal_commits_total", outcome="failed") == 1.0
    assert value(metrics, "journal_commit_duration_seconds_bucket", le="0.005") == 1.0
    assert value(metrics, "journal_commit_duration_seconds_count") == 2.0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DataError("bad"), "DataError"),
        (InvariantError("broken"), "InvariantError"),
        (ConnectionResetError(), "ConnectionError"),  # the nearest class that is listed
        (FileNotFoundError(), "OSError"),
        (TimeoutError(), "TimeoutError"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), "ValueError"),
        (KeyError("x"), "other"),
    ],
)
def test_errors_are_counted_by_the_nearest_known_class(
    metrics: Metrics, error: BaseException, kind: str
) -> None:
    metrics.on_error("feed", error)

    assert value(metrics, "errors_total", component="feed", kind=kind) == 1.0


def test_a_component_that_nobody_declared_is_a_mistake_and_no_series(metrics: Metrics) -> None:
    with pytest.raises(KeyError):
        metrics.on_error("kitchen", KeyError("x"))


def test_requests_outside_the_declared_endpoints_are_other(metrics: Metrics) -> None:
    metrics.on_request("GET", "/status", 200, 0.002)
    metrics.on_request("GET", "/wp-admin.php", 404, 0.001)
    metrics.on_request("BREW", "/status", 418, 0.001)

    assert value(metrics, "http_requests_total", method="GET", route="/status", status="200") == 1.0
    other = {"method": "other", "route": "other"}
    assert value(metrics, "http_requests_total", **other, status="404") == 1.0
    assert value(metrics, "http_requests_total", **other, status="other") == 1.0
    assert value(metrics, "http_request_duration_seconds_count", **other) == 2.0


def test_small_facts_have_their_counters(metrics: Metrics) -> None:
    metrics.on_log("error")
    metrics.on_task_restart("feed")
    metrics.on_dropped("candles", 3)
    metrics.set_ready(True)

    assert value(metrics, "log_messages_total", level="error") == 1.0
    assert value(metrics, "task_restarts_total", task="feed") == 1.0
    assert value(metrics, "queue_dropped_total", queue="candles") == 3.0
    assert value(metrics, "ready") == 1.0


def test_what_is_watched_is_read_at_every_refresh(metrics: Metrics) -> None:
    waiting = [1, 2, 3]
    metrics.watch("queue_depth", lambda: float(len(waiting)), "candles")
    metrics.watch_worker("audit", os.getpid())

    metrics.refresh()
    before = value(metrics, "queue_depth", queue="candles")
    waiting.pop()
    metrics.refresh()

    assert before == 3.0
    assert value(metrics, "queue_depth", queue="candles") == 2.0
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    resident = value(metrics, "worker_resident_memory_bytes", worker="audit")
    assert resident == pytest.approx(pages * os.sysconf("SC_PAGESIZE"), rel=0.2)


def test_what_is_counted_elsewhere_is_read_before_a_scrape(metrics: Metrics) -> None:
    counts = Counts({("audit", "done"): 1}, {})
    metrics.on_jobs(counts)
    metrics.before_scrape(lambda: metrics.on_jobs(counts))

    counts.runs["audit", "done"] = 6
    metrics.refresh()
    metrics.refresh()

    assert value(metrics, "job_runs_total", job_name="audit", outcome="ok") == 5.0


def test_a_worker_that_is_gone_uses_no_memory(metrics: Metrics) -> None:
    metrics.watch_worker("audit", 2**22 + 1)  # beyond the largest process id of Linux

    metrics.refresh()

    assert value(metrics, "worker_resident_memory_bytes", worker="audit") == 0.0


def test_the_probe_measures_how_late_the_loop_is(metrics: Metrics) -> None:
    loop = VirtualTimeLoop()

    async def watch() -> None:
        probe = asyncio.create_task(metrics.probe_loop())
        await asyncio.sleep(1.05)
        # The loop stands still for 0.2 s of its time, as a blocking call would make it.
        loop._jumping.jumped_s += 0.2
        await asyncio.sleep(0.3)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)

    try:
        loop.run_until_complete(watch())
    finally:
        loop.close()

    lag = "event_loop_lag_seconds"
    assert value(metrics, f"{lag}_count") >= 12.0
    # Due at 1.1 s, woken at 1.25 s: late by 0.15 s, and no other was late.
    assert value(metrics, f"{lag}_count") - value(metrics, f"{lag}_bucket", le="0.1") == 1.0
    assert value(metrics, f"{lag}_sum") == pytest.approx(0.15, abs=1e-6)
    assert value(metrics, "event_loop_tasks") == 2.0


def test_at_speed_a_timer_of_the_machine_measures_it(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop whose hours pass in no time: only what the machine's timer waits for it is its lag."""

    def sleeps(_: float) -> float:
        time.sleep(0.001)  # a loop that is never without a call has no time that passes
        return time.perf_counter() - 0.2

    monkeypatch.setattr(runtime, "_slept", sleeps)

    async def watch() -> None:
        probe = asyncio.create_task(metrics.probe_loop(is_paced=True))
        for _ in range(100_000):
            await asyncio.sleep(3600.0)
            if value(metrics, f"{lag}_count") >= 3.0:
                break
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)

    lag = "event_loop_lag_seconds"
    with asyncio.Runner(loop_factory=lambda: PacedLoop(1e9)) as runner:
        runner.run(watch())

    assert value(metrics, f"{lag}_bucket", le="0.1") == 0.0
    assert 0.6 <= value(metrics, f"{lag}_sum") < 3600.0


def test_the_timer_of_the_machine_holds_no_time_still(
    metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop whose time stands still while its threads work: a soak of hours stood before its first candle."""
    is_over, told = threading.Event(), list[bool]()

    def sleeps(_: float) -> float:
        if told == [False]:
            raise TimeoutError  # the fault is seen; let the loop's time pass
        told.append(is_over.wait(2.0))
        time.sleep(0.001)
        return time.perf_counter()

    monkeypatch.setattr(runtime, "_slept", sleeps)

    async def watch() -> None:
        probe = asyncio.create_task(metrics.probe_loop(is_paced=True))
        await asyncio.sleep(3600.0)
        is_over.set()
        while not told:  # noqa: ASYNC110 # a thread of no loop says so
            await asyncio.sleep(1.0)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(watch())

    assert told[0]
