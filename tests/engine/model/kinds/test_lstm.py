"""The LSTM: a step worked by hand, the same numbers as torch's own, and a start that remembers."""

import math

import numpy as np
import pytest

from papertape.engine.jit import FloatArray
from papertape.engine.model.kinds import lstm
from tests.support.stepping import rows, stepped


def test_a_tiny_one_by_hand() -> None:
    """One input, one memory: every number of two closes is written out."""
    weights = {
        "input_weights": np.array([[0.5, -1.0, 2.0, 1.5]]),  # into i, f, o and g
        "recurrent_weights": np.array([[0.25, 0.75, -0.5, 1.0]]),
        "gate_bias": np.array([0.1, 1.0, -0.2, 0.3]),
        "output_weights": np.array([3.0]),
        "output_bias": np.array([-0.5]),
    }

    first, second = stepped(lstm, weights, np.array([[0.8], [-1.2]]), {"hidden": 1})

    def squash(x: float) -> float:
        return 1.0 / (1.0 + math.exp(-x))

    # h = c = 0: i σ(0.5 · 0.8 + 0.1), f σ(-0.8 + 1) of nothing, o σ(2 · 0.8 - 0.2), g tanh(1.5 · 0.8 + 0.3)
    c = squash(0.5) * math.tanh(1.5)
    h = squash(1.4) * math.tanh(c)
    assert first == pytest.approx(3.0 * h - 0.5, abs=1e-14)
    # x = -1.2: i σ(-0.6 + h / 4 + 0.1), f σ(1.2 + 3h / 4 + 1), o σ(-2.4 - h / 2 - 0.2), g tanh(-1.8 + h + 0.3)
    c = squash(2.2 + 0.75 * h) * c + squash(-0.5 + 0.25 * h) * math.tanh(-1.5 + h)
    h = squash(-2.6 - 0.5 * h) * math.tanh(c)
    assert second == pytest.approx(3.0 * h - 0.5, abs=1e-14)


def test_equals_an_open_formula_with_numpys_functions() -> None:
    sizes = {"hidden": 7}
    weights = {name: 2.0 * value for name, value in lstm.initial(5, sizes, 9).items()}
    x = rows(300, 5, 2)

    def by_numpy() -> FloatArray:
        h, c, z = np.zeros(7), np.zeros(7), np.zeros(len(x))
        for t in range(len(x)):
            gates = x[t] @ weights["input_weights"] + h @ weights["recurrent_weights"] + weights["gate_bias"]
            into, keep, show = 1.0 / (1.0 + np.exp(-gates[:21].reshape(3, 7)))
            c = keep * c + into * np.tanh(gates[21:])
            h = show * np.tanh(c)
            z[t] = h @ weights["output_weights"] + weights["output_bias"][0]
        return z

    np.testing.assert_allclose(stepped(lstm, weights, x, sizes), by_numpy(), rtol=0, atol=1e-11)


def test_at_first_nothing_is_forgotten_and_every_seed_is_another_start() -> None:
    one, same, other = (lstm.initial(4, {"hidden": 6}, seed) for seed in (1, 1, 2))

    assert one["gate_bias"].tolist() == [0.0] * 6 + [1.0] * 6 + [0.0] * 12
    assert all((one[name] == same[name]).all() for name in one)
    assert (one["input_weights"] != other["input_weights"]).all()
