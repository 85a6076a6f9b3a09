"""
The newest feature rows of every symbol, whatever the model: what the next one is warmed up with, and what drift is seen in.

A ring's place is the number of the close modulo its length, so its bytes do not depend on how candles were batched.
"""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import FloatArray, IntArray, Rows, kernel

RECENT: Final = 512  # closes of the strategy's timeframe


class RecentRows(NamedTuple):
    """Closes of one symbol, oldest first: rows (n, n_columns), NaN where absent, and probabilities (n,)."""

    rows: FloatArray
    probabilities: FloatArray


@kernel
def remember(
    features: FloatArray,
    rows: IntArray,
    n: int,
    bars: Rows,
    count: int,
    probability_row: int,
    ring: FloatArray,
) -> None:
    """
    Keep what `n` closes showed.

    rows  of `features` that are kept; count: closes before these
    ring  shape (RECENT, len(rows) + 1), the probability last
    """
    n_columns = len(rows)
    for k in range(max(0, n - len(ring)), n):
        place = (count + k) % len(ring)
        is_absent = bars[k].flag_bits & FLAG_ABSENT != 0
        for i in range(n_columns):
            ring[place, i] = np.nan if is_absent else features[rows[i], k]
        ring[place, n_columns] = features[probability_row, k]


class Recent:
    """The rings of all symbols."""

    def __init__(self, n_symbols: int, n_columns: int) -> None:
        length = RECENT if n_columns else 0
        self._rings: FloatArray = np.full((n_symbols, length, n_columns + 1), np.nan)
        self._counts: IntArray = np.zeros(n_symbols, np.int64)

    def add(
        self, symbol: int, features: FloatArray, rows: IntArray, n: int, bars: Rows, probability_row: int
    ) -> None:
        """Keep `n` closes of one symbol; see `remember`."""
        count = int(self._counts[symbol])
        remember(features, rows, n, bars, count, probability_row, self._rings[symbol])
        self._counts[symbol] = count + n

    def restart(self, symbol: int) -> None:
        """Forget what was kept of one symbol."""
        self._rings[symbol] = np.nan
        self._counts[symbol] = 0

    def _order(self, symbol: int) -> IntArray:
        """Return the places of a ring, oldest first."""
        count = int(self._counts[symbol])
        return np.arange(max(0, count - RECENT), count) % RECENT

    def of(self, symbol: int) -> RecentRows:
        """Return copies of what is kept of one symbol."""
        found = self._rings[symbol, self._order(symbol)]
        return RecentRows(found[:, :-1].copy(), found[:, -1].copy())

    def tell(self, symbol: int, probabilities: FloatArray) -> None:
        """Replace the probabilities, oldest first, by those of another model."""
        self._rings[symbol, self._order(symbol), -1] = probabilities

    def save(self) -> dict[str, Rows]:
        """Return the state by name."""
        return {"recent_rows": self._rings, "recent_counts": self._counts}

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""
        self._rings[:] = saved["recent_rows"]
        self._counts[:] = saved["recent_counts"]
