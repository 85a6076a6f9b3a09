"""Newton's method ends where another optimiser does, with and without weights."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from papertape.engine.model.training.newton import newton


def sample(seed: int, n: int = 400, columns: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(0.0, 1.0, (n, columns))
    truth = np.linspace(-1.0, 1.5, columns)
    labels = (random.random(n) < expit(x @ truth + 0.3)).astype(np.float64)
    return x, labels


@pytest.mark.parametrize("l2", [0.1, 1.0, 25.0])
@pytest.mark.parametrize("seed", [1, 2])
def test_newton_ends_where_another_optimiser_does(seed: int, l2: float) -> None:
    x, labels = sample(seed)

    def loss(w: np.ndarray) -> float:
        z = x @ w[:-1] + w[-1]
        signed = np.where(labels == 1.0, z, -z)
        return float(np.log1p(np.exp(-signed)).sum() + 0.5 * l2 * (w[:-1] ** 2).sum())

    found = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-8, "maxiter": 500})

    assert newton(x, labels, l2) == pytest.approx(found.x, abs=2e-6)


def test_separable_data_stays_finite_by_the_penalty() -> None:
    x = np.linspace(-1.0, 1.0, 100).reshape(-1, 1)

    weights = newton(x, (x[:, 0] > 0.0).astype(np.float64), 1.0)

    assert np.isfinite(weights).all()
    assert weights[0] > 1.0


def test_weight_of_a_row_is_how_often_it_is_there() -> None:
    x, labels = sample(3)
    times = np.random.default_rng(4).integers(0, 4, len(x))

    weighted = newton(x, labels, 1.0, times.astype(np.float64))

    repeated = newton(np.repeat(x, times, axis=0), np.repeat(labels, times), 1.0)
    assert weighted == pytest.approx(repeated, abs=1e-8)
