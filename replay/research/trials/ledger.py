"""
The trial ledger: one SQLite file of everything that was ever tried, each row hashed together with the one before it.

    head    which ledger this is, and its newest row
    trials  one row per trial or note, only ever appended; its content is compressed JSON
    tried   how often each tape was tried on: one row per tape and distinct trial, made from `trials` and checked against it
    notes   which rows are no trials (`papertape.replay.research.trials.holdout`); the table is made with the first of them

It has one file and no write-ahead log, so that it may lie on a folder that machines share and be copied as it stands.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from papertape.engine.errors import DataError
from papertape.engine.jit.cache import users_folder
from papertape.engine.performance.metrics import MINIMUM_DAYS
from papertape.engine.performance.significance import sharpe_spread
from papertape.replay.research.trials.entry import TrialEntry, entry_of_row, row_values
from papertape.replay.research.trials.storage import GENESIS, LedgerFile

NOTES: Final = ("lock", "reading")  # kinds of rows that are no trials
VARIABLE: Final = "PAPERTAPE_TRIALS"
OFF: Final = "off"
_NOTED: Final = 2  # the first format with notes


class Head(NamedTuple):
    """Which ledger it is, and its newest row: 0 and GENESIS where there is none."""

    ledger: str
    sequence: int
    hash: str


class Count(NamedTuple):
    """
    Distinct trials on some tapes, and how widely their daily Sharpe ratios spread.

    spread     over one day (`sharpe_spread`), None below two of them; spread_trials: whose that is, with a Sharpe ratio over enough days
    deviation  of all of them, whatever their days: what results said that were made before days were counted
    """

    trials: int
    spread: float | None
    spread_trials: int
    deviation: float | None


class LedgerNote(NamedTuple):
    """A row that is no trial, and what it says."""

    sequence: int
    content: Mapping[str, Any]


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
    try:
        folder = users_folder("XDG_DATA_HOME", ".local/share")
    except RuntimeError as error:  # no home at all
        raise DataError(f"trial ledger: there is no home folder; set ${VARIABLE} to a file") from error
    return folder / "papertape" / "trials.sqlite3"


@contextmanager
def ledger_at(path: Path) -> Iterator[None]:
    """Keep everything that is tried meanwhile in another ledger, here and in the processes that are begun here."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


