"""
`python -m papertape.daemon.learning.worker FOLDER`: the daemon's training process.

It reads the journal of the daemon that asked, makes the rows to learn from, and does the rest as a replay's training
process does it. Candles, features and torch are in its memory alone.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from papertape.daemon.journal import Journal
from papertape.daemon.learning.dataset import gather
from papertape.daemon.learning.trainer import CHAMPION, LAST, REQUEST
from papertape.replay.learning.jobs.job import TrainingJob, write_job
from papertape.replay.learning.jobs.worker import do
from papertape.replay.learning.policy import Shown
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.runtime.process import Say, serve
from papertape.replay.tapes.store import Store


def prepare(folder: Path) -> TrainingJob:
    """Return the job that a request means, made from the journal as it was at the due time."""
    values = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    state = Path(values["state"])
    settings = LearningSettings.from_json(values["settings"])
    with Journal.read(state) as journal:
        found = gather(state, journal, values["due_ms"], settings, Store(values["store"]))
    last = None
    if "last" in values:
        told = values["last"]
        last = Shown(told["due_ms"], (folder / LAST).read_bytes(), told["recipe"])
    return TrainingJob(
        replace(settings, tapes=found.tapes),
        (values["due_ms"],),
        found.rows,
        values["trigger"],
        champion=(folder / CHAMPION).read_bytes(),
        champion_version=values["champion_version"],
        last=last,
    )


def main(folder: Path) -> int:
    """Do what is asked and return the exit code."""

    def work(say: Say) -> str:
        write_job(folder, prepare(folder))
        return do(folder, say)

    return serve(work)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
