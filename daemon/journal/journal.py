"""
`journal.db`: what entered the engine, in order, and everything that can be derived from it.

One connection writes, in transactions that are flushed to the disk before they count (WAL, `synchronous=FULL`); any
number of readers look on with plain SQL. Every input carries the hash of all inputs up to it, so a change anywhere is
found and its place is named.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

from papertape.daemon.journal.codec import Encoded, decode
from papertape.daemon.journal.crash_points import passes
from papertape.daemon.journal.schema import VERSION, prepare, version_of
from papertape.daemon.journal.sqlite_errors import as_sentence, plain_errors
from papertape.daemon.journal.tables import ensure_tables
from papertape.engine.broker.ledger import decimals_of
from papertape.engine.errors import DataError, InvariantError
from papertape.engine.events import Event
from papertape.engine.records import UNITS_PER_QUOTE

NAME: Final = "journal.db"
GENESIS: Final = bytes(32)  # the hash before the first input
_NEWEST: Final = 256  # inputs among which a settlement at the newest close is
_PAGE: Final = 512  # inputs read at a time
_BUSY_S: Final = 10.0  # a reader's checkpoint may hold the file for a moment

T = TypeVar("T")
Work = Callable[["Journal"], T]


class Input(NamedTuple):
    """One input as it was accepted."""

    sequence: int
    kind: str
    first_ms: int
    last_ms: int
    received_ms: int
    payload: bytes
    hash: bytes

    @property
    def event(self) -> Event:
        """Return what entered the engine."""
        return decode(self.kind, self.payload)


class Snapshot(NamedTuple):
    """The engine between two inputs."""

    sequence: int
    taken_ms: int
    fingerprint: str
    digest: str
    hash: bytes
    sha256: bytes
    state: bytes

    @property
    def is_whole(self) -> bool:
        """Return whether the state is the one that was written."""
        return hashlib.sha256(self.state).digest() == self.sha256


def chain(before: bytes, kind: str, payload: bytes) -> bytes:
    """Return the hash of an input from the hash of the one before it."""
    return hashlib.sha256(before + kind.encode() + payload).digest()


class Journal:
    """
    The journal of one state directory.

    sequence, hash    of the newest input
    first_sequence    of the oldest input that is still here; older ones are in the archive
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self.path = path
        self.sequence, self.hash = self._tip()

    @classmethod
    def open(cls, state: Path, now_ms: int) -> Self:
        """
        Open a state directory's journal for writing, made or brought forward as needed.

        Raises DataError for one that is newer or not ours, and where it is gone and copies of it are there.
        """
        path = state / NAME
        _refuse_to_forget(path)
        with plain_errors(path):
            connection = _connect(f"{path.resolve().as_uri()}?mode=rwc")
            try:
                # Both take effect on a new file only; WAL stays with the file.
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                prepare(connection, path, now_ms)
                connection.execute("BEGIN IMMEDIATE")
                ensure_tables(connection)
                connection.execute("COMMIT")
                return cls(connection, path)
            except BaseException:
                connection.close()
                raise

    @classmethod
    def read(cls, state: Path) -> Self:
        """Open a journal for reading only, also while a daemon writes to it."""
        path = state / NAME
        if not path.is_file():
            raise DataError(f"{state}: no {NAME} there; name the state directory of a daemon")
        with plain_errors(path):
            connection = connect_to_read(path)
            try:
                found = version_of(connection, path)
                if found == 0:
                    raise DataError(f"{path}: the daemon never started with it; there is nothing in it")
                if found != VERSION:
                    raise DataError(
                        f"{path}: version {found} is older than {VERSION}; "
                        "start the daemon once, which brings it forward"
                    )
                return cls(connection, path)
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        """Close the file; a writer leaves no WAL behind unless a reader still looks."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Let everything that is read meanwhile be of one moment, whatever a daemon writes."""
        if self.connection.in_transaction:
            yield
            return
        with plain_errors(self.path):
            self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    def commit(self, works: Sequence[Work[Any]]) -> list[Any]:
        """Do all of this in one transaction, on the disk when this returns, and return what each returned."""
        before = self.sequence, self.hash
        try:
            with plain_errors(self.path):
                self.connection.execute("BEGIN IMMEDIATE")
                results = [work(self) for work in works]
                passes("commit.before")
                self.connection.execute("COMMIT")
                passes("commit.after")
        except BaseException:
            self.sequence, self.hash = before
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return results

    def add_input(self, encoded: Encoded, received_ms: int) -> int:
        """Add an input within a transaction and return its sequence."""
        kind, payload, first_ms, last_ms = encoded
        self.hash = chain(self.hash, kind, payload)
        self.sequence += 1
        self.connection.execute(
            "INSERT INTO inputs VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self.sequence, kind, first_ms, last_ms, received_ms, payload, self.hash),
        )
        return self.sequence

    def add_snapshot(self, snapshot: Snapshot, keep: int) -> None:
        """Add a snapshot within a transaction and let go of all but the newest `keep`."""
        self.connection.execute("INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)", snapshot)
        self.connection.execute(
            "DELETE FROM snapshots WHERE sequence NOT IN "
            "(SELECT sequence FROM snapshots ORDER BY sequence DESC LIMIT ?)",
            (keep,),
        )

    def inputs(self, after: int = 0) -> Iterator[Input]:
        """
        Yield the inputs after one of them, oldest first, including those that are added meanwhile.

        Raises InvariantError at the first whose hash does not follow from what is before it.
        """
        before = self.hash_of(after)
        while rows := self._page(after):
            for row in rows:
                found = Input(*row)
                if found.sequence != after + 1 or chain(before, found.kind, found.payload) != found.hash:
                    raise InvariantError(_broken(self.path, after + 1))
                yield found
                after, before = found.sequence, found.hash

    def _page(self, after: int) -> list[Any]:
        with plain_errors(self.path):
            return self.connection.execute(
                "SELECT sequence, kind, first_ms, last_ms, received_ms, CAST(payload AS BLOB), "
                "CAST(hash AS BLOB) FROM inputs WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (after, _PAGE),
            ).fetchall()

    @property
    def first_sequence(self) -> int:
        """Return the sequence of the oldest input that is here or will be."""
        return int(self.meta("first_sequence") or 1)

    def hash_of(self, sequence: int) -> bytes:
        """Return the hash of an input that is here, or of the one before the oldest."""
        if sequence == self.first_sequence - 1:
            return bytes.fromhex(self.meta("first_hash") or GENESIS.hex())
        row = self.one("SELECT hash FROM inputs WHERE sequence = ?", sequence)
        if row is None:
            raise InvariantError(_broken(self.path, sequence))
        return bytes(row[0])

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield the snapshots, newest first."""
        rows = self.all("SELECT sequence FROM snapshots ORDER BY sequence DESC")
        for (sequence,) in rows:
            row = self.one("SELECT * FROM snapshots WHERE sequence = ?", sequence)
            if row is not None:  # let go of meanwhile
                yield Snapshot(*row)

    def has_table(self, name: str) -> bool:
        """Return whether a table is there: a journal that only an earlier version opened lacks those that came since."""
        return self.one("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", name) is not None

    def last_candle_ms(self) -> int | None:
        """Return the open time of the newest candle that was accepted."""
        row = self.one("SELECT last_ms FROM inputs WHERE kind = 'candles' ORDER BY sequence DESC LIMIT 1")
        if row is not None:
            return int(row[0])
        found = self.meta("archived_ms")
        return int(found) if found else None

    def settled_ms(self, base_ms: int, n_symbols: int) -> list[int]:
        """
        Return up to when the settlements of each symbol are here for certain; nothing before the first candle.

        A settlement comes after the candles that have closed by its time and before any other, so all before the newest
        close are; of one at that very close it is looked for.
        """
        last_ms = self.last_candle_ms()
        if last_ms is None:
            return []
        found = [last_ms + base_ms - 1] * n_symbols
        query = "SELECT payload FROM inputs WHERE kind = 'funding' AND sequence > ?"
        for (payload,) in self.all(query, self.sequence - _NEWEST):
            settled = json.loads(payload)
            found[settled["symbol"]] = max(found[settled["symbol"]], settled["time_ms"])
        return found

    def tell_market(self, symbol: str, figures: dict[str, Any]) -> None:
        """Keep what was told of a market last, within a transaction: its input may go to the archive."""
        self.set_meta(**{f"market {symbol}": figures})

    def told_market(self, symbol: str) -> dict[str, Any] | None:
        """Return the figures that were told of a market last; None: it is what the account began with."""
        text = self.meta(f"market {symbol}")
        return None if text is None else dict(json.loads(text))

    def meta(self, key: str) -> str | None:
        """Return a value about the journal."""
        row = self.one("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else str(row[0])

    @property
    def units_per_quote(self) -> float:
        """Return how many money units one quote of the account is."""
        return float(self.meta("units_per_quote") or UNITS_PER_QUOTE)

    @property
    def unreported(self) -> int | None:
        """
        Return how many accepted inputs no table tells of: a daemon ended before, or is about to step them.

        None: an earlier version did not write it down.
        """
        reported = self.meta("reported")
        return None if reported is None else max(self.sequence - int(reported), 0)

    @property
    def money_decimals(self) -> int:
        """Return how many decimals of quote the account counts, as they were written down when it began."""
        return decimals_of(self.units_per_quote)

    def set_meta(self, **values: object) -> None:
        """Set values about the journal, within a transaction; what is not text is kept as JSON."""
        for key, value in values.items():
            text = value if isinstance(value, str) else json.dumps(value)
            self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, text))

    def one(self, query: str, *values: object) -> Any:
        """Return the first row of a query, or None."""
        with plain_errors(self.path):
            return self.connection.execute(query, values).fetchone()

    def all(self, query: str, *values: object) -> list[Any]:
        """Return every row of a query."""
        with plain_errors(self.path):
            return self.connection.execute(query, values).fetchall()

    def each(self, query: str, *values: object) -> Iterator[Any]:
        """Yield the rows of a query one by one."""
        with plain_errors(self.path):
            yield from self.connection.execute(query, values)

    def _tip(self) -> tuple[int, bytes]:
        """Return sequence and hash of the newest input."""
        row = self.one("SELECT sequence, hash FROM inputs ORDER BY sequence DESC LIMIT 1")
        if row is not None:
            return int(row[0]), bytes(row[1])
        before = self.first_sequence - 1
        return before, self.hash_of(before)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that only reads a journal's file, of whatever version, also while a daemon writes to it."""
    # A reader of a file with a WAL makes that WAL where no daemon has it open; who may not, reads what a daemon that ended has left.
    has_wal = path.with_name(f"{path.name}-wal").exists()
    is_fixed = not has_wal and not os.access(path.parent, os.W_OK)
    return _connect(f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' if is_fixed else ''}")


def _refuse_to_forget(path: Path) -> None:
    """Raise DataError where a journal is gone and its copies are not: a new account's would take their places, one a night."""
    parts = (path, path.with_name(f"{NAME}-wal"))
    if path.is_file() and any(part.is_file() and part.stat().st_size for part in parts):
        return
    copies = sorted((path.parent / "backup").glob("*.db"), key=lambda copy: copy.stat().st_mtime_ns)
    if copies:
        raise DataError(
            f"{path}: it is gone or empty, and copies of it are there; put {copies[-1]} in its place, or move "
            f"{copies[-1].parent} away to begin a new account"
        )


def _connect(uri: str) -> sqlite3.Connection:
    # Transactions are ours to begin and end; the writer's thread takes the connection over after recovery.
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)


def _broken(path: Path, sequence: int) -> str:
    return (
        f"{path}: input {sequence} is missing or was changed, its hash does not follow from what is before it; "
        f"put the newest file of {path.parent / 'backup'} in its place"
    )


__all__ = [
    "GENESIS",
    "NAME",
    "Input",
    "Journal",
    "Snapshot",
    "Work",
    "as_sentence",
    "chain",
    "connect_to_read",
]
