"""The daemon's training process: whatever it does is an outcome with a reason, and nothing of it is left running."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.learning import trainer as training
from papertape.daemon.learning.dataset import gather, refuse_series
from papertape.daemon.learning.trainer import ProcessTrainer, ThreadTrainer, TrainingRequest
from papertape.daemon.learning.worker import prepare
from papertape.engine.errors import DataError
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.tapes.store import Store
from tests.support.journals import candles, filled, model_bytes

FEATURES = ("log_return_1", "rsi_14")
SETTINGS = LearningSettings("logistic", "1h", FEATURES, symbols=("AAA", "BBB"), time_limit_s=0.5)
ROWS = candles(400)
DUE_MS = int(ROWS["open_ms"][0]) + 96 * 900_000
REQUEST = TrainingRequest(7, DUE_MS, DUE_MS + 60_000, "manual", model_bytes(3), 3)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("program", "outcome", "reason"),
    [
        ("print('no JSON'); print('{}')", "failed", "ended with code 0 without a result"),
        ("import os; os.kill(os.getpid(), 9)", "failed", "was killed by signal 9"),
        ("import sys; sys.exit('out of luck')", "failed", "ended with code 1 without a result: out of luck"),
        ("import time; time.sleep(60)", "timeout", "training took longer than"),
        ('print(\'{"event": "done", "sha256": "00"}\')', "failed", "result.json"),
        ('print(\'{"event": "refused", "reason": "too few rows"}\')', "failed", "too few rows"),
    ],
)
@pytest.mark.parametrize("is_in_thread", [False, True])
async def test_a_process_that_fails_is_an_outcome(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    outcome: str,
    reason: str,
    is_in_thread: bool,
) -> None:
    monkeypatch.setattr(training, "START_GRACE_S", 0.5)
    trainer = ProcessTrainer(tmp_path, SETTINGS, command=(sys.executable, "-c", program))

    asked = ThreadTrainer(trainer) if is_in_thread else trainer
    attempt = await asked.attempt(REQUEST)

    assert (attempt.outcome, attempt.artefact) == (outcome, b"")
    assert reason in attempt.reason
    assert (attempt.due_ms, attempt.effective_ms) == (DUE_MS, DUE_MS + 60_000)
    assert (attempt.trigger, attempt.champion) == ("manual", 3)


def test_an_attempt_that_is_cancelled_ends_its_process(tmp_path: Path) -> None:
    settings = LearningSettings("logistic", "1h", FEATURES, time_limit_s=60.0)
    program = "import os, sys, time; open(sys.argv[1] + '/pid', 'w').write(str(os.getpid())); time.sleep(60)"
    trainer = ProcessTrainer(tmp_path, settings, command=(sys.executable, "-c", program))
    told = tmp_path / "training" / "000007" / "pid"

    async def work() -> int:
        task = asyncio.ensure_future(ThreadTrainer(trainer).attempt(REQUEST))
        while not told.exists() or not told.read_text():  # noqa: ASYNC110 - a process tells by a file
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return int(told.read_text())

    pid = asyncio.run(asyncio.wait_for(work(), 30))  # the loop's end waits for its threads

    assert not Path(f"/proc/{pid}").exists()


def test_rows_are_those_that_the_journal_had_at_the_due_time(tmp_path: Path) -> None:
    filled(tmp_path, ROWS)

    with Journal.read(tmp_path) as journal:
        found = gather(tmp_path, journal, DUE_MS, SETTINGS, Store(tmp_path / "tapes"))
        with pytest.raises(DataError, match="no candle was accepted by the due time"):
            gather(tmp_path, journal, int(ROWS["open_ms"][0]), SETTINGS, Store(tmp_path))

    assert found.rows.time_ms.tolist() == [
        int(ROWS["open_ms"][0]) + hour * 3_600_000 for hour in range(1, 25)
    ]
    closes = ROWS["close"][ROWS["symbol"] == 1]
    assert found.rows.close[1].tolist() == closes[3:96:4].tolist()
    assert len(found.tapes) == 2


def test_signals_that_need_more_than_candles_are_not_trained_on() -> None:
    refuse_series(("ema_20", "macd_12_26_9@4h", "BTCUSD:adx_14", "a_feature_of_mine"))
    for request in ("funding", "W:open_interest_change_24", "mark_premium@4h"):
        with pytest.raises(DataError, match=r"model_asks: the strategy reads '\w+', and a daemon trai"):
            refuse_series(("ema_20", request))


def test_the_process_makes_its_job_from_the_request_and_the_journal(tmp_path: Path) -> None:
    filled(tmp_path, ROWS)
    trainer = ProcessTrainer(tmp_path, SETTINGS, str(tmp_path / "tapes"))
    folder = tmp_path / "training" / "000007"
    (folder.parent / "000006").mkdir(parents=True)

    trainer._prepare(folder, REQUEST)
    job = prepare(folder)

    assert json.loads((folder / "request.json").read_text())["due_ms"] == DUE_MS
    assert not (folder.parent / "000006").exists()  # of an attempt that is over
    assert (job.due_ms, job.trigger, job.champion_version) == ((DUE_MS,), "manual", 3)
    assert job.champion == model_bytes(3)
    assert job.settings.features == FEATURES
    assert len(job.rows.time_ms) == 24


@pytest.mark.parametrize("is_other", [False, True])
def test_what_was_finished_of_an_attempt_is_of_no_other_one(tmp_path: Path, is_other: bool) -> None:
    """A daemon killed before it heard of a model, and started with other settings, took the old one's model for the new one's."""
    other = replace(SETTINGS, features=("rsi_14",)) if is_other else SETTINGS
    folder = tmp_path / "training" / "000007"
    ProcessTrainer(tmp_path, SETTINGS)._prepare(folder, REQUEST)
    (folder / "attempt-0001.json").write_text("finished")

    ProcessTrainer(tmp_path, other)._prepare(folder, REQUEST)

    assert (folder / "attempt-0001.json").exists() is not is_other
    assert json.loads((folder / "request.json").read_text())["settings"]["features"] == list(other.features)
