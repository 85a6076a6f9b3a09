"""
Processes that do pieces of work by number. Each is a fork of this one, so it has everything that is loaded, classes that were
typed into a notebook among it; it ends with this process, however that ends.

One that dies costs its piece a second try; the answer to the second death is the caller's.
"""

import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, Pipe, wait
from typing import Final, NamedTuple

from papertape.replay.runtime.process import fork, how_it_ended

_STOP: Final = b""
_TRIES: Final = 2


class Worker(NamedTuple):
    """One process and the pipe to it."""

    pid: int
    pipe: Connection


def in_workers(
    numbers: Iterator[int], work: Callable[[int], bytes], count: int, lost: Callable[[int, str], bytes]
) -> Generator[bytes, None, None]:
    """
    Yield what `work` returns for every number, in the order in which it is done.

    numbers  taken one by one, as workers are free
    lost     the answer for a number at which two processes died, and how the second ended

    What `work` raises ends its process. When the caller stops listening, all processes are ended.
    """
    busy: dict[Connection, tuple[Worker, int, int]] = {}
    try:
        for _ in range(count):
            number = next(numbers, None)
            if number is None:
                break
            worker = _start(work, [w.pipe for w, _, _ in busy.values()])
            _give(worker, str(number).encode())
            busy[worker.pipe] = worker, number, 1
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, number, tries = busy.pop(pipe)
                try:
                    answer = pipe.recv_bytes()
                except (EOFError, OSError):  # OSError: it died within its answer
                    ended = _gather(worker)
                    worker = _start(work, [w.pipe for w, _, _ in busy.values()])
                    if tries < _TRIES:
                        _give(worker, str(number).encode())
                        busy[worker.pipe] = worker, number, tries + 1
                        continue
                    answer = lost(number, f"its process {how_it_ended(ended)}")
                following = next(numbers, None)
                if following is None:
                    _give(worker, _STOP)
                    _gather(worker)
                else:
                    _give(worker, str(following).encode())
                    busy[worker.pipe] = worker, following, 1
                yield answer
    finally:
        for worker, _, _ in busy.values():
            os.kill(worker.pid, signal.SIGKILL)
            _gather(worker)


@contextmanager
def beside(work: Callable[[], bytes]) -> Iterator[Callable[[], bytes]]:
    """Let a process of its own do a piece of work, and give what waits for its answer; should it die, the work is done here."""
    worker = _start(lambda _: work(), [])

    def answer() -> bytes:
        try:
            return worker.pipe.recv_bytes()
        except (EOFError, OSError):
            return work()

    try:
        _give(worker, b"0")
        yield answer
    finally:
        os.kill(worker.pid, signal.SIGKILL)
        _gather(worker)


def _give(worker: Worker, order: bytes) -> None:
    """Tell a process what is next; of one that has died meanwhile its pipe says so when an answer is read."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        worker.pipe.send_bytes(order)


def _gather(worker: Worker) -> int:
    """Wait until a process is gone; return how it ended, as `subprocess` says it."""
    worker.pipe.close()
    return os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])


def _start(work: Callable[[int], bytes], others: list[Connection]) -> Worker:
    """Start a process that answers numbers; others: pipes that it inherits and must not hold open."""
    ours, theirs = Pipe()
    pid = fork()
    if pid:
        theirs.close()
        return Worker(pid, ours)
    code = 1
    try:
        for pipe in (ours, *others):
            pipe.close()
        while number := theirs.recv_bytes():
            theirs.send_bytes(work(int(number)))
        code = 0
    except (EOFError, BrokenPipeError):
        code = 0
    except BaseException:  # what work raises is told here: beyond this process goes its exit code alone
        traceback.print_exc()
    finally:
        os._exit(code)  # nothing of the parent's is flushed or closed a second time
