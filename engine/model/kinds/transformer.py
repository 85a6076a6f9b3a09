"""
A transformer that looks back: every layer weighs the newest `window` rows, the row itself among them.

    s          = x W + b                                        the row's stream, `width` wide
    for every layer:
        q k v  = norm(s) A                                      each `width` wide, cut into `heads`
        p[j]   = softmaxⱼ(q · k[j] / √size + bias[j])           over the rows in the window, head by head
        s      = s + (Σⱼ p[j] v[j]) M
        s      = s + relu(norm(s) C + c) D + d                  twice as wide inside
    z          = norm(s) · v + a                                log-odds of a rise
    norm(s)    = gain s / √(mean s² + 1e-6)

bias[j] depends on how far back row j lies and on nothing else (its last entry is the row itself), so a model may run for
years and means the same by a row of yesterday. A row can be felt for layers (window - 1) + 1 closes, then it is forgotten to
the last bit: rows are summed from the oldest to the newest, wherever the ring begins.

relu and not GELU, and a norm without the mean: as good here, exact in few operations, and alike in torch and in the kernel.
The state is where the newest row lies in the rings, how many rows they hold, then per layer the keys, shape (width, window),
and the values, shape (heads, window, size): in both, what one loop reads lies side by side.

Sources: A. Vaswani et al., Attention Is All You Need (2017); norm first: R. Xiong et al. (2020); norm: B. Zhang,
R. Sennrich, Root Mean Square Layer Normalization (2019); bias by distance: O. Press et al., Train Short, Test Long
(2022), whose slopes are only where ours starts.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray, kernel
from papertape.engine.model.functions import add_products, decay

if TYPE_CHECKING:
    from torch import Tensor

SIZES: Final = {"layers": 2, "heads": 4, "width": 32, "window": 64}
POSITIVE: Final = ()
_INNER: Final = 2  # times the width
_OF_A_LAYER: Final = (
    "attention_gain",
    "attention_weights",
    "distance_bias",
    "mix_weights",
    "inner_gain",
    "inner_weights",
    "inner_bias",
    "outer_weights",
    "outer_bias",
)
_SMALLEST: Final = 1e-6  # keeps norm finite where the stream is zero


def shapes(n_inputs: int, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """
    Return the tensors with their shapes, in the order of the weight vector.

    Raises DataError when the width cannot be cut into the heads.
    """
    layers, heads, width, window = (sizes[name] for name in SIZES)
    if width % heads:
        raise DataError(f"model: width {width} is not a multiple of heads {heads}")
    inner = _INNER * width
    return {
        "input_weights": (n_inputs, width),
        "input_bias": (width,),
        "attention_gain": (layers, width),
        "attention_weights": (layers, width, 3 * width),
        "distance_bias": (layers, heads, window),
        "mix_weights": (layers, width, width),
        "inner_gain": (layers, width),
        "inner_weights": (layers, width, inner),
        "inner_bias": (layers, inner),
        "outer_weights": (layers, inner, width),
        "outer_bias": (layers, width),
        "output_gain": (width,),
        "output_weights": (width,),
        "output_bias": (1,),
    }


def state_length(n_inputs: int, sizes: Mapping[str, int]) -> int:
    """Return how many numbers are carried from close to close."""
    return 2 + sizes["layers"] * 2 * sizes["width"] * sizes["window"]


def work_length(n_inputs: int, sizes: Mapping[str, int]) -> int:
    """Return how many numbers of scratch a step needs."""
    return (6 + _INNER) * sizes["width"] + sizes["window"]


def initial(n_inputs: int, sizes: Mapping[str, int], seed: int) -> dict[str, FloatArray]:
    """Return weights to start training from: what a layer adds is small at first, and near rows count more."""
    random = np.random.default_rng(seed)
    values: dict[str, FloatArray] = {}
    for name, shape in shapes(n_inputs, sizes).items():
        if name.endswith("gain"):
            values[name] = np.ones(shape)
        elif name.endswith("bias"):
            values[name] = np.zeros(shape)
        else:
            rows = shape[-2] if len(shape) > 1 else shape[0]
            values[name] = random.normal(0.0, rows**-0.5, shape)
    for name in ("mix_weights", "outer_weights"):
        values[name] /= math.sqrt(2.0 * sizes["layers"])
    heads, window = sizes["heads"], sizes["window"]
    slopes = 2.0 ** (-8.0 * np.arange(1, heads + 1) / heads)
    values["distance_bias"][:] = slopes[:, None] * (np.arange(window) - (window - 1.0))
    return values


@kernel
def normalise(stream: FloatArray, gain: FloatArray, out: FloatArray) -> None:
    """Write gain · stream / √(mean stream² + 1e-6)."""
    n = len(stream)
    total = 0.0
    for i in range(n):
        total += stream[i] * stream[i]
    factor = 1.0 / np.sqrt(total / n + _SMALLEST)
    for i in range(n):
        out[i] = stream[i] * factor * gain[i]


@kernel
def attend(
    query: FloatArray,
    keys: FloatArray,
    values: FloatArray,
    bias: FloatArray,
    newest: int,
    n_rows: int,
    scores: FloatArray,
    out: FloatArray,
) -> None:
    """
    Write what one head sees: the values of the rows in the ring, weighed by query and keys.

    keys    flat, shape (size, window); values: flat, shape (window, size)
    newest  slot of the newest row; the older ones lie behind it in the ring, `n_rows` in all
    scores  scratch, shape (window,)
    """
    window, size = len(scores), len(out)
    oldest = newest + 1  # in a ring that is not full, there is nothing at and after this slot
    for slot in range(window):
        scores[slot] = 0.0
    add_products(scores, query, keys)
    # The ring's older part lies at its end: slots from `oldest` on are further back than slots before it, and the bias,
    # whose last entry is the newest row's, is read to match.
    scale = 1.0 / np.sqrt(float(size))
    for slot in range(oldest):
        scores[slot] = scores[slot] * scale + bias[window - oldest + slot]
    for slot in range(oldest, n_rows):
        scores[slot] = scores[slot] * scale + bias[slot - oldest]
    # Without its largest, no exponent is above 0: nothing overflows, and the sum is at least 1.
    highest = scores[newest]
    for slot in range(n_rows):
        highest = max(highest, scores[slot])
    for slot in range(n_rows):
        scores[slot] = decay(scores[slot] - highest)
    # Both sums run from the oldest row to the newest, wherever the ring begins: in another order they are other bits.
    total = 0.0
    for slot in range(oldest, n_rows):
        total += scores[slot]
    for slot in range(oldest):
        total += scores[slot]
    for i in range(size):
        out[i] = 0.0
    if n_rows > oldest:
        add_products(out, scores[oldest:n_rows], values[oldest * size : n_rows * size])
    add_products(out, scores[:oldest], values[: oldest * size])
    for i in range(size):
        out[i] /= total


@kernel
def look_back(
    mixed: FloatArray,
    qkv: FloatArray,
    bias: FloatArray,
    heads: int,
    newest: int,
    n_rows: int,
    rings: FloatArray,
    scores: FloatArray,
) -> None:
    """Put a row's keys and values into the rings of a layer and write what every head sees."""
    width, window = len(mixed), len(scores)
    size = width // heads
    keys, values = rings[: width * window], rings[width * window :]
    # Keys lie feature by feature and values row by row, so that both products run along memory.
    for i in range(width):
        keys[i * window + newest] = qkv[width + i]
    for head in range(heads):
        first, last = head * size, (head + 1) * size
        own = values[first * window : last * window]
        for i in range(size):
            own[newest * size + i] = qkv[2 * width + first + i]
        attend(
            qkv[first:last],
            keys[first * window : last * window],
            own,
            bias[head * window : (head + 1) * window],
            newest,
            n_rows,
            scores,
            mixed[first:last],
        )


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
    layers, heads, width, window = sizes[0], sizes[1], sizes[2], sizes[3]
    inner = _INNER * width
    stream, seen = work[:width], work[width : 2 * width]
    qkv, mixed = work[2 * width : 5 * width], work[5 * width : 6 * width]
    hidden, scores = work[6 * width : 6 * width + inner], work[6 * width + inner :][:window]

    # Where each tensor begins; those of one kind lie together, layer after layer.
    to_gain = at + n_inputs * width + width
    to_qkv = to_gain + layers * width
    to_bias = to_qkv + layers * width * 3 * width
    to_mix = to_bias + layers * heads * window
    to_inner_gain = to_mix + layers * width * width
    to_inner = to_inner_gain + layers * width
    to_inner_bias = to_inner + layers * width * inner
    to_outer = to_inner_bias + layers * inner
    to_outer_bias = to_outer + layers * inner * width
    to_output = to_outer_bias + layers * width

    n_rows = min(int(state[1]) + 1, window)
    newest = int(state[0]) % window  # the slot after the last row's
    state[0] = newest + 1
    state[1] = n_rows
    for i in range(width):
        stream[i] = weights[to_gain - width + i]
    add_products(stream, x[:n_inputs], weights[at : to_gain - width])
    for layer in range(layers):
        normalise(stream, weights[to_gain + layer * width :][:width], seen)
        for i in range(3 * width):
            qkv[i] = 0.0
        add_products(qkv, seen, weights[to_qkv + layer * width * 3 * width :][: width * 3 * width])
        rings = state[2 + layer * 2 * width * window :][: 2 * width * window]
        bias = weights[to_bias + layer * heads * window :][: heads * window]
        look_back(mixed, qkv, bias, heads, newest, n_rows, rings, scores)
        add_products(stream, mixed, weights[to_mix + layer * width * width :][: width * width])
        normalise(stream, weights[to_inner_gain + layer * width :][:width], seen)
        for i in range(inner):
            hidden[i] = weights[to_inner_bias + layer * inner + i]
        add_products(hidden, seen, weights[to_inner + layer * width * inner :][: width * inner])
        for i in range(inner):
            hidden[i] = max(hidden[i], 0.0)
        for i in range(width):
            stream[i] += weights[to_outer_bias + layer * width + i]
        add_products(stream, hidden, weights[to_outer + layer * inner * width :][: inner * width])
    normalise(stream, weights[to_output : to_output + width], seen)
    z = weights[to_output + 2 * width]
    for i in range(width):
        z += seen[i] * weights[to_output + width + i]
    return z  # type: ignore[no-any-return]


