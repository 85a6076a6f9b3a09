"""
The file of a sweep's trials: a line that says which sweep it is, then one line per finished trial, only ever appended.

A process that is killed leaves at most one unfinished line, which the next one cuts off. A disk that is full leaves none: the
line is taken back, and what was done stays. One process writes at a time, or several shells that share the work
(`papertape.replay.research.shells`), each a file of its own, which are read here as well.
"""

import errno
import fcntl
import json
import os
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from papertape.engine.errors import DataError, InvariantError
from papertape.replay.research.sweep.trial import TrialRow

FORMAT: Final = 1
TRIALS: Final = "trials.jsonl"
SHELLS: Final = "shells"
_ENDINGS: Final = {"done": 1, "pruned": 2, "repeated": 3}
_NO_RESULT: Final = 4
# A command that is killed leaves workers, which end a moment after it and hold what it held until then.
_PATIENCE_S: Final = 2.0


@contextmanager
def unless_gone() -> Iterator[None]:
    """Leave what is done with a file that is not there, or that another machine removed meanwhile, as its server says then."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise


def hold(file: BinaryIO, kind: int) -> None:
    """Lock a file until it is closed, or raise BlockingIOError when another process holds it and goes on doing so."""
    limit_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= limit_s:
                raise
        time.sleep(0.02)


class TrialFile:
    """Finished trials of one sweep, in the order in which they finished."""

    def __init__(self, folder: Path, header: Mapping[str, Any], size: int) -> None:
        """
        Open or begin the file of a sweep.

        Raises DataError when the folder is another sweep's, is being written to, or cannot be written.
        """
        self.path = folder / TRIALS
        self.header = json.loads(json.dumps({"format": FORMAT, **header}, allow_nan=False))
        self._first_line = json.dumps(self.header).encode() + b"\n"
        self._folder = folder
        self._done = bytearray(size)  # how each ended: 0 not yet
        self._places = array("q", bytes(8 * size))  # where the line of each begins
        self._homes = array("H", bytes(2 * size))  # and in which file
        self._files: list[Path] = []
        self._ends: list[int] = []  # up to where each was read
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._open(folder)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {_said(error)}") from error
        try:
            self._read_all()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Return how many trials there are to finish."""
        return len(self._done)

    @property
    def done(self) -> int:
        """Return how many trials are finished."""
        return self.size - self._done.count(0)

    @property
    def at_work(self) -> int:
        """Return how many shells are known to be at work."""
        return 1

    @property
    def by_shell(self) -> dict[str, int]:
        """
        Return how many of the trials each shell did that shared the work; nothing where one did all of them.

        One that repeats another was run by nobody: every shell writes it down.
        """
        counts = Counter(
            self._homes[number] for number in self.finished() if self._done[number] != _ENDINGS["repeated"]
        )
        named = {self._files[home].stem: count for home, count in counts.items()}
        return dict(sorted(named.items())) if set(named) - {self._folder.joinpath(TRIALS).stem} else {}

    def has(self, number: int) -> bool:
        """Return whether a trial is finished."""
        return bool(self._done[number])

    def turns(
        self, numbers: Sequence[int] | None, told: Callable[[TrialRow], None]
    ) -> Iterator[Iterator[int]]:
        """
        Yield the trials that this process does, in order, each time that there are some.

        numbers  of these alone; None: of all
        told     of every trial that is finished meanwhile by another shell
        """
        wanted = range(self.size) if numbers is None else numbers
        yield (number for number in wanted if not self._done[number])

    def alone(self) -> AbstractContextManager[None]:
        """Hold what only one shell may do at a time, such as to write a result of all trials that are known."""
        return nullcontext()

    def finished(self) -> Iterator[int]:
        """Yield the trials that are finished, in order."""
        return (number for number, is_done in enumerate(self._done) if is_done)

    def that_were_done(self) -> list[int]:
        """Return the trials that ended with a result, in order; no line is read for it."""
        return [number for number, ending in enumerate(self._done) if ending == _ENDINGS["done"]]

    @property
    def pruned(self) -> int:
        """Return how many trials were given up on the way."""
        return self._done.count(_ENDINGS["pruned"])

    def row(self, number: int) -> TrialRow:
        """Return one finished trial."""
        assert self._done[number], f"trial {number} is not finished"
        with self._files[self._homes[number]].open("rb") as file:
            file.seek(self._places[number])
            return TrialRow.of_line(file.readline())

    def add(self, row: TrialRow, line: bytes = b"") -> None:
        """Append one trial, of which the line may be at hand; DataError when it cannot be kept, and then nothing of it is."""
        assert not self._done[row.number], f"trial {row.number} ran twice"
        place = self._append(line or row.line())
        self._note(row, self._own, place)

    def rows(self) -> Iterator[TrialRow]:
        """Yield every finished trial, in the order in which they finished, of several shells one after the other."""
        # A shell that did nothing has taken its file along.
        used = {self._homes[number] for number in self.finished()}
        for path in sorted(self._files, key=lambda path: (path.name != TRIALS, path)):
            if (home := self._files.index(path)) not in used:
                continue
            with path.open("rb") as file:
                place = len(file.readline())
                for line in file:
                    if place >= self._ends[home]:
                        break
                    row = TrialRow.of_line(line)
                    if (self._homes[row.number], self._places[row.number]) == (home, place):
                        yield row
                    place += len(line)

    def close(self) -> None:
        """Let others write."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, folder: Path) -> BinaryIO:
        """Open what is appended to, against everybody else."""
        file = open_to_append(self.path)
        try:
            hold(file, fcntl.LOCK_EX)
        except OSError as error:
            file.close()
            raise DataError(
                f"{folder}: another process writes trials there; wait for its end, or begin both with --shared"
            ) from error
        return file

    def _read_all(self) -> None:
        """Read what is there; cut off what a kill left unfinished, and begin a new file where nothing is."""
        for path in (self._folder / TRIALS, *sorted((self._folder / SHELLS).glob("*.jsonl"))):
            for _ in self._read_on(path):
                pass
        end = self._ends[self._own]
        os.ftruncate(self._file.fileno(), end)
        if not end:
            self._append(self._first_line[:-1])

    def _read_on(self, path: Path) -> Iterator[TrialRow]:
        """Take in the whole lines of a file that were not read yet; yield the trials that were not known."""
        with unless_gone():  # as that of a shell which did nothing and has ended meanwhile
            yield from self._read_lines(path)

    def _read_lines(self, path: Path) -> Iterator[TrialRow]:
        with path.open("rb") as file:
            home = self._home(path)
            file.seek(self._ends[home])
            for line in file:
                if not line.endswith(b"\n"):
                    return
                place = self._ends[home]
                self._ends[home] += len(line)
                if not place:
                    self._refuse_another(path, line)
                    continue
                try:
                    row = TrialRow.of_line(line)
                    is_new = not self._done[row.number]
                except (ValueError, KeyError, TypeError, IndexError) as error:
                    damaged = f"{path}: damaged before byte {place + len(line):,}: {error}"
                    raise DataError(damaged) from error
                if is_new:
                    self._note(row, home, place)
                    yield row
                elif self._homes[row.number] == home:
                    raise DataError(f"{path}: damaged: trial {row.number} stands in it twice")
                else:
                    self._refuse_unlike(row)

    @cached_property
    def _own(self) -> int:
        """Return the number of the file that is written here."""
        return self._home(self.path)

    def _home(self, path: Path) -> int:
        """Return the number of a file."""
        if path not in self._files:
            self._files.append(path)
            self._ends.append(0)
        return self._files.index(path)

    def _note(self, row: TrialRow, home: int, place: int) -> None:
        self._done[row.number] = _ENDINGS.get(row.outcome, _NO_RESULT)
        self._homes[row.number], self._places[row.number] = home, place

    def _append(self, line: bytes) -> int:
        """Append one line and return where it begins."""
        end = os.fstat(self._file.fileno()).st_size
        rest = memoryview(line + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._file.fileno(), rest) :]
        except OSError as error:
            os.ftruncate(self._file.fileno(), end)
            raise DataError(
                f"{self.path}: a trial could not be kept: {_said(error)}; the {self.done:,} before it are, and the same "
                "command goes on with them"
            ) from error
        self._ends[self._own] = end + len(line) + 1
        return end

    def _refuse_unlike(self, row: TrialRow) -> None:
        """Raise InvariantError when a trial that is known already came to something else."""
        known = self.row(row.number)
        if known.outcome == row.outcome and known.digest != row.digest:
            raise InvariantError(
                f"trial {row.number} {dict(row.changes)}: its digest is {known.digest[:16]} by one shell and "
                f"{row.digest[:16]} by another; none of these trials can be trusted"
            )

    def _refuse_another(self, path: Path, first: bytes) -> None:
        """Raise DataError when the first line is not that of this sweep."""
        try:
            saved = json.loads(first)
            number = int(saved["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: damaged: its first line names no sweep") from error
        if number > FORMAT:
            raise DataError(f"{path}: format {number} is newer than {FORMAT}; update papertape")
        for name, value in self.header.items():
            if saved.get(name) != value:
                raise DataError(
                    f"{self._folder}: it holds the trials of another search (with other {name}); choose another --out"
                )


def open_to_append(path: Path) -> BinaryIO:
    """Open a file to append to it, made where there is none."""
    return path.open("a+b")


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
