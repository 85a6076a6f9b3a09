"""
Child processes and who started them: a child ends with its parent, and why one ended is said in words.

The parent tells its id in the environment. What the system says to a child alone cannot be judged: whoever has lost its parent
is handed to process 1, and in a container the daemon itself is process 1.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

PARENT: Final = "PAPERTAPE_PARENT_PID"
_NICE: Final = 10
_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of Linux


def child_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child of this process."""
    return {**os.environ, **(more or {}), PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """
    Do not outlive who started this process; without word of one (started by hand) live as long as the work takes.

    Raises SystemExit, with its reason on stderr, when whoever started this process is gone already.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    told, now = os.environ.get(PARENT, ""), os.getppid()
    # A parent that ended before the line above sends no signal.
    if told.isdigit() and int(told) != now:
        sys.exit(
            f"process {told}, which started this one, is gone; the parent is process {now} now"
        )


def step_back() -> None:
    """Let others go first, once however often it is asked for."""
    os.nice(max(_NICE - os.getpriority(os.PRIO_PROCESS, 0), 0))


def how_it_ended(code: int) -> str:
    """Return a return code of `subprocess` in words: "ended with code 1", "was killed by signal 9 (SIGKILL)"."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"was killed by signal {-code}"
    cause = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
    return f"was killed by signal {-code} ({name}{cause})"
