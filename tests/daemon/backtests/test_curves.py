"""Two curves from one start: by the calendar where both know a moment, by elapsed time where none is common."""

import numpy as np
import pytest

from papertape.daemon.backtests.curves import Curve, compare_curves


def curve(times: list[int], equity: list[float]) -> Curve:
    return Curve(np.array(times, np.int64), np.array(equity, np.float64))


def test_both_begin_where_the_later_one_does_and_are_cut_where_the_first_ends() -> None:
    # At 25 the first is worth what it was at 20: 80.
    found = compare_curves(
        curve([10, 20, 30, 40], [100.0, 80.0, 120.0, 160.0]), curve([25, 30, 50], [7.0, 14.0, 3.5])
    )

    assert (found.basis, found.start_ms) == ("time", 25)
    assert (found.first.time_ms, found.first.growth) == ((25, 30, 40), (1.0, 1.5, 2.0))
    assert (found.second.time_ms, found.second.growth) == ((25, 30), (1.0, 2.0))


@pytest.mark.parametrize("later", [[30, 40], [20, 30]])
def test_without_a_common_moment_each_begins_at_its_own_start(later: list[int]) -> None:
    found = compare_curves(curve([10, 20], [10.0, 5.0]), curve(later, [1.0, 3.0]))

    assert (found.basis, found.start_ms) == ("elapsed", None)
    assert (found.first.time_ms, found.first.growth) == ((0, 10), (1.0, 0.5))
    assert (found.second.time_ms, found.second.growth) == ((0, 10), (1.0, 3.0))


def test_what_is_missing_has_a_reason_and_is_not_zero() -> None:
    whole = curve([10, 20], [10.0, 5.0])

    for other, word in ((curve([], []), "no mark"), (curve([10, 20], [0.0, 0.0]), "above zero")):
        found = compare_curves(whole, other)
        assert (found.second.time_ms, found.second.growth) == ((), ())
        assert word in found.second.missing
        assert (found.first.growth, found.first.missing) == ((1.0, 0.5), "")


def test_fewer_points_hide_neither_the_lowest_nor_the_highest_nor_the_start() -> None:
    random = np.random.default_rng(3)
    equity = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, 100_000)))
    equity[51_234], equity[77_001] = 1.0, 10_000.0
    times = np.arange(100_000, dtype=np.int64) * 60_000

    found = compare_curves(Curve(times, equity), Curve(times, equity[::-1].copy())).first

    assert len(found.time_ms) <= 751
    assert (found.time_ms[0], found.growth[0]) == (0, 1.0)
    assert min(found.growth) == pytest.approx(1.0 / equity[0], abs=1e-7)
    assert max(found.growth) == pytest.approx(10_000.0 / equity[0], abs=1e-7)
    assert found.growth[-1] == pytest.approx(equity[-1] / equity[0], abs=1e-7)
