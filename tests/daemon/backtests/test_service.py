"""The queue of backtests: bounded, in order, each in a process of its own, and nothing of it lost without a word."""

import asyncio
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from papertape.daemon.backtests.answers import BacktestState, ResultFile
from papertape.daemon.backtests.jobs import JobFolder
from papertape.daemon.backtests.results import _curve, _sizes
from papertape.daemon.backtests.service import (
    BacktestService,
    NoSuchBacktest,
    OtherRequest,
    QueueFull,
    _Process,
)
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.backtesting.run import load_tapes, run_backtest
from papertape.replay.config import Config, make_config
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize

CHILD = Path(__file__).parents[2] / "support" / "slow_child.py"
PLAIN: dict[str, Any] = {"strategy": {"name": "ema_cross"}}


def child(how: str) -> tuple[str, ...]:
    return (sys.executable, str(CHILD), how)


def own(**backtests: Any) -> Config:
    return make_config({"backtests": backtests})


def made(state: Path, how: str = "works", **backtests: Any) -> BacktestService:
    return BacktestService(own(**backtests), state / "backtests", lambda: 5, child(how))


@asynccontextmanager
async def working(service: BacktestService) -> AsyncIterator[BacktestService]:
    """Let a service work beside what is done here, and stop it as a daemon does."""
    task = asyncio.create_task(service.run())
    try:
        yield service
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(300.0):
        while not condition():  # noqa: ASYNC110 # what changes is another process
            await asyncio.sleep(0.01)


async def ended(service: BacktestService, number: int) -> BacktestState:
    open_states = (BacktestState.QUEUED, BacktestState.RUNNING)
    await until(lambda: service.job(number).state not in open_states)
    return service.job(number).state


async def refused(asked: Awaitable[Any], kind: type[Exception], match: str) -> None:
    with pytest.raises(kind, match=match):
        await asked


@pytest.mark.asyncio
async def test_jobs_run_in_order_and_their_results_are_found_after_a_restart(tmp_path: Path) -> None:
    async with working(made(tmp_path)) as service:
        for name in ("a", "b"):
            await service.start(name, PLAIN)
        assert [await ended(service, number) for number in (1, 2)] == [BacktestState.DONE] * 2
    again = made(tmp_path)

    jobs = again.jobs().jobs
    assert [(job.number, job.name, job.state.value) for job in jobs] == [(2, "b", "done"), (1, "a", "done")]
    assert (jobs[0].digest, jobs[0].step, jobs[0].done, jobs[0].total) == ("d" * 64, "replay", 3, 7)
    assert (again.result_folder(2) / "result.json").is_file()
    for number in (0, 3, 10**9):
        with pytest.raises(NoSuchBacktest, match="there is no backtest"):
            again.job(number)


@pytest.mark.asyncio
async def test_a_full_queue_refuses_and_a_job_that_waits_can_be_cancelled(tmp_path: Path) -> None:
    async with working(made(tmp_path, "waits", queue=2)) as service:
        await service.start("", PLAIN)
        await until(lambda: service.job(1).done == 3)
        await service.start("", PLAIN)
        await service.start("", PLAIN)
        await refused(service.start("", PLAIN), QueueFull, "2 backtests wait already")
        assert [job.state.value for job in service.jobs().jobs] == ["queued", "queued", "running"]
        assert (await service.cancel(2)).state is BacktestState.CANCELLED
        await service.start("", PLAIN)
        await service.cancel(1)
        assert await ended(service, 1) is BacktestState.CANCELLED
        await until(lambda: service.job(3).state is BacktestState.RUNNING)
        await refused(service.cancel(1), DataError, "backtest 1 is cancelled already")
        await refused(service.cancel(9), NoSuchBacktest, "there is no backtest 9")
        with pytest.raises(NoSuchBacktest, match="is running and has no result"):
            service.result_folder(3)


