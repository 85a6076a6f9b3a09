"""Marks read once: falls of the account, and how much of it was at work."""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel
from papertape.engine.performance.drawdown import Falls, begun_falls, follow_falls

_WIDE: Final = 64  # marks that are read at once


class Activity(NamedTuple):
    """
    What one reading of marks tells.

    worth     mean of equity, in quote
    leverage  mean of exposure ÷ equity, for an equity that was above zero throughout; 0 without exposure
    """

    falls: Falls
    worth: float
    leverage: float


def activity_of(
    equity: IntArray, exposure: IntArray, capital: float, units_per_quote: float
) -> Activity:
    """Return what marks tell, at least one: equity and exposure in money units; no exposure at all: it was not kept."""
    equity, exposure = np.ascontiguousarray(equity), np.ascontiguousarray(exposure)
    state, falls = begun_falls(capital)
    n = len(equity)
    room, worths, leverages = np.zeros((3, min(_WIDE, n)))
    read_marks(equity, exposure, units_per_quote, room, worths, leverages, state[0], falls)
    found = Falls.of(state, falls)
    worth, leverage = (float(np.add.reduce(sums)) / n for sums in (worths, leverages))
    return Activity(found, worth / units_per_quote, leverage if found.lowest > 0.0 else 0.0)


@kernel
def read_marks(
    equity: IntArray, exposure: IntArray, units: float, worth: FloatArray, worths: FloatArray, leverages: FloatArray, state: Row,
    falls: Rows,
) -> None:  # fmt: skip
    """
    Follow the falls of marks, of which the capital is row 0, and add up equity and exposure ÷ equity.

    worth              equity in quote, scratch
    worths, leverages  sums of every so many marks, as many as they are long: several are added at a time, and a million keep
                       their digits
    """
    wide = len(worth)
    for first in range(0, len(equity), wide):
        part = equity[first : first + wide]
        # Most marks are no new high, and no new low since the last.
        if not is_between(part, units, state.bottom, state.top):
            for k in range(len(part)):
                worth[k] = part[k] / units
            follow_falls(worth[: len(part)], first + 1, state, falls)
        for k in range(len(part)):
            worths[k] += part[k]
        if state.lowest > 0.0:
            shown = exposure[first : first + wide]
            for k in range(len(shown)):
                leverages[k] += shown[k] / part[k]


@kernel
def is_between(equity: IntArray, units: float, low: float, high: float) -> bool:
    """Return whether all of some marks, at least one, are at or above one value in quote and below another."""
    lowest = highest = equity[0]
    for k in range(len(equity)):
        lowest, highest = min(lowest, equity[k]), max(highest, equity[k])
    return bool(low <= lowest / units and highest / units < high)
