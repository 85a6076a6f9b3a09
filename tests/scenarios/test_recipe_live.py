"""
A recipe through the daemon: it passes, its models trade, the edge ends, it fades and the model in force leaves; and a kill at any
point of the journal on the way leaves the same evidence, the same model or none, and the same account.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.runtime.restep import verify_state
from papertape.replay.learning.settings import DAY_MS
from tests.support import recipe_crashes
from tests.support.deaths import KILLED, Run, Undisturbed, dies_and_recovers, fixtures_of

pytestmark = pytest.mark.slow
OUTCOMES = ["rejected", "rejected", *["promoted"] * 3, "rejected", "rejected", "demoted"]

run, folder, undisturbed = fixtures_of(recipe_crashes)


def trained(undisturbed: Undisturbed) -> list[dict[str, Any]]:
    """Return the attempts that brought a model, by the columns of `everything`."""
    names = ("number", "due_ms", "effective_ms", "cause", "outcome", "reason", "champion", "version", "gate")
    rows = [dict(zip(names, row, strict=True)) for row in undisturbed.tables["attempts"]]  # type: ignore[call-overload]
    return [row for row in rows if row["version"]]


def at_turns(undisturbed: Undisturbed) -> list[str]:
    """
    Return points of the transactions in which the first model takes over and the last one leaves, and those about them.

    The commits are counted: the two that follow an attempt's beginning are its end and what the store is told of it.
    """
    points, chosen = undisturbed.points, []
    turns = [n for n, row in enumerate(trained(undisturbed)) if row["outcome"] in ("promoted", "demoted")]
    stored = [place for place, point in enumerate(points) if point.startswith("model.stored")]
    for turn in (turns[0], turns[-1]):
        place = stored[turn]
        begun = max(p for p in range(place) if points[p].startswith("attempt.begun"))
        told = min(p for p in range(place, len(points)) if points[p].startswith("model.promoted"))
        chosen += [points[begun], *points[place : told + 2]]
    return list(dict.fromkeys(chosen))


def test_a_recipe_that_passes_and_fades_decides_live_as_in_a_replay(undisturbed: Undisturbed) -> None:
    rows = trained(undisturbed)
    assert [row["outcome"] for row in rows] == OUTCOMES
    assert [row["champion"] for row in rows] == [0, 0, 0, 3, 4, 5, 5, 5]

    found = recipe_crashes.replayed(undisturbed.state, tuple(row["due_ms"] for row in rows))
    for live, again in zip(rows, found.attempts, strict=True):
        assert (live["outcome"], live["reason"]) == (again.outcome, again.reason)
        assert json.loads(live["gate"])["recipe"] == again.gate["recipe"]

    assert undisturbed.tables["champions"] == [("0", "0")]
    assert rows[-1]["effective_ms"] - rows[2]["effective_ms"] == 5 * DAY_MS
    assert len(undisturbed.tables["predictions"]) == 2 * 5 * recipe_crashes.DAY
    assert verify_state(undisturbed.state, trust_code=True).is_equal


def test_a_death_in_each_of_the_two_turns_leaves_the_same_evidence(
    undisturbed: Undisturbed, run: Run, folder: Path
) -> None:
    """Two deaths in one state: what the first left behind is what the second begins with."""
    points = at_turns(undisturbed)
    dies_and_recovers(run, folder / "turns", undisturbed, points[1], points[-2])


def test_a_death_at_any_point_of_the_turns_and_at_others_leaves_the_same_evidence(
    undisturbed: Undisturbed, run: Run, folder: Path
) -> None:
    others = undisturbed.points[:: len(undisturbed.points) // 6]
    for point in dict.fromkeys([*at_turns(undisturbed), *others]):
        state = folder / f"at-{point.replace(':', '-')}"
        assert run(state, point) == KILLED, point
        dies_and_recovers(run, state, undisturbed)