@pytest.mark.asyncio
async def test_what_ran_is_interrupted_and_what_waited_is_run_after_a_restart(tmp_path: Path) -> None:
    async with working(made(tmp_path, "waits")) as service:
        for _ in range(2):
            await service.start("", PLAIN)
        await until(lambda: service.job(1).done == 3)
    # As a kill leaves it: what was running is still written down as running.
    stopped = json.loads((tmp_path / "backtests" / "000001" / "job.json").read_text())
    assert stopped["job"]["state"] == "interrupted"
    stopped["job"] |= {"state": "running", "reason": ""}
    (tmp_path / "backtests" / "000001" / "job.json").write_text(json.dumps(stopped))
    (tmp_path / "backtests" / "000007").mkdir()  # a kill before the job was written

    async with working(made(tmp_path)) as again:
        assert again.job(1).state is BacktestState.INTERRUPTED
        assert "the daemon ended while it ran" in again.job(1).reason
        assert await ended(again, 2) is BacktestState.DONE
        assert (await again.start("", PLAIN)).number == 3
    assert not (tmp_path / "backtests" / "000007").exists()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("how", "limit_s", "state", "reason"),
    [
        ("killed", 60.0, "failed", "the backtest process was killed by signal 9"),
        ("refuses", 60.0, "failed", "tapes: there are none"),
        ("lies", 60.0, "failed", "not the one that it announced"),
        ("waits", 1.0, "timeout", "backtest took longer than 1 s"),
    ],
)
async def test_whatever_a_process_does_is_how_its_job_ended(
    tmp_path: Path, how: str, limit_s: float, state: str, reason: str
) -> None:
    async with working(made(tmp_path, how, time_limit_s=limit_s)) as service:
        await service.start("", PLAIN)
        assert (await ended(service, 1)).value == state
        assert reason in service.job(1).reason


@pytest.mark.asyncio
async def test_a_key_is_one_backtest_also_after_a_restart(tmp_path: Path) -> None:
    service = made(tmp_path)
    first = await service.start("a", PLAIN, "k")
    assert await service.start("a", PLAIN, "k") == first
    again = made(tmp_path)

    assert await again.start("a", PLAIN, "k") == first
    await refused(again.start("b", PLAIN, "k"), OtherRequest, "something else was asked")
    await refused(again.start("a", {}, "k"), OtherRequest, "something else was asked")
    assert (await again.start("a", PLAIN)).number == 2


@pytest.mark.asyncio
async def test_the_oldest_that_have_ended_go_with_their_files(tmp_path: Path) -> None:
    service = made(tmp_path, keep=2)
    for _ in range(4):
        await service.start("", PLAIN)
        await service.cancel(service.jobs().jobs[0].number)

    assert [job.number for job in service.jobs().jobs] == [4, 3]
    assert sorted(path.name for path in (tmp_path / "backtests").iterdir()) == ["000003", "000004"]


@pytest.mark.asyncio
async def test_two_that_end_at_once_remove_the_oldest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove, first = JobFolder.remove, threading.Event()

    def slowly(folder: JobFolder, number: int) -> None:
        """Remove a job, the first of them when the others are gone."""
        if number == 1:
            assert first.wait(60)
        remove(folder, number)

    async with working(made(tmp_path, keep=4)) as service:
        for number in range(1, 5):
            await service.start("", PLAIN)
            assert await ended(service, number) is BacktestState.DONE
    monkeypatch.setattr(JobFolder, "remove", slowly)
    service = made(tmp_path, keep=1, queue=5)  # fewer are kept from now on
    for _ in range(2):
        await service.start("", PLAIN)

    one = asyncio.create_task(service.cancel(5))
    await until(lambda: service._kept.keys() != set(range(1, 7)) and 1 not in service._kept)
    other = asyncio.create_task(service._end(6, BacktestState.CANCELLED, ""))
    await until(lambda: service.job(6).state is BacktestState.CANCELLED and 3 not in service._kept)
    first.set()

    assert (await one).state is (await other).state is BacktestState.CANCELLED
    assert [job.number for job in service.jobs().jobs] == [6]
    assert [path.name for path in (tmp_path / "backtests").iterdir()] == ["000006"]


