"""Shrinkage towards the base rate: its share by a second way, what it does to noise and to an edge, for every kind that is linear at its end."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from papertape.engine.model import TrainingOptions, read_artefact, train
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.scores import scores
from papertape.engine.model.training.prepare import prepare
from papertape.engine.model.training.shrink import share_borne_out
from tests.support.helpers import needs_lightgbm
from tests.support.planted import FEATURES, planted


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("truth", [-0.5, 0.0, 0.4, 2.0])
def test_the_share_is_the_most_probable_one_within_its_bounds(seed: int, truth: float) -> None:
    random = np.random.default_rng(seed)
    z, weights = random.normal(0.3, 1.0, 300), random.uniform(0.0, 0.2, 300)
    y = (random.logistic(size=300) < 0.1 + truth * (z - 0.1)).astype(np.float64)

    def penalised(share: float) -> float:
        at = 0.1 + share * (z - 0.1)
        return float(np.sum(weights * (np.logaddexp(0.0, at) - y * at)) + 0.5 * share**2)

    best = minimize_scalar(penalised, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-9}).x
    assert share_borne_out(z, 0.1, y, weights) == pytest.approx(best, abs=1e-6)


KINDS = ["logistic", pytest.param("lightgbm", marks=needs_lightgbm)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_per_symbol", [False, True])
def test_a_shrunk_model_says_a_share_of_what_it_said_beyond_the_base_rate(
    kind: str, is_per_symbol: bool
) -> None:
    rows = planted(1_200, edge=1.5, n_symbols=2)

    def log_odds(shrink: bool) -> tuple[np.ndarray, np.ndarray]:
        options = TrainingOptions(
            kind=kind,
            features=FEATURES,
            label="direction",
            horizon_bars=1,
            shrink=shrink,
            is_per_symbol=is_per_symbol,
        )
        made = read_artefact(train(rows, options).data)
        p = np.stack([read_rows(made, s, x)[0] for s, x in zip(rows.symbols, rows.x, strict=True)])
        return np.log(p / (1.0 - p)), made.tensors["temperature"].reshape(-1, 1)

    (plain, temperature), (after, one) = log_odds(False), log_odds(True)
    ready = prepare(rows, TrainingOptions(features=FEATURES, label="direction", horizon_bars=1))
    assert (one == 1.0).all()
    for before, now, mask, y, w in zip(
        plain * temperature, after, ready.train, ready.y, ready.weights, strict=True
    ):
        if not is_per_symbol:
            mask, y, w = ready.train, ready.y, ready.weights
        rate = np.average(y[mask], weights=w[mask])
        base = np.log(rate / (1.0 - rate))
        share = (now - base) / (before - base)
        assert np.ptp(share[np.abs(before - base) > 1e-3]) < 1e-6
        assert 0.0 < np.median(share) <= 1.0


def test_a_model_of_noise_loses_less_to_the_base_rate_than_with_a_temperature() -> None:
    def lost(shrink: bool) -> float:
        """Return the mean loss beyond the base rate's of models whose three weights were fitted to few rows."""
        excess = []
        for seed in range(6):
            options = TrainingOptions(
                kind="logistic", features=FEATURES, label="direction", horizon_bars=1, l2=1e-3, shrink=shrink
            )
            made = read_artefact(train(planted(400, edge=0.0, seed=seed), options).data)
            unseen = planted(2_000, edge=0.0, seed=100 + seed)
            y = prepare(unseen, options).y[0]
            p = read_rows(made, unseen.symbols[0], unseen.x[0])[0]
            excess.append(scores(y[:-2], p[:-2]).log_loss - np.log(2.0))
        return float(np.mean(excess))

    assert lost(True) < min(0.6 * lost(False), 0.005)
