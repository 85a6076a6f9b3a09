"""
Named points at which a test may kill the process.

Every commit, flush and rename of the state directory passes one of these. `PAPERTAPE_CRASH=NAME:N` ends the process
with SIGKILL at the N-th passage of point NAME; `PAPERTAPE_CRASH_LOG=FILE` lists the passages of a run instead, which
is how a test enumerates them; `PAPERTAPE_CRASH=every` stops it at each passage until it gets SIGCONT, and what its files
hold then is what a kill leaves. Without any of them, a passage is one comparison.
"""

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Final

CRASH: Final = "PAPERTAPE_CRASH"
CRASH_LOG: Final = "PAPERTAPE_CRASH_LOG"
EVERY: Final = "every"

_AT_EVERY: Final = (EVERY, 1)
_passed: Counter[str] = Counter()
_target: tuple[str, int] | None = None
_log: Path | None = None


def arm() -> None:
    """Read the environment; called once by a process that is to be killed or listed."""
    global _target, _log
    _passed.clear()
    name, _, count = os.environ.get(CRASH, "").partition(":")
    _target = (name, int(count or 1)) if name else None
    log = os.environ.get(CRASH_LOG)
    _log = Path(log) if log else None


def passes(name: str) -> None:
    """Tell that the process is at this point; it may be its last."""
    if _target is None and _log is None:
        return
    _passed[name] += 1
    if _log is not None:
        with _log.open("a", encoding="utf-8") as file:
            file.write(f"{name}:{_passed[name]}\n")
    if _target == (name, _passed[name]):
        os.kill(os.getpid(), signal.SIGKILL)
    if _target == _AT_EVERY:
        # To this thread: one that is for the process may be taken by another, and this one would go on for a moment.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


arm()
