"""What suites of deaths share: daemons that are killed in processes of their own, and all that one leaves behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal, crash_points
from papertape.daemon.journal.archive import all_inputs
from papertape.daemon.learning.model_store import ModelStore
from tests.support.crashes import ON
from tests.support.journals import derived

KILLED = -signal.SIGKILL
STOPPED = -signal.SIGSTOP

Run = Callable[..., int]


@contextmanager
def runs(program: Path) -> Iterator[Run]:
    """Yield what runs one daemon in a forked process: (state, crash point, log) → exit status; program: see `crashes`."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(program)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def order(state: Path, crash: str = "", log: str = "") -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            order = {"state": str(state), "crash": crash, "log": log}
            process.stdin.write(json.dumps(order) + "\n")
            return int(process.stdout.readline())

        yield order
        process.stdin.close()
        assert process.wait(30) == 0


def forked(work: Callable[[], object]) -> int:
    """Begin a process that works and is gone; return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


@contextmanager
def folder_in_memory(otherwise: Path) -> Iterator[Path]:
    """Yield a folder in memory where there is one: what a kill leaves is the same there, and a flush costs nothing."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    parent = memory if os.access(memory, os.W_OK) else otherwise
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


class Undisturbed:
    """What a run without a death leaves behind, and every point that it passed."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.state = folder / "state"
        log = folder / "points"
        assert run(self.state, log=str(log)) == 0
        self.points = log.read_text().split()
        self.tables = everything(self.state)
        self.engine = final(self.state)


def fixtures_of(program: ModuleType) -> tuple[Any, Any, Any]:
    """Return the fixtures of a module, to be called `run`, `folder` and `undisturbed` there; program: see `crashes`."""

    @pytest.fixture(scope="module")
    def run() -> Iterator[Run]:
        with runs(Path(str(program.__file__))) as found:
            yield found

    @pytest.fixture(scope="module")
    def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
        with folder_in_memory(tmp_path_factory.getbasetemp()) as found:
            yield found

    @pytest.fixture(scope="module")
    def undisturbed(folder: Path, run: Run) -> Undisturbed:
        return Undisturbed(folder, run)

    return run, folder, undisturbed


def everything(state: Path) -> dict[str, list[object]]:
    """Return every table that follows from the inputs, and the inputs without their places."""
    tables: dict[str, list[object]] = dict(derived(state))
    with Journal.read(state) as journal:
        tables["days"] = journal.all("SELECT * FROM days ORDER BY day")
        # By the candles' clock; when the machine did it is another matter.
        tables["attempts"] = journal.all(
            "SELECT id, due_ms, effective_ms, cause, outcome, reason, champion, version, gate FROM attempts ORDER BY id"
        )
        tables["looks"] = journal.all("SELECT time_ms, version, level, detail FROM drift_checks")
        tables["watch"] = [journal.meta("drift")]
        tables["champions"] = [(journal.meta("champion"), journal.meta("promoting"))]
        tables["events"] = [found.payload for found in all_inputs(state, journal) if found.kind != "candles"]
    store = ModelStore(state / "models")
    tables["store"] = [store.versions(), store.promoted(), *map(store.read, store.versions())]
    return tables


def final(state: Path) -> tuple[str, bytes]:
    """Return digest and whole state (cash, orders, stops, limits, model) after the last input."""
    with Journal.read(state) as journal:
        snapshot = next(journal.snapshots())
        assert snapshot.sequence == journal.sequence
        return snapshot.digest, snapshot.state


def dies_and_recovers(run: Run, state: Path, undisturbed: Undisturbed, *deaths: str) -> None:
    """Die at each point in turn, go on, and end as the undisturbed run did."""
    for death in deaths:
        assert run(state, death) in (KILLED, 0), death  # 0: the rest of the run did not pass it

    where = (state.name, *deaths)
    assert run(state) == 0, where
    assert final(state) == undisturbed.engine, where
    assert everything(state) == undisturbed.tables, where
    assert not list(state.rglob(".*.tmp")), where


def left_at(run: Run, folder: Path, undisturbed: Undisturbed, points: Collection[str]) -> Iterator[Path]:
    """
    Yield what a death at each of these points leaves, as a state of its own that is named after the point.

    One run stands still at every point while its files are copied: what they hold is what a kill leaves. Between a commit
    and the point before the next one mostly nothing is written, and two deaths that leave the same are one.
    """
    walking, log = folder / "walking", folder / "passed"
    status, before = run(walking, crash_points.EVERY, str(log)), None
    while status == STOPPED:
        if (point := log.read_text().split()[-1]) in points:
            files = {path: path.read_bytes() for path in walking.rglob("*") if path.is_file()}
            # The index of the write-ahead log is made anew by whoever comes first.
            kept = {path: data for path, data in files.items() if path.suffix != ".db-shm"}
            if kept != before:
                before, state = kept, Path(tempfile.mkdtemp(prefix=f"{point}-", dir=folder))
                for path, data in files.items():
                    copy = state / path.relative_to(walking)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(data)
                yield state
                shutil.rmtree(state)
        status = run(walking, ON)
    assert status == 0
    # In what order, threads settle among themselves.
    assert set(log.read_text().split()) >= set(points)
    assert (final(walking), everything(walking)) == (undisturbed.engine, undisturbed.tables)
    shutil.rmtree(walking)


def some(points: list[str]) -> list[str]:
    """Return the middle point of each name."""
    names = dict.fromkeys(point.partition(":")[0] for point in points)
    by_name = [[p for p in points if p.startswith(f"{name}:")] for name in names]
    return [found[len(found) // 2] for found in by_name]


def spread(points: list[str], n: int) -> list[str]:
    """Return more of the points: the first and last of each name, and others evenly between."""
    names = dict.fromkeys(point.partition(":")[0] for point in points)
    ends = [[p for p in points if p.startswith(f"{name}:")] for name in names]
    chosen = [points[i] for i in np.linspace(0, len(points) - 1, n).astype(int)]
    return list(dict.fromkeys([*chosen, *(e[0] for e in ends), *(e[-1] for e in ends)]))
