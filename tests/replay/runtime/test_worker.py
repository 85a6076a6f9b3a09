"""The training process for real: what it gives back, and every way in which it can fail."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from papertape.replay.learning.attempt import Attempt, Learned
from papertape.replay.learning.challenge import challenge
from papertape.replay.learning.jobs import runner
from papertape.replay.learning.jobs.job import TrainingJob, read_job, write_job
from papertape.replay.learning.jobs.runner import run_attempt, run_walk
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.walk_forward import walk
from papertape.replay.runtime import worker
from papertape.replay.runtime.worker import Lines, follow
from tests.support.helpers import needs_torch
from tests.support.planted_rows import due_times, planted_rows, quick_settings

TESTS = Path(__file__).resolve().parents[2]
ROOT = TESTS.parent


def bad(how: str) -> tuple[str, ...]:
    return (sys.executable, str(TESTS / "support/bad_child.py"), how)


def job(**changes: Any) -> TrainingJob:
    settings = quick_settings(**changes.pop("settings", {}))
    return TrainingJob(settings, changes.pop("due_ms", due_times()[:1]), planted_rows(), **changes)


async def attempted(folder: Path, how: str, **changes: Any) -> Attempt:
    return await run_attempt(folder, job(**changes), command=bad(how))


def test_a_job_comes_back_from_its_folder_as_it_was(tmp_path: Path) -> None:
    trained = train_model(planted_rows(), quick_settings(), "logistic", None, None, None)
    written = job(champion=trained, champion_version=3, lost={7: ("failed", "why")}, is_walk=True)

    write_job(tmp_path, written)
    found = read_job(tmp_path)

    assert found.settings == written.settings
    assert (found.due_ms, found.lost, found.is_walk) == (written.due_ms, written.lost, True)
    assert (found.champion, found.champion_version) == (trained, 3)
    for name, value in written.rows._asdict().items():
        assert (
            getattr(found.rows, name).tobytes() == value.tobytes()
            if hasattr(value, "tobytes")
            else getattr(found.rows, name) == value
        )


@pytest.mark.asyncio
async def test_the_process_makes_the_model_that_is_made_here(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []

    found = await run_attempt(tmp_path, job(trigger="manual"), heard.append)

    here = challenge(planted_rows(), due_times()[0], quick_settings(), None, train_model)
    assert found.artefact == here.artefact
    assert (found.outcome, found.reason, found.gate) == (here.outcome, here.reason, here.gate)
    assert (found.trigger, found.shadow) == ("manual", {})
    assert [event["event"] for event in heard] == ["attempt", "ended", "done"]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("garbage", "ended with code 0 without a result"),
        ("liar", "cannot be read|not a result"),
        ("crash", "ended with code 1 without a result: RuntimeError: the library gave up"),
        ("flood", "wrote more than 64 MB"),
        ("greedy", "training needs more than 2,048 MB"),
    ],
)
async def test_a_process_that_misbehaves_is_a_failed_attempt(tmp_path: Path, how: str, said: str) -> None:
    found = await attempted(tmp_path, how, settings={"memory_limit_mb": 2048})

    assert found.outcome == "failed"
    assert any(part in found.reason for part in said.split("|")), found.reason
    assert (found.artefact, found.due_ms) == (b"", due_times()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how much a process holds")
def test_a_lower_limit_that_somebody_set_stays() -> None:
    program = """
import resource
from papertape.replay.learning.jobs.worker import limited_memory
own = (40 << 30, resource.getrlimit(resource.RLIMIT_AS)[1])
resource.setrlimit(resource.RLIMIT_AS, own)
for megabytes in (512, 100_000):
    with limited_memory(megabytes):
        print(resource.getrlimit(resource.RLIMIT_AS)[0] == own[0])
    assert resource.getrlimit(resource.RLIMIT_AS) == own
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout.split() == ["False", "True"], done.stderr


@pytest.mark.asyncio
async def test_a_process_that_does_not_answer_is_ended_at_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "START_GRACE_S", 0.3)

    found = await attempted(tmp_path, "silent", settings={"time_limit_s": 0.2})

    assert (found.outcome, found.reason) == ("timeout", "training took longer than 0 s")


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["straggler", "straggler_that_talks", "straggler_that_crashes"])
async def test_what_was_announced_counts_however_the_process_ends_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(worker, "_LINGER_S", 0.1)

    found = await attempted(tmp_path, how)

    here = challenge(planted_rows(), due_times()[0], quick_settings(), None, train_model)
    assert (found.outcome, found.reason) == (here.outcome, here.reason)
    assert found.artefact == here.artefact
    assert found.wall_s < 30.0  # it sleeps for a minute


