"""Files that are whole or absent: written under a temporary name in the same folder, flushed, then renamed; folders held meanwhile."""

import contextlib
import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from papertape.engine.errors import ConfigError, DataError


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """
    Write a file so that a kill or a full disk leaves the old one, or none, never a part of the new one.

    Raises DataError when the folder cannot be written to; the temporary file is removed.
    """
    # Opened plainly, and so with the process's mask, which cannot be asked for without setting it for every thread.
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        raise DataError(_cannot(path, error)) from error
    except BaseException:
        _remove(temporary)
        raise
    _flush_folder(path.parent)


def own_folder(folder: Path) -> Path:
    """Return a folder that results may be written into; ConfigError for the one that a command is typed in."""
    if str(folder) in ("", "."):
        raise ConfigError(f"--out {str(folder)!r}: name a folder of its own")
    return folder


@contextlib.contextmanager
def held_folder(folder: Path, busy: str = "") -> Iterator[None]:
    """
    Make a folder and hold it against other processes; one that is killed lets go by itself.

    busy  what is said, as a DataError, while another process holds it; none: its end is waited for
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(_cannot(folder, error)) from error
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
        except BlockingIOError:
            raise DataError(f"{folder}: {busy}") from None
        except OSError:  # a file server may know no locks
            pass
        yield
    finally:
        os.close(number)


def _cannot(path: Path, error: OSError) -> str:
    return (
        f"{path}: cannot be written: {(error.strerror or str(error)).lower()}; nothing was changed"
    )


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # there may be no such file, nor a folder
        temporary.unlink()


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
