"""
`python -m papertape.replay.learning.jobs.worker FOLDER`: the process that trains; torch is loaded here and nowhere else.

It is nice to others, takes no more memory than it may and one thread, says what it does as JSON lines on stdout, and ends
when nobody listens any more. Whatever else is printed goes to stderr.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, TextIO

from papertape.engine.errors import PapertapeError
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.challenge import Train
from papertape.replay.learning.jobs.job import TrainingJob, read_job, write_result
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.walk_forward import walk
from papertape.replay.runtime.process import end_with_parent, step_back


def main(folder: Path, train: Train = train_model) -> int:
    """Do the job of a folder and return the exit code."""
    say = Speaker(own_stdout())
    try:
        settle()
        job = read_job(folder)
        limit_memory(job.settings.memory_limit_mb)
        say.done(_work(folder, job, train, say))
    except PapertapeError as error:
        say.line(event="refused", reason=str(error))
        return error.exit_code
    except MemoryError:
        say.line(event="refused", reason="the memory that it may take is not enough to begin")
        return 1
    return 0


def _work(folder: Path, job: TrainingJob, train: Train, say: "Speaker") -> str:
    """Walk through the job, write its result and return the result's hash."""
    done = walk(job, train, folder, say.attempt, say.epoch)
    more = {"commands": done.commands, "summary": done.summary}
    return write_result(folder, done.attempts, more)


class Speaker:
    """Lines for whoever started us; when nobody listens any more the next one ends the process."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._due_ms = 0

    def line(self, **values: Any) -> None:
        """Say one thing."""
        self._stream.write(json.dumps(values, allow_nan=False) + "\n")
        self._stream.flush()

    def attempt(self, what: Attempt | int, number: int, of: int) -> None:
        """Say that an attempt begins, or what came of it."""
        if isinstance(what, int):
            self._due_ms = what
            self.line(event="attempt", due_ms=what, number=number, of=of)
        else:
            self.line(
                event="ended",
                due_ms=what.due_ms,
                number=number,
                of=of,
                outcome=what.outcome,
                reason=what.reason,
            )

    def epoch(self, epoch: int, epochs: int, loss: float) -> None:
        """Say how far the training under way is."""
        shown = loss if loss == loss and abs(loss) != float("inf") else None
        self.line(event="epoch", due_ms=self._due_ms, epoch=epoch, epochs=epochs, loss=shown)

    def done(self, sha256: str) -> None:
        """Say that the result is there."""
        self.line(event="done", sha256=sha256)


def settle() -> None:
    """Step back behind whoever trades, and do not outlive who started us."""
    step_back()
    end_with_parent()


def limit_memory(megabytes: int) -> None:
    """Let an allocation beyond the limit fail in this process, rather than another be killed for it."""
    limit = megabytes << 20
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (limit if hard < 0 else min(limit, hard), hard))


def own_stdout() -> TextIO:
    """Return stdout for ourselves; what libraries print goes to stderr."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
