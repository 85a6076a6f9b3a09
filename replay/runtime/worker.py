"""
A process that does a job: started, followed line by line, ended, and whatever it does is an outcome, never an exception.

It says what it does as JSON lines. What is no JSON is passed over; a line that is too long, a flood, a silence beyond
the time limit, an exit without a result and a result that is not the one it announced each have their sentence. A result that
was announced is on disk under its hash: how, and how fast, the process ends after that changes nothing.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import papertape
from papertape.replay.runtime.process import child_environment, how_it_ended

# to load its libraries, and to judge what was trained, beside the time limit
START_GRACE_S: Final = 60.0
_END_S: Final = 10.0  # that a killed process may take to be gone
_LINGER_S: Final = 2.0  # that one may take to end by itself after it announced its result
_LONGEST_LINE: Final = 1 << 16
_MOST_BYTES: Final = 1 << 26
_STDERR_SHOWN: Final = 400
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

OnEvent = Callable[[dict[str, Any]], None]


class Ended(NamedTuple):
    """
    How a process ended.

    outcome  done | failed | timeout; reason: one sentence, empty when done
    sha256   of its result, when done
    due_ms   of the attempt that it was at; None before the first
    """

    outcome: str
    reason: str
    wall_s: float
    sha256: str = ""
    due_ms: int | None = None


class Lines:
    """Lines out of chunks of bytes, none kept beyond its limit."""

    def __init__(self) -> None:
        self._rest = b""
        self._is_dropping = False
        self.n_bytes = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take a chunk and yield the lines that it completes; one that is too long is left out."""
        self.n_bytes += len(chunk)
        *whole, rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            if not self._is_dropping and len(line) <= _LONGEST_LINE:
                yield line
            self._is_dropping = False
        self._is_dropping = self._is_dropping or len(rest) > _LONGEST_LINE
        self._rest = b"" if self._is_dropping else rest


class _Follower:
    """What was heard of a process so far, and until when its present attempt may take."""

    def __init__(self, limit_s: float, on_event: OnEvent | None) -> None:
        self._limit_s, self._on_event = limit_s, on_event
        self.deadline_s = time.monotonic() + limit_s
        self.sha256 = ""
        self.refusal = ""
        self.due_ms: int | None = None

    def hear(self, line: bytes) -> None:
        """Take one line; what is not one of ours is passed over."""
        try:
            event = json.loads(line)
            kind = event["event"]
            if kind == "attempt":
                self.due_ms = int(event["due_ms"])
                self.deadline_s = time.monotonic() + self._limit_s
            elif kind == "done":
                self.sha256 = str(event["sha256"])
            elif kind == "refused":
                self.refusal = str(event["reason"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if self._on_event is not None:
            self._on_event(event)


async def follow(
    folder: Path, limit_s: float, on_event: OnEvent | None, command: Sequence[str], name: str = "training"
) -> Ended:
    """
    Run the job of a folder in a process of its own and return how that ended.

    limit_s   that one attempt may take, with the start
    on_event  called with every line that is a table with an `event`
    name      of the process, in what is told of it

    When this is cancelled the process is killed.
    """
    started_s = time.monotonic()
    follower = _Follower(limit_s, on_event)

    def ended(outcome: str, reason: str = "") -> Ended:
        took_s = time.monotonic() - started_s
        return Ended(outcome, reason, took_s, follower.sha256, follower.due_ms)

    with (folder / "stderr.txt").open("wb") as stderr:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(folder),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=stderr,
                env=_environment(),
                start_new_session=True,  # an interrupt at the terminal is ours to pass on
            )
        except OSError as error:
            return ended("failed", f"the {name} process could not be started: {error.strerror}")
    try:
        cut = await _listen(process, follower, name)
        if cut:
            return ended(*cut)
        if follower.sha256:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_gone(process), _LINGER_S)
            return ended("done")
        code = await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        return ended("failed", f"the {name} process closed its output but did not end")
    finally:
        await _end(process)
    return ended("failed", follower.refusal or _how_it_ended(code, folder, name))


async def _listen(process: Process, follower: _Follower, name: str) -> tuple[str, str] | None:
    """Follow the lines to the result or to their end; return outcome and reason when it had to be cut off."""
    assert process.stdout is not None
    lines = Lines()
    while True:
        left_s = follower.deadline_s - time.monotonic()
        try:
            chunk = await asyncio.wait_for(process.stdout.read(_LONGEST_LINE), max(left_s, 0.001))
        except TimeoutError:
            return "timeout", f"{name} took longer than {follower._limit_s:,.0f} s"
        if not chunk:
            return None
        for line in lines.feed(chunk):
            follower.hear(line)
            if follower.sha256:
                return None
        if lines.n_bytes > _MOST_BYTES:
            return "failed", f"the {name} process wrote more than {_MOST_BYTES >> 20} MB"


async def _end(process: Process) -> None:
    """Make sure that a process and whatever it started are gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its session is its own, and so is its group
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_gone(process), _END_S)


async def _gone(process: Process) -> None:
    """Wait until a process has ended; one whose output nobody reads is never seen to."""
    assert process.stdout is not None
    while await process.stdout.read(_LONGEST_LINE):
        pass
    await process.wait()


def _environment() -> dict[str, str]:
    """Return the child's environment: one thread, and our packages where we found them."""
    root = str(Path(str(papertape.__file__)).absolute().parents[1])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    path = os.pathsep.join(dict.fromkeys(paths))
    return child_environment({**dict.fromkeys(_ONE_THREAD, "1"), "PYTHONPATH": path})


def _how_it_ended(code: int, folder: Path, name: str) -> str:
    """Return what is known of a process that ended without a result."""
    said = (folder / "stderr.txt").read_bytes()[-4096:].decode(errors="replace").strip()
    last = said.splitlines()[-1][:_STDERR_SHOWN] if said else ""
    told = f"the {name} process {how_it_ended(code)} without a result"
    return told + (f": {last}" if last else "")
