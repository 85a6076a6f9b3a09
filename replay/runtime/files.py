"""Files that are whole or absent: written under a temporary name in the same folder, flushed, then renamed."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from papertape.engine.errors import ConfigError, DataError


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """
    Write a file so that a kill or a full disk leaves the old one, or none, never a part of the new one.

    Raises DataError when the folder cannot be written to; the temporary file is removed.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(number, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: cannot be written: {reason}; nothing was changed") from error
    except BaseException:
        _remove(temporary)
        raise
    _flush_folder(path.parent)


def own_folder(folder: Path) -> Path:
    """Return a folder that results may be written into; ConfigError for the one that a command is typed in."""
    if str(folder) in ("", "."):
        raise ConfigError(f"--out {str(folder)!r}: name a folder of its own")
    return folder


def _umask() -> int:
    """Return the process's mask; it can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove(temporary: Path | None) -> None:
    if temporary is not None:
        temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
