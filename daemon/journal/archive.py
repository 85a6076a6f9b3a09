"""
Retention: old inputs leave `journal.db` for files in `tape/`, whole and in order; backups go to `backup/`.

A file `inputs-FIRST-LAST.parquet` holds what the rows held, hashes included, so the journal can still be stepped and
checked from its very beginning. The file is on the disk before the rows go; a kill between the two leaves both, and
reading passes over what it has seen. A journal that was restored from a backup may be older than files that lie there: what
it goes on with is archived in their place, and they are kept as `aside-inputs-FIRST-LAST.parquet`.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

from papertape.daemon.journal.crash_points import passes
from papertape.daemon.journal.journal import GENESIS, NAME, Input, Journal, Work, chain, connect_to_read
from papertape.daemon.journal.sqlite_errors import plain_errors
from papertape.engine.errors import DataError, InvariantError
from papertape.replay.runtime.files import write_whole

_GROUP_ROWS: Final = 4096
# Column, and the name of its type in pyarrow, which is loaded when there is something to archive: 30 MB.
_COLUMNS: Final = (
    ("sequence", "int64"),
    ("kind", "string"),
    ("first_ms", "int64"),
    ("last_ms", "int64"),
    ("received_ms", "int64"),
    ("payload", "binary"),
    ("hash", "binary"),
)
_BACKUPS_KEPT: Final = 7
_ROOM_LEFT: Final = 64 << 20  # bytes of the disk that a copy does not take
_PAGES: Final = 1000


def last_to_archive(journal: Journal, before_ms: int) -> int:
    """
    Return the newest input that may leave, 0 for none: its candles and all before it are older than `before_ms`.

    Every kept snapshot can still be stepped on from: what follows the oldest one stays.
    """
    newer = journal.one(
        "SELECT min(sequence) FROM inputs WHERE kind = 'candles' AND last_ms >= ?", before_ms
    )[0]
    oldest = journal.one("SELECT min(sequence) FROM snapshots")[0] or 0
    last = min(oldest, journal.sequence if newer is None else newer - 1)
    return last if last >= journal.first_sequence else 0


def write_archive(state: Path, journal: Journal, last: int) -> Path:
    """Write the inputs from the oldest to `last` to a file of their own and return its path."""
    first = journal.first_sequence
    path = state / "tape" / f"inputs-{first:012d}-{last:012d}.parquet"
    _set_aside(state, first)

    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in _COLUMNS])

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as parquet:
            group: list[Input] = []
            for found in journal.inputs(first - 1):
                if found.sequence > last:
                    break
                group.append(found)
                if len(group) == _GROUP_ROWS or found.sequence == last:
                    columns = [list(column) for column in zip(*group, strict=True)]
                    parquet.write_table(pa.table(columns, schema=schema))
                    group.clear()
        passes("archive.written")

    write_whole(path, write)
    passes("archive.renamed")
    return path


def _set_aside(state: Path, first: int) -> None:
    """
    Give files another name whose inputs begin where the rows still do, or later.

    They are of a journal that had gone on before this one was restored, or what a kill left of an archive of these very rows.
    """
    for path in _files(state):
        if int(path.name.split("-")[1]) >= first:
            path.replace(path.with_name(f"aside-{path.name}"))


def _files(state: Path) -> list[Path]:
    return sorted((state / "tape").glob("inputs-*-*.parquet"))


def forget(last: int) -> Work[None]:
    """Return the work that removes inputs up to `last`, which are archived."""

    def work(journal: Journal) -> None:
        candles = journal.one(
            "SELECT max(last_ms) FROM inputs WHERE kind = 'candles' AND sequence <= ?", last
        )[0]
        if candles is not None:
            journal.set_meta(archived_ms=candles)
        journal.set_meta(first_hash=journal.hash_of(last).hex())
        journal.connection.execute("DELETE FROM inputs WHERE sequence <= ?", (last,))
        journal.set_meta(first_sequence=last + 1)

    return work


def all_inputs(state: Path, journal: Journal, after: int = 0) -> Iterator[Input]:
    """
    Yield every input after one of them, archived ones first.

    Raises InvariantError where one is missing or was changed.
    """
    while True:
        if after + 1 < journal.first_sequence:
            for found in _archived(state, journal.first_sequence - 1):
                if found.sequence > after:
                    yield found
                    after = found.sequence
        try:
            for found in journal.inputs(after):
                yield found
                after = found.sequence
        except InvariantError:
            if after + 1 >= journal.first_sequence:
                raise
        if after + 1 >= journal.first_sequence:
            return
        # A daemon has archived meanwhile what was to be read next.


def _archived(state: Path, last: int) -> Iterator[Input]:
    """Yield the inputs 1 … `last` from the files, each checked against the chain."""
    import pyarrow.parquet as pq

    sequence, before = 0, GENESIS
    for path in _files(state):
        if sequence >= last:
            return
        for batch in pq.ParquetFile(path).iter_batches(_GROUP_ROWS):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                found = Input(*row)
                if found.sequence <= sequence or found.sequence > last:
                    continue
                sequence += 1
                before = chain(before, found.kind, found.payload)
                if found.sequence != sequence or found.hash != before:
                    raise InvariantError(f"{path}: input {sequence} is missing or was changed")
                yield found
    if sequence < last:
        raise InvariantError(
            f"{state / 'tape'}: input {sequence + 1} is in no file; inputs up to {last} were archived there"
        )


def copy_of(state: Path, folder: Path) -> Path:
    """
    Write a copy of a state directory's journal, of whatever version, into a folder and return its path.

    Raises DataError where there is none. What is archived stays where it is; a daemon may go on writing meanwhile.
    """
    path, copy = state / NAME, folder / NAME
    if not path.is_file():
        raise DataError(f"{state}: no {NAME} there; name the state directory of a daemon")
    with plain_errors(path), closing(connect_to_read(path)) as connection:
        connection.execute("VACUUM INTO ?", (str(copy),))
    return copy


def back_up(state: Path, journal: Journal, name: str) -> Path:
    """
    Write a whole copy of the journal to `backup/NAME.db`, keep the newest seven, and return its path.

    Raises DataError where it could leave too little room for the journal itself.
    """
    folder = state / "backup"
    folder.mkdir(exist_ok=True)
    path, temporary = folder / f"{name}.db", folder / f".{name}.db.tmp"
    _remove_unfinished(folder, temporary.name)
    _refuse_little_room(journal, path)
    try:
        with plain_errors(temporary):
            journal.connection.execute("VACUUM INTO ?", (str(temporary),))
        with temporary.open("rb+") as file:
            passes("backup.written")
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        _remove_unfinished(folder, temporary.name)
    passes("backup.renamed")
    for old in backups(state, path.stat().st_mtime_ns)[:-_BACKUPS_KEPT]:
        old.unlink()
    return path


def backups(state: Path, now_ns: int) -> list[Path]:
    """
    Return the copies in `backup/`, the oldest first.

    What they are called does not say so, for people write some as well; what is of later than now was written before the
    clock was set back.
    """
    times = {path: path.stat().st_mtime_ns for path in (state / "backup").glob("*.db")}
    return sorted(times, key=lambda path: (times[path] <= now_ns, times[path], path.name))


def _refuse_little_room(journal: Journal, path: Path) -> None:
    pages, size = (int(journal.one(f"PRAGMA {name}")[0]) for name in ("page_count", "page_size"))
    needed, free = pages * size + _ROOM_LEFT, shutil.disk_usage(path.parent).free
    if free < needed:
        raise DataError(
            f"{path}: {free:,} bytes are free, and {needed:,} are needed for a copy and for what the daemon writes meanwhile; "
            "free some space"
        )


def remove_unfinished(state: Path) -> None:
    """Remove files that a killed process did not finish; nobody else may be writing to the directory."""
    for folder in ("tape", "backup"):
        _remove_unfinished(state / folder)


def _remove_unfinished(folder: Path, name: str = ".*.tmp") -> None:
    """Remove files under a temporary name, and what sqlite keeps beside them while it writes."""
    for path in (*folder.glob(name), *folder.glob(f"{name}-journal")):
        path.unlink(missing_ok=True)


def release_pages(journal: Journal) -> int:
    """
    Give some of the space of removed inputs back to the disk, within a transaction; return how many pages are left.

    A thousand pages at a time, 4 MB: candles wait for the transaction.
    """
    for _ in range(min(_PAGES, free := int(journal.one("PRAGMA freelist_count")[0]))):
        journal.connection.execute("PRAGMA incremental_vacuum")  # Python takes one step: one page
    return max(free - _PAGES, 0)
