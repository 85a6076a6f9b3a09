"""Falls from a peak: how deep, how long, until when."""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel, record

MOST_FALLS: Final = 10  # the deepest are kept
FALL: Final = record(
    ("depth", "f8"),  # fraction of the peak, below zero
    ("peak", "i8"),  # last row at the peak; row 0 is the starting capital
    ("trough", "i8"),
    ("recovery", "i8"),  # first row back at the peak; -1 when it never came
)


class Falls(NamedTuple):
    """What one reading of an equity curve tells."""

    lowest: float  # quote
    depth_quote: float  # the largest fall in quote, not always the deepest one
    deepest: Rows  # FALL, at most MOST_FALLS, the deepest first


def falls_of(equity: FloatArray) -> Falls:
    """Return the falls of a curve in quote, whose first value is the capital, above zero."""
    numbers, falls = np.zeros(2), np.zeros(MOST_FALLS + 1, FALL)
    read_falls(np.ascontiguousarray(equity), numbers, falls)
    falls = falls[:MOST_FALLS]
    return Falls(float(numbers[0]), float(numbers[1]), falls[falls["depth"] < 0.0])


def drawdowns(equity: FloatArray) -> FloatArray:
    """Return equity ÷ highest equity so far − 1; the first value must be above zero."""
    return equity / np.maximum.accumulate(equity) - 1.0


@kernel
def read_falls(equity: FloatArray, numbers: FloatArray, falls: Rows) -> None:
    """Write lowest value and largest fall in quote to `numbers`, and the deepest to `falls`, whose last row is a place to work in."""
    now = falls[len(falls) - 1]
    top = lowest = bottom = equity[0]
    depth_quote = 0.0
    for row in range(len(equity)):
        worth = equity[row]
        if worth >= top:
            if now.depth < 0.0:
                now.recovery = row
                keep_fall(falls, now)
            now.depth, now.peak = 0.0, row
            top = bottom = worth
            continue
        if worth >= bottom:
            continue  # of one peak only a new low can be deeper
        bottom = worth
        lowest = min(lowest, worth)
        depth_quote = min(depth_quote, worth - top)
        below = worth / top - 1.0
        if below < now.depth:
            now.depth, now.trough = below, row
    if now.depth < 0.0:
        now.recovery = -1
        keep_fall(falls, now)
    numbers[0], numbers[1] = lowest, depth_quote


@kernel
def keep_fall(falls: Rows, fall: Row) -> None:
    """Put a fall in its place by depth, if it is among the deepest; of equal ones the earlier comes first."""
    place = len(falls) - 1
    while place > 0 and fall.depth < falls[place - 1].depth:
        place -= 1
    if place == len(falls) - 1:
        return
    for row in range(len(falls) - 2, place, -1):
        later, earlier = falls[row], falls[row - 1]
        later.depth, later.peak = earlier.depth, earlier.peak
        later.trough, later.recovery = earlier.trough, earlier.recovery
    kept = falls[place]
    kept.depth, kept.peak, kept.trough, kept.recovery = (
        fall.depth,
        fall.peak,
        fall.trough,
        fall.recovery,
    )


def average_depth(below_peak: FloatArray) -> float | None:
    """Return the mean of the deepest value of each fall, from peak to recovery; None without a fall."""
    rows: IntArray = np.flatnonzero(below_peak < 0.0)
    if not len(rows):
        return None
    starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) > 1)
    return float(np.minimum.reduceat(below_peak[rows], starts).mean())
