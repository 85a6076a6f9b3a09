"""`python -m papertape.replay.honesty.worker FOLDER`: the process in which the study runs; rows and progress as JSON lines on stdout."""

import json
import sys
from pathlib import Path

from papertape.replay.honesty.experiment import HonestyOptions
from papertape.replay.honesty.run import ANSWERED, ASKED
from papertape.replay.honesty.study import honesty
from papertape.replay.learning.jobs.job import write_json
from papertape.replay.runtime.process import Say, serve


def main(folder: Path) -> int:
    """Run the study that a folder asks for and return the exit code."""

    def work(say: Say) -> str:
        asked = json.loads((folder / ASKED).read_bytes())
        options, rows = HonestyOptions.from_json(asked["options"]), []

        def show(what: str, done: int, of: int) -> None:
            say(event="progress", what=what, done=done, of=of)

        for row in honesty(options, show, plant=asked["plant"]):
            rows.append(list(row))
            say(event="row", row=row._asdict())
        return write_json(folder / ANSWERED, rows)

    return serve(work)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
