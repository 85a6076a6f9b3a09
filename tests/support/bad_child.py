"""A training process that misbehaves: `python tests/support/bad_child.py HOW FOLDER`."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # it is started as a script

HOW, FOLDER = sys.argv[1], Path(sys.argv[2])


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def real(train: Any) -> int:
    from papertape.replay.learning.jobs.worker import main

    return main(FOLDER, train)


def killed_in_the_second(rows: Any, *rest: Any) -> bytes:
    """Train, but on the second window of the walk the process is killed as the kernel kills for memory."""
    from papertape.replay.learning.jobs.trainer import train_model
    from tests.support.planted_rows import due_times, quick_settings

    if rows.time_ms[-1] == due_times()[1] - quick_settings().gate_ms:
        os.kill(os.getpid(), signal.SIGKILL)
    return train_model(rows, *rest)


def greedy(*_: Any) -> bytes:
    """Ask for more memory than a training process may have."""
    return bytes(8 << 30)


if HOW == "garbage":
    say("\x00 not json")
    say("[1, 2")
    say('{"event": 3}')
    say('{"no": "event"}')
    say("x" * 200_000)
elif HOW == "silent":
    time.sleep(60.0)
elif HOW == "liar":
    say('{"event": "done", "sha256": "0000"}')
elif HOW == "crash":
    say('{"event": "attempt", "due_ms": 5, "number": 0, "of": 1}')
    raise RuntimeError("the library gave up")
elif HOW == "flood":
    while True:
        sys.stdout.write("y" * 1_000_000)
elif HOW == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(f'{{"event": "attempt", "due_ms": {os.getpid()}, "number": 0, "of": 1}}')
    time.sleep(60.0)
elif HOW.startswith("straggler"):
    from papertape.replay.learning.jobs.trainer import train_model

    kept = os.dup(1) if HOW == "straggler_that_talks" else None  # otherwise its output ends with its work
    real(train_model)
    if kept is not None:
        os.write(kept, b"still here\n")
    if HOW == "straggler_that_crashes":
        os.abort()
    time.sleep(60.0)
elif HOW == "greedy":
    sys.exit(real(greedy))
elif HOW == "killed":
    sys.exit(real(killed_in_the_second))
