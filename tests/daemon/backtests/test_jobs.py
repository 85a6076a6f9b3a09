"""The folder of jobs: what cannot be read is not lost, and nothing takes its number."""

import errno
from pathlib import Path

import pytest

from papertape.daemon.backtests.answers import BacktestJob, BacktestState
from papertape.daemon.backtests.jobs import JobFolder, KeptJob


def done(number: int) -> KeptJob:
    job = BacktestJob(
        number=number,
        name="a",
        strategy="confluence",
        tapes=("BTCUSDT",),
        state=BacktestState.DONE,
        created_ms=1,
    )
    return KeptJob(job, "", "")


@pytest.fixture
def jobs(tmp_path: Path) -> JobFolder:
    """Three jobs that have ended, with a result each."""
    found = JobFolder(tmp_path)
    for number in (1, 2, 3):
        found.save(done(number))
        (found.place(number) / "result").mkdir()
    return found


def test_a_job_that_another_version_wrote_or_the_disk_does_not_give_stays(
    jobs: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder was removed, result and all."""
    (jobs.place(3) / "job.json").write_text('{"job": {"number": 3, "of_tomorrow": 1}}')
    read = Path.read_text

    def failing(path: Path, encoding: str | None = None) -> str:
        if path.parent == jobs.place(2):
            raise OSError(errno.EIO, "Input/output error")
        return read(path, encoding)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", failing)
        assert [kept.job.number for kept in jobs.load(5)] == [1]

    assert [kept.job.number for kept in jobs.load(5)] == [1, 2]
    assert (jobs.place(3) / "result").is_dir()
    assert jobs.newest() == 3


def test_a_kill_before_a_job_was_written_down_leaves_none(jobs: JobFolder) -> None:
    (jobs.place(3) / "job.json").unlink()

    assert [kept.job.number for kept in jobs.load(5)] == [1, 2]
    assert not jobs.place(3).exists()
    assert jobs.newest() == 2
