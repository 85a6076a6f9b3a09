"""
The folder of jobs: one folder per backtest, with what was asked, how it stands, and its result.

    backtests/000012/request.json   the configuration, and the limits of the process
    backtests/000012/job.json       the job as it is told, and the key that it was asked for with
    backtests/000012/result/        the result folder, when done

What a job has become is written before it is told. A job that is neither queued nor ended was cut off by the daemon's end.
"""

import json
import shutil
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from papertape.daemon.backtests.answers import BacktestJob, BacktestState
from papertape.replay.runtime.files import write_whole

REQUEST: Final = "request.json"
RESULT: Final = "result"
_JOB: Final = "job.json"
OPEN: Final = (BacktestState.QUEUED, BacktestState.RUNNING)


class KeptJob(NamedTuple):
    """
    A job, and how it was asked for.

    key      of the request; empty: none
    request  SHA-256 of what was asked
    """

    job: BacktestJob
    key: str
    request: str

    @property
    def is_open(self) -> bool:
        """Return whether something may still become of it."""
        return self.job.state in OPEN


class JobFolder:
    """The jobs of one state directory on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, number: int) -> Path:
        """Return the folder of a job."""
        return self._folder / f"{number:06d}"

    def save(self, kept: KeptJob) -> None:
        """Write down how a job stands, whole."""
        values = {"job": kept.job.model_dump(mode="json"), "key": kept.key, "request": kept.request}
        text = json.dumps(values).encode()
        write_whole(self.place(kept.job.number) / _JOB, lambda file: file.write(text))

    def save_request(self, number: int, values: dict[str, Any]) -> None:
        """Write down what is asked, for the process; what is not a number is refused before."""
        text = json.dumps(values, allow_nan=False).encode()
        write_whole(self.place(number) / REQUEST, lambda file: file.write(text))

    def load(self, now_ms: int) -> list[KeptJob]:
        """
        Return the jobs, oldest first; those that the daemon's end cut off are interrupted, and a folder without one goes.

        One that cannot be read stays as it is, and is not told: the disk, or another version, may read it later.
        """
        found = []
        for place in self._places():
            try:
                text = (place / _JOB).read_text(encoding="utf-8")
            except FileNotFoundError:
                shutil.rmtree(place, ignore_errors=True)  # a kill between its two files
                continue
            except (OSError, ValueError):
                continue
            kept = _of_text(text)
            if kept is None:
                continue
            if kept.job.state is BacktestState.RUNNING:
                kept = interrupted(kept, now_ms)
                self.save(kept)
            found.append(kept)
        return found

    def newest(self) -> int:
        """Return the highest number that a job on disk has, whether it can be read or not; 0 for none."""
        numbers = [int(place.name) for place in self._places() if place.name.isdecimal()]
        return max(numbers, default=0)

    def _places(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]" * 6 + "*"))

    def remove(self, number: int) -> None:
        """Remove a job and its result."""
        shutil.rmtree(self.place(number), ignore_errors=True)


def interrupted(kept: KeptJob, now_ms: int) -> KeptJob:
    """Return a running job as one that the daemon's end cut off."""
    job = kept.job.model_copy(
        update={
            "state": BacktestState.INTERRUPTED,
            "ended_ms": now_ms,
            "reason": "the daemon ended while it ran; start it again",
        }
    )
    return kept._replace(job=job)


def _of_text(text: str) -> KeptJob | None:
    try:
        values = json.loads(text)
        job = BacktestJob.model_validate_json(json.dumps(values["job"]))
        return KeptJob(job, str(values["key"]), str(values["request"]))
    except (ValueError, KeyError, TypeError, ValidationError):
        return None