def _norm(stream: "Tensor", gain: "Tensor") -> "Tensor":
    """Return gain · stream / √(mean stream² + 1e-6), in torch."""
    return gain * stream * (stream.square().mean(dim=-1, keepdim=True) + _SMALLEST).rsqrt()


def _look_back(qkv: "Tensor", bias: "Tensor", allowed: "Tensor", distance: "Tensor", heads: int) -> "Tensor":
    """
    Return what every row sees (batch, blocks, window, width), in torch.

    qkv       (batch, blocks, window, 3 width): rows cut into blocks of one window, so that a row finds all it may see in
              its own block and the one before, and cost grows with the length, not with its square
    bias      (heads, window); allowed: (blocks, window, 2 window); distance: (window, 2 window), how far back
    """
    import torch

    def before_and_own(rows: "Tensor") -> "Tensor":
        previous = torch.cat([torch.zeros_like(rows[:, :1]), rows[:, :-1]], dim=1)
        return torch.cat([previous, rows], dim=3)

    def by_head(rows: "Tensor") -> "Tensor":
        return rows.reshape(*rows.shape[:3], heads, -1).transpose(2, 3)

    q, k, v = (by_head(part) for part in qkv.chunk(3, dim=3))  # (batch, blocks, heads, window, size)
    scores = q @ before_and_own(k).transpose(3, 4) / q.shape[-1] ** 0.5
    window = bias.shape[1]
    scores = scores + bias[:, (window - 1 - distance).clamp(0, window - 1)]
    scores = scores.masked_fill(~allowed[:, None], -torch.inf)
    seen = torch.softmax(scores, dim=4) @ before_and_own(v)
    return seen.transpose(2, 3).flatten(3, 4)


