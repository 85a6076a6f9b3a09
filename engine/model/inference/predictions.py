"""What the model in force said at each close, as records that leave the engine."""

from typing import Final

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import FloatArray, Rows, kernel
from papertape.engine.records import PREDICTION

_NOBODY: Final = -1  # symbol of a row that is not told
_WORDS: Final = PREDICTION.itemsize // 8
_NONE: Final = np.zeros(0, PREDICTION)


@kernel
def tell(
    features: FloatArray,
    n: int,
    bars: Rows,
    length_ms: int,
    probability_row: int,
    atr_row: int,
    symbol: int,
    n_symbols: int,
    predictions: Rows,
) -> None:
    """Write one symbol's row of each of `n` closes, by close and symbol; a candle that was absent gets none."""
    for k in range(n):
        row = predictions[k * n_symbols + symbol]
        bar = bars[k]
        row.symbol = symbol if bar.flag_bits & FLAG_ABSENT == 0 else _NOBODY
        row.time_ms = bar.open_ms + length_ms
        row.probability = features[probability_row, k]
        row.open = bar.open
        row.high = bar.high
        row.low = bar.low
        row.close = bar.close
        row.atr = features[atr_row, k]


class Predictions:
    """
    A buffer for the predictions of one block of candles.

    most  closes of one block; rows: of the feature matrix, where the probability and the ATR are
    """

    def __init__(self, n_symbols: int, most: int, length_ms: int, rows: tuple[int, int]) -> None:
        self._n_symbols, self._most, self._length_ms = n_symbols, most, length_ms
        self._probability_row, self._atr_row = rows
        self._rows = _NONE
        self._closed = 0

    def add(self, symbol: int, features: FloatArray, n: int, bars: Rows) -> None:
        """Write what was said of one symbol at `n` closes, the same number for every symbol of a block."""
        if not len(self._rows):  # most engines never have a model
            self._rows = np.zeros(self._most * self._n_symbols, PREDICTION)
            self._rows["symbol"] = _NOBODY  # nothing is written of what is read only
        tell(
            features,
            n,
            bars,
            self._length_ms,
            self._probability_row,
            self._atr_row,
            symbol,
            self._n_symbols,
            self._rows,
        )
        self._closed = n

    def take(self, version: int) -> Rows:
        """Return what the model of this version said since the last call."""
        if not self._closed:
            return _NONE
        found = self._rows[: self._closed * self._n_symbols]
        self._closed = 0
        # as words: numpy would pick records field by field
        words = found.view(np.int64).reshape(-1, _WORDS)[found["symbol"] != _NOBODY]
        told: Rows = words.reshape(-1).view(PREDICTION)
        told["version"] = version
        return told
