"""Scores against open formulas and scipy, and the temperature that another optimiser finds."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit
from scipy.stats import mannwhitneyu, pearsonr

from papertape.engine.model.calibrate import fit_temperature, log_loss, logistic
from papertape.engine.model.scores import reliability_curve, scores


def sample(seed: int, n: int = 500, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return outcomes and probabilities with ties."""
    random = np.random.default_rng(seed)
    p = np.round(random.uniform(0.05, 0.95, n), digits)
    return (random.random(n) < p).astype(np.float64), p


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_scores_are_their_formulas(seed: int) -> None:
    y, p = sample(seed)

    found = scores(y, p)

    assert found.rows == 500
    assert found.accuracy == np.mean([(q >= 0.5) == (o == 1.0) for o, q in zip(y, p, strict=True)])
    each = [-np.log(q if o == 1.0 else 1.0 - q) for o, q in zip(y, p, strict=True)]
    assert found.log_loss == pytest.approx(np.mean(each), rel=1e-12)
    assert found.brier == pytest.approx(np.mean((y - p) ** 2), rel=1e-12)
    pairs = mannwhitneyu(p[y == 1.0], p[y == 0.0]).statistic
    assert found.auc == pytest.approx(pairs / (sum(y == 1.0) * sum(y == 0.0)), rel=1e-12)
    # Matthews' coefficient is Pearson's of the two sides
    assert found.mcc == pytest.approx(pearsonr(p >= 0.5, y).statistic, rel=1e-9)


def test_calibration_error_by_hand() -> None:
    p = np.array([0.10, 0.19, 0.50, 0.55, 1.00])
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0])

    # bins [0.1, 0.2): mean 0.145, share 0.5; [0.5, 0.6): mean 0.525, share 0.5; the last holds 1 itself: no gap
    assert scores(y, p).ece == pytest.approx((2 * 0.355 + 2 * 0.025 + 0.0) / 5, rel=1e-12)
    assert [row["rows"] for row in reliability_curve(y, p)] == [2, 2, 1]
    assert reliability_curve(y, p)[0]["probability"] == pytest.approx(0.145)
    assert reliability_curve(y, p)[0]["share"] == 0.5


def test_an_outcome_of_neither_side_is_half_of_each() -> None:
    y = np.array([1.0, 0.5, 0.5, 0.0, 1.0])
    p = np.array([0.8, 0.8, 0.3, 0.4, 0.45])

    found = scores(y, p)

    assert found.accuracy == pytest.approx((1.0 + 0.5 + 0.5 + 1.0 + 0.0) / 5.0)
    even = [-0.5 * np.log(q) - 0.5 * np.log(1.0 - q) for q in (0.8, 0.3)]
    expected = [-np.log(0.8), *even, -np.log(0.6), -np.log(0.45)]
    assert found.log_loss == pytest.approx(np.mean(expected), rel=1e-12)
    assert found.brier == pytest.approx(np.mean([0.04, 0.09, 0.04, 0.16, 0.3025]), rel=1e-12)
    # of the sides alone: both rises were given more than the fall; one of the two was called, and the fall was
    assert found.auc == 1.0
    assert found.mcc == pytest.approx(pearsonr([1, 0, 0], [1, 0, 1]).statistic, rel=1e-12)
    nothing = scores(np.full(3, 0.5), np.array([0.4, 0.5, 0.6]))
    assert (nothing.accuracy, nothing.auc, nothing.mcc) == (0.5, 0.5, 0.0)


def test_what_is_not_defined_says_nothing() -> None:
    found = scores(np.ones(4), np.array([0.6, 0.7, 0.8, 1.0]))

    assert (found.auc, found.mcc) == (0.5, 0.0)


def test_certainty_that_was_wrong_is_dear_but_finite() -> None:
    found = scores(np.array([1.0, 0.0]), np.array([0.0, 1.0]))

    assert found.log_loss == pytest.approx(-np.log(1e-15), rel=1e-3)
    assert (found.auc, found.mcc, found.accuracy) == (0.0, -1.0, 0.0)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_temperature_is_the_one_another_optimiser_finds(is_weighted: bool) -> None:
    random = np.random.default_rng(5)
    z = random.normal(0.0, 2.0, 3_000)
    labels = (random.random(3_000) < expit(z / 1.7)).astype(np.float64)
    weights = random.uniform(0.1, 1.0, 3_000) if is_weighted else np.ones(3_000)

    def loss(log_t: float) -> float:
        scaled = z / np.exp(log_t)
        each = -np.where(labels == 1.0, np.log(expit(scaled)), np.log(expit(-scaled)))
        return float((weights * each).sum() / weights.sum())

    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-10})

    temperature = fit_temperature(z, labels, weights if is_weighted else None)
    assert temperature == pytest.approx(np.exp(found.x), rel=1e-5)
    assert log_loss(z / temperature, labels, weights) == pytest.approx(found.fun, rel=1e-9)


def test_model_that_is_always_wrong_gets_the_highest_temperature() -> None:
    z = np.array([-2.0, -1.0, 1.0, 2.0])

    assert fit_temperature(z, (z < 0.0).astype(np.float64)) == pytest.approx(20.0)


def test_logistic_does_not_overflow() -> None:
    z = np.array([-1e6, -3.0, 0.0, 3.0, 1e6])

    assert logistic(z) == pytest.approx(expit(z), abs=1e-15)
