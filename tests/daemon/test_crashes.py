"""
Killed at any commit, flush or rename, a daemon comes back and ends as if nothing had happened.

The points are not a list that somebody keeps: a first run writes down every one that it passes, and each of those is
a death of its own. Digest, cash, orders, stops, model and every table are compared with the undisturbed run.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.daemon.journal import Journal
from papertape.daemon.journal.archive import all_inputs
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.runtime.restep import verify_state
from tests.support import crashes
from tests.support.journals import WITH_ORDERS, WITH_STRUCTURE, derived

PROGRAM = Path(crashes.__file__)
KILLED = -signal.SIGKILL

Run = Callable[..., int]


@pytest.fixture(
    scope="module",
    params=["technical", "orders", pytest.param("structure", marks=pytest.mark.slow)],
)
def signals(request: pytest.FixtureRequest) -> Iterator[str]:
    """
    Return what is beside candles and indicators: orders that rest, of a strategy that uses every kind of them, hooks and
    moved stops; or structure, every concept of which is part of the state.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "structure":
            patch.setenv(WITH_STRUCTURE, "1")
        if request.param == "orders":
            patch.setenv(WITH_ORDERS, "1")
        yield request.param


@pytest.fixture(scope="module")
def run(signals: str) -> Iterator[Run]:
    """Return what runs one daemon in a forked process: (state, crash point, log) → exit status."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(PROGRAM)],
        env={**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])},
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


class Undisturbed:
    """What a run without a death leaves behind, and every point that it passed."""

    def __init__(self, folder: Path, run: Run) -> None:
        self.state = folder / "state"
        log = folder / "points"
        assert run(self.state, log=str(log)) == 0
        self.points = log.read_text().split()
        self.tables = everything(self.state)
        self.engine = final(self.state)


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
        tables["events"] = [
            found.payload for found in all_inputs(state, journal) if found.kind != "candles"
        ]
    store = ModelStore(state / "models")
    tables["store"] = [store.versions(), store.promoted(), *map(store.read, store.versions())]
    return tables


def final(state: Path) -> tuple[str, bytes]:
    """Return digest and whole state (cash, orders, stops, limits, model) after the last input."""
    with Journal.read(state) as journal:
        snapshot = next(journal.snapshots())
        assert snapshot.sequence == journal.sequence
        return snapshot.digest, snapshot.state


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, signals: str) -> Iterator[Path]:
    """Return a folder in memory where there is one: what a kill leaves is the same there, and a flush costs nothing."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    parent = memory if os.access(memory, os.W_OK) else tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def undisturbed(folder: Path, run: Run) -> Undisturbed:
    return Undisturbed(folder, run)


def dies_and_recovers(run: Run, state: Path, undisturbed: Undisturbed, *deaths: str) -> None:
    """Die at each point in turn, go on, and end as the undisturbed run did."""
    for death in deaths:
        assert run(state, death) in (KILLED, 0), death  # 0: the rest of the run did not pass it

    assert run(state) == 0

    assert final(state) == undisturbed.engine, deaths
    assert everything(state) == undisturbed.tables, deaths
    assert not list(state.rglob(".*.tmp")), deaths


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


def test_the_undisturbed_run_is_what_the_engine_says(undisturbed: Undisturbed) -> None:
    engine = crashes.undisturbed()
    assert undisturbed.engine == (engine.digest, engine.snapshot())
    assert verify_state(undisturbed.state, trust_code=True).is_equal
    names = {point.partition(":")[0] for point in undisturbed.points}
    assert names == {
        "commit.before", "commit.after", "archive.written", "archive.renamed",
        "backup.written", "backup.renamed", "attempt.begun", "model.stored", "model.promoted",
    }  # fmt: skip
    assert len(undisturbed.tables["fills"]) > 2
    assert len(undisturbed.tables["events"]) == 10  # two models that were trained, two sizes
    # every 12 hours from the full hour of each model on: 30, 48, 110, 144
    hours = [(row[0] - crashes.START_MS) // 3_600_000 for row in undisturbed.tables["looks"]]
    assert hours == [42, 60, 72, 84, 96, 108, 122, 134, 156]
    assert [row[4] for row in undisturbed.tables["attempts"]] == [
        "promoted",
        "rejected",
        "promoted",
    ]
    assert undisturbed.tables["champions"] == [("3", "0")]
    assert len(undisturbed.tables["predictions"]) > 200
    assert (len(undisturbed.tables["orders"]) > 100) == (WITH_ORDERS in os.environ)


def test_a_death_at_a_point_of_each_name_changes_nothing(
    undisturbed: Undisturbed, run: Run, folder: Path, signals: str
) -> None:
    points = some(undisturbed.points)
    if (
        signals == "orders"
    ):  # of orders the other points know nothing; the slow run dies at them, too
        points = [point for point in points if point.startswith("commit")]
    for number, point in enumerate(points):
        state = folder / f"some{number}"
        assert run(state, point) == KILLED, point
        dies_and_recovers(run, state, undisturbed)


@pytest.mark.slow
def test_a_death_at_every_point_changes_nothing(
    undisturbed: Undisturbed, run: Run, folder: Path, signals: str
) -> None:
    # The points are the same with structure or orders, which are state of the engine alone: a part of them is enough.
    points = undisturbed.points if signals == "technical" else spread(undisturbed.points, 60)
    for number, point in enumerate(points):
        state = folder / f"every{number}"
        assert run(state, point) == KILLED, point
        dies_and_recovers(run, state, undisturbed)
        shutil.rmtree(state)


@pytest.mark.parametrize("n_examples", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_several_deaths_in_a_row_change_nothing(
    undisturbed: Undisturbed, run: Run, folder: Path, n_examples: int
) -> None:
    @settings(max_examples=n_examples, deadline=None)
    @given(deaths=st.lists(st.sampled_from(undisturbed.points), min_size=2, max_size=4))
    def die(deaths: list[str]) -> None:
        dies_and_recovers(run, Path(tempfile.mkdtemp(dir=folder)) / "state", undisturbed, *deaths)

    die()
