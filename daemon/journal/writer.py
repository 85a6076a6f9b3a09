"""
Who writes: a thread of its own with group commit, or, where time is virtual, whoever asks.

What is handed in is done in that order; what arrives while a commit is being flushed shares the next one. A failed
commit is the end: nothing is written after it, whoever waits is told, and the daemon stops.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from papertape.daemon.journal.journal import Journal, Work
from papertape.engine.errors import DataError

T = TypeVar("T")
OnCommit = Callable[[float, bool], None]

_QUEUE_LENGTH: Final = 4096  # works; a full queue makes the daemon wait for the disk
_GROUP_LENGTH: Final = 256  # works per transaction
_WAIT_S: Final = 30.0  # for room in the queue; a disk that takes longer is broken


class Writer(Protocol):
    """Something that commits works in order."""

    async def submit(self, work: Work[T]) -> T:
        """Return what the work returned, once it is on the disk."""

    def post(self, work: Work[Any]) -> None:
        """Hand in work whose result nobody needs; it is committed after everything before it."""

    async def failed(self) -> None:
        """Wait until a commit fails and raise its error; never return otherwise."""

    async def close(self) -> None:
        """Commit what was handed in and close the journal."""


class InlineWriter:
    """Commits at once, in the caller's thread: for recovery, and for tests in virtual time."""

    def __init__(self, journal: Journal, on_commit: OnCommit = lambda seconds, ok: None) -> None:
        self.journal, self._on_commit = journal, on_commit

    async def submit(self, work: Work[T]) -> T:
        """Return what the work returned."""
        result: T = self._commit(work)
        return result

    def post(self, work: Work[Any]) -> None:
        """Do the work."""
        self._commit(work)

    def _commit(self, work: Work[T]) -> T:
        started_s, is_done = time.perf_counter(), False
        try:
            result: T = self.journal.commit([work])[0]
            is_done = True
        finally:
            self._on_commit(time.perf_counter() - started_s, is_done)
        return result

    async def failed(self) -> None:
        """Wait for ever: an error reaches the caller."""
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Close the journal."""
        self.journal.close()


class _Item(NamedTuple):
    work: Work[Any]
    future: "asyncio.Future[Any] | None"


class ThreadWriter:
    """Commits in a thread, so that a flush never holds up the event loop. Make it inside a running loop."""

    def __init__(self, journal: Journal, on_commit: OnCommit = lambda seconds, ok: None) -> None:
        self._journal, self._on_commit = journal, on_commit
        self._loop = asyncio.get_running_loop()
        self._queue: queue.Queue[_Item | None] = queue.Queue(_QUEUE_LENGTH)
        self._failure: asyncio.Future[None] = self._loop.create_future()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    async def submit(self, work: Work[T]) -> T:
        """Return what the work returned, once it is on the disk."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._put(_Item(work, future))
        return await future

    def post(self, work: Work[Any]) -> None:
        """Hand in work whose result nobody needs."""
        self._put(_Item(work, None))

    async def failed(self) -> None:
        """Wait until a commit fails and raise its error."""
        await asyncio.shield(self._failure)

    async def close(self) -> None:
        """Commit what was handed in, end the thread and close the journal."""
        if self._thread.is_alive():
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
        self._journal.close()
        if not self._failure.done():
            self._failure.cancel()

    def _put(self, item: _Item) -> None:
        if self._error is not None:
            raise self._error
        try:
            self._queue.put(item, timeout=_WAIT_S)
        except queue.Full:
            raise DataError(
                f"{self._journal.path}: the disk took no write for {_WAIT_S:g} s; check it"
            ) from None

    def _run(self) -> None:
        """Commit group after group until told to end; the first error ends it too."""
        while (group := self._next_group()) is not None:
            if self._error is not None:
                self._tell(self._refuse, group, self._error)
                continue
            started_s = time.perf_counter()
            try:
                results = self._journal.commit([item.work for item in group])
            except BaseException as error:
                # Not swallowed: every waiter and `failed` raise it in the loop.
                self._error = error
                self._tell(self._refuse, group, error)
            else:
                self._tell(_deliver, group, results)
            self._tell(self._on_commit, time.perf_counter() - started_s, self._error is None)

    def _next_group(self) -> list[_Item] | None:
        """Return everything that waits, at least one item, or None at the end."""
        item = self._queue.get()
        if item is None:
            return None
        group = [item]
        while len(group) < _GROUP_LENGTH:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                self._queue.put(None)  # there is room: one was just taken
                break
            group.append(item)
        return group

    def _tell(self, call: Callable[..., None], *arguments: Any) -> None:
        """Call in the loop, unless it has gone: then nobody waits."""
        # It may be closed between a look and the call.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _refuse(self, group: list[_Item], error: BaseException) -> None:
        for item in group:
            if item.future is not None and not item.future.done():
                item.future.set_exception(error)
        if not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # seen: nobody may be waiting for it


def _deliver(group: list[_Item], results: list[Any]) -> None:
    for item, result in zip(group, results, strict=True):
        if item.future is not None and not item.future.done():
            item.future.set_result(result)
