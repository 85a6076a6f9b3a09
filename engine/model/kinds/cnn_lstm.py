"""
Two causal convolutions over the closes, then an LSTM: short shapes first, memory second.

    a[t] = relu(Σₖ x[t - k] W1[k] + b1)       k = 0 … kernel - 1, each W1[k] of shape (n_inputs, channels)
    u[t] = relu(Σₖ a[t - 2k] W2[k] + b2)      the second one looks at every other row, so it sees further
    z    = the LSTM of `lstm.py` over u

Nothing before the first close: x and a are zero there. The state is two rings, the newest kernel rows of x and the
newest 2 kernel - 1 rows of a, each before the slot of its newest row, then h and c of the LSTM.

Source: causal dilated convolutions as in A. van den Oord et al., WaveNet (2016), section 2.1, without its gates.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, kernel
from papertape.engine.model.functions import add_products
from papertape.engine.model.kinds import lstm

if TYPE_CHECKING:
    from torch import Tensor

SIZES: Final = {"channels": 32, "kernel": 3, "hidden": 32}
POSITIVE: Final = ()


def shapes(n_inputs: int, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the tensors with their shapes, in the order of the weight vector."""
    channels, taps = sizes["channels"], sizes["kernel"]
    return {
        "first_weights": (taps, n_inputs, channels),
        "first_bias": (channels,),
        "second_weights": (taps, channels, channels),
        "second_bias": (channels,),
        **lstm.shapes(channels, sizes),
    }


def state_length(n_inputs: int, sizes: Mapping[str, int]) -> int:
    """Return how many numbers are carried from close to close."""
    taps = sizes["kernel"]
    rings = taps * n_inputs + 1 + (2 * taps - 1) * sizes["channels"] + 1
    return rings + lstm.state_length(sizes["channels"], sizes)


def work_length(n_inputs: int, sizes: Mapping[str, int]) -> int:
    """Return how many numbers of scratch a step needs."""
    return 2 * sizes["channels"] + lstm.work_length(sizes["channels"], sizes)


def initial(n_inputs: int, sizes: Mapping[str, int], seed: int) -> dict[str, FloatArray]:
    """Return weights to start training from: He's scale before a relu, the LSTM as `lstm.initial`."""
    random = np.random.default_rng(seed)
    channels, taps = sizes["channels"], sizes["kernel"]
    return {
        "first_weights": random.normal(0.0, (2.0 / (taps * n_inputs)) ** 0.5, (taps, n_inputs, channels)),
        "first_bias": np.zeros(channels),
        "second_weights": random.normal(0.0, (2.0 / (taps * channels)) ** 0.5, (taps, channels, channels)),
        "second_bias": np.zeros(channels),
        **lstm.initial(channels, sizes, seed),
    }


@kernel
def convolve(
    x: FloatArray, out: FloatArray, weights: FloatArray, taps: int, dilation: int, ring: FloatArray
) -> None:
    """
    Put a row into a ring, and the relu of the convolution there into `out`.

    weights  W of every tap one after the other, then the bias
    ring     (taps - 1) dilation + 1 rows, one after the other, then the slot of the newest one
    """
    n, n_out = len(x), len(out)
    rows = (taps - 1) * dilation + 1
    newest = (int(ring[rows * n]) + 1) % rows
    ring[rows * n] = newest
    for i in range(n):
        ring[newest * n + i] = x[i]
    for i in range(n_out):
        out[i] = weights[taps * n * n_out + i]
    for tap in range(taps):
        slot = newest - tap * dilation
        if slot < 0:
            slot += rows
        add_products(out, ring[slot * n : (slot + 1) * n], weights[tap * n * n_out : (tap + 1) * n * n_out])
    for i in range(n_out):
        out[i] = max(out[i], 0.0)


@kernel
def step(
    x: FloatArray,
    n_inputs: int,
    weights: FloatArray,
    at: int,
    sizes: IntArray,
    state: FloatArray,
    work: FloatArray,
) -> float:
    """Return the log-odds at one close and carry the state on; `at` is where its tensors begin in `weights`."""
    channels, taps, hidden = sizes[0], sizes[1], sizes[2]
    second = at + taps * n_inputs * channels + channels
    third = second + taps * channels * channels + channels
    ring = taps * n_inputs + 1
    memory = ring + (2 * taps - 1) * channels + 1
    a, u, gates = work[:channels], work[channels : 2 * channels], work[2 * channels :]
    convolve(x[:n_inputs], a, weights[at:second], taps, 1, state[:ring])
    convolve(a, u, weights[second:third], taps, 2, state[ring:memory])
    return lstm.cell(u, weights, third, hidden, state[memory:], gates[: 4 * hidden])


def _convolve(x: "Tensor", weights: "Tensor", bias: "Tensor", dilation: int) -> "Tensor":
    """Return the relu of the causal convolution along time, in torch."""
    import torch

    reach = (len(weights) - 1) * dilation
    padded = torch.nn.functional.pad(x, (0, 0, reach, 0))
    length = x.shape[1]
    taps = [padded[:, reach - k * dilation : reach - k * dilation + length] for k in range(len(weights))]
    return torch.relu(torch.cat(taps, dim=2) @ weights.flatten(0, 1) + bias)


def forward(weights: Mapping[str, "Tensor"], x: "Tensor", sizes: Mapping[str, int]) -> "Tensor":
    """Return the log-odds (batch, time) of rows (batch, time, n_inputs), from a zero state, in torch."""
    a = _convolve(x, weights["first_weights"], weights["first_bias"], 1)
    u = _convolve(a, weights["second_weights"], weights["second_bias"], 2)
    return lstm.forward(weights, u, sizes)
