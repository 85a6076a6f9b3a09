"""
The thread that reads the journal for whoever looks on, with a connection of its own.

One thread: readers never crowd out the writer, and what they keep between two questions needs no lock. Questions wait in
line; beyond MOST_WAITING the next is refused, so a page that is opened a hundred times over cannot grow the daemon.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Generic, TypeVar

from papertape.daemon.journal import Journal
from papertape.engine.errors import DataError

MOST_WAITING: Final = 64

T = TypeVar("T")


class Kept(Generic[T]):
    """
    One answer, kept until what it is made of moves; used by the reading thread alone.

    newest  the statement whose row is another one then
    """

    def __init__(self, newest: str) -> None:
        self._newest = newest
        self._made: tuple[object, T] | None = None

    def answer(self, journal: Journal, make: Callable[[], T], asked: object = None) -> T:
        """Return what `make` returned when the same was asked, and make it anew where that is not so any more."""
        # Looked at before it is made: what comes meanwhile leads to another one.
        key = asked, journal.one(self._newest)
        if self._made is None or self._made[0] != key:
            self._made = key, make()
        return self._made[1]


class ApiReader:
    """Answers questions about one state directory's journal, one after the other."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._thread = ThreadPoolExecutor(1, "api")
        self._journal: Journal | None = None
        self._waiting = 0

    async def ask(self, question: Callable[[Journal], T]) -> T:
        """Return what a question about the journal comes to; raises DataError where too many wait already."""
        if self._waiting >= MOST_WAITING:
            raise DataError(f"{MOST_WAITING} questions wait already; ask again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._answer, question)
        finally:
            self._waiting -= 1

    def _answer(self, question: Callable[[Journal], T]) -> T:
        if self._journal is None:
            self._journal = Journal.read(self._state)
        return question(self._journal)

    async def close(self) -> None:
        """Let the question that is being answered end, and close the file; what waits is not answered."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        if self._journal is not None:
            self._journal.close()
            self._journal = None
