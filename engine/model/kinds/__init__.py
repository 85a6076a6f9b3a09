"""
The table of kinds of model. To add one: its file with `SIZES`, `POSITIVE`, `shapes`, `state_length`, `work_length` and
a step; a code, a branch in `infer` and a row here; one with a memory also `forward`, and a row in `NETWORKS` of
`engine/model/training/torch_fit.py`.

    logistic    a weighted sum, no state
    lightgbm    boosted trees, no state
    lstm cnn_lstm transformer   those with a memory

What every kind shares lies before its own tensors in the weight vector of a symbol:

    mean scale     one each per input: the model reads x = (value - mean) / scale, kept within ±CLIP
    temperature    p = sigmoid(z / temperature), z the log-odds that its step returns

An ensemble has the kind's own tensors once for each member, one member behind the other in the weight vector and in the
state, and z is the mean of their log-odds. Its log-loss cannot exceed the mean of theirs, for the loss is convex in z.
Source: T. Heskes, Selecting Weighting Factors in Logarithmic Opinion Pools (1998).
"""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import FloatArray, IntArray, Rows, kernel
from papertape.engine.model.functions import sigmoid
from papertape.engine.model.kinds import cnn_lstm, logistic, lstm, transformer, trees

LOGISTIC: Final = 1
LSTM: Final = 2
CNN_LSTM: Final = 3
TRANSFORMER: Final = 4
LIGHTGBM: Final = 5
CLIP: Final = 8.0  # standard deviations; further out a value says only that it is extreme

Sizes = Mapping[str, int]


class ModelKind(NamedTuple):
    """
    One row of the table.

    code          the number by which `infer` knows it
    shapes        from the number of inputs and the sizes: its own tensors, in the order of the weight vector. It
                  raises DataError for sizes that do not fit together
    positive      tensors whose every value must be above zero
    state_length  values that it carries from close to close, per symbol; all zero before the first
    work_length   values of scratch that one step needs
    sizes         what can be chosen, with the defaults; kernels get the values in this order
    places        tensors whose every value is the number of an input
    output        tensors of the last step, z = weights · what it shows + bias
    """

    code: int
    shapes: Callable[[int, Sizes], dict[str, tuple[int, ...]]]
    positive: tuple[str, ...]
    state_length: Callable[[int, Sizes], int]
    work_length: Callable[[int, Sizes], int]
    sizes: Sizes
    places: tuple[str, ...] = ()
    output: tuple[str, str] = ("output_weights", "output_bias")


def _kind(code: int, module: ModuleType, **more: Any) -> ModelKind:
    return ModelKind(
        code, module.shapes, module.POSITIVE, module.state_length, module.work_length, module.SIZES, **more
    )


KINDS: Final[dict[str, ModelKind]] = {
    "logistic": _kind(LOGISTIC, logistic, output=("coefficients", "intercept")),
    "lstm": _kind(LSTM, lstm),
    "cnn_lstm": _kind(CNN_LSTM, cnn_lstm),
    "transformer": _kind(TRANSFORMER, transformer),
    "lightgbm": _kind(LIGHTGBM, trees, places=trees.PLACES, output=("values", "bias")),
}


@kernel
def infer(
    code: int,
    features: FloatArray,
    rows: IntArray,
    n: int,
    bars: Rows,
    weights: FloatArray,
    sizes: IntArray,
    members: int,
    state: FloatArray,
    work: FloatArray,
    probability_row: int,
) -> None:
    """
    Write the probability of a rise at each of `n` closes of one symbol into a row of its own matrix.

    features  shape (n_rows, >= n); rows: which of them the model reads, in its order
    bars      CANDLE, the candles that closed
    weights   flat, of this symbol; sizes: in the order of the kind's; members: of the ensemble, 1 for a single model
    state     shape (members * state_length,), changed in place
    work      scratch, shape (>= n_inputs + work_length,)

    An absent candle and a missing input say nothing: the probability is NaN and the state stays as it was.
    """
    n_inputs = len(rows)
    x = work[:n_inputs]
    rest = work[n_inputs:]
    first = 2 * n_inputs + 1
    n_weights, n_carried = (len(weights) - first) // members, len(state) // members
    for k in range(n):
        is_whole = bars[k].flag_bits & FLAG_ABSENT == 0
        for i in range(n_inputs):
            value = features[rows[i], k]
            is_whole = is_whole and np.isfinite(value)
            x[i] = min(max((value - weights[i]) / weights[n_inputs + i], -CLIP), CLIP)
        probability = np.nan
        if is_whole:
            total = 0.0
            for member in range(members):
                at = first + member * n_weights
                own = state[member * n_carried : (member + 1) * n_carried]
                z = np.nan
                if code == LOGISTIC:
                    z = logistic.step(x, n_inputs, weights, at, sizes, own, rest)
                elif code == LSTM:
                    z = lstm.step(x, n_inputs, weights, at, sizes, own, rest)
                elif code == CNN_LSTM:
                    z = cnn_lstm.step(x, n_inputs, weights, at, sizes, own, rest)
                elif code == TRANSFORMER:
                    z = transformer.step(x, n_inputs, weights, at, sizes, own, rest)
                elif code == LIGHTGBM:
                    z = trees.step(x, n_inputs, weights, at, sizes, own, rest)
                total += z
            probability = sigmoid(total / members / weights[2 * n_inputs])
        features[probability_row, k] = probability
