"""
The file of a sweep's trials: a line that says which sweep it is, then one line per finished trial, only ever appended.

A process that is killed leaves at most one unfinished line, which the next one cuts off. A disk that is full leaves none: the
line is taken back, and what was done stays. One process writes at a time.
"""

import fcntl
import json
import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from papertape.engine.errors import DataError
from papertape.replay.research.sweep.trial import TrialRow

FORMAT: Final = 1
TRIALS: Final = "trials.jsonl"
_DONE, _NO_RESULT = 1, 2


class TrialFile:
    """Finished trials of one sweep, in the order in which they finished."""

    def __init__(self, folder: Path, header: Mapping[str, Any], size: int) -> None:
        """
        Open or begin the file of a sweep.

        Raises DataError when the folder is another sweep's, is being written to, or cannot be written.
        """
        self.path = folder / TRIALS
        self._done = bytearray(size)  # how each ended: 0 not yet
        self._places = array("q", bytes(8 * size))  # where the line of each begins
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self.path.open("a+b")
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {_said(error)}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise DataError(
                f"{folder}: another process writes trials there; wait for its end"
            ) from error
        try:
            self._take_over({"format": FORMAT, **header})
        except BaseException:
            self._file.close()
            raise

    @property
    def size(self) -> int:
        """Return how many trials there are to finish."""
        return len(self._done)

    @property
    def done(self) -> int:
        """Return how many trials are finished."""
        return self.size - self._done.count(0)

    def has(self, number: int) -> bool:
        """Return whether a trial is finished."""
        return bool(self._done[number])

    def left(self) -> Iterator[int]:
        """Yield the trials that are not finished, in order."""
        return (number for number, is_done in enumerate(self._done) if not is_done)

    def finished(self) -> Iterator[int]:
        """Yield the trials that are finished, in order."""
        return (number for number, is_done in enumerate(self._done) if is_done)

    def that_were_done(self) -> list[int]:
        """Return the trials that ended with a result, in order; no line is read for it."""
        return [number for number, ending in enumerate(self._done) if ending == _DONE]

    def row(self, number: int) -> TrialRow:
        """Return one finished trial."""
        assert self._done[number], f"trial {number} is not finished"
        with self.path.open("rb") as file:
            file.seek(self._places[number])
            return TrialRow.of_line(file.readline())

    def add(self, row: TrialRow, line: bytes = b"") -> None:
        """Append one trial, of which the line may be at hand; DataError when it cannot be kept, and then nothing of it is."""
        assert not self._done[row.number], f"trial {row.number} ran twice"
        place = self._append(line or row.line())
        self._note(row, place)

    def rows(self) -> Iterator[TrialRow]:
        """Yield every finished trial, in the order in which they finished."""
        with self.path.open("rb") as file:
            next(file)
            for line in file:
                yield TrialRow.of_line(line)

    def close(self) -> None:
        """Let others write."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _note(self, row: TrialRow, place: int) -> None:
        self._done[row.number] = _DONE if row.outcome == "done" else _NO_RESULT
        self._places[row.number] = place

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
        return end

    def _take_over(self, header: Mapping[str, Any]) -> None:
        """Read what is there; begin a new file where nothing is."""
        self._file.seek(0)
        first = self._file.readline()
        if not first.endswith(b"\n"):
            os.ftruncate(self._file.fileno(), 0)
            self._append(json.dumps(header, allow_nan=False).encode())
            return
        self._refuse_another(first, header)
        place = self._file.tell()
        for line in self._file:
            if not line.endswith(b"\n"):
                os.ftruncate(self._file.fileno(), place)
                return
            try:
                row = TrialRow.of_line(line)
                is_new = not self._done[row.number]
            except (ValueError, KeyError, TypeError, IndexError) as error:
                damaged = f"{self.path}: damaged before byte {place + len(line):,}: {error}"
                raise DataError(damaged) from error
            if not is_new:
                raise DataError(f"{self.path}: damaged: trial {row.number} stands in it twice")
            self._note(row, place)
            place += len(line)

    def _refuse_another(self, first: bytes, header: Mapping[str, Any]) -> None:
        """Raise DataError when the first line is not that of this sweep."""
        try:
            saved = json.loads(first)
            number = int(saved["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{self.path}: damaged: its first line names no sweep") from error
        if number > FORMAT:
            raise DataError(
                f"{self.path}: format {number} is newer than {FORMAT}; update papertape"
            )
        for name, value in json.loads(json.dumps(header)).items():
            if saved.get(name) != value:
                raise DataError(
                    f"{self.path.parent}: it holds the trials of another sweep (its {name} differs); choose another --out"
                )


def _said(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
