"""The error of a Sharpe ratio beside scipy's own transform and distribution, and how often noise passes for an edge."""

import math

import numpy as np
import pytest
from scipy import fft, stats

from papertape.engine.performance.significance import (
    LEAST_MOVES,
    has_moved_enough,
    probability_above,
    sharpe_error,
    sharpe_waves,
    student_probability,
    wave_count,
)

N_HISTORIES = 1_000


def autocorrelated(n_days: int, generator: np.random.Generator) -> np.ndarray:
    """Returns of which each keeps 0.3 of the one before, one history a column."""
    values = generator.normal(size=(n_days + 50, N_HISTORIES))
    for day in range(1, len(values)):
        values[day] += 0.3 * values[day - 1]
    return values[50:]


def overlapping(n_days: int, generator: np.random.Generator) -> np.ndarray:
    """Every day the mean of the last five trades' results, one begun each day."""
    drawn = generator.normal(size=(n_days + 4, N_HISTORIES))
    return sum(drawn[k : n_days + k] for k in range(5)) / 5.0


def claims(returns: np.ndarray) -> float:
    """Return the share of histories, one a column, for whose Sharpe ratio a PSR of 95 % is said."""
    n_days = len(returns)
    found = sharpe_waves(returns)
    return float(
        np.mean(
            [
                probability_above(sharpe, 0.0, sharpe_error(waves, n_days), n_days) >= 0.95
                for sharpe, waves in zip(found.sharpe, found.waves.T, strict=True)
            ]
        )
    )


def claims_as_if_independent(returns: np.ndarray) -> float:
    """The same with the source's error, which takes days as independent."""
    n_days = len(returns)
    sharpe = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    inner = 1.0 - stats.skew(returns) * sharpe + (stats.kurtosis(returns) + 2.0) / 4.0 * sharpe**2
    return float(np.mean(stats.norm.cdf(sharpe / np.sqrt(inner / (n_days - 1))) >= 0.95))


@pytest.mark.parametrize("shape", [autocorrelated, overlapping])
def test_noise_passes_for_an_edge_as_seldom_as_is_said_where_days_hang_together(shape) -> None:
    """5 % of a thousand have a deviation of 0.7 points; the error for independent days claims in 11 % and 23 %."""
    returns = shape(250, np.random.default_rng(5))

    assert claims(returns) < 0.07
    assert claims_as_if_independent(returns) > 0.09


def test_edges_are_still_found() -> None:
    """Four standard errors above nothing: Student's t of 16 degrees passes 1.75 in all but one of a hundred."""
    returns = np.random.default_rng(6).normal(4.0 / math.sqrt(250), 1.0, (250, N_HISTORIES))

    assert claims(returns) > 0.95


@pytest.mark.parametrize("n_days", [30, 31, 365, 1461])
def test_error_is_that_of_a_cosine_transform_by_hand(n_days: int) -> None:
    returns = np.random.default_rng(n_days).standard_t(4, n_days) * 0.01 + 0.001

    found = sharpe_waves(returns[:, None])

    sharpe = returns.mean() / returns.std(ddof=1)
    z = (returns - returns.mean()) / returns.std()
    added = z - sharpe / 2.0 * (z**2 - 1.0)
    slow = fft.dct(added, type=2, norm="ortho")[1 : wave_count(n_days) + 1]
    assert found.sharpe[0] == pytest.approx(sharpe, rel=1e-12)
    np.testing.assert_allclose(found.waves[:, 0], slow, atol=1e-12)
    error = sharpe_error(found.waves[:, 0], n_days)
    assert error == pytest.approx(math.sqrt(np.mean(slow**2) / n_days))
    assert probability_above(sharpe, 0.1, error, n_days) == pytest.approx(
        stats.t.cdf((sharpe - 0.1) / error, wave_count(n_days)), abs=1e-13
    )


def test_independent_days_have_the_error_of_the_source_on_average() -> None:
    """√((1 − γ₃·SR + (γ₄ − 1)/4 · SR²) ÷ n): the mean of 400 squares, each of 20 waves, is within 5 % of it."""
    returns = np.random.default_rng(8).exponential(size=(365, 400)) - 0.9

    found = sharpe_waves(returns)

    ours = np.mean(found.waves**2, axis=0).mean()
    theirs = (
        1.0 - stats.skew(returns) * found.sharpe + (stats.kurtosis(returns) + 2.0) / 4.0 * found.sharpe**2
    )
    assert ours == pytest.approx(theirs.mean(), rel=0.05)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 20, 51, 104])
def test_student_is_that_of_scipy(freedom: int) -> None:
    for t in (-1e6, -3.1, -0.2, 0.0, 1e-3, 0.7, 1.65, 8.0, 1e9):
        assert student_probability(t, freedom) == pytest.approx(stats.t.cdf(t, freedom), abs=1e-13)


def test_an_account_that_hardly_moved_tells_no_error() -> None:
    returns = np.zeros((400, 3))
    returns[: LEAST_MOVES - 1, 0] = returns[:LEAST_MOVES, 1] = 0.01

    assert has_moved_enough(returns).tolist() == [False, True, False]
    still = sharpe_waves(np.full((40, 1), 0.1) * 3.0)
    assert still.sharpe[0] == 0.0
    assert not still.waves.any()