def forward(weights: Mapping[str, "Tensor"], x: "Tensor", sizes: Mapping[str, int]) -> "Tensor":
    """Return the log-odds (batch, time) of rows (batch, time, n_inputs), from a zero state, in torch."""
    import torch

    layers, heads, window = sizes["layers"], sizes["heads"], sizes["window"]
    length = x.shape[1]
    padded = torch.nn.functional.pad(x, (0, 0, 0, -length % window))
    rows = torch.arange(window, device=x.device)
    columns = torch.arange(2 * window, device=x.device)
    distance = window + rows[:, None] - columns
    blocks = padded.shape[1] // window
    is_near = (distance >= 0) & (distance < window)
    is_there = torch.arange(blocks, device=x.device)[:, None, None] * window + columns >= window
    allowed = is_near & is_there

    stream = padded.reshape(len(x), blocks, window, -1) @ weights["input_weights"]
    stream = stream + weights["input_bias"]
    for layer in range(layers):
        own = {name: weights[name][layer] for name in _OF_A_LAYER}
        seen = _norm(stream, own["attention_gain"])
        mixed = _look_back(seen @ own["attention_weights"], own["distance_bias"], allowed, distance, heads)
        stream = stream + mixed @ own["mix_weights"]
        hidden = _norm(stream, own["inner_gain"]) @ own["inner_weights"] + own["inner_bias"]
        stream = stream + torch.relu(hidden) @ own["outer_weights"] + own["outer_bias"]
    z = _norm(stream, weights["output_gain"]) @ weights["output_weights"] + weights["output_bias"]
    return z.flatten(1, 2)[:, :length]
