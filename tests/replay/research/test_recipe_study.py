"""The recipe over years: noise within its level, edges found, and an edge that ends demoted."""

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.replay.research.recipe_study import MUSTS, NOISES, RecipeStudyOptions, recipe_study


def test_an_edge_passes_and_noise_does_not() -> None:
    rows = list(recipe_study(RecipeStudyOptions(runs=10, years=0.5, accuracies=(0.6,), ends=(0.6,))))

    assert [row.case for row in rows] == [*NOISES, "edge", "edge ends"]
    assert all(row.is_fine for row in rows)
    edge, ending = rows[-2:]
    assert edge.rate == 1.0
    assert edge.asked == MUSTS[0.6]
    assert ending.ended >= 0.7
    assert ending.years == 4.0


def test_a_history_is_the_same_again() -> None:
    small = RecipeStudyOptions(runs=2, years=0.25, months=2, accuracies=(0.6,), ends=())
    assert list(recipe_study(small)) == list(recipe_study(small))


@pytest.mark.parametrize("name", NOISES)
def test_noise_has_outcomes_and_probabilities_and_nothing_between_them(name: str) -> None:
    drawn = NOISES[name](np.random.default_rng(4), 40_000, 6)

    assert drawn.y.shape == drawn.p.shape == (40_000,)
    assert set(np.unique(drawn.y)) == {0.0, 1.0}
    assert 0.0 < drawn.p.min() < drawn.p.max() < 1.0
    # Both remember some 12 bars, those that wander 1,440: so few rows are independent.
    worth = 40_000 / (1_440 if name == "wandering" else 12)
    assert abs(np.corrcoef(drawn.y, drawn.p)[0, 1]) < 4.0 / np.sqrt(worth)


def test_a_horizon_that_no_month_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match="horizon 361 is not between 1 and 360"):
        RecipeStudyOptions(horizon_bars=361)


@pytest.mark.slow
def test_four_years_of_noise_stay_within_the_level_and_a_year_of_an_edge_is_enough() -> None:
    for row in recipe_study(RecipeStudyOptions(runs=150, seed=5, ends=())):
        assert row.is_fine, row
