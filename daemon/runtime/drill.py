"""The drill of a restore: from the newest backup to an engine that runs, on a copy, as a start after a lost disk would do it."""

import tempfile
import time
from pathlib import Path
from shutil import copyfile
from typing import NamedTuple

from papertape.daemon.chapters.stepping import refuse_code_of
from papertape.daemon.journal import NAME, Journal
from papertape.daemon.journal.archive import backups
from papertape.daemon.runtime.recovery import Progress, recover
from papertape.engine.errors import DataError


class Drill(NamedTuple):
    """
    What came of it.

    backup    the file that stood in for the journal
    inputs    that it holds; lost: those that the daemon has accepted since
    stepped   inputs that had to be stepped again
    digest    of the engine that came back; kept: what the daemon's own journal says of the same input, "" where it says nothing
    """

    backup: Path
    inputs: int
    lost: int
    stepped: int
    digest: str
    kept: str
    seconds: float
    told: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Return whether nothing contradicts what came back."""
        return self.kept in ("", self.digest)


def drill(state: Path, on_progress: Progress | None = None, *, trust_code: bool = False) -> Drill:
    """
    Bring the newest backup of a state directory back to an engine that could go on, on a copy of it.

    Raises DataError where there is no backup, InvariantError where one cannot be trusted.
    """
    copies = backups(state, time.time_ns())
    if not copies:
        raise DataError(f"{state}: there is no backup yet; write one with `papertape journal backup {state}`")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="papertape-drill-") as name:
        folder = Path(name)
        copyfile(copies[-1], folder / NAME)
        (folder / "tape").symlink_to((state / "tape").resolve())
        with Journal.open(folder, 0) as journal:
            refuse_code_of(journal, state, trust_code)
            recovered = recover(journal, on_progress)
            sequence, digest = journal.sequence, recovered.engine.digest
    seconds = time.perf_counter() - started
    with Journal.read(state) as live:
        found = live.one("SELECT digest FROM snapshots WHERE sequence = ?", sequence)
        audited = live.one("SELECT digest_live FROM audits WHERE sequence = ?", sequence)
        kept = str((found or audited or ("",))[0])
        lost = live.sequence - sequence
    return Drill(copies[-1], sequence, lost, recovered.stepped, digest, kept, seconds, recovered.told)
