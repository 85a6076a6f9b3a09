"""
`python -m papertape.replay.learning.jobs.worker FOLDER`: the process that trains; torch is loaded here and nowhere else.

It is nice to others, takes no more memory than it may and one thread, says what it does as JSON lines on stdout, and ends
when nobody listens any more. Whatever else is printed goes to stderr.
"""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.challenge import Train
from papertape.replay.learning.jobs.job import read_job, write_result
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.walk_forward import walk
from papertape.replay.runtime.process import Say, serve


def main(folder: Path, train: Train = train_model) -> int:
    """Do the job of a folder and return the exit code."""
    return serve(lambda say: do(folder, say, train))


def do(folder: Path, say: Say, train: Train = train_model) -> str:
    """Walk through the job of a folder, write its result and return the result's hash."""
    job = read_job(folder)
    limit_memory(job.settings.memory_limit_mb)
    at_ms = 0

    def on_attempt(what: Attempt | int, number: int, of: int) -> None:
        nonlocal at_ms
        if isinstance(what, int):
            at_ms = what
            say(event="attempt", due_ms=what, number=number, of=of)
        else:
            came = {"outcome": what.outcome, "reason": what.reason}
            say(event="ended", due_ms=what.due_ms, number=number, of=of, **came)

    def on_epoch(epoch: int, epochs: int, loss: float) -> None:
        shown = loss if loss == loss and abs(loss) != float("inf") else None
        say(event="epoch", due_ms=at_ms, epoch=epoch, epochs=epochs, loss=shown)

    done = walk(job, train, folder, on_attempt, on_epoch)
    more = {"commands": done.commands, "summary": done.summary}
    return write_result(folder, done.attempts, more)


def limit_memory(megabytes: int) -> None:
    """Let an allocation beyond the limit fail in this process, rather than another be killed for it; Linux alone holds it."""
    if sys.platform != "linux":
        return
    limit = megabytes << 20
    before = resource.getrlimit(resource.RLIMIT_AS)
    lowest = min((limit, *(set_before for set_before in before if set_before >= 0)))
    resource.setrlimit(resource.RLIMIT_AS, (lowest, before[1]))


@contextmanager
def limited_memory(megabytes: int) -> Iterator[None]:
    """Limit what is taken meanwhile, beside what this process holds already; only Linux says how much that is."""
    if sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    held_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit_memory(megabytes + (held_pages * resource.getpagesize() >> 20))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
