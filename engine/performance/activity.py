"""How much of an account was at work, in one reading of its marks."""

from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray

_PIECE: Final = (
    1 << 14
)  # rows at a time, so that what is made of them stays at hand, and a million keep their digits


def activity_of(
    exposure: IntArray, equity: FloatArray, units_per_quote: float
) -> tuple[float, float]:
    """
    Return the mean of exposure ÷ equity, and that of equity in quote.

    exposure  money units, at least one row; equity: quote, above zero
    """
    leverages, worths = 0.0, 0.0
    room = np.empty(min(_PIECE, len(equity)))
    for first in range(0, len(equity), _PIECE):
        worth = equity[first : first + _PIECE]
        leverage = room[: len(worth)]
        np.divide(exposure[first : first + _PIECE], units_per_quote, out=leverage)
        leverage /= worth
        leverages += float(np.add.reduce(leverage))
        worths += float(np.add.reduce(worth))
    return leverages / len(equity), worths / len(equity)
