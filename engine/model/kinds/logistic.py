"""
The logistic model: a weighted sum of the scaled inputs. No state, so a swap needs no warm-up.

    z = intercept + Σ coefficients[i] x[i]
"""

from collections.abc import Mapping
from typing import Final

from papertape.engine.jit import FloatArray, IntArray, kernel

SIZES: Final[dict[str, int]] = {}
POSITIVE: Final[tuple[str, ...]] = ()  # tensors whose every value is above zero


def shapes(n_inputs: int, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return its tensors with their shapes, in the order of the weight vector."""
    return {"coefficients": (n_inputs,), "intercept": (1,)}


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
    z = weights[at + n_inputs]
    for i in range(n_inputs):
        z += weights[at + i] * x[i]
    return z  # type: ignore[no-any-return]