@pytest.mark.asyncio
async def test_cancelled_twice_it_is_waited_for_as_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, ending, gone = threading.Event(), threading.Event(), threading.Event()

    async def follow(*_: Any, **__: Any) -> None:
        try:
            began.set()
            await asyncio.sleep(600)
        finally:
            ending.set()
            while not gone.is_set():  # noqa: ASYNC110 # the process that is being killed
                await asyncio.sleep(0.001)
            gone.clear()

    monkeypatch.setattr("papertape.daemon.backtests.service.follow", follow)
    process = _Process(tmp_path, 1.0, lambda event: None, ())
    running = asyncio.create_task(asyncio.to_thread(process.run))
    for event in (began, ending):
        assert await asyncio.to_thread(event.wait, 60)
        process.cancel()
    assert process._loop is not None
    heard = threading.Event()
    process._loop.call_soon_threadsafe(heard.set)  # behind both
    assert await asyncio.to_thread(heard.wait, 60)
    gone.set()

    assert await running is None
    assert not gone.is_set()  # it was waited for to the end


def test_files_that_are_removed_while_they_are_listed_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ResultFile.SUMMARY).write_bytes(b"12")
    (tmp_path / ResultFile.EQUITY).write_bytes(b"1")
    stat = Path.stat

    def removed(path: Path, **more: Any) -> Any:
        found = stat(path, **more)
        if path.name == ResultFile.EQUITY:
            path.unlink()
        return found

    monkeypatch.setattr(Path, "stat", removed)

    assert {file.name: file.size_bytes for file in _sizes(tmp_path)} == {
        "result.json": 2,
        "equity.parquet": 1,
    }
    assert {file.name: file.size_bytes for file in _sizes(tmp_path)} == {"result.json": 2}


def test_a_curve_in_bitcoin_has_the_decimals_of_its_amounts(tmp_path: Path) -> None:
    equity = [0.50000001, 0.51234567, 0.49999999]
    time = pd.date_range("2024-01-01", periods=3, freq="h", tz="UTC")
    pd.DataFrame({"time": time, "equity": equity}).to_parquet(tmp_path / ResultFile.EQUITY)

    assert _curve(tmp_path).equity == tuple(equity)


@pytest.mark.asyncio
async def test_its_digest_is_that_of_the_replay_of_the_same_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAPERTAPE_TRIALS", "off")
    Store(tmp_path / "tapes").save(synthesize("noise", 600, "1h"))
    report = {"sensitivity": False, "benchmarks": False, "random_draws": 0, "regimes": False}
    asked = {
        "data": {"tapes": ["SYNTH"]},
        "strategy": {"name": "ema_cross"},
        "account": {"sizing": "all_in"},
        "signals": {"use_ml": False},
        "report": report,
    }
    host = make_config({"data": {"store": str(tmp_path / "tapes")}})
    service = BacktestService(host, tmp_path / "backtests", lambda: 5)
    async with working(service):
        await service.start("", {**asked, "live": {"venue": "sim"}})
        assert await ended(service, 1) is BacktestState.DONE, service.job(1).reason
    settings = make_config({**asked, "data": {"tapes": ["SYNTH"], "store": str(tmp_path / "tapes")}})

    replayed = await asyncio.to_thread(run_backtest, settings, load_tapes(settings))

    assert service.job(1).digest == replayed.digest
    assert (service.job(1).step, service.job(1).done) == ("report", 0)
    assert len(replayed.trades) > 3
    with pytest.raises(ConfigError, match=r"account\.capitl: unknown key"):
        await service.start("", {"account": {"capitl": 1}})


@pytest.mark.asyncio
async def test_what_has_ended_stays_ended_when_the_daemon_stops_while_older_ones_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_removing, may_go_on = threading.Event(), threading.Event()

    def remove(folder: JobFolder, number: int) -> None:
        is_removing.set()
        may_go_on.wait(60.0)

    monkeypatch.setattr(JobFolder, "remove", remove)
    async with working(made(tmp_path, keep=1)) as service:
        for _ in range(2):
            await service.start("", PLAIN)
        await until(is_removing.is_set)
    may_go_on.set()

    kept = json.loads((tmp_path / "backtests" / "000002" / "job.json").read_text())
    assert kept["job"]["state"] == "done"