def test_it_trains_for_process_1() -> None:
    """As in a container, where the daemon is process 1 and so is the parent of the process that trains."""
    alone = ("unshare", "--pid", "--fork", "--mount-proc")
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a process namespace")
    program = """
import asyncio, os, sys, tempfile
from pathlib import Path
sys.path.insert(0, "tests")
from tests.support.planted_rows import due_times, planted_rows, quick_settings
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.runner import run_attempt
assert os.getpid() == 1
with tempfile.TemporaryDirectory() as folder:
    job = TrainingJob(quick_settings(), due_times()[:1], planted_rows())
    found = asyncio.run(run_attempt(Path(folder), job))
print(found.outcome, len(found.artefact), found.reason)
"""

    done = subprocess.run(
        [*alone, sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

    here = challenge(planted_rows(), due_times()[0], quick_settings(), None, train_model)
    assert done.stdout.strip() == f"{here.outcome} {len(here.artefact)} {here.reason}", done.stderr


@pytest.mark.asyncio
async def test_a_command_that_is_not_there_is_a_failed_attempt(tmp_path: Path) -> None:
    command = (str(tmp_path / "nowhere"),)

    found = await run_attempt(tmp_path / "job", job(), command=command)

    assert found.outcome == "failed"
    assert found.reason == "the training process could not be started: No such file or directory"


@pytest.mark.asyncio
async def test_a_cancelled_job_leaves_no_process_behind(tmp_path: Path) -> None:
    async def cancelled() -> int:
        heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        task = asyncio.create_task(follow(tmp_path, 60.0, heard.put_nowait, bad("deaf")))
        pid = int((await asyncio.wait_for(heard.get(), 30.0))["due_ms"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return pid

    pid = await cancelled()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.asyncio
async def test_a_walk_survives_a_kill_and_loses_one_attempt(tmp_path: Path) -> None:
    work = job(due_ms=due_times(), is_walk=True)

    found: Learned = await run_walk(tmp_path, work, command=bad("killed"))

    second = found.attempts[1]
    assert (second.outcome, second.due_ms) == ("failed", due_times()[1])
    assert second.reason == (
        "the training process was killed by signal 9 (SIGKILL, as the system does when memory runs out) "
        "without a result"
    )
    lost = {second.due_ms: (second.outcome, second.reason)}
    here = walk(job(due_ms=due_times(), is_walk=True, lost=lost), train_model)
    assert [a.artefact for a in found.attempts] == [a.artefact for a in here.attempts]
    assert found.summary == here.summary
    assert found.schedule == [(a.effective_ms, a.artefact) for a in here.attempts if a.is_promoted]


@pytest.mark.asyncio
async def test_a_machine_that_cannot_train_loses_every_attempt_and_says_why(tmp_path: Path) -> None:
    found = await run_walk(tmp_path, job(due_ms=due_times()), command=bad("garbage"))

    assert [attempt.due_ms for attempt in found.attempts] == list(due_times())
    assert {attempt.outcome for attempt in found.attempts} == {"failed"}
    assert all("without a result" in attempt.reason for attempt in found.attempts)
    assert found.schedule == []


def test_lines_come_out_of_any_chunks_and_long_ones_are_left_out() -> None:
    text = b"one\n" + b"x" * 200_000 + b"\ntwo\n\nthree"
    for size in (1, 7, 4096, len(text)):
        lines = Lines()
        found = [
            line for first in range(0, len(text), size) for line in lines.feed(text[first : first + size])
        ]

        assert found == [b"one", b"two", b""]


@pytest.mark.slow  # by default tests/test_layout.py reads what every module imports
@needs_torch
def test_nothing_but_the_training_process_loads_torch() -> None:
    """Every module of the three rooms is imported, and a replay trains a network."""
    program = """
import importlib, pathlib, pkgutil, sys
from papertape import engine, replay, daemon
for room in (engine, replay, daemon):
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
assert "torch" not in sys.modules, "imported"
sys.path.insert(0, "tests")
from tests.support.helpers import random_candles
from papertape.replay import Tape, backtest
tape = Tape(random_candles(900, 1), "binance-usdm", "T", "1h", source="made in a test")
learning = {"window_days": 18, "gate_days": 10, "epochs": 1, "horizon_bars": 4, "sizes": {"hidden": 4}}
found = backtest(tapes=[tape], use_smc=False, retrain_every="0 0 30 1 *", learning=learning, report={"sensitivity": False})
attempts = found.summary["model"]["attempts"]
assert [a["outcome"] for a in attempts] == ["rejected"], attempts
assert attempts[0]["kind"] == "cnn_lstm"
assert "torch" not in sys.modules, "trained"
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=240
    )

    assert done.returncode == 0, done.stderr
