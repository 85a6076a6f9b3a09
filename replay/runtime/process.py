"""
Child processes and who started them: a child ends with its parent, and why one ended is said in words.

`python -m papertape.replay.runtime.process MODULE FOLDER` is `python -m MODULE FOLDER` of a worker, its start a third cheaper.
The parent tells its id in the environment. What the system says to a child alone cannot be judged: whoever has lost its parent
is handed to process 1, and in a container the daemon itself is process 1.
"""

import ctypes
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from papertape.engine.errors import PapertapeError

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
        sys.exit(f"process {told}, which started this one, is gone; the parent is process {now} now")


def fork() -> int:
    """
    Fork as `os.fork` does. From its first moment the child hears no interrupt, which is its parent's to pass on, and ends with it.

    Its parent is the thread that calls this: a child does not outlive that either.
    """
    parent = os.getpid()
    is_main = threading.current_thread() is threading.main_thread()
    usual = signal.getsignal(signal.SIGINT) if is_main else None
    heard: list[Any] = []
    # The mask is for the child: its parent's interrupts go to another thread then, and are raised in the main one all the same.
    if callable(usual):
        signal.signal(signal.SIGINT, lambda *told: heard.append(told))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
    child = -1
    try:
        child = os.fork()
        if child == 0:
            _begin(parent)
        return child
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if child and callable(usual):
                signal.signal(signal.SIGINT, usual)
                if heard:
                    usual(*heard[0])
        except BaseException:
            # The parent was interrupted meanwhile: nobody would hear of the child.
            if child > 0:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            raise


def _begin(parent: int) -> None:
    """Make a process that was just forked one that its parent interrupts and that ends with it."""
    gc.freeze()  # what it has of its parent is no garbage of its own, and to ask of each object copies the memory that both share
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ[PARENT] = str(parent)
    try:
        end_with_parent()
    except SystemExit:  # without the parent's own clean-up
        os._exit(1)


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


Say = Callable[..., None]  # one thing to whoever started this process, as a line of JSON


def serve(work: Callable[[Say], str]) -> int:
    """
    Do what this process was started for and return its exit code; `papertape.replay.runtime.worker` is who follows it.

    work  returns the hash of its result and may say what it does; when nobody listens any more that ends the process

    Stdout is for these lines alone: what libraries print goes to stderr.
    """
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(**values: Any) -> None:
        own.write(json.dumps(values, allow_nan=False) + "\n")
        own.flush()

    try:
        step_back()
        end_with_parent()
        say(event="done", sha256=work(say))
    except PapertapeError as error:
        say(event="refused", reason=str(error))
        return error.exit_code
    except MemoryError:
        say(event="refused", reason="the memory that it may take is not enough to begin")
        return 1
    return 0


def command_of(module: str) -> tuple[str, ...]:
    """Return the command that runs a worker's `main`; the folder of its job is the one argument that it lacks."""
    return (sys.executable, "-P", "-m", "papertape.replay.runtime.process", module)


def main(module: str, folder: Path) -> int:
    """Load a worker, let it do the job of a folder and return its exit code."""
    gc.disable()  # while modules are loaded nothing is garbage
    try:
        worker = import_module(module)
    finally:
        gc.freeze()
        gc.enable()
    return int(worker.main(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
