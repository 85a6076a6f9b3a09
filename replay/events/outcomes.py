"""
What happened after every candle: the outcome of entering at the next open, at several horizons.

Something known at the close of candle k can be acted on at the open of k + 1. With horizon h the position is left at
the close of k + h, so it has lived through h candles. Returns are logarithmic, of the price, without costs; excursions
are the furthest high and low of those candles from the entry, in ATR(14) as known at k.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from papertape.engine.candles import FLAG_ABSENT, FLAG_FILLED
from papertape.engine.features import evaluate
from papertape.engine.jit import FloatArray, Rows


class EventOutcomes(NamedTuple):
    """Per candle k, what followed; NaN where it cannot be known or the entry candle was never traded."""

    log_return: FloatArray  # of a long position
    up_atr: FloatArray  # furthest above the entry
    down_atr: FloatArray  # furthest below the entry

    @property
    def is_known(self) -> np.ndarray:
        """Return for which candles there is an outcome."""
        return ~np.isnan(self.log_return)


def outcomes(candles: Rows, horizon_bars: int) -> EventOutcomes:
    """Return the outcomes after every candle at one horizon, at least 1."""
    assert horizon_bars >= 1
    n = len(candles)
    columns = [np.full(n, np.nan) for _ in range(3)]
    if n <= horizon_bars:
        return EventOutcomes(*columns)
    known, entry = slice(0, n - horizon_bars), candles["open"][1 : n - horizon_bars + 1]
    atr = evaluate("atr_14", candles)[0][known]
    leave = candles["close"][horizon_bars:]
    top = _rolling(candles["high"], horizon_bars, highest=True)
    bottom = _rolling(candles["low"], horizon_bars, highest=False)
    is_traded = (candles["flag_bits"][1 : n - horizon_bars + 1] & (FLAG_ABSENT | FLAG_FILLED)) == 0
    is_known = is_traded & (atr > 0.0)
    for column, values in zip(columns, (np.log(leave / entry), top - entry, entry - bottom), strict=True):
        column[known] = np.where(is_known, values, np.nan)
    for column in columns[1:]:
        column[known] /= np.where(is_known, atr, np.nan)
    return EventOutcomes(*columns)


def _rolling(values: FloatArray, length: int, *, highest: bool) -> FloatArray:
    """Return the extreme of the `length` values after each value but the last ones."""
    window = pd.Series(values).rolling(length)
    extremes = window.max() if highest else window.min()
    return extremes.to_numpy(np.float64)[length:]
