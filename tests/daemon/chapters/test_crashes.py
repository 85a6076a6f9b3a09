"""Killed at any commit of a chapter and around it, an account ends as if nothing had happened, with one chapter."""

import json
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.runtime.restep import verify_state
from tests.support import chapter_crashes
from tests.support.deaths import KILLED, Run, Undisturbed, everything, final, fixtures_of

run, folder, undisturbed = fixtures_of(chapter_crashes)


def left_by(state: Path) -> dict[str, Any]:
    """Return what an account leaves behind; of the chapter not its whole configurations, which name the folder."""
    tables: dict[str, Any] = everything(state)
    kept = ("name", "time_ms", "positions", "changes")
    chapters = [{name: json.loads(each)[name] for name in kept} for each in tables["events"]]
    return tables | {"events": chapters}


def dies(run: Run, state: Path, undisturbed: Undisturbed, *deaths: str) -> None:
    """Die at each point in turn, go on, and end as the undisturbed run did."""
    for death in deaths:
        assert run(state, death) in (KILLED, 0), death  # 0: the rest of the run did not pass it

    assert run(state) == 0

    assert final(state) == undisturbed.engine, deaths
    assert left_by(state) == left_by(undisturbed.state), deaths


def around(undisturbed: Undisturbed) -> list[str]:
    """
    Return the commits from the last candle before the chapter to the first behind it: a third of a run of so few inputs.

    Dead before one is dead after the one before it: what is on the disk is the same.
    """
    points = [point for point in undisturbed.points if point.startswith("commit.before")]
    return points[len(points) // 3 : -len(points) // 4]


def test_the_undisturbed_run_is_what_two_configurations_come_to(undisturbed: Undisturbed) -> None:
    engine = chapter_crashes.undisturbed()

    assert undisturbed.engine[0] == engine.digest
    assert verify_state(undisturbed.state).is_equal
    assert len(undisturbed.tables["events"]) == 1  # the chapter, of all inputs that are no candles
    assert len(undisturbed.tables["fills"]) > 10


def test_a_death_at_any_point_around_the_chapter_changes_nothing(
    run: Run, folder: Path, undisturbed: Undisturbed
) -> None:
    points = around(undisturbed)
    assert len(points) >= 8
    for number, point in enumerate(points):
        state = folder / f"dead-{number}"

        dies(run, state, undisturbed, point)

        with Journal.read(state) as journal:
            assert journal.all("SELECT name, positions FROM chapters") == [("cross", "close")]
        assert verify_state(state).is_equal


@pytest.mark.slow
def test_two_deaths_in_a_row(run: Run, folder: Path, undisturbed: Undisturbed) -> None:
    for number, point in enumerate(undisturbed.points):
        again = undisturbed.points[(7 * number) % len(undisturbed.points)]
        dies(run, folder / f"twice-{number}", undisturbed, point, again)
