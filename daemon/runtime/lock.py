"""One daemon per state directory: an advisory lock that ends with the process, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from papertape.engine.errors import DataError


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """
    Hold a state directory for this process.

    Raises DataError with the other's process id when somebody holds it already. The file stays: removing it would let
    a third process lock a new file of the same name while the second holds the old one.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        number = os.open(state / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{state}: cannot be used: {reason}; choose another --state") from error
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(number, 32).decode("ascii", "replace").strip() or "unknown"
            raise DataError(
                f"{state}: another daemon (process {pid}) is using it; stop that one or choose another --state"
            ) from None
        os.ftruncate(number, 0)
        os.write(number, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(number)
