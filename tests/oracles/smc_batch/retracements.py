"""
Retracements of the batch package, as a view only: they use swings before these are known.

The causal form is the retracement of the newest leg (reference section 4.7).
"""

import numpy as np

from tests.oracles.smc_batch.series import Series, View
from tests.oracles.smc_batch.swings import Swing

_CHANGES_DROPPED = 3  # changes of direction at the start that the package leaves out


def retracement_view(series: Series, swings: list[Swing]) -> View:
    """Return Direction, CurrentRetracement% and DeepestRetracement%, moved down one row as the package does."""
    n = len(series)
    by_row = {swing.row: swing for swing in swings}
    direction, current, deepest = np.zeros(n), np.zeros(n), np.zeros(n)
    level = {1: 0.0, -1: 0.0}  # of the last swing high and low
    side_before = 0
    for row in range(n):
        swing = by_row.get(row)
        side = swing.side if swing else side_before
        if swing:
            level[side] = swing.level
        deep_before = deepest[row - 1] if row else 0.0
        # A row on which the direction turns down is measured twice, and keeps the second measure.
        if side_before == 1:
            current[row] = _share(series.low[row], level[-1], level[1])
            deepest[row] = max(deep_before, current[row])
        if side == -1:
            current[row] = _share(series.high[row], level[1], level[-1])
            deepest[row] = max(deep_before if side_before == -1 else 0.0, current[row])
        direction[row] = side_before = side
    columns = [np.roll(column, 1) for column in (direction, current, deepest)]
    _drop_first_changes(columns)
    names = ("Direction", "CurrentRetracement%", "DeepestRetracement%")
    return dict(zip(names, columns, strict=True))


def _share(price: float, origin: float, extreme: float) -> float:
    """Return how far price has come back from the extreme to the origin, in percent with one decimal."""
    if extreme == origin:
        return 0.0
    return round((100.0 - (price - origin) / (extreme - origin) * 100.0) * 10.0) / 10.0


def _drop_first_changes(columns: list[np.ndarray]) -> None:
    """Zero every row up to and including the one of the third change of direction."""
    direction = columns[0]
    changes = np.flatnonzero(direction[1:] != direction[:-1])
    is_short = len(changes) < _CHANGES_DROPPED
    last = len(direction) - 1 if is_short else int(changes[_CHANGES_DROPPED - 1]) + 2
    for column in columns:
        column[:last] = 0.0
