"""The bootstrap against its closed form and scipy, false discoveries against scipy and by hand."""

import numpy as np
import pytest
import scipy.stats

from papertape.replay.events.inference import (
    BLOCKS_WANTED,
    CELLS_MOST,
    cut_cells,
    false_discovery,
    stationary_weights,
    two_sided,
)


@pytest.mark.parametrize(("n", "mean_length"), [(1, 1), (7, 3.0), (50, 200.0), (300, 12.5)])
def test_every_resampled_history_has_the_length_of_the_tape(n: int, mean_length: float) -> None:
    weights = stationary_weights(n, mean_length, 200, np.random.default_rng(3))

    assert weights.shape == (200, n)
    np.testing.assert_array_equal(weights.sum(axis=1), n)
    assert (weights >= 0.0).all()
    # Blocks start anywhere on a circle, so every cell is drawn once on average.
    assert abs(weights.mean(axis=0) - 1.0).max() < 5.0 * max(weights.std() / 200**0.5, 1e-12) + 1e-12


@pytest.mark.parametrize("mean_length", [1.0, 5.0, 20.0])
def test_variance_of_the_mean_is_the_closed_form_of_the_stationary_bootstrap(mean_length: float) -> None:
    """
    Politis and Romano (1994), lemma 1, on the circle, with p = 1 ÷ mean length and C the circular autocovariance:

    n Var*(mean) = C(0) + 2 Σ (1 − i/n)(1 − p)^i C(i), i = 1 … n − 1
    """
    n, p = 400, 1.0 / mean_length
    random = np.random.default_rng(5)
    values = np.convolve(random.normal(size=n + 10), np.ones(10) / 10, "valid")[:n]
    centred = values - values.mean()
    i = np.arange(1, n)
    covariance = np.array([np.mean(centred * np.roll(centred, -lag)) for lag in range(n)])
    closed = covariance[0] + 2.0 * np.sum((1.0 - i / n) * (1.0 - p) ** i * covariance[1:])

    weights = stationary_weights(n, mean_length, 6_000, np.random.default_rng(1))
    found = n * np.var(weights @ values / n)

    # The variance of 6,000 draws is itself known to √(2 ÷ 6000) = 1.8 %; four of these are allowed.
    assert found == pytest.approx(closed, rel=0.073)


def test_blocks_of_one_cell_are_the_ordinary_bootstrap() -> None:
    values = np.random.default_rng(2).exponential(size=150)
    oracle = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=6_000, rng=np.random.default_rng(4), method="percentile"
    )

    weights = stationary_weights(len(values), 1.0, 6_000, np.random.default_rng(1))
    means = weights @ values / len(values)

    assert means.std() == pytest.approx(oracle.standard_error, rel=0.05)
    low, high = oracle.confidence_interval
    np.testing.assert_allclose(
        np.percentile(means, (2.5, 97.5)), (low, high), atol=0.12 * oracle.standard_error
    )


def test_equal_seeds_give_equal_histories() -> None:
    one, two = (stationary_weights(90, 7.0, 50, np.random.default_rng(8)) for _ in range(2))

    np.testing.assert_array_equal(one, two)


def test_false_discovery_by_hand() -> None:
    # Four tests, sorted 0.01 0.02 0.03 0.5: m·p/i = 0.04 0.04 0.04 0.5; the untested one is not among the four.
    found = false_discovery(np.array([0.03, np.nan, 0.5, 0.01, 0.02]))

    np.testing.assert_allclose(found, [0.04, np.nan, 0.5, 0.04, 0.04])
    assert np.isnan(false_discovery(np.array([np.nan, np.nan]))).all()
    assert len(false_discovery(np.zeros(0))) == 0


@pytest.mark.parametrize("seed", range(5))
def test_false_discovery_equals_scipy(seed: int) -> None:
    random = np.random.default_rng(seed)
    p_values = np.round(random.uniform(size=60) ** (1 + seed), 3)  # rounded, so that ties occur

    np.testing.assert_allclose(
        false_discovery(p_values), scipy.stats.false_discovery_control(p_values, method="bh")
    )


@pytest.mark.parametrize("clusters", [10, 25, 200, 100_000])
def test_two_sided_chance_is_that_of_student(clusters: int) -> None:
    for t in (0.0, 0.5, -1.96, 3.0, -5.0):
        exact = 2.0 * scipy.stats.t.sf(abs(t), clusters - 1)
        # Wallace's approximation is good to a few per cent of p, the worst far out and with few clusters.
        assert two_sided(t, 1.0, clusters) == pytest.approx(exact, rel=0.04)
    assert two_sided(-20.0, 1.0, 10**9) == pytest.approx(2.0 * scipy.stats.norm.sf(20.0), rel=1e-4)
    assert two_sided(3.0, 0.0, clusters) == 1.0
    assert two_sided(3.0, float("nan"), clusters) == 1.0


@pytest.mark.parametrize("n", [1, 100, CELLS_MOST, CELLS_MOST + 1, 1_000_000])
def test_cells_cover_the_tape_and_blocks_hold_four_horizons(n: int) -> None:
    cells = cut_cells(n, 48)

    assert cells.n_cells <= CELLS_MOST
    assert (cells.n_cells - 1) * cells.candles_per_cell < n <= cells.n_cells * cells.candles_per_cell
    block = cells.block_cells * cells.candles_per_cell
    assert abs(block - max(192, n // BLOCKS_WANTED)) <= cells.candles_per_cell
    bars = np.arange(n)
    assert cells.totals(bars).sum() == n
    assert cells.totals(bars, np.ones(n) * 2.0).sum() == 2 * n
