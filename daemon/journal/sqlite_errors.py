"""What sqlite says, as one sentence with a way out and an exit code."""

import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from papertape.engine.errors import DataError, InvariantError, PapertapeError

# By the start of sqlite's own error name; the first that fits.
_SENTENCES = (
    ("SQLITE_FULL", "the disk is full; free some space and start again, nothing accepted is lost"),
    (
        "SQLITE_READONLY",
        "the disk or the file is read-only; make it writable or name another state directory",
    ),
    ("SQLITE_CANTOPEN", "the file cannot be opened; check the folder and its permissions"),
    ("SQLITE_PERM", "permission denied; check the owner of the folder"),
    ("SQLITE_BUSY", "another process is writing to it; stop that one first"),
    ("SQLITE_IOERR", "the disk reports an error; check it before starting again"),
)
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def as_sentence(path: Path, error: sqlite3.Error) -> PapertapeError:
    """Return the error to raise in place of sqlite's."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(_DAMAGED):
        return InvariantError(
            f"{path}: damaged: {error}; put the newest file of {path.parent / 'backup'} in its place"
        )
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if name.startswith("SQLITE_IOERR") and limit != resource.RLIM_INFINITY:
        return DataError(
            f"{path}: a file may have {limit:,} bytes here (ulimit -f), which may be why it cannot be written; "
            "raise that limit, nothing accepted is lost"
        )
    for start, sentence in _SENTENCES:
        if name.startswith(start):
            return DataError(f"{path}: {sentence}")
    return DataError(f"{path}: {error}")


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn errors of sqlite into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise as_sentence(path, error) from error
