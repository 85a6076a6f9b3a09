"""Inputs that say the same thing, against numpy's own correlations and by hand."""

import numpy as np
import pytest

from papertape.engine.model.relevance.groups import alike, correlations, named


def test_correlations_are_those_of_masked_rows_from_each_symbols_own_mean() -> None:
    random = np.random.default_rng(5)
    x = random.normal(size=(2, 400, 3))
    x[..., 1] += 2.0 * x[..., 0]
    x[1] = 50.0 + 9.0 * x[1]  # another price, another scale
    mask = np.ones((2, 400), bool)
    mask[:, 300:] = False
    x[:, 300:] = np.nan

    found = correlations(x, mask)

    each = [np.corrcoef(rows[:300], rowvar=False) for rows in x]
    assert found == pytest.approx(np.mean(each, axis=0), abs=1e-12)


def test_an_input_that_never_moves_is_alike_to_none() -> None:
    x = np.random.default_rng(5).normal(size=(1, 50, 2))
    x[..., 1] = 0.1

    found = correlations(x, np.ones((1, 50), bool))

    assert found[0, 1] == found[1, 1] == 0.0
    assert alike(found) == ((0,), (1,))


def test_a_group_is_all_that_is_alike_by_way_of_its_members_either_way() -> None:
    # 0 is like 3, 3 like 1 with the other sign; 2 is a little like all of them.
    matrix = np.eye(4)
    matrix[0, 3] = matrix[3, 0] = 0.71
    matrix[1, 3] = matrix[3, 1] = -0.9
    matrix[2, :2] = matrix[:2, 2] = 0.69

    groups = alike(matrix)

    assert groups == ((0, 1, 3), (2,))
    assert named(groups, ["a", "b", "c", "d"]) == [["a", "b", "d"], ["c"]]
