"""
Work in a process of its own that begins as this one is now and leaves nothing behind: for users' code that is tried often.

The process is forked, so it starts within milliseconds and inherits everything that is loaded; what the code keeps in a
module, and what an earlier trial was shown, ends with it. What it reads beside its arguments is noticed, as far as Python
opens it: files that are neither code nor a library's, sockets, other processes.
"""

import json
import math
import os
import signal
import sys
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.lib.format import descr_to_dtype, dtype_to_descr

from papertape.engine import errors
from papertape.engine.errors import ConfigError, PapertapeError
from papertape.engine.jit.cache import cache_directory
from papertape.replay.runtime.process import fork

_CODE: Final = (".py", ".pyc", ".so", ".pth", ".nbi", ".nbc")
_SYSTEM: Final = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/share/zoneinfo/", "/usr/lib/")
_OUTSIDE: Final = {
    "socket.connect": "the network",
    "socket.getaddrinfo": "the network",
    "subprocess.Popen": "another process",
    "os.system": "another process",
    "os.posix_spawn": "another process",
}
_LENGTH: Final = 8  # bytes of how long an answer is

Arrays = Mapping[str, Any]


class ForkResult(NamedTuple):
    """
    What came of some work.

    values    plain values
    arrays    by name
    reads     what it read beside its arguments
    libraries modules of libraries that it loaded
    """

    values: dict[str, Any]
    arrays: dict[str, Any]
    reads: tuple[str, ...]
    libraries: tuple[str, ...]


def run_apart(work: Callable[[], tuple[dict[str, Any], Arrays]]) -> ForkResult:
    """
    Return what work returns (plain values, arrays by name), done in a process of its own.

    Raises what is ours as it was raised there, and ConfigError for any other error of a user's code.
    """
    return read_answer(answer_apart(work))


def answer_apart(
    work: Callable[[], tuple[dict[str, Any], Arrays]], reads: dict[str, None] | None = None
) -> bytes:
    """Return what `answer_of` says in a copy of this process; nothing where that ended before it had said all of it."""
    reading, writing = os.pipe()
    child = fork()
    if child == 0:
        os.close(reading)
        _end(work, reads, writing)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            return receive(pipe)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.waitpid(child, 0)


def _end(
    work: Callable[[], tuple[dict[str, Any], Arrays]], reads: dict[str, None] | None, writing: int
) -> None:
    """Do the work, write what came of it, and end this process without another word."""
    code = 1
    try:
        with os.fdopen(writing, "wb") as pipe:
            send(pipe, answer_of(work, reads))
        code = 0
    finally:
        os._exit(code)


def send(pipe: BinaryIO, answer: bytes) -> None:
    """Write an answer with its length before it."""
    pipe.write(len(answer).to_bytes(_LENGTH, "little"))
    pipe.write(answer)
    pipe.flush()


def receive(pipe: BinaryIO) -> bytes:
    """Read an answer, nothing where whoever wrote it has ended within; what they left running may hold the pipe open."""
    length = int.from_bytes(pipe.read(_LENGTH), "little")
    answer = pipe.read(length)
    return answer if len(answer) == length else b""


def answer_of(
    work: Callable[[], tuple[dict[str, Any], Arrays]], reads: dict[str, None] | None = None
) -> bytes:
    """
    Return what came of work as bytes: a line of JSON, and arrays.

    reads  what a process that was begun for it has read already, and where it is noted from then on
    """
    before = set(sys.modules)
    reads = {} if reads is None else reads
    sys.addaudithook(_listener(reads))
    header: dict[str, Any]
    arrays: Arrays = {}
    try:
        values, arrays = work()
        header = {"values": values}
    except (Exception, SystemExit) as error:  # a user's code: whatever it raises is told, not raised
        ours = isinstance(error, PapertapeError)
        said = str(error) if ours else f"{type(error).__name__}: {error}"
        header = {"error": said, "kind": type(error).__name__ if ours else ""}
    header["reads"] = list(reads)
    loaded = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - before}
    header["libraries"] = sorted(n for n, file in loaded.items() if file and _is_library(file))
    header["arrays"], parts = _described(arrays)
    return b"".join([json.dumps(header).encode(), b"\n", *parts])


def _described(arrays: Arrays) -> tuple[dict[str, Any], list[bytes]]:
    """
    Return of every array its type, its shape and where its bytes are, and the bytes, each once however many names it has.

    An `.npz` of the hundreds of short arrays that a strategy's run is takes longer to read than the run takes.
    """
    places: dict[int, int] = {}
    told: dict[str, Any] = {}
    parts: list[bytes] = []
    at = 0
    for name, array in arrays.items():
        values = np.asarray(array)
        if id(array) not in places:
            places[id(array)] = at
            parts.append(values.tobytes())
            at += len(parts[-1])
        told[name] = (dtype_to_descr(values.dtype), values.shape, places[id(array)])
    return told, parts


def read_answer(found: bytes) -> ForkResult:
    """Return what `answer_of` wrote, or raise what it says."""
    line, _, rest = found.partition(b"\n")
    if not line:
        raise ConfigError("the process that tried it ended without an answer")
    header = json.loads(line)
    if "error" in header:
        kind = getattr(errors, header["kind"], ConfigError) if header["kind"] else ConfigError
        raise kind(header["error"])
    arrays = {
        name: np.frombuffer(rest, descr_to_dtype(kind), math.prod(shape), place).reshape(shape)
        for name, (kind, shape, place) in header["arrays"].items()
    }
    return ForkResult(header["values"], arrays, tuple(header["reads"]), tuple(header["libraries"]))


def _listener(reads: dict[str, None]) -> Callable[[str, tuple[Any, ...]], None]:
    """Return what Python calls at every act that it audits; it notes what is read from outside."""

    def listen(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes) and not (flags or 0) & os.O_WRONLY:
                name = os.path.abspath(os.fsdecode(path))
                if not _is_code(name):
                    reads[name] = None
        elif event == "sqlite3.connect":
            reads[f"the database {arguments[0]}"] = None
        elif event in _OUTSIDE:
            reads[_OUTSIDE[event]] = None

    return listen


def _is_code(name: str) -> bool:
    return name.endswith(_CODE) or name.startswith(_SYSTEM) or _is_library(name)


def _is_library(name: str) -> bool:
    """Return whether a file belongs to Python, to an installed library, to us or to the kernels' cache."""
    return (
        "site-packages" in name
        or "dist-packages" in name
        or name.startswith(_OWN)
        or name in sys.path  # Python looks into an archive that it finds there, should there be one
    )


_OWN: Final = tuple(
    f"{place}{os.sep}"
    for place in (
        sysconfig.get_path("stdlib"),
        cache_directory(),
        Path(errors.__file__).parent,
        Path(__file__).parents[1],
    )
)
