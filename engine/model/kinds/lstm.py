"""
The LSTM: one layer of gated memory over the closes, and a weighted sum of what it shows.

    [i f o g]  = x W + h R + b          W (n_inputs, 4 hidden), R (hidden, 4 hidden): the column sums of four gates
    i f o      = σ(·),  g = tanh(·)     in, forget, out, and the new memory
    c'         = f c + i g
    h'         = o tanh c'
    z          = h' · v + a             log-odds of a rise

The state is h and c, zero before the first close. σ(x) is computed as (1 + tanh(x / 2)) / 2, in the kernel for speed.

Source: S. Hochreiter, J. Schmidhuber, Long Short-Term Memory, Neural Computation 9 (1997); forget gate: F. Gers et al.,
Learning to Forget, Neural Computation 12 (2000), and its bias of 1: R. Jozefowicz et al., ICML 2015.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, kernel
from papertape.engine.model.functions import add_products, tanh

if TYPE_CHECKING:
    from torch import Tensor

SIZES: Final = {"hidden": 32}
POSITIVE: Final = ()


def shapes(n_inputs: int, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the tensors with their shapes, in the order of the weight vector."""
    hidden = sizes["hidden"]
    return {
        "input_weights": (n_inputs, 4 * hidden),
        "recurrent_weights": (hidden, 4 * hidden),
        "gate_bias": (4 * hidden,),
        "output_weights": (hidden,),
        "output_bias": (1,),
    }


def state_length(n_inputs: int, sizes: Mapping[str, int]) -> int:
    """Return how many numbers are carried from close to close."""
    return 2 * sizes["hidden"]


def work_length(n_inputs: int, sizes: Mapping[str, int]) -> int:
    """Return how many numbers of scratch a step needs."""
    return 4 * sizes["hidden"]


def initial(n_inputs: int, sizes: Mapping[str, int], seed: int) -> dict[str, FloatArray]:
    """Return weights to start training from: every gate of the scale of one input, and nothing forgotten at first."""
    random = np.random.default_rng(seed)
    hidden = sizes["hidden"]
    bias = np.zeros(4 * hidden)
    bias[hidden : 2 * hidden] = 1.0
    return {
        "input_weights": random.normal(0.0, n_inputs**-0.5, (n_inputs, 4 * hidden)),
        "recurrent_weights": random.normal(0.0, hidden**-0.5, (hidden, 4 * hidden)),
        "gate_bias": bias,
        "output_weights": random.normal(0.0, hidden**-0.5, hidden),
        "output_bias": np.zeros(1),
    }


@kernel
def cell(
    x: FloatArray, weights: FloatArray, at: int, hidden: int, state: FloatArray, gates: FloatArray
) -> float:
    """Take one step of the layer and return z; `at` is where the weights begin, `gates` scratch of 4 hidden."""
    h, c = state[:hidden], state[hidden : 2 * hidden]
    recurrent = at + 4 * hidden * len(x)
    bias = recurrent + 4 * hidden * hidden
    output = bias + 4 * hidden
    for i in range(4 * hidden):
        gates[i] = weights[bias + i]
    add_products(gates, x, weights[at:recurrent])
    add_products(gates, h, weights[recurrent:bias])
    for i in range(3 * hidden):
        gates[i] = 0.5 + 0.5 * tanh(0.5 * gates[i])
    into, keep, show, new = (
        gates[:hidden],
        gates[hidden : 2 * hidden],
        gates[2 * hidden : 3 * hidden],
        gates[3 * hidden :],
    )
    for i in range(hidden):
        c[i] = keep[i] * c[i] + into[i] * tanh(new[i])
        h[i] = show[i] * tanh(c[i])
    z = weights[output + hidden]
    for i in range(hidden):
        z += h[i] * weights[output + i]
    return z  # type: ignore[no-any-return]


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
    hidden = sizes[0]
    return cell(x[:n_inputs], weights, at, hidden, state, work[: 4 * hidden])


def forward(weights: Mapping[str, "Tensor"], x: "Tensor", sizes: Mapping[str, int]) -> "Tensor":
    """
    Return the log-odds (batch, time) of rows (batch, time, n_inputs), from a zero state, in torch.

    The loop over time is torch's own, in C++ or on the device; it wants the gates as i f g o, each in a row, and two
    biases.
    """
    import torch

    hidden = sizes["hidden"]
    i, f, o, g = range(4)
    order = torch.cat([torch.arange(gate * hidden, (gate + 1) * hidden) for gate in (i, f, g, o)])
    order = order.to(x.device)
    bias = weights["gate_bias"][order]
    parts = [
        weights["input_weights"][:, order].t().contiguous(),
        weights["recurrent_weights"][:, order].t().contiguous(),
        bias,
        torch.zeros_like(bias),
    ]
    zero = x.new_zeros(1, len(x), hidden)
    shown: Tensor = torch.lstm(x, (zero, zero), parts, True, 1, 0.0, torch.is_grad_enabled(), False, True)[0]
    return shown @ weights["output_weights"] + weights["output_bias"]
