"""
`python -m papertape.daemon.backtests.worker FOLDER`: one backtest, as `papertape replay` makes it.

It is nice to others, takes no more memory than it may and one thread, says how far it is as JSON lines, and ends with the daemon.
"""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Final

from papertape.daemon.backtests.jobs import REQUEST, RESULT
from papertape.replay.backtesting.run import load_tapes, run_backtest
from papertape.replay.config import make_config
from papertape.replay.learning.jobs.worker import limit_memory
from papertape.replay.research.trials.holdout import admitted
from papertape.replay.research.trials.recording import on_record
from papertape.replay.runtime.allocation import return_large_arrays
from papertape.replay.runtime.process import Say, serve

_EVERY_S: Final = 0.2  # between two words on how far it is


def do(folder: Path, say: Say) -> str:
    """Replay what the request of a folder asks for, write the result beside it and return the hash of its summary."""
    asked = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    limit_memory(asked["memory_limit_mb"])
    return_large_arrays()
    # A strategy that the daemon's configuration names is a file beside it, as it is for the daemon.
    sys.path.append(str(Path.cwd()))
    config = make_config(asked["config"])
    told_s, told_step = 0.0, ""

    def on_progress(step: str, done: int, total: int) -> None:
        nonlocal told_s, told_step
        now_s = time.monotonic()
        if step != told_step or now_s - told_s >= _EVERY_S or done == total:
            told_s, told_step = now_s, step
            say(event="progress", step=step, done=int(done), total=int(total))

    tapes = load_tapes(config)
    admitted(config, tapes)
    result = on_record(config, run_backtest(config, tapes, on_progress))
    on_progress("report", 0, 1)
    place = result.save(folder / RESULT)
    return hashlib.sha256((place / "result.json").read_bytes()).hexdigest()


def main(folder: Path) -> int:
    """Do the job of a folder and return the exit code."""
    return serve(lambda say: do(folder, say))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
