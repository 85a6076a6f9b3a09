"""The shapes: no skill on average, one long-run deviation for all, and an edge of the size that was asked for."""

import math

import numpy as np
import pytest

from papertape.replay.research.calibration.shapes import SCALE, SHAPES, daily_moves, history


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_the_deviation_and_the_edge_that_it_says(shape: str) -> None:
    """The mean of 200 days of 150 pairs: its deviation is 1 % ÷ √200, give or take; half of it is shared by all trials."""
    means = np.array([history(shape, np.random.default_rng((1, k)), 200, 2).mean(axis=0) for k in range(150)])
    shifted = np.array(
        [history(shape, np.random.default_rng((1, k)), 200, 2, 3.0).mean(axis=0) for k in range(150)]
    )
    error = SCALE / math.sqrt(200)

    assert means.mean() == pytest.approx(0.0, abs=0.3 * error)
    assert means.std() == pytest.approx(error, rel=0.25)
    np.testing.assert_allclose(shifted - means, [[3.0 * error, 0.0]] * 150, atol=1e-12)


def test_days_hang_together_where_they_are_said_to() -> None:
    def kept(shape: str) -> float:
        values = history(shape, np.random.default_rng(2), 20_000 if shape != "real tape" else 1_400, 1)[:, 0]
        return float(np.corrcoef(values[1:], values[:-1])[0, 1])

    assert kept("independent") == pytest.approx(0.0, abs=0.03)
    assert kept("autocorrelated") == pytest.approx(0.3, abs=0.03)
    assert kept("overlapping") == pytest.approx(0.8, abs=0.03)
    assert 1_400 < len(daily_moves()) < 1_461
