"""Convolutions before the LSTM: their sums by hand, and how far back they reach."""

import numpy as np
import pytest

from papertape.engine.model.kinds import cnn_lstm, lstm
from tests.support.stepping import rows, stepped


def test_convolutions_by_hand() -> None:
    """One input, one channel, two taps: u[t] = relu(a[t] V0 + a[t-2] V1 + d), a[t] = relu(x[t] W0 + x[t-1] W1 + b)."""
    sizes = {"channels": 1, "kernel": 2, "hidden": 3}
    weights = {
        **cnn_lstm.initial(1, sizes, 5),
        "first_weights": np.array([2.0, -1.0]).reshape(2, 1, 1),
        "first_bias": np.array([0.5]),
        "second_weights": np.array([1.0, 3.0]).reshape(2, 1, 1),
        "second_bias": np.array([-0.25]),
    }
    x = np.array([[1.0], [-2.0], [0.5], [3.0], [0.0]])

    a = [2.5, 0.0, 3.5, 6.0, 0.0]  # 2 + .5; -4 - 1 + .5; 1 + 2 + .5; 6 - .5 + .5; 0 - 3 + .5
    u = [2.25, 0.0, 10.75, 5.75, 10.25]  # a[t] + 3 a[t-2] - 0.25
    rest = {name: weights[name] for name in lstm.shapes(1, sizes)}
    assert a[2] + 3.0 * a[0] - 0.25 == u[2]

    want = stepped(lstm, rest, np.array(u)[:, None], sizes)
    np.testing.assert_array_equal(stepped(cnn_lstm, weights, x, sizes), want)


def test_a_memory_without_weights_feels_seven_closes_and_no_more() -> None:
    """Three taps, then three taps two apart: 2 + 2 · 2 rows back, when the LSTM itself keeps nothing."""
    sizes = {"channels": 4, "kernel": 3, "hidden": 3}
    weights = cnn_lstm.initial(2, sizes, 8)
    weights["recurrent_weights"] *= 0.0
    weights["gate_bias"][3:6] = -40.0  # forget everything: σ(-40) is 4e-18 of the memory
    weights["first_bias"] += 1.0
    weights["second_bias"] += 1.0
    x = rows(20, 2, 3)
    changed = x.copy()
    changed[5] += 0.1

    difference = np.abs(stepped(cnn_lstm, weights, changed, sizes) - stepped(cnn_lstm, weights, x, sizes))
    assert (difference[5:12] > 1e-9).all()
    assert difference[:5].max() == 0.0
    assert difference[12:].max() < 1e-15


@pytest.mark.parametrize("taps", [1, 2, 5])
def test_any_number_of_taps_steps(taps: int) -> None:
    sizes = {"channels": 3, "kernel": taps, "hidden": 2}

    z = stepped(cnn_lstm, cnn_lstm.initial(4, sizes, 1), rows(30, 4, 1), sizes)
    assert np.isfinite(z).all()
    assert len(set(z)) == 30
