"""
Numbers as people read them: a price or a size on a market's grid.

Kernels keep what their arithmetic gives, 3.3000000000000003 of a size or a difference of prices; that is how runs stay
equal bit for bit. Where a number leaves for a table, a log, JSON or a page, it is written as what it stands for.
"""

from decimal import Decimal
from functools import cache
from typing import Any, Final

import numpy as np

from papertape.engine.broker.account import FLOAT_NOISE
from papertape.engine.jit import FloatArray

# how many times the noise of a few operations a number may be off its grid
_OPERATIONS: Final = 10.0
_MOST_DECIMALS: Final = 18


@cache
def decimals_of(step: float) -> int:
    """Return how many decimals a grid's step has: 2 for 0.01, 1 for 0.5, 0 for 10."""
    exponent = Decimal(repr(float(step))).normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def on_grid(values: Any, step: float, size: Any = None) -> FloatArray:
    """
    Return values without the float noise of a grid's arithmetic; what is not on the grid stays as it is.

    step  tick or lot; 0: there is no grid
    size  magnitude of what they were made of, where they are differences
    """
    found = np.asarray(values, np.float64)
    if step <= 0.0 or decimals_of(step) > _MOST_DECIMALS:
        return found
    rounded = np.round(found, decimals_of(step))
    noise = _OPERATIONS * FLOAT_NOISE * np.abs(found if size is None else size)
    is_noise = np.abs(found - rounded) <= noise
    return np.where(is_noise, rounded, found)


def plain(value: Any, step: float) -> float:
    """Return one value as `on_grid` does."""
    return float(on_grid(float(value), step))
