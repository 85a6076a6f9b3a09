"""
The file of trials that several shells share: each appends to one of its own, and reads on in those of the others.

    trials.jsonl     which search it is; whoever comes with another one is refused
    shells/*.jsonl   the trials of one shell; its time says that the shell lives
    claims/          which shell does which trial (`papertape.replay.research.shells.claims`)

A trial that two shells did, for one of them was slow or cut off, has to be the same in both.
"""

import fcntl
import os
import re
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from papertape.engine.errors import DataError
from papertape.replay.research.shells.claims import BEAT_S, Claims
from papertape.replay.research.sweep.record import SHELLS, TRIALS, TrialFile, hold, open_to_append
from papertape.replay.research.sweep.trial import TrialRow

_LOOK_S: Final = 0.1  # between two looks at what others do, when nothing is left to claim
_BEGUN_S: Final = 5.0  # in which whoever begins the file has written its first line
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9-]")


class SharedTrialFile(TrialFile):
    """Finished trials of one search, whichever shell did them."""

    def __init__(self, folder: Path, header: Mapping[str, Any], size: int) -> None:
        """
        Join those who are at work on a search, or begin it.

        Raises DataError when the folder is another search's, is written to by one process alone, or cannot be written.
        """
        self._finished: deque[int] = deque()  # of which the claims can go once their lines are safe
        self._is_closed = threading.Event()
        super().__init__(folder, header, size)

    def turns(
        self, numbers: Sequence[int] | None, told: Callable[[TrialRow], None]
    ) -> Iterator[Iterator[int]]:
        """
        Yield the trials that this shell does, as often as there are some, until all are finished by whomever.

        None is waited for while they are handed out, for others may wait for those that are under way here.
        """
        wanted = range(self.size) if numbers is None else numbers
        while True:
            yield self._claimed(wanted, told)
            self._hear(told)
            if all(map(self.has, wanted)):
                return
            time.sleep(_LOOK_S)

    def add(self, row: TrialRow, line: bytes = b"") -> None:
        """Append one trial, of which the line may be at hand; one that another shell did meanwhile is compared with its own."""
        if self.has(row.number):
            self._refuse_unlike(row)
        else:
            super().add(row, line)
        self._finished.append(row.number)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """
        Hold what only one shell may do at a time, such as to write a result, and know all that those before have written of.

        One that was interrupted writes a part of the trials, and must not put it over what another wrote of all.
        """
        while not self._claims.take(self.size):
            time.sleep(_LOOK_S)
        try:
            os.fsync(self._file.fileno())  # who comes next reads what is written of here
            self._hear(lambda _: None)
            yield
        finally:
            self._claims.finish(self.size)

    @property
    def at_work(self) -> int:
        """Return how many shells are known to be at work."""
        return self._claims.at_work(self._others())

    def close(self) -> None:
        """Leave what is not finished to the others."""
        self._is_closed.set()
        if self._heart.is_alive():
            self._heart.join()
        self._beat()
        self._claims.close(lambda number: number < self.size and self.has(number))
        # Asked of the file itself: an interrupt may have come between a trial's line and any note of it.
        has_own = os.fstat(self._file.fileno()).st_size > len(self._first_line)
        super().close()
        if not has_own:
            self.path.unlink(missing_ok=True)
        self._begun.close()

    def _open(self, folder: Path) -> BinaryIO:
        self._begun = self._join(folder / TRIALS)
        try:
            own = folder / SHELLS / f"{_name()}.jsonl"
            own.parent.mkdir(exist_ok=True)
            self.path = own
            file = open_to_append(own)
            self._claims = Claims(folder / "claims", own)
        except BaseException:
            self._begun.close()
            raise
        self._heart = threading.Thread(target=self._live, name="papertape-shell", daemon=True)
        return file

    def _read_all(self) -> None:
        super()._read_all()
        self._heart.start()

    def _join(self, path: Path) -> BinaryIO:
        """Return the file that says which search it is, begun where there is none, held against who wants it alone."""
        try:
            path.open("xb").close()
            is_new = True
        except FileExistsError:
            self._wait_for_line(path)
            is_new = False
        found = path.open("r+b" if is_new else "rb")
        try:
            hold(found, fcntl.LOCK_SH)
        except BlockingIOError as error:
            found.close()
            raise DataError(
                f"{path.parent}: another process writes trials there alone; wait for its end, or begin it with --shared too"
            ) from error
        except OSError:  # a folder of another machine may know no locks; claims need none
            pass
        # Held before: who wants it alone begins it, too, and may have ended since.
        if is_new and not os.fstat(found.fileno()).st_size:
            self._begin(found)
        return found

    def _wait_for_line(self, path: Path) -> None:
        """Wait until a file has its first line, and begin it again where whoever began it has ended before, as on a full disk."""
        limit_s = time.monotonic() + _BEGUN_S
        while not _has_line(path):
            if time.monotonic() > limit_s:
                self._begin_again(path)
                return
            time.sleep(_LOOK_S)

    def _begin_again(self, path: Path) -> None:
        """Write the first line over what there is of it; DataError where somebody may still be about to."""
        with path.open("r+b") as file:
            try:
                hold(file, fcntl.LOCK_EX)
            except OSError as error:
                if _has_line(path):
                    return
                raise DataError(f"{path}: whoever began it has written no first line; remove it") from error
            if not _has_line(path):
                file.truncate(0)
                self._begin(file)

    def _begin(self, file: BinaryIO) -> None:
        file.write(self._first_line)
        file.flush()
        os.fsync(file.fileno())  # it stays open, and other machines read what was flushed

    def _claimed(self, wanted: Sequence[int], told: Callable[[TrialRow], None]) -> Iterator[int]:
        """Yield the trials that this shell has claimed."""
        for number in wanted:
            if self.has(number) or not self._claims.take(number):
                continue
            # Whoever had it before may have finished it since.
            self._hear(told)
            if self.has(number):
                self._claims.finish(number)
            else:
                yield number

    def _hear(self, told: Callable[[TrialRow], None]) -> None:
        """Take in what the others have appended."""
        for path in self._others():
            for row in self._read_on(path):
                told(row)

    def _others(self) -> list[Path]:
        return [path for path in sorted(self.path.parent.glob("*.jsonl")) if path != self.path]

    def _live(self) -> None:
        """Say that this shell lives, until it is closed."""
        while not self._is_closed.wait(BEAT_S):
            self._beat()

    def _beat(self) -> None:
        """Make sure that all machines can read what was finished, then let its claims go, and say that this shell lives."""
        safe = [self._finished.popleft() for _ in range(len(self._finished))]
        try:
            os.fsync(self._file.fileno())
            self._claims.beat()
        except OSError:  # a folder that is gone or full is said by who appends
            return
        for number in safe:
            self._claims.finish(number)


def _has_line(path: Path) -> bool:
    """Return whether the first line of a file is whole."""
    with path.open("rb") as file:
        return file.readline().endswith(b"\n")


def _name() -> str:
    """Return a name that no other shell has, and that says where this one is."""
    return f"{_NO_NAME.sub('-', socket.gethostname())}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
