"""The index by hand, its noise against simulation, its quantiles against scipy."""

import math

import numpy as np
import pytest
import scipy.stats

from papertape.engine.model.drift.psi import (
    Dependence,
    Psi,
    bins,
    chi_squared,
    dependence,
    noise_level,
    of_counts,
    psi,
)
from papertape.engine.model.training.reference import described


def slow(random: np.random.Generator, n: int, keep: float) -> np.ndarray:
    import scipy.signal  # takes a second, which not everybody has to wait for who only collects tests

    shocks = random.standard_normal(n) * math.sqrt(1.0 - keep * keep)
    shocks[0] = random.standard_normal()
    return scipy.signal.lfilter([1.0], [1.0, -keep], shocks)


def test_index_by_hand() -> None:
    # Edges 0 and 1; recent values −1, 0, 0.5, 1, 7 and a missing one: one, two, two in the bins, each with half a row more.
    values = np.array([-1.0, 0.0, np.nan, 0.5, 1.0, 7.0])
    shares, edges = np.array([0.5, 0.25, 0.25]), np.array([0.0, 1.0])
    recent = [1.5 / 6.5, 2.5 / 6.5, 2.5 / 6.5]

    expected = sum((r - e) * math.log(r / e) for r, e in zip(recent, shares, strict=True))
    assert psi(shares, edges, values) == pytest.approx(expected)
    assert psi(shares, edges, np.array([np.nan])) == 0.0


def test_a_bin_that_the_reference_never_saw_counts_only_when_it_is_hit() -> None:
    shares = np.array([0.5, 0.0, 0.5])
    equal = (20.5 / 41.0 - 0.5) * math.log(20.5 / 41.0 / 0.5) * 2

    assert of_counts(shares, np.array([20.0, 0.0, 20.0])) == pytest.approx(equal, abs=1e-12)
    assert of_counts(shares, np.array([20.0, 5.0, 20.0])) > 0.5


@pytest.mark.parametrize("freedom", [1.0, 2.0, 3.7, 9.0])
@pytest.mark.parametrize("chance", [0.05, 0.001])
def test_quantiles_are_those_of_chi_squared(freedom: float, chance: float) -> None:
    assert chi_squared(freedom, chance) == pytest.approx(scipy.stats.chi2.isf(chance, freedom), rel=0.03)
    assert chi_squared(0.0, chance) == 0.0


def test_independent_rows_have_no_design_effect_and_copies_have_theirs() -> None:
    random = np.random.default_rng(1)
    edges, shares = np.arange(1, 10) / 10.0, np.full(10, 0.1)
    plain = random.uniform(size=4_000)

    found = dependence(shares, edges, [plain])
    assert found.effect == pytest.approx(1.0, abs=0.1)
    assert found.freedom == pytest.approx(9.0, abs=0.5)
    # Every value five times in a row: 1 + 2 (0.8 + 0.6 + 0.4 + 0.2) = 5 rows are one.
    assert dependence(shares, edges, [np.repeat(plain, 5)]).effect == pytest.approx(5.0, rel=0.15)
    # Three symbols that show the same values: three rows are one.
    assert dependence(shares, edges, [plain] * 3).effect == pytest.approx(3.0, rel=0.1)
    assert dependence(shares, edges, [np.full(300, 0.55)]) == Dependence(300.0, 1.0)


@pytest.mark.parametrize("keep", [0.0, 0.93, 0.97])
def test_stationary_rows_pass_their_noise_about_as_often_as_asked_for(keep: float) -> None:
    """Nominal 1 %; what the approximation adds for slow columns is stated: at most 5 %, where the bare mark gives half."""
    random, runs, passes, severe = np.random.default_rng(2), 300, 0, 0
    for _ in range(runs):
        values = slow(random, 3_100, keep)
        entry = described(values[None, :2_160])
        shares, edges = np.array(entry["shares"]), np.array(entry["edges"])
        found = Dependence(entry["effect"], entry["freedom"])
        value = psi(shares, edges, values[-512:])
        passes += value > noise_level(found, 512, entry["rows"], 0.01)
        severe += value >= 0.25
    assert passes / runs <= 0.05
    if keep > 0.95:
        assert severe / runs > 0.3


def test_a_shift_of_a_deviation_is_far_beyond_noise() -> None:
    random = np.random.default_rng(3)
    values = slow(random, 3_000, 0.9)
    entry = described(values[None, :2_160])
    found = Psi(
        psi(np.array(entry["shares"]), np.array(entry["edges"]), values[-512:] + 1.5),
        noise_level(Dependence(entry["effect"], entry["freedom"]), 512, 2_160, 0.001),
    )

    assert found.reaches(0.25)
    assert not Psi(0.3, 0.4).reaches(0.25)
    assert not Psi(0.2, 0.1).reaches(0.25)


def test_values_on_an_edge_are_above_it_and_gaps_do_not_enter_a_reference() -> None:
    np.testing.assert_array_equal(bins(np.array([1.0, 2.0]), np.array([0.0, 1.0, 2.0])), [0, 1, 2])
    values = np.random.default_rng(4).normal(size=500)
    holed = np.full(900, np.nan)
    holed[200:700] = values

    assert described(holed[None]) == described(values[None])
    assert described(values[None])["rows"] == 500
    assert noise_level(Dependence(1.0, 9.0), 0.0, 100.0, 0.01) == math.inf
