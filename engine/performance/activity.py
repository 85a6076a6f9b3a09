"""How much of an account was at work, in one reading of its marks."""

from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, kernel

_PIECE: Final = 1_024  # rows that are added up by themselves, so that a million keep their digits


def activity_of(
    exposure: IntArray, equity: FloatArray, units_per_quote: float
) -> tuple[float, float]:
    """
    Return the mean of exposure ÷ equity, and that of equity in quote.

    exposure  money units, at least one row; equity: quote, above zero
    """
    sums = np.zeros(2)
    add_activity(np.ascontiguousarray(exposure), equity, units_per_quote, sums)
    return float(sums[0]) / len(equity), float(sums[1]) / len(equity)


@kernel
def add_activity(
    exposure: IntArray, equity: FloatArray, units_per_quote: float, sums: FloatArray
) -> None:
    """Write the sums of exposure ÷ equity and of equity."""
    for first in range(0, len(equity), _PIECE):
        leverages, worths = 0.0, 0.0
        for row in range(first, min(first + _PIECE, len(equity))):
            worths += equity[row]
            if exposure[row] != 0:
                leverages += exposure[row] / units_per_quote / equity[row]
        sums[0] += leverages
        sums[1] += worths
