"""What many trials say together: those over other days are left out and counted."""

import base64

import numpy as np

from papertape.engine.performance.overfitting import overfitting, superior
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
    assert found.superior == len(superior(kept)) == 1
    assert found.is_claim
    assert "(7 trials, 5 left out, 252 splits" in found.sentences()[0]


def test_what_hangs_together_for_longer_than_a_slice_is_not_cut_up() -> None:
    """Sixty days of which each is the mean of the last twenty: six in a slice know the next slice."""
    steps = np.random.default_rng(2).normal(size=(80, 5)).cumsum(axis=0) / 100.0
    slow = steps[20:] - steps[:-20]

    assert overfitting(slow) is not None
    assert verdict([compact(column) for column in slow.T]).overfitting is None


def test_too_few_days_with_a_move_claim_nothing_and_say_so() -> None:
    returns = np.zeros((200, 3))
    returns[::10] = 0.01 + np.random.default_rng(1).normal(size=(20, 3)) / 1e3

    found = verdict([compact(column) for column in returns.T])

    assert found.superior is None
    assert not found.is_claim
    assert "no two trials moved on 30" in found.sentences()[-1]


def test_too_little_is_said_to_be_too_little() -> None:
    assert verdict([], 2)[:3] == (0, 2, None)
    assert verdict([compact(np.zeros(9))]).sentences() == [
        "Too few trials over the same days for a probability of backtest overfitting."
    ]
