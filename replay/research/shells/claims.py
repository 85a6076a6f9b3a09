"""
Which shell does which trial, among shells that know nothing of each other but a folder.

A claim is a file that only one process can make (O_EXCL): `17` for the first who does trial 17, `17.1` for who takes it over, and
so on; the newest holds. It names the file of its shell, whose time is set anew every few seconds as long as the shell lives.

A shell has ended when that time has stood still for half a minute, by the steady clock of whoever looks. Only a file's time is
compared, and only with itself: what the clocks of the machines and of the folder's server say does not matter, and a sleeping
machine takes nothing over. A shell that was only slow is done no wrong: its trial is done twice and comes to the same.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from papertape.engine.errors import DataError
from papertape.replay.research.sweep.record import unless_gone

BEAT_S: Final = 3.0
SILENT_S: Final = 30.0
_HEARD_S: Final = 4 * BEAT_S


class _Pulse(NamedTuple):
    """The time of a file, since when it has stood there, and whether it was ever another."""

    time_ns: int
    since_s: float
    has_moved: bool


class Claims:
    """The claims of one shell."""

    def __init__(self, folder: Path, own: Path, clock_s: Callable[[], float] = time.monotonic):
        """
        Begin without any.

        folder  of all claims; own: the file whose time says that this shell lives
        """
        self._folder, self._own, self._clock_s = folder, own, clock_s
        self._mine: dict[int, list[Path]] = {}
        self._pulses: dict[Path, _Pulse] = {}
        self._folder.mkdir(exist_ok=True)

    def take(self, number: int) -> bool:
        """Claim a trial that nobody does; False where a shell has it that may still live."""
        before: list[Path] = []
        while (holder := self._holder(path := self._path(number, len(before)))) is not None:
            before.append(path)
            newest = holder
        if before and not self.is_silent(newest):
            return False
        try:
            made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:  # another was faster
            return False
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"{path}: a trial cannot be claimed: {reason}") from error
        with os.fdopen(made, "wb") as file:
            file.write(self._own.name.encode())
        self._mine[number] = [*before, path]
        return True

    def drop(self, number: int) -> None:
        """Take back a claim on a trial that is left to others."""
        self._mine.pop(number)[-1].unlink(missing_ok=True)

    def finish(self, number: int) -> None:
        """Remove all claims on a trial that everybody can read the end of."""
        for path in reversed(self._mine.pop(number, [])):
            path.unlink(missing_ok=True)

    def close(self, is_finished: Callable[[int], bool]) -> None:
        """Take back what is left, and remove what a shell that was killed has left on trials that are finished."""
        for number in list(self._mine):
            self.drop(number)
        for path in self._folder.iterdir():
            # What is open elsewhere a file's server keeps under a name of its own.
            if path.stem.isdecimal() and is_finished(int(path.stem)):
                path.unlink(missing_ok=True)

    def beat(self) -> None:
        """Say that this shell lives."""
        os.utime(self._own)

    def is_silent(self, path: Path) -> bool:
        """Return whether the time of a shell's file has stood still for longer than that of one that lives."""
        return self._clock_s() - self._looked_at(path).since_s > SILENT_S

    def at_work(self, files: list[Path]) -> int:
        """Return how many shells are known to live, this one among them; files: of the others."""
        pulses = [self._looked_at(path) for path in files]
        now_s = self._clock_s()
        return 1 + sum(one.has_moved and now_s - one.since_s < _HEARD_S for one in pulses)

    def _path(self, number: int, place: int) -> Path:
        return self._folder / (f"{number}.{place}" if place else str(number))

    def _holder(self, claim: Path) -> Path | None:
        """Return the file of the shell that made a claim, None where there is no such claim."""
        with unless_gone():
            name = claim.read_text(encoding="utf-8")
            # One whose maker was killed before it said its name shows no life either.
            return self._own.with_name(name) if name else claim
        return None

    def _looked_at(self, path: Path) -> _Pulse:
        time_ns = 0
        # To open asks a file's server, where its time alone may be kept from before.
        with unless_gone(), path.open("rb") as file:
            time_ns = os.fstat(file.fileno()).st_mtime_ns
        known = self._pulses.get(path)
        if known is None or known.time_ns != time_ns:
            known = _Pulse(time_ns, self._clock_s(), known is not None)
            self._pulses[path] = known
        return known
