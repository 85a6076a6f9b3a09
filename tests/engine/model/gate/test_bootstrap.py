"""The studentised block bootstrap against Student's t, a plain loop and the variance of overlapping sums."""

import math

import numpy as np
import pytest
import scipy.stats

from papertape.engine.model.gate.bootstrap import draw_blocks, lower_bound


def test_independent_normal_rows_give_the_bound_of_student() -> None:
    n, alpha = 60, 0.05
    for seed in range(3):
        values = np.random.default_rng(seed).normal(0.3, 1.0, n)
        draws = draw_blocks(n, 1, 20_000, np.random.default_rng(100 + seed))

        found = lower_bound(values, np.ones(n), 1, draws, alpha)

        error = values.std(ddof=1) / math.sqrt(n)
        exact = values.mean() - scipy.stats.t.ppf(1.0 - alpha, n - 1) * error
        assert found.value == pytest.approx(values.mean())
        # Normal rows have no skew but the sample has some: the bounds differ by a fraction of an error.
        assert found.lower == pytest.approx(exact, abs=0.25 * error)


def test_bound_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(4)
    n, block, alpha = 23, 4, 0.1
    counts = random.integers(0, 3, n).astype(np.float64)
    sums = random.normal(0.2, 1.0, n) * counts
    draws = draw_blocks(n, block, 99, np.random.default_rng(5))
    k = n // block
    theta = sums.sum() / counts.sum()

    def of(start: int) -> tuple[float, float]:
        places = [(start + i) % n for i in range(block)]
        return sum(sums[i] for i in places), sum(counts[i] for i in places)

    every = [of(start) for start in range(n)]
    squares = [(a - theta * b) ** 2 for a, b in every]
    mean_count = sum(b for _, b in every) / n
    error = math.sqrt(k / (k - 1) * k * (sum(squares) / n)) / (k * mean_count)
    told = []
    for starts in draws:
        blocks = [of(int(start)) for start in starts]
        a, b = sum(x for x, _ in blocks), sum(y for _, y in blocks)
        spread = math.sqrt(k / (k - 1) * sum((x - a / b * y) ** 2 for x, y in blocks)) / b
        told.append((a / b - theta) / spread)
    # the 90th of 99: ceil(0.9 · 100)
    expected = theta - sorted(told)[89] * error

    assert draws.shape == (99, 5)
    assert lower_bound(sums, counts, block, draws, alpha).lower == pytest.approx(expected)
    wider = lower_bound(sums, counts, block, draws, alpha, widening=2.0)
    assert theta - wider.lower == pytest.approx(2.0 * (theta - expected))


def test_blocks_as_long_as_the_overlap_widen_the_bound_by_its_dependence() -> None:
    """Sums of 10 steps have a mean whose variance is 10 times that of independent rows; blocks of one row cannot see it."""
    n, horizon = 4_000, 10
    values = np.convolve(np.random.default_rng(6).normal(size=n + 9), np.ones(horizon), "valid")
    distance = {}
    for block in (1, 5 * horizon):
        draws = draw_blocks(n, block, 2_000, np.random.default_rng(1))
        found = lower_bound(values, np.ones(n), block, draws, 0.05)
        distance[block] = found.value - found.lower

    # Blocks of 5 horizons hold 1 − 1/15 of the variance.
    assert distance[50] / distance[1] == pytest.approx(math.sqrt(10 * 14 / 15), rel=0.15)


def test_a_constant_is_its_own_bound_and_nothing_has_none() -> None:
    draws = draw_blocks(50, 5, 100, np.random.default_rng(1))

    assert lower_bound(np.zeros(50), np.ones(50), 5, draws, 0.05) == (0.0, 0.0)
    assert math.isnan(lower_bound(np.zeros(50), np.zeros(50), 5, draws, 0.05).value)


def test_a_mean_that_hangs_on_one_block_has_no_bound() -> None:
    sums, counts = np.zeros(100), np.zeros(100)
    sums[40:43], counts[40:43] = (5.0, 6.0, 4.0), 1.0
    draws = draw_blocks(100, 5, 400, np.random.default_rng(1))

    found = lower_bound(sums, counts, 5, draws, 0.05)

    assert found.value == 5.0
    assert found.lower == -math.inf
