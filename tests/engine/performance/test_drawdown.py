"""Falls from a peak in one reading, against a plain search for each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.performance.drawdown import MOST_FALLS, falls_of


def plain_falls(curve: list[float]) -> list[tuple[float, int, int, int]]:
    """Return (depth, peak, trough, recovery) of every fall, the deepest first, from the definition."""
    found, row = [], 0
    while row < len(curve):
        end = next((k for k in range(row + 1, len(curve)) if curve[k] >= curve[row]), -1)
        fall = curve[row + 1 : end if end >= 0 else len(curve)]
        if fall:
            trough = row + 1 + fall.index(min(fall))
            found.append((curve[trough] / curve[row] - 1.0, row, trough, end))
        row = end if end >= 0 else len(curve)
    return sorted(found, key=lambda fall: fall[0])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=80))
def test_falls_are_those_of_a_plain_search(values: list[int]) -> None:
    curve = [float(value) for value in values]

    found = falls_of(np.array(curve))

    assert found.deepest.tolist() == plain_falls(curve)[:MOST_FALLS]
    assert found.lowest == min(curve)
    quote = [curve[trough] - curve[peak] for _, peak, trough, _ in plain_falls(curve)]
    assert found.depth_quote == min(quote, default=0.0)


def test_the_largest_fall_in_quote_need_not_be_the_deepest() -> None:
    found = falls_of(np.array([100.0, 50.0, 1_000.0, 700.0, 1_000.0, 990.0]))

    assert found.deepest["depth"] == pytest.approx([-0.5, -0.3, -0.01])
    assert found.depth_quote == -300.0
    assert found.deepest["recovery"].tolist() == [2, 4, -1]
