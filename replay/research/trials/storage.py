"""The file of a trial ledger: opened, made and brought forward; what sqlite refuses is said in our words."""

import hashlib
import sqlite3
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from papertape.engine.errors import DataError
from papertape.replay.research.trials.entry import entry_of_row, row_values

# 1 has no notes, 1 and 2 have no days in `tried`; what is written to is brought forward, what is only read stays as it is.
FORMAT: Final = 3
GENESIS: Final = hashlib.sha256(b"papertape trials").hexdigest()
_BUSY_S: Final = 30.0  # another shell's append takes milliseconds
_NOTES: Final = "CREATE TABLE notes (sequence INTEGER PRIMARY KEY) STRICT"
_SCHEMA: Final = f"""
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), ledger TEXT NOT NULL, sequence INTEGER NOT NULL,
    hash TEXT NOT NULL) STRICT;
CREATE TABLE trials (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TABLE tried (tape TEXT NOT NULL, trial TEXT NOT NULL, sequence INTEGER NOT NULL, symbol TEXT NOT NULL,
    strategy TEXT NOT NULL, sharpe REAL, days INTEGER, PRIMARY KEY (tape, trial)) STRICT, WITHOUT ROWID;
{_NOTES};
PRAGMA user_version = {FORMAT};
"""
# The days of a trial of before are in its own hashed row, and nowhere else.
_DATED: Final = """(SELECT tape, trial, sequence, symbol, strategy, sharpe, days_of(body) AS days
    FROM tried LEFT JOIN trials USING (sequence))"""
_WITH_DAYS: Final = """
ALTER TABLE tried ADD COLUMN days INTEGER;
UPDATE tried SET days = (SELECT days_of(body) FROM trials WHERE trials.sequence = tried.sequence);
"""
_WORDS: Final = (
    ("SQLITE_FULL", "the disk is full"),
    ("SQLITE_READONLY", "it cannot be written"),
    ("SQLITE_CANTOPEN", "it cannot be opened; check its folder and permissions"),
    ("SQLITE_PERM", "permission denied"),
    ("SQLITE_BUSY", "another process is writing to it"),
    ("SQLITE_IOERR", "the disk reports an error, or a file may not grow as large here (ulimit -f)"),
    ("SQLITE_NOTADB", "it is no trial ledger"),
    ("SQLITE_CORRUPT", "it is damaged"),
)


class LedgerFile:
    """
    One file, open for reading or, made where there is none, for writing.

    file  its connection; statements stand within `sentences` or `writing`
    """

    def __init__(self, path: Path, *, is_writing: bool = False) -> None:
        """Open it; raises DataError for a file that is none of ours, is newer, or cannot be opened."""
        self.path = path
        # Who only reads brings back what a kill left half written, too; sqlite reads a file that is locked against writing.
        mode = "rwc" if is_writing else "rw"
        if path.is_dir():
            raise DataError(f"{path}: it is a folder; name a file")
        if is_writing:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error
        with self.sentences():
            self.file = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_S, isolation_level=None
            )
        self.file.create_function("days_of", 1, _days_of, deterministic=True)
        try:
            with self.sentences():
                self._check_format(is_writing)
        except BaseException:
            self.file.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()

    def format(self) -> int:
        """Return the number of its format, 0 while nothing is in it."""
        return int(self.file.execute("PRAGMA user_version").fetchone()[0])

    def _check_format(self, is_writing: bool) -> None:
        number, names = self._contents()
        if number > FORMAT and "head" in names:
            raise DataError(f"{self.path}: format {number} is newer than {FORMAT}; update papertape")
        own = {"head", "trials", "tried", "notes"} if number > 1 else {"head", "trials", "tried"}
        if number and own <= names:
            if is_writing and number < FORMAT:
                self._bring_forward()
            return
        if number or names or not is_writing:
            raise DataError(f"{self.path}: it is no trial ledger")
        with self.writing():
            if self.format():  # another shell was faster
                return
            for statement in _SCHEMA.split(";"):
                self.file.execute(statement)
            self.file.execute("INSERT INTO head VALUES (1, ?, 0, ?)", (uuid.uuid4().hex, GENESIS))

    def _contents(self) -> tuple[int, set[str]]:
        """Return the format's number and the names of all tables, as of one moment: another shell may be making them."""
        self.file.execute("BEGIN")
        try:
            number = self.file.execute("PRAGMA user_version").fetchone()[0]
            names = {name for (name,) in self.file.execute("SELECT name FROM sqlite_master")}
        finally:
            if self.file.in_transaction:
                self.file.execute("ROLLBACK")
        return number, names

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the file alone until everything is kept, or nothing of it."""
        with self.sentences():
            self.file.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.file.execute("COMMIT")
            except BaseException:
                if self.file.in_transaction:
                    self.file.execute("ROLLBACK")
                raise

    @contextmanager
    def sentences(self) -> Iterator[None]:
        """Say what sqlite refuses in our words."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", None) or ""
            said = next((word for start, word in _WORDS if name.startswith(start)), str(error))
            raise DataError(f"{self.path}: {said}") from error

    def tried(self) -> str:
        """Return the table of what was tried, its days among it, as it stands behind FROM."""
        return "tried" if self.format() == FORMAT else _DATED

    def _bring_forward(self) -> None:
        with self.writing():
            number = self.format()
            if number == FORMAT:  # another shell was faster
                return
            notes = f"{_NOTES};" if number == 1 else ""
            for statement in f"{notes}{_WITH_DAYS}PRAGMA user_version = {FORMAT}".split(";"):
                self.file.execute(statement)


def _days_of(body: bytes | None) -> int | None:
    """Return the days of a trial's row, None where it cannot be read: `verify` says so of a row that was changed."""
    try:
        return None if body is None else entry_of_row(row_values(body)).days
    except (zlib.error, ValueError, KeyError, TypeError):
        return None
