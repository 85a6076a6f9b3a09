"""`python -m papertape.replay.honesty.worker FOLDER`: the process in which the study runs; rows and progress as JSON lines on stdout."""

import json
import sys
from pathlib import Path

from papertape.engine.errors import PapertapeError
from papertape.replay.honesty.experiment import HonestyOptions
from papertape.replay.honesty.run import ANSWERED, ASKED
from papertape.replay.honesty.study import honesty
from papertape.replay.learning.jobs.job import write_json
from papertape.replay.learning.jobs.worker import Speaker, own_stdout, settle


def main(folder: Path) -> int:
    """Run the study that a folder asks for and return the exit code."""
    say = Speaker(own_stdout())
    settle()
    asked = json.loads((folder / ASKED).read_bytes())
    rows = []

    def show(what: str, done: int, of: int) -> None:
        say.line(event="progress", what=what, done=done, of=of)

    try:
        options = HonestyOptions.from_json(asked["options"])
        for row in honesty(options, show, plant=asked["plant"]):
            rows.append(list(row))
            say.line(event="row", row=row._asdict())
    except PapertapeError as error:
        say.line(event="refused", reason=str(error))
        return error.exit_code
    say.done(write_json(folder / ANSWERED, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
