"""
Predictions of a running daemon, from when they are made until their outcome is known.

Of a model that answers whether signals pay no outcome is known here, as in a replay: a prediction does not say the signal.

A prediction is resolved when its whole horizon has passed, so that outcomes come in the order of closes whatever ended each
trade; until then it waits here. Labels are those that models are trained on.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from papertape.daemon.journal import Journal
from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows, join_rows
from papertape.engine.model.training.labels import LabelPrices, Labels, labels_for
from papertape.engine.records import PREDICTION
from papertape.replay.learning.settings import LearningSettings

_PRICES = ("open", "high", "low", "close")


class KnownOutcomes(NamedTuple):
    """Predictions whose outcome is known, by close and symbol: arrays of one length, y NaN where a trade had none."""

    time_ms: IntArray
    symbol: IntArray
    version: IntArray
    p: FloatArray
    y: FloatArray


_NONE: Final = np.zeros(0, np.int64)
NOTHING: Final = KnownOutcomes(_NONE, _NONE, _NONE, np.zeros(0), np.zeros(0))


def read_predictions(journal: Journal, symbols: Sequence[str], after_ms: int) -> Rows:
    """Return what models said at closes after a time, as PREDICTION records; symbols: in the engine's order."""
    index = {symbol: number for number, symbol in enumerate(symbols)}
    names = PREDICTION.names or ()
    found = journal.all(
        f"SELECT {', '.join(names)} FROM predictions WHERE time_ms > ? ORDER BY time_ms, symbol",  # noqa: S608 - of the record
        after_ms,
    )
    rows = np.zeros(len(found), PREDICTION)
    for name, column in zip(names, zip(*found, strict=True), strict=False):
        if name == "symbol":
            rows[name] = [index[value] for value in column]
        else:
            rows[name] = [np.nan if value is None else value for value in column]
    return rows


class Waiting:
    """
    Predictions that wait for their outcome.

    length_ms  of the strategy's timeframe
    """

    def __init__(self, n_symbols: int, length_ms: int, settings: LearningSettings) -> None:
        self._n_symbols, self._length_ms, self._settings = n_symbols, length_ms, settings
        self._rows: Rows = np.zeros(0, PREDICTION)

    def add(self, rows: Rows) -> None:
        """Take in PREDICTION records, in the order in which they were told."""
        if len(rows):
            self._rows = join_rows([self._rows, copy_rows(rows)])

    def resolve(self, reached_ms: int) -> KnownOutcomes:
        """Return those whose horizon has passed at a close, and let go of them."""
        known_ms = reached_ms - self._settings.horizon_bars * self._length_ms
        rows = self._rows
        chosen = rows["time_ms"] <= known_ms
        found = rows[chosen]
        if not len(found):
            return NOTHING
        first_ms = int(rows["time_ms"].min())
        n = (reached_ms - first_ms) // self._length_ms + 1
        y = np.stack([self._labels(symbol, first_ms, n).y for symbol in range(self._n_symbols)])
        at = (found["time_ms"] - first_ms) // self._length_ms
        self._rows = copy_rows(np.ascontiguousarray(rows[~chosen]))
        symbol = found["symbol"].copy()
        return KnownOutcomes(
            found["time_ms"].copy(),
            symbol,
            found["version"].copy(),
            found["probability"].copy(),
            y[symbol, at],
        )

    def _labels(self, symbol: int, first_ms: int, n: int) -> Labels:
        """Return what followed each close of one symbol, on the grid; a close without a prediction was absent."""
        mine = self._rows[self._rows["symbol"] == symbol]
        at = (mine["time_ms"] - first_ms) // self._length_ms
        grid = {name: np.full(n, np.nan) for name in (*_PRICES, "atr")}
        for name, values in grid.items():
            values[at[at < n]] = mine[name][at < n]
        return labels_for(self._settings, LabelPrices(**grid))
