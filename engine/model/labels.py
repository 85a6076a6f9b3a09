"""What a model is to learn, and which rows it may learn it from."""

from typing import NamedTuple

import numpy as np

from engine.errors import DataError
from engine.jit import FloatArray


class Split(NamedTuple):
    """Rows in time order, three parts with `horizon_bars` rows left out before each of the later two."""

    train: slice
    calibrate: slice
    test: slice


def horizon_direction(closes: FloatArray, horizon_bars: int) -> FloatArray:
    """
    Return 1 where the close `horizon_bars` later is higher and 0 where it is lower, shape (n,).

    NaN where both are equal, which says neither, and in the last `horizon_bars` rows, which nobody knows yet.
    """
    labels = np.full(len(closes), np.nan)
    change = closes[horizon_bars:] - closes[:-horizon_bars]
    labels[:-horizon_bars] = np.where(change == 0.0, np.nan, (change > 0.0).astype(np.float64))
    return labels


def split_in_time(
    n: int, horizon_bars: int, calibrate_share: float = 0.2, test_share: float = 0.2
) -> Split:
    """
    Return the parts of `n` rows: train, calibrate, test, oldest first.

    A label looks `horizon_bars` ahead. Those of the last rows of a part would reach into the next one, so as many rows
    are purged between the parts: no candle that a part's labels have seen is the close of a later part's row.
    """
    test = round(n * test_share)
    calibrate = round(n * calibrate_share)
    train = n - test - calibrate
    if min(train, calibrate - horizon_bars, test - horizon_bars) < 1:
        raise DataError(
            f"training: {n} rows are too few for three parts with {horizon_bars} purged between them"
        )
    return Split(
        slice(0, train),
        slice(train + horizon_bars, train + calibrate),
        slice(train + calibrate + horizon_bars, n),
    )
