"""Falls and how much was at work, against the definitions: means in fractions, falls of the whole curve at once."""

from fractions import Fraction

import numpy as np
import pytest

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.activity import Activity, activity_of

CAPITAL, UNITS = 10_000.0, 1e9
NONE = np.zeros(0, np.int64)


def drawn(n: int) -> tuple[IntArray, IntArray]:
    """Return equity and exposure in money units."""
    draw = np.random.default_rng(n)
    steps = np.cumsum(draw.normal(0.0, 0.01, n))
    exposure = draw.integers(0, 3, n) * draw.integers(1, 10**13, n)
    return (CAPITAL * UNITS * np.exp(steps)).astype(np.int64), exposure


def assert_falls_are_those_of(curve: FloatArray, found: Activity) -> None:
    """Compare with what the curve says, the capital its first value."""
    peaks = np.maximum.accumulate(curve)
    below = curve / peaks - 1.0
    trough = int(np.argmin(below))
    fall = found.falls.deepest[0]
    back = np.flatnonzero(curve[trough:] >= peaks[trough])
    assert found.falls.lowest == curve.min()
    assert found.falls.depth_quote == (curve - peaks).min()
    assert (fall.depth, fall.trough) == (below[trough], trough)
    assert fall.peak == np.flatnonzero(curve[:trough] == peaks[trough])[-1]
    assert fall.recovery == (trough + back[0] if len(back) else -1)


# The last is read in three parts.
@pytest.mark.parametrize("n", [7, 1_024, 5_000, 40_000])
def test_what_is_read_is_the_definition(n: int) -> None:
    equity, exposure = drawn(n)

    found = activity_of(equity, exposure, CAPITAL, UNITS)

    assert_falls_are_those_of(np.concatenate([[CAPITAL], equity / UNITS]), found)
    worths, leverages = equity.tolist(), exposure.tolist()
    assert found.worth == pytest.approx(float(Fraction(sum(worths), 10**9 * n)), rel=1e-13)
    shares = [Fraction(units, worth) for units, worth in zip(leverages, worths, strict=True)]
    if n <= 5_000:  # of more the fractions grow too long
        assert found.leverage == pytest.approx(float(sum(shares) / n), rel=1e-13)
    assert found.leverage == pytest.approx(float((exposure / equity).mean()), rel=1e-12)


def test_means_have_the_bits_that_results_were_saved_with() -> None:
    equity, exposure = drawn(40_000)

    found = activity_of(equity, exposure, CAPITAL, UNITS)

    parts = [slice(first, first + 16_384) for first in range(0, 40_000, 16_384)]
    worths = [np.add.reduce(equity[part] / UNITS) for part in parts]
    leverages = [np.add.reduce(exposure[part] / UNITS / (equity[part] / UNITS)) for part in parts]
    assert found[1:] == (sum(worths) / 40_000, sum(leverages) / 40_000)


def test_a_single_mark_that_gains_has_no_fall() -> None:
    found = activity_of(np.array([12 * 10**12]), np.array([6 * 10**12]), CAPITAL, UNITS)

    assert (found.worth, found.leverage, len(found.falls.deepest)) == (12_000.0, 0.5, 0)
    assert (found.falls.lowest, found.falls.depth_quote) == (CAPITAL, 0.0)


def test_an_account_that_is_ruined_has_no_leverage() -> None:
    equity = np.array([5 * 10**12, 0, -(10**12), 10**12])

    found = activity_of(equity, np.full(4, 10**12), CAPITAL, UNITS)

    assert (found.falls.lowest, found.leverage) == (-1_000.0, 0.0)
    assert found.falls.deepest[0].depth == -1.1


def test_columns_of_records_are_read_like_columns_and_exposure_may_be_missing() -> None:
    rows = np.zeros(50, [("exposure", "i8"), ("equity", "i8")])
    rows["exposure"], rows["equity"] = np.arange(50) * 10**9, 10 * 10**9

    assert activity_of(rows["equity"], rows["exposure"], 10.0, UNITS).leverage == 24.5 / 10.0
    assert activity_of(rows["equity"], NONE, 10.0, UNITS)[1:] == (10.0, 0.0)
