"""
The table of kinds of model. To add one: its file with `shapes`, `POSITIVE`, `STATE` and a step, a branch in `infer`, a
row here.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from engine.jit import FloatArray, IntArray, Rows, kernel
from engine.model import logistic

LOGISTIC: Final = 1


class Kind(NamedTuple):
    """
    One row of the table.

    code      the number by which `infer` knows it
    shapes    from the number of columns: its tensors, in the order of the weight vector
    positive  tensors whose every value must be above zero
    state     record that it carries from close to close, one per symbol
    """

    code: int
    shapes: Callable[[int], dict[str, tuple[int, ...]]]
    positive: tuple[str, ...]
    state: np.dtype[Any]


KINDS: Final[dict[str, Kind]] = {
    "logistic": Kind(LOGISTIC, logistic.shapes, logistic.POSITIVE, logistic.STATE),
}


@kernel
def infer(
    code: int,
    features: FloatArray,
    rows: IntArray,
    n: int,
    weights: FloatArray,
    state: Rows,
    probability_row: int,
) -> None:
    """
    Write the probability of a rise at each of `n` closes of one symbol into a row of its own matrix.

    features  shape (n_rows, >= n); rows: which of them the model reads, in its order
    weights   flat, as the kind lays them out; state: shape (1,), changed in place
    """
    for k in range(n):
        probability = np.nan
        if code == LOGISTIC:
            probability = logistic.step(features, rows, k, weights)
        features[probability_row, k] = probability
