"""
Boosted trees: the kind `lightgbm`, grown by that library and run here. No state, so a swap needs no warm-up.

    z = Σ values[t, leaf(t, x)] + bias          the trees in the order in which they were grown, the bias last

Every tree is laid out as a whole one of `depth` levels: below node i lie 2i + 1, where x[split_inputs] <= thresholds, and
2i + 2. A node behind a leaf of the library's sends everything left (its threshold is far beyond CLIP) and the leaf's value
stands at the end of that way. So a step has no branch that depends on the row, the processor follows several trees at
once, and there are no links that a damaged file could make run in circles. What the library left ungrown is trees of zeros.

The sum is the library's own, addition for addition: its raw score plus the bias, to the last bit.
Source: G. Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree (2017).
"""

from collections.abc import Mapping
from typing import Final

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray, kernel

SIZES: Final = {"trees": 100, "depth": 4}
POSITIVE: Final = ()
PLACES: Final = ("split_inputs",)  # every value is the number of an input
MOST_DEPTH: Final = 8  # a whole tree of that many levels has 256 leaves
ALWAYS_LEFT: Final = 1e6  # a threshold beyond every scaled input


def shapes(n_inputs: int, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """
    Return the tensors with their shapes, in the order of the weight vector.

    Raises DataError when the trees are deeper than MOST_DEPTH.
    """
    trees, depth = (sizes[name] for name in SIZES)
    if depth > MOST_DEPTH:
        raise DataError(
            f"model: depth {depth} is above {MOST_DEPTH}, and so many leaves would hold a row each; take fewer levels"
        )
    inner = 2**depth - 1
    return {
        "split_inputs": (trees, inner),
        "thresholds": (trees, inner),
        "values": (trees, inner + 1),
        "bias": (1,),
    }


def state_length(n_inputs: int, sizes: Mapping[str, int]) -> int:
    """Return how many values it carries from close to close: none."""
    return 0


work_length = state_length  # nor does a step need scratch


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
    """Return the log-odds of a rise from one row of scaled inputs; its tensors begin at `weights[at]`."""
    trees, depth = sizes[0], sizes[1]
    inner = (1 << depth) - 1
    to_thresholds = trees * inner
    values = at + 2 * to_thresholds - inner  # a leaf is numbered behind the inner nodes
    z = 0.0
    for tree in range(trees):
        node = 0
        first = at + tree * inner
        for _ in range(depth):
            place = first + node
            goes_right = x[int(weights[place])] > weights[place + to_thresholds]
            node = 2 * node + 1 + int(goes_right)
        z += weights[values + tree * (inner + 1) + node]
    return z + weights[values + inner + trees * (inner + 1)]  # type: ignore[no-any-return]
