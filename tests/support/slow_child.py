"""A backtest process that does as it is told: `python tests/support/slow_child.py HOW FOLDER`."""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

HOW, FOLDER = sys.argv[1], Path(sys.argv[2])


def say(**values: object) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


say(event="progress", step="replay", done=3, total=7)
say(event="progress", step=["no", "text"], done="x")
if HOW == "waits":
    while not (FOLDER / "go").exists():
        time.sleep(0.01)
if HOW == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if HOW == "refuses":
    say(event="refused", reason="tapes: there are none")
    sys.exit(1)
(FOLDER / "result").mkdir()
summary = json.dumps({"digest": "d" * 64}).encode()
(FOLDER / "result" / "result.json").write_bytes(summary)
say(event="done", sha256="0" * 64 if HOW == "lies" else hashlib.sha256(summary).hexdigest())
