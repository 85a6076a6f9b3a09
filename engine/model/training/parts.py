"""
Parts of the rows in time order, so that no label of an earlier part has seen a later one.

A label is known some candles after its row. A row whose label was not known before the first row of the next part, less
an embargo, belongs to no part: it is purged. Rows of the same close of several symbols stay together.
Source: M. López de Prado, Advances in Financial Machine Learning (2018), sections 7.4.1 and 7.4.2.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import IntArray
from papertape.engine.model.training.labels import BoolArray


def purged_parts(
    known: IntArray, is_usable: BoolArray, shares: Sequence[float], embargo_bars: int = 0
) -> tuple[BoolArray, ...]:
    """
    Return one mask per share, oldest part first, of the usable rows that it may hold.

    known      shape (n,) or (n_symbols, n), row at whose close a label is known
    is_usable  same shape; the shares are of the rows from the first usable one to the last, so warm-up takes none
    shares     above 0, in the order of time, adding up to 1

    A row of a part that ends before row b is kept when known + embargo_bars < b.

    Raises DataError when a part is left without a row.
    """
    if min(shares) <= 0.0 or abs(sum(shares) - 1.0) > 1e-9:
        raise DataError(
            f"training: shares {tuple(shares)} are not above 0 and do not add up to 1 as parts must"
        )
    if embargo_bars < 0:
        raise DataError(f"training: embargo_bars {embargo_bars} is below 0")
    n = known.shape[-1]
    usable = np.flatnonzero(is_usable.reshape(-1, n).any(axis=0))
    if len(usable) == 0:
        raise DataError("training: no row has all its inputs and a label; give more candles")
    first, end = int(usable[0]), int(usable[-1]) + 1
    edges = first + np.round(np.cumsum([0.0, *shares]) * (end - first)).astype(np.int64)
    rows = np.arange(n)
    parts = []
    for number, (begin, stop) in enumerate(pairwise(edges.tolist())):
        mask = is_usable & (rows >= begin) & (rows < stop)
        if number < len(shares) - 1:
            mask &= known + embargo_bars < stop
        if not mask.any():
            raise DataError(
                f"training: {end - first} usable closes leave no row in part {number + 1} of {len(shares)} after the "
                f"purge; give more candles or a shorter horizon"
            )
        parts.append(mask)
    return tuple(parts)


def newest_share(part: BoolArray, share: float) -> BoolArray:
    """Return the rows of a part, (n,) or (n_symbols, n), at the newest share of the closes that it has rows of, one at least."""
    n = part.shape[-1]
    closes = np.flatnonzero(part.reshape(-1, n).any(axis=0))
    first = closes[-max(round(share * len(closes)), 1)]
    newest: BoolArray = part & (np.arange(n) >= first)
    return newest
