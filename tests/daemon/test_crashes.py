"""
Killed at any commit, flush or rename, a daemon comes back and ends as if nothing had happened.

The points are not a list that somebody keeps: a first run writes down every one that it passes, and each of those is
a death of its own. Some are killed there; for all of them a run stands still at each, and what its files hold is gone on with. Digest, cash, orders, stops, model and every table are compared with the undisturbed run.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.daemon.runtime.restep import verify_state
from tests.support import crashes
from tests.support.deaths import (
    KILLED,
    Run,
    Undisturbed,
    dies_and_recovers,
    folder_in_memory,
    left_at,
    runs,
    some,
    spread,
)
from tests.support.journals import WITH_ORDERS, WITH_STRUCTURE


@pytest.fixture(
    scope="module", params=["technical", "orders", pytest.param("structure", marks=pytest.mark.slow)]
)
def signals(request: pytest.FixtureRequest) -> Iterator[str]:
    """
    Return what is beside candles and indicators: orders that rest, of a strategy that uses every kind of them, hooks and
    moved stops, with a user's function for fees; or structure, every concept of which is part of the state.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "structure":
            patch.setenv(WITH_STRUCTURE, "1")
        if request.param == "orders":
            patch.setenv(WITH_ORDERS, "1")
        yield request.param


@pytest.fixture(scope="module")
def run(signals: str) -> Iterator[Run]:
    with runs(Path(crashes.__file__)) as run:
        yield run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, signals: str) -> Iterator[Path]:
    with folder_in_memory(tmp_path_factory.getbasetemp()) as found:
        yield found


@pytest.fixture(scope="module")
def undisturbed(folder: Path, run: Run) -> Undisturbed:
    return Undisturbed(folder, run)


def test_the_undisturbed_run_is_what_the_engine_says(undisturbed: Undisturbed) -> None:
    engine = crashes.undisturbed()
    assert undisturbed.engine == (engine.digest, engine.snapshot())
    assert verify_state(undisturbed.state, trust_code=True).is_equal
    names = {point.partition(":")[0] for point in undisturbed.points}
    assert names == {
        "commit.before",
        "commit.after",
        "archive.written",
        "archive.renamed",
        "backup.written",
        "backup.renamed",
        "attempt.begun",
        "model.stored",
        "model.promoted",
    }
    assert len(undisturbed.tables["fills"]) > 2
    assert len(undisturbed.tables["events"]) == 10  # two models that were trained, two sizes
    # every 12 hours from the full hour of each model on: 30, 48, 110, 144
    hours = [(row[0] - crashes.START_MS) // 3_600_000 for row in undisturbed.tables["looks"]]
    assert hours == [42, 60, 72, 84, 96, 108, 122, 134, 156]
    assert [row[4] for row in undisturbed.tables["attempts"]] == ["promoted", "rejected", "promoted"]
    assert undisturbed.tables["champions"] == [("3", "0")]
    assert len(undisturbed.tables["predictions"]) > 200
    assert (len(undisturbed.tables["orders"]) > 100) == (WITH_ORDERS in os.environ)


def test_a_death_at_a_point_of_each_name_changes_nothing(
    undisturbed: Undisturbed, run: Run, folder: Path, signals: str
) -> None:
    points = some(undisturbed.points)
    if signals == "orders":  # of orders the other points know nothing; the slow run dies at them, too
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
    n_states = 0
    for state in left_at(run, folder, undisturbed, points):
        dies_and_recovers(run, state, undisturbed)
        n_states += 1
    assert n_states > len(points) // 3


@pytest.mark.parametrize("n_examples", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_several_deaths_in_a_row_change_nothing(
    undisturbed: Undisturbed, run: Run, folder: Path, n_examples: int
) -> None:
    @settings(max_examples=n_examples, deadline=None)
    @given(deaths=st.lists(st.sampled_from(undisturbed.points), min_size=2, max_size=4))
    def die(deaths: list[str]) -> None:
        dies_and_recovers(run, Path(tempfile.mkdtemp(dir=folder)) / "state", undisturbed, *deaths)

    die()
