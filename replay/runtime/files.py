"""Files that are whole or absent: written under a temporary name in the same folder, flushed, then renamed; folders held meanwhile."""

import contextlib
import ctypes
import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from papertape.engine.errors import ConfigError, DataError

_HERE: Final = -100  # AT_FDCWD of Linux
_EXCHANGE: Final = 2  # RENAME_EXCHANGE of Linux
# Of a temporary name: `.a.old.tmp` is somebody's, and `.a.b.0123abcd.tmp` is of another folder than `a`.
_LEFT: Final = "[0-9a-f]" * 8


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
    _flush(path.parent)


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """
    Yield a folder to write into, which has the name of another afterwards: a kill or a full disk leaves the old one, or none.

    What those that were killed have left beside it is removed. Raises what the disk does.
    """
    place = Path(os.path.realpath(folder))
    if place.exists():  # otherwise one of them may be the only one that is whole
        _remove_left(place)
    temporary, number = _begun(place)
    try:
        yield temporary
        for path in (*temporary.rglob("*"), temporary):
            _flush(path)
        _give_name(temporary, place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        os.close(number)
    _flush(place.parent)
    _remove_left(place)


def _begun(place: Path) -> tuple[Path, int]:
    """Return a new folder that is to have a name, and the number by which it is held against who removes what was left."""
    while True:
        path = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.tmp")
        path.mkdir(parents=True)
        number = os.open(path, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file server may know no locks
            fcntl.flock(number, fcntl.LOCK_EX)
        if path.exists():
            return path, number
        os.close(number)  # it was taken for one that was left


def _give_name(new: Path, place: Path) -> None:
    """Let a folder have the name of another, which has the new one's afterwards, or of none."""
    if not place.exists():
        new.replace(place)
        return
    try:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:  # not Linux
        exchange = None
    if exchange is None or exchange(_HERE, os.fsencode(new), _HERE, os.fsencode(place), _EXCHANGE):
        # A file system that cannot: killed in between, both are there whole, beside the name.
        aside = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}.tmp")
        place.replace(aside)
        try:
            new.replace(place)
        except BaseException:
            aside.replace(place)
            raise


def _remove_left(place: Path) -> None:
    """Remove what nobody holds any more of what was written to have this name."""
    for path in place.parent.glob(f".{glob.escape(place.name)}.{_LEFT}.tmp"):
        remove_unheld(path)


def remove_unheld(folder: Path) -> None:
    """Remove a folder, as far as that is possible, unless somebody holds it or nobody can tell."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)
        finally:
            os.close(number)


def own_folder(folder: Path) -> Path:
    """Return a folder that results may be written into; ConfigError for the one that a command is typed in."""
    if str(folder) in ("", "."):
        raise ConfigError(f"--out {str(folder)!r}: name a folder of its own")
    return folder


@contextlib.contextmanager
def held_folder(folder: Path, busy: str = "") -> Iterator[None]:
    """
    Make a folder and hold it against other processes; one that is killed lets go by itself. Its holder may remove it.

    busy  what is said, as a DataError, while another process holds it; none: its end is waited for
    """
    while True:
        number = _opened(folder)
        try:
            try:
                fcntl.flock(number, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise DataError(f"{folder}: {busy}") from None
            except OSError:  # a file server may know no locks
                pass
            if _is_there(folder, number):
                yield
                return
        finally:
            os.close(number)


def _opened(folder: Path) -> int:
    """Return the number of an open folder, which is made where it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise DataError(_cannot(folder, error)) from error


def _is_there(folder: Path, number: int) -> bool:
    """Return whether an open folder is still the one of its name: its last holder may have removed it before it was held."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(folder.stat(), os.fstat(number))
    return False


def _cannot(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written: {(error.strerror or str(error)).lower()}; nothing was changed"


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # there may be no such file, nor a folder
        temporary.unlink()


def _flush(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