class Ledger(LedgerFile):
    """One ledger file, open for reading or, made where there is none, for appending."""

    def head(self) -> Head:
        """Return which ledger it is, and its newest row."""
        with self.sentences():
            row = self.file.execute("SELECT ledger, sequence, hash FROM head").fetchone()
        if row is None:
            raise DataError(f"{self.path}: damaged: it has no head")
        return Head(*row)

    def append(self, entries: Iterable[TrialEntry], *, only_new: bool = False) -> Head:
        """
        Append trials, all or none of them, and return the head after them.

        only_new  leave out those that are on record already, by configuration and tapes
        """
        with self.writing():
            head = self.head()
            for entry in entries:
                if only_new and self._is_known(entry):
                    continue
                head = self._append(head, entry)
            self.file.execute("UPDATE head SET sequence = ?, hash = ?", (head.sequence, head.hash))
        return head

    def append_note(self, make: Callable[[Sequence[LedgerNote]], Mapping[str, Any] | None]) -> int | None:
        """
        Append what is made of all notes before it, None where nothing is; nobody writes in between. Return its sequence.

        What `make` raises leaves the ledger as it was.
        """
        with self.writing():
            body = make(self.notes())
            if body is None:
                return None
            head = self._chain(self.head(), body)
            self.file.execute("INSERT INTO notes VALUES (?)", (head.sequence,))
            self.file.execute("UPDATE head SET sequence = ?, hash = ?", (head.sequence, head.hash))
        return head.sequence

    def notes(self) -> list[LedgerNote]:
        """Return every note, oldest first; DataError for one that is not as it was hashed."""
        with self.sentences():
            if self.format() < _NOTED:
                return []
            rows = self.file.execute(
                "SELECT n.sequence, t.body, t.hash, b.hash FROM notes n LEFT JOIN trials t USING (sequence) "
                "LEFT JOIN trials b ON b.sequence = n.sequence - 1 ORDER BY n.sequence"
            ).fetchall()
        found = []
        for sequence, body, saved, before in rows:
            if body is None or saved != link(before or GENESIS, sequence, body):
                raise DataError(f"{self.path}: row {sequence:,} was changed; see papertape trials verify")
            found.append(LedgerNote(sequence, row_values(body)))
        return found

    def count(self, tapes: Sequence[str], upto: int | None = None) -> Count:
        """Return how many distinct trials are on record on any of these tapes; upto: as it was at that row."""
        places = ", ".join("?" * len(tapes))
        limit = self.head().sequence if upto is None else upto
        with self.sentences():
            rows = self.file.execute(
                f"SELECT DISTINCT trial, sharpe, days FROM {self.tried()} WHERE tape IN ({places}) AND sequence <= ?",  # noqa: S608
                (*tapes, limit),
            ).fetchall()
        return _counted({trial: shown for trial, *shown in rows})

    def count_with(self, tapes: Sequence[str], others: Iterable[TrialEntry]) -> Count:
        """Return the same with trials that are not on record."""
        places = ", ".join("?" * len(tapes))
        with self.sentences():
            known = self.file.execute(
                f"SELECT trial, sharpe, days FROM {self.tried()} WHERE tape IN ({places})",  # noqa: S608
                tapes,
            ).fetchall()
        shown = {one.trial: (one.daily_sharpe, one.days) for one in others}
        return _counted({**shown, **{trial: values for trial, *values in known}})

    def by_tape(self) -> list[TapeTrials]:
        """Return what is on record for every tape, the newest tried on first."""
        with self.sentences():
            rows = self.file.execute(
                "SELECT tape, max(symbol), count(*), count(DISTINCT strategy), max(sharpe), min(sharpe), max(sequence) "
                "FROM tried GROUP BY tape ORDER BY max(sequence) DESC"
            ).fetchall()
        return [TapeTrials(*row) for row in rows]

    def on(self, tape: str) -> Iterator[TrialEntry]:
        """Yield the first record of every distinct trial on a tape, oldest first."""
        with self.sentences():
            for (body,) in self.file.execute(
                "SELECT body FROM trials WHERE sequence IN (SELECT sequence FROM tried WHERE tape = ?) ORDER BY sequence",
                (tape,),
            ):
                yield entry_of_row(row_values(body))

    def hash_at(self, sequence: int) -> str | None:
        """Return the hash of a row, None where there is no such row."""
        with self.sentences():
            row = self.file.execute("SELECT hash FROM trials WHERE sequence = ?", (sequence,)).fetchone()
        return None if row is None else str(row[0])

    def faults(self) -> list[str]:
        """Return what is wrong with the chain: rows removed, changed or in another order, an end that was cut off."""
        found: list[str] = []
        before, expected, head = GENESIS, 0, self.head()
        tried: dict[tuple[str, str], _Tried] = {}
        notes = []
        with self.sentences():
            for sequence, body, saved in self.file.execute(
                "SELECT sequence, body, hash FROM trials ORDER BY sequence"
            ):
                expected += 1
                if sequence != expected:
                    return [f"trial {expected:,} is missing"]
                if saved != link(before, sequence, body):
                    return [f"trial {sequence:,} was changed, or what is before it was"]
                before = saved
                values = row_values(body)
                if values["kind"] in NOTES:
                    notes.append(sequence)
                    continue
                for key, row in _tried(entry_of_row(values), sequence):
                    tried.setdefault(key, row)
            if notes != self._noted():
                found.append("the list of locks and readings was changed")
            if (expected, before) != (head.sequence, head.hash):
                found.append(f"the head says {head.sequence:,} trials, and there are {expected:,}")
            for tape, trial, *row in self.file.execute(
                f"SELECT tape, trial, sequence, symbol, strategy, sharpe, days FROM {self.tried()}"  # noqa: S608
            ):
                if tried.pop((tape, trial), None) != tuple(row):
                    return [*found, f"the count of tape {tape[:12]} was changed"]
        return [*found, *(f"the count of tape {tape[:12]} lacks a trial" for tape, _ in list(tried)[:1])]

    def _append(self, head: Head, entry: TrialEntry) -> Head:
        made = self._chain(head, entry._asdict())
        self.file.executemany(
            "INSERT OR IGNORE INTO tried VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(*key, *row) for key, row in _tried(entry, made.sequence)],
        )
        return made

    def _chain(self, head: Head, content: Mapping[str, Any]) -> Head:
        """Add a row behind the newest one."""
        sequence = head.sequence + 1
        body = zlib.compress(json.dumps(content, allow_nan=False, separators=(",", ":")).encode())
        made = Head(head.ledger, sequence, link(head.hash, sequence, body))
        self.file.execute("INSERT INTO trials VALUES (?, ?, ?)", (sequence, body, made.hash))
        return made

    def _noted(self) -> list[int]:
        if self.format() < _NOTED:
            return []
        return [number for (number,) in self.file.execute("SELECT sequence FROM notes ORDER BY 1")]

    def _is_known(self, entry: TrialEntry) -> bool:
        tape = entry.tapes[0][1]
        found = self.file.execute("SELECT 1 FROM tried WHERE tape = ? AND trial = ?", (tape, entry.trial))
        return found.fetchone() is not None


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


def _counted(shown: Mapping[str, Sequence[Any]]) -> Count:
    """Return the count of trials, each with its daily Sharpe ratio and its days, None where it has none."""
    known = [shown[trial] for trial in sorted(shown) if shown[trial][0] is not None]
    # Of fewer days a Sharpe ratio has tails that one trial would fill the spread with for ever.
    enough = [(sharpe, days) for sharpe, days in known if days is not None and days >= MINIMUM_DAYS]
    return Count(len(shown), sharpe_spread(enough), len(enough), _spread([sharpe for sharpe, _ in known]))


def _spread(values: Sequence[float]) -> float | None:
    """Return the standard deviation of a sample, n − 1 below the line; None below two values."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return float((sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5)


_Tried = tuple[int, str, str, float | None, int | None]


def _tried(entry: TrialEntry, sequence: int) -> Iterator[tuple[tuple[str, str], _Tried]]:
    """Yield the rows of `tried` that a trial makes, where its like was not on record before."""
    row = entry.strategy, entry.daily_sharpe, entry.days
    for symbol, tape in entry.tapes:
        yield (tape, entry.trial), (sequence, symbol, *row)
