"""What all cells of a study say together: Holm's step-down by hand, and evidence up to where a recipe first faded."""

import pytest

from papertape.replay.config.learning import Learning
from papertape.replay.learning.feasible import shortages
from papertape.replay.research.learn_study.lesson import highest_until_faded
from papertape.replay.research.learn_study.verdict import CellEvidence, evidence_in, verdict_of
from papertape.replay.research.learn_study.windows import fitted_windows


def cells(*evidence: float) -> list[CellEvidence]:
    return [CellEvidence(f"cell {place}", value, None) for place, value in enumerate(evidence)]


def test_a_cell_must_stand_among_all_that_were_tried() -> None:
    # p-values 1/100, 1/70, 1/25, 1: Holm asks p ≤ 0.05/4, 0.05/3, 0.05/2, that is evidence of 80, 60 and 40.
    found = verdict_of(cells(70.0, 1.0, 100.0, 25.0), 0.05)

    assert (found.tried, found.passed, found.by_luck, found.needed) == (4, 3, 0.2, 80.0)
    assert found.standing == ["cell 2", "cell 0"]
    assert found.best == CellEvidence("cell 2", 100.0, None)
    assert "3 of 4 recipes on tapes passed for itself" in found.sentences()[0]
    assert "2 pass: cell 2, cell 0" in found.sentences()[1]


def test_the_step_down_ends_at_the_first_that_does_not_stand() -> None:
    assert verdict_of(cells(79.0, 79.0, 79.0, 79.0), 0.05).standing == []
    assert verdict_of(cells(20.0), 0.05).standing == ["cell 0"]
    assert verdict_of([], 0.05).sentences() == [
        "No recipe has trained a model on any tape, so nothing was judged."
    ]


def test_gains_are_counted_by_their_limits() -> None:
    gains = [(0.01, 0.002, 0.02), (0.0, -0.1, 0.1), (-0.1, -0.2, -0.05), None]
    found = verdict_of([CellEvidence("x", 1.0, gain) for gain in gains], 0.05)

    assert (found.better, found.worse, found.measured) == (1, 1, 3)


def test_evidence_counts_until_the_recipe_first_fades() -> None:
    points = [[1, 5.0, False], [2, 30.0, True], [3, 26.0, True], [4, 1.0, False], [5, 90.0, True]]

    assert highest_until_faded(points) == 30.0
    assert highest_until_faded(points[:1]) == 5.0
    assert highest_until_faded([[1, 0.3, False]]) == 1.0  # what a bettor begins with
    assert evidence_in("x", {"models": 0}) is None


@pytest.mark.parametrize("timeframe", ["15m", "1h", "4h", "1d"])
@pytest.mark.parametrize("days", [3.0, 30.0, 241.0, 2_000.0])
def test_windows_that_fit_a_tape_can_train_and_judge(timeframe: str, days: float) -> None:
    found = fitted_windows(Learning(), timeframe, days, 1)

    names = ("window_days", "gate_days")
    learning = Learning(**{name: found[f"learning.{name}"] for name in names})
    assert shortages(learning, timeframe, 1) == []
    assert learning.window_days >= min(days / 3.0 - 0.5, 90.0)
