"""The transformer: attention by an open formula, and a window after which a row is forgotten to the last bit."""

import numpy as np
import pytest

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray
from papertape.engine.model.kinds import transformer
from tests.support.helpers import needs_torch
from tests.support.stepping import dependence, rows, stepped, zero_state

SIZES = {"layers": 2, "heads": 2, "width": 8, "window": 6}
REACH = 2 * (6 - 1) + 1  # closes that one log-odds can depend on


def by_numpy(w: dict[str, FloatArray], x: FloatArray, sizes: dict[str, int]) -> FloatArray:
    """Return the log-odds from the equations of the docstring: row by row, head by head, with numpy's functions."""

    def norm(rows: FloatArray, gain: FloatArray) -> FloatArray:
        return gain * rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + 1e-6)

    window, size = sizes["window"], sizes["width"] // sizes["heads"]
    s = x @ w["input_weights"] + w["input_bias"]
    for layer in range(sizes["layers"]):
        q, k, v = np.split(norm(s, w["attention_gain"][layer]) @ w["attention_weights"][layer], 3, axis=1)
        seen = np.zeros_like(s)
        for t in range(len(x)):
            past = np.arange(max(0, t - window + 1), t + 1)
            for head in range(sizes["heads"]):
                own = slice(head * size, (head + 1) * size)
                bias = w["distance_bias"][layer, head][window - 1 - (t - past)]
                p = np.exp(k[past, own] @ q[t, own] / np.sqrt(size) + bias)
                seen[t, own] = p / p.sum() @ v[past, own]
        s = s + seen @ w["mix_weights"][layer]
        inner = norm(s, w["inner_gain"][layer]) @ w["inner_weights"][layer] + w["inner_bias"][layer]
        s = s + np.maximum(inner, 0.0) @ w["outer_weights"][layer] + w["outer_bias"][layer]
    result: FloatArray = norm(s, w["output_gain"]) @ w["output_weights"] + w["output_bias"][0]
    return result


def lively(seed: int, sizes: dict[str, int] = SIZES) -> dict[str, FloatArray]:
    """Return weights of which none is at its neutral start."""
    random = np.random.default_rng(seed)
    return {
        name: value + random.normal(0.0, 0.2, value.shape)
        for name, value in transformer.initial(3, sizes, seed).items()
    }


def test_equals_an_open_formula() -> None:
    x = rows(40, 3, 1)

    np.testing.assert_allclose(
        stepped(transformer, lively(4), x, SIZES), by_numpy(lively(4), x, SIZES), rtol=0, atol=1e-11
    )


def test_a_row_is_felt_until_the_window_of_every_layer_has_passed_and_then_forgotten() -> None:
    weights, x = lively(5), rows(60, 3, 2)
    changed = x.copy()
    changed[20] = -x[20]

    one = stepped(transformer, weights, x, SIZES)
    other = stepped(transformer, weights, changed, SIZES)
    assert (one[20 : 20 + REACH] != other[20 : 20 + REACH]).all()
    assert one[:20].tobytes() == other[:20].tobytes()
    assert one[20 + REACH :].tobytes() == other[20 + REACH :].tobytes()


@pytest.mark.parametrize("skipped", [1, 4, 17])
def test_after_the_reach_a_late_start_gives_the_same_bits(skipped: int) -> None:
    """The ring begins at another slot then; sums run from the oldest row to the newest all the same."""
    weights, x = lively(6), rows(60, 3, 3)

    whole = stepped(transformer, weights, x, SIZES)
    late = stepped(transformer, weights, x[skipped:], SIZES)
    assert whole[skipped + REACH - 1 :].tobytes() == late[REACH - 1 :].tobytes()


@needs_torch
def test_torch_depends_on_the_same_closes() -> None:
    felt = dependence(transformer, rows(40, 3, 7), SIZES, of=30)

    assert np.flatnonzero(felt).tolist() == list(range(30 - REACH + 1, 31))


def test_one_row_of_window_looks_at_itself_alone() -> None:
    sizes = {"layers": 3, "heads": 1, "width": 4, "window": 1}
    weights, x = lively(8, sizes), rows(10, 3, 4)

    backwards = stepped(transformer, weights, x[::-1].copy(), sizes)[::-1]
    np.testing.assert_array_equal(stepped(transformer, weights, x, sizes), backwards)


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(DataError, match="width 10 is not a multiple of heads 4"):
        transformer.shapes(3, {"layers": 1, "heads": 4, "width": 10, "window": 8})


def test_state_stays_as_long_as_it_says() -> None:
    state = zero_state(transformer, 3, SIZES)

    stepped(transformer, lively(9), rows(100, 3, 5), SIZES, state)
    assert state[1] == SIZES["window"]
    assert len(state) == 2 + 2 * 2 * 8 * 6
