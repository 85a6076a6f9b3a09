"""
The trial ledger: one SQLite file of everything that was ever tried, each row hashed together with the one before it.

    head    which ledger this is, and its newest row
    trials  one row per trial, only ever appended; its content is compressed JSON
    tried   how often each tape was tried on: one row per tape and distinct trial, made from `trials` and checked against it

It has one file and no write-ahead log, so that it may lie on a folder that machines share and be copied as it stands.
"""

import hashlib
import json
import os
import sqlite3
import uuid
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from papertape.engine.errors import DataError
from papertape.replay.research.trials.entry import TrialEntry

FORMAT: Final = 1
VARIABLE: Final = "PAPERTAPE_TRIALS"
OFF: Final = "off"
GENESIS: Final = hashlib.sha256(b"papertape trials").hexdigest()
_BUSY_S: Final = 30.0  # another shell's append takes milliseconds
_SCHEMA: Final = f"""
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), ledger TEXT NOT NULL, sequence INTEGER NOT NULL,
    hash TEXT NOT NULL) STRICT;
CREATE TABLE trials (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TABLE tried (tape TEXT NOT NULL, trial TEXT NOT NULL, sequence INTEGER NOT NULL, symbol TEXT NOT NULL,
    strategy TEXT NOT NULL, sharpe REAL, PRIMARY KEY (tape, trial)) STRICT, WITHOUT ROWID;
PRAGMA user_version = {FORMAT};
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


class Head(NamedTuple):
    """Which ledger it is, and its newest row: 0 and GENESIS where there is none."""

    ledger: str
    sequence: int
    hash: str


class Count(NamedTuple):
    """Distinct trials on some tapes, and the spread of their daily Sharpe ratios, None below two of them."""

    trials: int
    deviation: float | None


class TapeTrials(NamedTuple):
    """What is on record for one tape: distinct trials, strategies by name, best and worst daily Sharpe ratio, newest row."""

    tape: str
    symbol: str
    trials: int
    strategies: int
    best: float | None
    worst: float | None
    newest: int


def ledger_path() -> Path | None:
    """Return where the ledger is: $PAPERTAPE_TRIALS, else papertape/trials.sqlite3 in $XDG_DATA_HOME; None when it is off."""
    named = os.environ.get(VARIABLE)
    if named:
        return None if named == OFF else Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    try:
        folder = Path(data) if data else Path.home() / ".local" / "share"
    except RuntimeError as error:  # no home at all
        raise DataError(
            f"trial ledger: there is no home folder; set ${VARIABLE} to a file"
        ) from error
    return folder / "papertape" / "trials.sqlite3"


class Ledger:
    """One ledger file, open for reading or, made where there is none, for appending."""

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
        with self._sentences():
            self._file = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=_BUSY_S, isolation_level=None
            )  # fmt: skip
        try:
            with self._sentences():
                self._check_format(is_writing)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def head(self) -> Head:
        """Return which ledger it is, and its newest row."""
        with self._sentences():
            row = self._file.execute("SELECT ledger, sequence, hash FROM head").fetchone()
        if row is None:
            raise DataError(f"{self.path}: damaged: it has no head")
        return Head(*row)

    def append(self, entries: Iterable[TrialEntry], *, only_new: bool = False) -> Head:
        """
        Append trials, all or none of them, and return the head after them.

        only_new  leave out those that are on record already, by configuration and tapes
        """
        with self._writing():
            head = self.head()
            for entry in entries:
                if only_new and self._is_known(entry):
                    continue
                head = self._append(head, entry)
            self._file.execute("UPDATE head SET sequence = ?, hash = ?", (head.sequence, head.hash))
        return head

    def count(self, tapes: Sequence[str], upto: int | None = None) -> Count:
        """Return how many distinct trials are on record on any of these tapes; upto: as it was at that row."""
        places = ", ".join("?" * len(tapes))
        limit = self.head().sequence if upto is None else upto
        with self._sentences():
            rows = self._file.execute(
                f"SELECT DISTINCT trial, sharpe FROM tried WHERE tape IN ({places}) AND sequence <= ?",  # noqa: S608
                (*tapes, limit),
            ).fetchall()
        return _counted(dict(rows))

    def count_with(self, tapes: Sequence[str], others: Iterable[TrialEntry]) -> Count:
        """Return the same with trials that are not on record."""
        places = ", ".join("?" * len(tapes))
        with self._sentences():
            known = dict(
                self._file.execute(
                    f"SELECT trial, sharpe FROM tried WHERE tape IN ({places})",  # noqa: S608
                    tapes,
                )
            )
        return _counted({**{one.trial: one.daily_sharpe for one in others}, **known})

    def by_tape(self) -> list[TapeTrials]:
        """Return what is on record for every tape, the newest tried on first."""
        with self._sentences():
            rows = self._file.execute(
                "SELECT tape, max(symbol), count(*), count(DISTINCT strategy), max(sharpe), min(sharpe), max(sequence) "
                "FROM tried GROUP BY tape ORDER BY max(sequence) DESC"
            ).fetchall()
        return [TapeTrials(*row) for row in rows]

    def on(self, tape: str) -> Iterator[TrialEntry]:
        """Yield the first record of every distinct trial on a tape, oldest first."""
        with self._sentences():
            for (body,) in self._file.execute(
                "SELECT body FROM trials WHERE sequence IN (SELECT sequence FROM tried WHERE tape = ?) ORDER BY sequence",
                (tape,),
            ):
                yield _entry(body)

    def hash_at(self, sequence: int) -> str | None:
        """Return the hash of a row, None where there is no such row."""
        with self._sentences():
            row = self._file.execute(
                "SELECT hash FROM trials WHERE sequence = ?", (sequence,)
            ).fetchone()
        return None if row is None else str(row[0])

    def faults(self) -> list[str]:
        """Return what is wrong with the chain: rows removed, changed or in another order, an end that was cut off."""
        found: list[str] = []
        before, expected, head = GENESIS, 0, self.head()
        tried: dict[tuple[str, str], tuple[int, str, str, float | None]] = {}
        with self._sentences():
            for sequence, body, saved in self._file.execute(
                "SELECT sequence, body, hash FROM trials ORDER BY sequence"
            ):
                expected += 1
                if sequence != expected:
                    return [f"trial {expected:,} is missing"]
                if saved != link(before, sequence, body):
                    return [f"trial {sequence:,} was changed, or what is before it was"]
                before = saved
                entry = _entry(body)
                for key, row in _tried(entry, sequence):
                    tried.setdefault(key, row)
            if (expected, before) != (head.sequence, head.hash):
                found.append(f"the head says {head.sequence:,} trials, and there are {expected:,}")
            for tape, trial, *row in self._file.execute(
                "SELECT tape, trial, sequence, symbol, strategy, sharpe FROM tried"
            ):
                if tried.pop((tape, trial), None) != tuple(row):
                    return [*found, f"the count of tape {tape[:12]} was changed"]
        return [
            *found,
            *(f"the count of tape {tape[:12]} lacks a trial" for tape, _ in list(tried)[:1]),
        ]

    def _append(self, head: Head, entry: TrialEntry) -> Head:
        sequence = head.sequence + 1
        body = zlib.compress(
            json.dumps(entry._asdict(), allow_nan=False, separators=(",", ":")).encode()
        )
        made = Head(head.ledger, sequence, link(head.hash, sequence, body))
        self._file.execute("INSERT INTO trials VALUES (?, ?, ?)", (sequence, body, made.hash))
        self._file.executemany(
            "INSERT OR IGNORE INTO tried VALUES (?, ?, ?, ?, ?, ?)",
            [(*key, *row) for key, row in _tried(entry, sequence)],
        )
        return made

    def _is_known(self, entry: TrialEntry) -> bool:
        tape = entry.tapes[0][1]
        found = self._file.execute(
            "SELECT 1 FROM tried WHERE tape = ? AND trial = ?", (tape, entry.trial)
        )
        return found.fetchone() is not None

    def _check_format(self, is_writing: bool) -> None:
        number, names = self._contents()
        if number > FORMAT and "head" in names:
            raise DataError(
                f"{self.path}: format {number} is newer than {FORMAT}; update papertape"
            )
        if number == FORMAT and {"head", "trials", "tried"} <= names:
            return
        if number or names or not is_writing:
            raise DataError(f"{self.path}: it is no trial ledger")
        with self._writing():
            if self._file.execute("PRAGMA user_version").fetchone()[0]:  # another shell was faster
                return
            for statement in _SCHEMA.split(";"):
                self._file.execute(statement)
            self._file.execute("INSERT INTO head VALUES (1, ?, 0, ?)", (uuid.uuid4().hex, GENESIS))

    def _contents(self) -> tuple[int, set[str]]:
        """Return the format's number and the names of all tables, as of one moment: another shell may be making them."""
        self._file.execute("BEGIN")
        try:
            number = self._file.execute("PRAGMA user_version").fetchone()[0]
            names = {name for (name,) in self._file.execute("SELECT name FROM sqlite_master")}
        finally:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
        return number, names

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the file alone until everything is kept, or nothing of it."""
        with self._sentences():
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._file.execute("COMMIT")
            except BaseException:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")
                raise

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Say what sqlite refuses in our words."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", None) or ""
            said = next((word for start, word in _WORDS if name.startswith(start)), str(error))
            raise DataError(f"{self.path}: {said}") from error


def opened(*, is_writing: bool = False) -> "closing[Ledger]":
    """Return the ledger to be closed again; DataError where it is off, is not there to be read, or cannot be opened."""
    path = ledger_path()
    if path is None:
        raise DataError(f"the trial ledger is off (${VARIABLE}={OFF})")
    if not is_writing and not path.exists():
        raise DataError(f"{path}: there is no trial ledger yet; a replay begins one")
    return closing(Ledger(path, is_writing=is_writing))


def link(before: str, sequence: int, body: bytes) -> str:
    """Return the hash of a row from that of the row before it."""
    return hashlib.sha256(f"{before} {sequence} ".encode() + body).hexdigest()


def _counted(sharpe: Mapping[str, float | None]) -> Count:
    known = [value for _, value in sorted(sharpe.items()) if value is not None]
    return Count(len(sharpe), _spread(known))


def _spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation of a sample, n − 1 below the line; None below two values."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5)


def _entry(body: bytes) -> TrialEntry:
    values: dict[str, Any] = json.loads(zlib.decompress(body))
    return TrialEntry(
        **{**values, "tapes": tuple((symbol, tape) for symbol, tape in values["tapes"])}
    )


def _tried(
    entry: TrialEntry, sequence: int
) -> Iterator[tuple[tuple[str, str], tuple[int, str, str, float | None]]]:
    """Yield the rows of `tried` that a trial makes, where its like was not on record before."""
    for symbol, tape in entry.tapes:
        yield (tape, entry.trial), (sequence, symbol, entry.strategy, entry.daily_sharpe)
