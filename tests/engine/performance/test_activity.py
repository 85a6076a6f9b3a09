"""How much was at work, against the definition in fractions."""

from fractions import Fraction

import numpy as np
import pytest

from papertape.engine.performance.activity import activity_of


@pytest.mark.parametrize("n", [1, 7, 1_024, 5_000])
def test_means_are_those_of_the_definition(n: int) -> None:
    draw = np.random.default_rng(n)
    exposure = draw.integers(0, 3, n) * draw.integers(1, 10**13, n)
    equity = draw.uniform(5_000.0, 20_000.0, n)

    leverage, worth = activity_of(exposure, equity, 1e9)

    rows = [
        (Fraction(int(units)), Fraction(value))
        for units, value in zip(exposure, equity.tolist(), strict=True)
    ]
    assert leverage == pytest.approx(
        float(sum(units / 10**9 / value for units, value in rows) / n), rel=1e-14
    )
    assert worth == pytest.approx(float(sum(value for _, value in rows) / n), rel=1e-14)


def test_columns_of_records_are_read_like_columns() -> None:
    rows = np.zeros(50, [("exposure", "i8"), ("cash", "i8")])
    rows["exposure"] = np.arange(50) * 10**9

    assert activity_of(rows["exposure"], np.full(50, 10.0), 1e9) == (24.5 / 10.0, 10.0)
