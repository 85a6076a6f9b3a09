"""The fit: the optimum that another optimiser finds, labels and splits by hand, and no look-ahead."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.special import expit

from papertape.engine.errors import DataError
from papertape.engine.model import fit_logistic
from papertape.engine.model.fit import horizon_direction, split_in_time


def test_labels_by_hand() -> None:
    labels = horizon_direction(np.array([1.0, 2.0, 1.0, 3.0, 1.0]), 2)

    # 1 → 1 says neither, 2 → 3 rises, 1 → 1 says neither, and nobody knows the last two
    assert np.array_equal(labels, [np.nan, 1.0, np.nan, np.nan, np.nan], equal_nan=True)


@given(
    n=st.integers(1, 2_000),
    horizon=st.integers(1, 50),
    first=st.floats(0.05, 0.4),
    last=st.floats(0.05, 0.4),
)
def test_no_label_of_a_part_has_seen_a_row_of_a_later_part(
    n: int, horizon: int, first: float, last: float
) -> None:
    try:
        split = split_in_time(n, horizon, first, last)
    except DataError:
        # no part would be left after the purge, or none to train on
        test, calibrate = round(n * last), round(n * first)
        assume(min(n - test - calibrate, calibrate - horizon, test - horizon) >= 1)
        raise

    parts = [range(n)[part] for part in split]
    assert all(len(part) for part in parts)
    for earlier, later in pairwise(parts):
        assert earlier[-1] + horizon < later[0]
        assert later[0] - earlier[-1] == horizon + 1
    assert parts[-1][-1] == n - 1


def market(n: int = 3_000, seed: int = 9, edge: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Return a feature that leans the next close with a known strength, noise beside it, and the closes."""
    random = np.random.default_rng(seed)
    lean = random.normal(0.0, 1.0, n)
    rises = random.random(n) < expit(edge * lean)
    moves = np.where(rises, 1.0, -1.0) * 0.01
    closes = 100.0 * np.exp(np.concatenate([[0.0], np.cumsum(moves)[:-1]]))
    return np.stack([5.0 + 3.0 * lean, random.normal(0.0, 1.0, n)]), closes


def test_planted_edge_is_found_with_its_size() -> None:
    features, closes = market()

    fit = fit_logistic(features, closes, 1)

    # The feature is 5 + 3 × lean, so its standardised coefficient is the planted 0.8; 1,800 rows give ± 0.06.
    assert fit.tensors["coefficients"][0] == pytest.approx(0.8, abs=0.2)
    assert abs(fit.tensors["coefficients"][1]) < 0.2
    assert fit.tensors["mean"][0, 0] == pytest.approx(5.0, abs=0.3)
    assert fit.tensors["temperature"][0] == pytest.approx(1.0, abs=0.4)
    assert fit.metrics["log_loss"] < fit.metrics["log_loss_base_rate"] - 0.02
    assert fit.metrics["accuracy"] > fit.metrics["accuracy_majority"] + 0.03


def test_noise_shows_no_edge() -> None:
    features, closes = market(edge=0.0)

    fit = fit_logistic(features, closes, 1)

    assert fit.metrics["log_loss"] > fit.metrics["log_loss_base_rate"] - 0.01


def test_the_same_rows_give_the_same_bits() -> None:
    features, closes = market()

    first, second = fit_logistic(features, closes, 3), fit_logistic(features, closes, 3)

    for name, value in first.tensors.items():
        assert value.tobytes() == second.tensors[name].tobytes()


def test_newest_part_changes_no_weight() -> None:
    features, closes = market()
    later = closes.copy()
    later[2_500:] = later[2_500:][::-1]
    changed = features.copy()
    changed[:, 2_500:] *= -7.0

    first, second = fit_logistic(features, closes, 3), fit_logistic(changed, later, 3)

    for name, value in first.tensors.items():
        assert value.tobytes() == second.tensors[name].tobytes()
    assert first.metrics["log_loss"] != second.metrics["log_loss"]


def test_rows_with_a_missing_feature_and_warm_up_are_left_out() -> None:
    features, closes = market()
    holed = features.copy()
    holed[1, :40] = np.nan
    holed[0, 1_000:1_010] = np.nan

    whole, fit = fit_logistic(features, closes, 1), fit_logistic(holed, closes, 1)

    # 2,999 labelled rows: 60 % are 1,799; without 40 of warm-up 2,959, of which 1,775 less 10 train
    assert whole.metrics["rows_train"] == 1_799
    assert fit.metrics["rows_train"] == 1_765


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f, c: (f[:, :-1], c, 1), "do not fit"),
        (lambda f, c: (f, c, 0), "horizon_bars 0 is not between 1"),
        (lambda f, c: (f[:, :100], c[:100], 1), "are fewer than 50; give more candles"),
        (lambda f, c: (f[:, :40], c[:40], 12), "too few for three parts"),
        (lambda f, c: (f * np.nan, c, 1), "are fewer than 50"),
        (lambda f, c: (f, np.arange(1.0, len(c) + 1.0), 1), "has the same outcome"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(change, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=told):
        fit_logistic(*change(*market()))
