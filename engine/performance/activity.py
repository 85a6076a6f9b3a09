"""Marks read once: falls of the account, and how much of it was at work."""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel
from papertape.engine.performance.drawdown import Falls, begun_falls, follow_falls

# Rows at a time, so that what is made of them stays at hand, and a million keep their digits. Sums in another order have other
# last bits, and results that were saved are compared with what is measured now.
_PIECE: Final = 1 << 14


class Activity(NamedTuple):
    """
    What one reading of marks tells.

    worth     mean of equity, in quote
    leverage  mean of exposure ÷ equity, for an equity that was above zero throughout; 0 without exposure
    """

    falls: Falls
    worth: float
    leverage: float


def activity_of(equity: IntArray, exposure: IntArray, capital: float, units_per_quote: float) -> Activity:
    """Return what marks tell, at least one: equity and exposure in money units; no exposure at all: it was not kept."""
    equity, exposure = np.ascontiguousarray(equity), np.ascontiguousarray(exposure)
    state, falls = begun_falls(capital)
    room = np.empty((2, min(_PIECE, len(equity))))
    worths, leverages = 0.0, 0.0
    for first in range(0, len(equity), _PIECE):
        part = slice(first, first + _PIECE)
        worth, leverage = room[:, : len(equity[part])]
        read_marks(equity[part], exposure[part], units_per_quote, first, worth, leverage, state[0], falls)
        worths += float(np.add.reduce(worth))
        if len(exposure):
            leverages += float(np.add.reduce(leverage))
    return Activity(Falls.of(state, falls), worths / len(equity), leverages / len(equity))


@kernel
def read_marks(
    equity: IntArray,
    exposure: IntArray,
    units: float,
    first: int,
    worth: FloatArray,
    leverage: FloatArray,
    state: Row,
    falls: Rows,
) -> None:
    """
    Write equity in quote and exposure ÷ equity of some marks, and follow their falls.

    first  how many marks were read before them; the capital is row 0 of the curve
    """
    for k in range(len(equity)):
        worth[k] = equity[k] / units
    follow_falls(worth, first + 1, state, falls)
    if state.lowest > 0.0:
        for k in range(len(exposure)):
            leverage[k] = exposure[k] / units / worth[k]
    else:
        leverage[:] = 0.0
