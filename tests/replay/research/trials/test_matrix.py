"""What many trials say together: those over other days are left out and counted."""

import base64

import numpy as np

from papertape.engine.performance.overfitting import overfitting, superior
from papertape.engine.performance.resampling import block_length
from papertape.replay.research.trials.matrix import verdict


def compact(returns: np.ndarray, first_day: int = 20_000) -> str:
    return f"{first_day}:1:{base64.b64encode(returns.astype('<f4').tobytes()).decode()}"


def test_the_largest_group_over_the_same_days_is_judged() -> None:
    returns = np.random.default_rng(4).normal(size=(200, 7)) / 100.0
    returns[:, 2] += 0.01
    texts = [compact(column) for column in returns.T] + [
        compact(returns[:, 0], 19_999),
        compact(returns[:50, 0]),
    ]

    found = verdict(texts, left_out=3)

    assert (found.trials, found.left_out) == (7, 5)
    kept = returns.astype(np.float32).astype(float)
    assert found.overfitting == overfitting(kept)
    block = float(np.median([block_length(column) for column in kept.T]))
    assert found.superior == len(superior(kept, block=block)) == 1
    assert "(7 trials, 5 left out, 252 splits" in found.sentences()[0]


def test_too_little_is_said_to_be_too_little() -> None:
    assert verdict([], 2)[:3] == (0, 2, None)
    assert verdict([compact(np.zeros(9))]).sentences() == [
        "Too few trials over the same days for a probability of backtest overfitting."
    ]
