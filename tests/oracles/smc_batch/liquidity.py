"""
Liquidity pools of the batch package, as a view only: nothing in them is causal.

The tolerance is a share of the range of the whole input, so a new extreme changes pools that were there before, and the
swings are those of the finished list. The engine's own pools (reference section 4.3) are the ones to trade on.
"""

import numpy as np

from tests.oracles.smc_batch.series import Rounding, Series, View, empty_view
from tests.oracles.smc_batch.swings import Swing


def liquidity_view(series: Series, swings: list[Swing], hold: Rounding, range_percent: float = 0.01) -> View:
    """
    Return Liquidity, Level, End and Swept.

    range_percent  share (the package's name for it) of the range of all prices within which levels are one pool
    """
    view = empty_view(len(series), "Liquidity", "Level", "End", "Swept")
    if not len(series):
        return view
    tolerance = (max(series.high) - min(series.low)) * range_percent
    for side in (1, -1):
        prices = side * np.array(series.high if side > 0 else series.low)
        _pool_side(view, prices, [s for s in swings if s.side == side], tolerance, hold)
    return view


def _pool_side(view: View, prices: np.ndarray, swings: list[Swing], tolerance: float, hold: Rounding) -> None:
    """Stamp the pools of one side; `prices` are its extremes, mirrored for lows."""
    is_used = [False] * len(swings)
    for first, swing in enumerate(swings):
        if is_used[first]:
            continue
        lowest, highest = swing.level - tolerance, swing.level + tolerance
        limit = highest if swing.side > 0 else -lowest
        reached = prices[swing.row + 1 :] >= limit
        swept = swing.row + 1 + int(reached.argmax()) if reached.any() else 0
        levels, end = [swing.level], swing.row
        for later in range(first + 1, len(swings)):
            other = swings[later]
            if swept and other.row >= swept:
                break
            if not is_used[later] and lowest <= other.level <= highest:
                levels.append(other.level)
                end, is_used[later] = other.row, True
        if len(levels) > 1:
            view["Liquidity"][swing.row] = swing.side
            view["Level"][swing.row] = hold(sum(levels) / len(levels))
            view["End"][swing.row], view["Swept"][swing.row] = hold(end), hold(swept)
