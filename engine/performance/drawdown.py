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


# How a curve stands that is read part by part: quote.
FALLING: Final = record(
    ("top", "f8"),
    ("bottom", "f8"),  # since the top
    ("lowest", "f8"),
    ("depth", "f8"),  # the largest fall, not always the deepest one
)


class Falls(NamedTuple):
    """What one reading of an equity curve tells."""

    lowest: float  # quote
    depth_quote: float  # the largest fall in quote, not always the deepest one
    deepest: Rows  # FALL, at most MOST_FALLS, the deepest first

    @classmethod
    def of(cls, state: Rows, falls: Rows) -> "Falls":
        """Return what a curve came to that was read to its end."""
        end_fall(falls)
        kept = falls[:MOST_FALLS]
        lowest, depth = float(state["lowest"][0]), float(state["depth"][0])
        return cls(lowest, depth, kept[kept["depth"] < 0.0])


def falls_of(equity: FloatArray) -> Falls:
    """Return the falls of a curve in quote, whose first value is the capital, above zero."""
    state, falls = begun_falls(float(equity[0]))
    follow_falls(np.ascontiguousarray(equity), 0, state[0], falls)
    return Falls.of(state, falls)


def begun_falls(capital: float) -> tuple[Rows, Rows]:
    """Return FALLING of a curve at its beginning, and room for its FALLs and one more to work in."""
    state, falls = np.zeros(1, FALLING), np.zeros(MOST_FALLS + 1, FALL)
    state["top"] = state["bottom"] = state["lowest"] = capital
    return state, falls


def drawdowns(equity: FloatArray) -> FloatArray:
    """Return equity ÷ highest equity so far − 1; the first value must be above zero."""
    return equity / np.maximum.accumulate(equity) - 1.0


@kernel
def follow_falls(equity: FloatArray, first: int, state: Row, falls: Rows) -> None:
    """Go on with a curve, of which `first` values were read; the last row of `falls` is the fall that it is in."""
    now = falls[len(falls) - 1]
    for k in range(len(equity)):
        worth = equity[k]
        if worth >= state.top:
            if now.depth < 0.0:
                now.recovery = first + k
                keep_fall(falls, now)
            now.depth, now.peak = 0.0, first + k
            state.top = state.bottom = worth
            continue
        if worth >= state.bottom:
            continue  # of one peak only a new low can be deeper
        state.bottom = worth
        state.lowest = min(state.lowest, worth)
        state.depth = min(state.depth, worth - state.top)
        below = worth / state.top - 1.0
        if below < now.depth:
            now.depth, now.trough = below, first + k


@kernel
def end_fall(falls: Rows) -> None:
    """Keep the fall that a curve ends in."""
    now = falls[len(falls) - 1]
    if now.depth < 0.0:
        now.recovery = -1
        keep_fall(falls, now)


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
    kept.depth, kept.peak, kept.trough, kept.recovery = (fall.depth, fall.peak, fall.trough, fall.recovery)


def average_depth(below_peak: FloatArray) -> float | None:
    """Return the mean of the deepest value of each fall, from peak to recovery; None without a fall."""
    rows: IntArray = np.flatnonzero(below_peak < 0.0)
    if not len(rows):
        return None
    is_first = np.ones(len(rows), np.bool_)
    np.not_equal(rows[1:], rows[:-1] + 1, out=is_first[1:])
    return float(np.minimum.reduceat(below_peak[rows], np.flatnonzero(is_first)).mean())
