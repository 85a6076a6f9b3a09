"""
What a strategy in Python may look back on: `view.history("close", 50)`.

A strategy that names `history_bars` gets the newest values of every column that it reads, and of its candles, kept per
symbol in a ring that is part of the engine's snapshot. Candles count by the clock, as features count them: an absent one
stands with the price before it and volume 0, so the mean of the newest twenty closes is `sma_20`. A market has no past
before its first candle; until there are as many as were asked for, there are fewer.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.jit import FloatArray, Rows, record

CANDLE_COLUMNS: Final = ("open", "high", "low", "close", "volume")
_MOST_BARS: Final = 5_000  # as the longest window of a feature


def history_bars_of(strategy: Any) -> int:
    """Return how many candles a strategy looks back on, this one included; 0 for none. Raises ConfigError."""
    bars = getattr(strategy, "history_bars", 0)
    if isinstance(bars, bool) or not isinstance(bars, int) or not 0 <= bars <= _MOST_BARS:
        raise ConfigError(
            f"strategy: history_bars {bars!r} is not a whole number of candles between 1 and {_MOST_BARS:,}"
        )
    return bars


def new_past(n_symbols: int, n_columns: int, bars: int) -> Rows:
    """Return the rings of all symbols before the first candle; nothing where `bars` is 0."""
    if not bars:
        return np.zeros(0, record(("count", "i8")))
    width = n_columns + len(CANDLE_COLUMNS)
    return np.zeros(n_symbols, record(("count", "i8"), ("values", "f8", (width, bars))))


class KeepsPast:
    """Who keeps the rings of `new_past` from batch to batch, beside the engine's own state."""

    _past: Rows

    def save(self) -> dict[str, Rows]:
        """Return what is kept: nothing, unless a strategy looks back."""
        return {"past": self._past} if len(self._past) else {}

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""
        if len(self._past):
            self._past[:] = saved["past"]

    def restart(self, symbol: int) -> None:
        """Let a symbol begin anew."""
        if len(self._past):
            self._past[symbol] = np.zeros(1, self._past.dtype)[0]


def unrolled(ring: Rows) -> FloatArray:
    """Return what one record of `new_past` holds of the candles before a batch, oldest first, shape (width, kept)."""
    values, count = ring["values"], int(ring["count"])
    bars = values.shape[1]
    kept = min(count, bars - 1)
    return values[:, np.arange(count - kept, count) % bars]


def roll(rings: Rows, symbol: int, newest: FloatArray, n: int) -> None:
    """Put the last of `n` new candles into a symbol's ring; `newest` ends with them, shape (width, any number)."""
    bars = rings["values"].shape[2]
    count, kept = int(rings["count"][symbol]), min(n, bars)
    at = np.arange(count + n - kept, count + n) % bars
    rings["values"][symbol][:, at] = newest[:, newest.shape[1] - kept :]
    rings["count"][symbol] = count + n


class PastColumns(dict[str, bytes]):
    """
    The past of one symbol during one batch, each column put together when it is first asked for.

    Bytes, so that what a strategy gets can be neither changed nor widened to candles that come later.
    """

    def __init__(
        self, ring: Rows, rows: Mapping[str, int], matrix: FloatArray, candles: Rows, most: int
    ) -> None:
        """
        Take hold of a batch.

        ring     one record of `new_past`, as an array of shape (1,); it may be larger than this symbol needs
        rows     of the columns in `matrix`, in the order of the ring's; after them come those of `candles`
        candles  all of the batch; most: that may be looked back on
        """
        super().__init__()
        self._count, self._values = ring["count"], ring["values"][0]
        self._bars = self._values.shape[1]
        self._kept = min(int(self._count[0]), self._bars - 1)
        self._rows, self._matrix, self._candles = rows, matrix, candles
        self._n, self._most = len(candles), most
        self._is_open = True

    def __missing__(self, name: str) -> bytes:
        names = (*self._rows, *CANDLE_COLUMNS)
        if name not in names:
            raise ConfigError(
                f"view.history({name!r}, …) is neither a feature that it named nor open, high, low, close or volume"
                f"{did_you_mean(name, names)}"
            )
        count = int(self._count[0])
        ring = self._values[names.index(name)]
        earlier = ring[np.arange(count - self._kept, count) % self._bars]
        self[name] = earlier.tobytes() + self._new(name).tobytes()
        return self[name]

    def _new(self, name: str) -> FloatArray:
        """Return the values of the batch."""
        row = self._rows.get(name)
        values = self._candles[name] if row is None else self._matrix[row]
        return values[: self._n]

    def up_to(self, name: str, column: int, bars: int) -> FloatArray:
        """Return up to `bars` values, the newest that of a column of the batch."""
        if not self._is_open:
            raise ConfigError(f"view.history({name!r}, …) was asked for after its candle")
        # An int nearly always: this runs at every candle.
        if type(bars) is not int and isinstance(bars, np.integer):
            bars = int(bars)
        if type(bars) is not int or bars < 1:
            raise ConfigError(f"view.history({name!r}, {bars!r}): {bars!r} is not a number of candles")
        if bars > self._most:
            raise ConfigError(
                f"view.history({name!r}, {bars}) looks further back than history_bars = {self._most}; write "
                f"history_bars = {bars} in the class"
            )
        end = self._kept + column + 1
        return np.frombuffer(self[name][8 * max(end - bars, 0) : 8 * end])

    def close(self) -> None:
        """Put the newest values into the ring, and let go of the batch."""
        self._is_open = False
        if not self._n:
            return
        count, newest = int(self._count[0]), min(self._n, self._bars)
        at = np.arange(count + self._n - newest, count + self._n) % self._bars
        for index, name in enumerate((*self._rows, *CANDLE_COLUMNS)):
            self._values[index, at] = self._new(name)[self._n - newest :]
        self._count[0] = count + self._n
