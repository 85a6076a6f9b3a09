"""Purge and embargo: no label of an earlier part was known after a later part began."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from papertape.engine.errors import DataError
from papertape.engine.model.training.parts import purged_parts


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(10, 300),
    n_symbols=st.integers(1, 3),
    longest=st.integers(1, 30),
    embargo=st.integers(0, 10),
    first=st.floats(0.1, 0.8),
)
def test_no_label_of_a_part_was_known_after_a_later_one_began(
    seed: int, n: int, n_symbols: int, longest: int, embargo: int, first: float
) -> None:
    random = np.random.default_rng(seed)
    known = np.arange(n) + random.integers(1, longest + 1, (n_symbols, n))
    is_usable = (random.random((n_symbols, n)) < 0.8) & (known < n)
    rest = (1.0 - first) / 2.0
    try:
        parts = purged_parts(known, is_usable, (first, rest, rest), embargo)
    except DataError:
        assume(False)

    for earlier, later in pairwise(parts):
        begin = np.flatnonzero(later.any(axis=0))[0]
        # told with room to spare: the next part begins at or before its first usable row
        assert (known[earlier] + embargo < begin).all()
        assert (np.nonzero(earlier)[1] < begin).all()
    assert not (np.sum(parts, axis=0) > is_usable).any()  # each usable row at most once, no other


def test_parts_by_hand() -> None:
    known = np.minimum(np.arange(12) + 2, 12)
    is_usable = known < 12
    is_usable[:2] = False  # warm-up takes no share

    first, second = purged_parts(known, is_usable, (0.5, 0.5), embargo_bars=1)

    # Eight usable rows, 2 … 9, so the second part begins at row 6; row 3 is known at 5, 5 + 1 < 6 does not hold.
    assert np.flatnonzero(first).tolist() == [2]
    assert np.flatnonzero(second).tolist() == [6, 7, 8, 9]


def test_one_close_of_several_symbols_is_in_one_part() -> None:
    known = np.tile(np.arange(20) + 1, (2, 1))
    is_usable = np.ones((2, 20), bool)
    is_usable[0, :10] = False

    first, second = purged_parts(known, is_usable, (0.5, 0.5))

    assert np.flatnonzero(first.any(axis=0)).tolist() == list(range(9))
    assert np.flatnonzero(second.all(axis=0)).tolist() == list(range(10, 20))


@pytest.mark.parametrize(
    ("shares", "embargo", "usable", "told"),
    [
        ((0.5, 0.4), 0, 20, "do not add up to 1"),
        ((1.2, -0.2), 0, 20, "are not above 0"),
        ((0.5, 0.5), -1, 20, "embargo_bars -1 is below 0"),
        ((0.5, 0.5), 10, 20, "leave no row in part 1 of 2 after the purge"),
        ((0.5, 0.5), 0, 0, "no row has all its inputs and a label"),
    ],
)
def test_parts_that_cannot_be_made_are_refused(
    shares: tuple[float, ...], embargo: int, usable: int, told: str
) -> None:
    with pytest.raises(DataError, match=told):
        purged_parts(np.arange(20) + 1, np.arange(20) < usable, shares, embargo)
