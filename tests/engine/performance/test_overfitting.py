"""The best of many: PBO, step-down and the bootstrap, each beside a second way to the same number."""

from itertools import combinations

import numpy as np
import pytest
from arch.bootstrap import StepM, optimal_block_length
from scipy import fft

from papertape.engine.performance.overfitting import overfitting, superior
from papertape.engine.performance.resampling import block_length, stationary_indices, stretched
from papertape.engine.performance.significance import sharpe_error, sharpe_waves, wave_count


def drawn(n_times: int, n_trials: int, edge: float = 0.0, seed: int = 3) -> np.ndarray:
    returns = np.random.default_rng(seed).standard_t(4, (n_times, n_trials)) / 100.0
    returns[:, 0] += edge
    return returns


def slow_overfitting(returns: np.ndarray, slices: int) -> tuple[float, float, float]:
    """The source's steps one by one: submatrices joined, Sharpe ratios, ranks, logits."""
    parts = np.array_split(returns, slices)
    logits, lost, fallen = [], [], []
    for chosen in combinations(range(slices), slices // 2):
        inside = np.vstack([parts[k] for k in chosen])
        outside = np.vstack([parts[k] for k in range(slices) if k not in chosen])
        before, after = (half.mean(axis=0) / half.std(axis=0, ddof=1) for half in (inside, outside))
        best = int(np.argmax(before))
        rank = sorted(after).index(after[best]) + 1
        omega = rank / (len(after) + 1)
        logits.append(np.log(omega / (1.0 - omega)))
        lost.append(after[best] < 0.0)
        fallen.append(after[best] - before[best])
    return float(np.mean(np.array(logits) <= 1e-12)), float(np.mean(fallen)), float(np.mean(lost))


@pytest.mark.parametrize(
    ("n_trials", "slices", "edge"), [(9, 6, 0.0), (20, 8, 0.0), (20, 8, 0.003), (2, 4, 0.0)]
)
def test_overfitting_is_that_of_the_source(n_trials: int, slices: int, edge: float) -> None:
    returns = drawn(slices * 30, n_trials, edge)

    found = overfitting(returns, slices)

    assert found is not None
    assert found[:3] == pytest.approx(slow_overfitting(returns, slices), abs=1e-12)


def test_what_is_planted_is_not_taken_for_luck() -> None:
    noise = [overfitting(drawn(200, 20, seed=seed)) for seed in range(20)]
    planted = overfitting(drawn(200, 20, 0.02))

    assert np.mean([found.probability for found in noise if found]) == pytest.approx(0.5, abs=0.12)
    assert planted is not None
    assert planted.probability == 0.0
    # Equal returns, one trial and a handful of times say nothing; trials that never trade are no winners by rounding.
    for nothing in (np.ones((100, 3)), drawn(100, 1), drawn(30, 5)):
        assert overfitting(nothing) is None
    flat = np.zeros((200, 3))
    flat[:, 0] = drawn(200, 1, 0.02)[:, 0]
    quiet = overfitting(flat)
    assert quiet is not None
    assert quiet.probability == 0.0


def test_step_down_finds_what_the_package_finds() -> None:
    """Losses below a benchmark of zeros in `arch` are returns above 0 here; near the limit draws decide, so edges are clear."""
    returns = drawn(400, 12)
    returns[:, 0] += 0.004
    returns[:, 1] += 0.005
    other = StepM(np.zeros(400), -returns, size=0.05, block_size=5, reps=500, bootstrap="stationary", seed=1)
    other.compute()

    assert superior(returns).tolist() == sorted(other.superior_models) == [0, 1]


def test_step_down_errs_as_seldom_as_it_says() -> None:
    """Sixty searches among nothing: 5 % may find something, three of them, and nine is three deviations more."""
    found = [superior(drawn(120, 10, seed=seed), draws=100, seed=seed).size > 0 for seed in range(60)]

    assert sum(found) <= 9


def test_step_down_errs_as_seldom_where_days_hang_together() -> None:
    """Two hundred searches in the mean of five days: 5 % are ten, with a deviation of three; 23 % would be forty-six."""
    found = []
    for seed in range(200):
        total = drawn(255, 10, seed=seed).cumsum(axis=0)
        found.append(superior(total[5:] - total[:-5], draws=200, seed=seed).size > 0)

    assert sum(found) <= 20


def test_trials_that_resemble_each_other_are_no_more_than_one() -> None:
    """Ten copies are held to what one is: an account's Student's t at 2.5 % of 16 degrees, 2.12, within what 20,000 draws tell."""
    one = drawn(250, 1, seed=9)
    found = sharpe_waves(one)
    error = sharpe_error(found.waves[:, 0], 250)
    for shift, is_above in ((1.9, False), (2.4, True)):
        moved = one - one.mean() + shift * error * one.std(ddof=1)
        told = superior(np.repeat(moved, 10, axis=1), draws=20_000)
        assert (len(told) == 10) is is_above
        assert len(told) in (0, 10)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9, -0.5])
def test_block_length_is_that_of_the_package(rho: float) -> None:
    noise = np.random.default_rng(int(10 * rho) % 7).normal(size=1_500)
    values = np.empty(1_500)
    values[0] = noise[0]
    for k in range(1, 1_500):
        values[k] = rho * values[k - 1] + noise[k]

    assert block_length(values) == pytest.approx(
        max(1.0, float(optimal_block_length(values)["stationary"].iloc[0])), rel=1e-9
    )


def test_resampled_means_of_what_is_stretched_vary_as_the_mean_does() -> None:
    """Days of which each is the mean of five: waves by scipy's transform, resampled means by drawing them 4,000 times."""
    total = np.random.default_rng(3).normal(size=305).cumsum()
    values = total[5:] - total[:-5]
    block = block_length(values)
    generator = np.random.default_rng(1)

    drawn_means = [
        stretched(values, block)[stationary_indices(300, 300, block, generator)].mean() for _ in range(4_000)
    ]

    waves = fft.dct(values, type=2, norm="ortho")[1 : wave_count(300) + 1]
    wider = 1.0 + (1.645**2 + 1.0) / (4.0 * len(waves))
    assert 300 * np.var(drawn_means) == pytest.approx(np.mean(waves**2) * wider**2, rel=0.1)
    assert stretched(values, block).mean() == pytest.approx(values.mean())


def test_what_needs_no_stretching_stays_as_it_is() -> None:
    swinging = np.tile([1.0, -1.0], 50) + np.linspace(0.0, 0.1, 100)
    for values, block in ((np.ones(50), 3.0), (np.arange(5.0), 2.0), (swinging, 4.0)):
        assert stretched(values, block).tolist() == values.tolist()


def test_blocks_run_on_and_have_their_length() -> None:
    index = stationary_indices(1_000, 50_000, 20.0, np.random.default_rng(1))

    assert index.min() == 0
    assert index.max() == 999
    jumps = np.count_nonzero(np.diff(index) % 1_000 != 1)
    assert 50_000 / jumps == pytest.approx(20.0, rel=0.1)
    counts = np.bincount(index, minlength=1_000)
    assert counts.min() > 10
    assert counts.max() < 120
    assert block_length(np.ones(100)) == block_length(np.zeros(0)) == block_length(np.arange(5.0)) == 1.0
