"""The efficiency of several windows together, beside scipy's one-sided test."""

import pytest
from scipy import stats

from papertape.replay.research.walkforward.efficiency import probability_of_more


def test_probability_is_that_of_a_one_sided_test() -> None:
    values = [0.4, -0.2, 0.9, 0.1, 0.5, -0.1]

    theirs = stats.ttest_1samp(values, 0.0, alternative="greater")

    assert probability_of_more(values) == pytest.approx(1.0 - theirs.pvalue, abs=1e-12)


def test_few_windows_and_equal_ones_say_nothing() -> None:
    assert probability_of_more([0.5, 0.7, 0.6, 0.8]) is None
    assert probability_of_more([0.5] * 8) is None
    assert probability_of_more([]) is None
