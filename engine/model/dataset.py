"""Rows to learn from: the columns a model may read and the prices that make its labels, of every symbol at every close."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.jit import FloatArray, IntArray


class Dataset(NamedTuple):
    """
    What an engine knew at each of n closes of the strategy's timeframe, oldest first.

    symbols, columns       names; timeframe: of the closes
    time_ms                shape (n,), the closes, ascending
    x                      shape (n_symbols, n, n_columns), NaN where a value is missing and in absent candles
    open high low close    shape (n_symbols, n), of the candle that ends there; NaN or flat in absent candles
    atr                    shape (n_symbols, n), `atr_14` at the close
    definitions            digests of the features of somebody's own that are read, by name
    side                   shape (n_symbols, n), the strategy's own signal: +1, −1, or 0 for none; None where no model is
                           asked about it
    """

    symbols: tuple[str, ...]
    columns: tuple[str, ...]
    timeframe: str
    time_ms: IntArray
    x: FloatArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    atr: FloatArray
    definitions: Mapping[str, str] = MappingProxyType({})
    side: FloatArray | None = None

    def until(self, ms: int) -> "Dataset":
        """Return the rows that were known at a time: closes at or before it."""
        return self._rows(slice(0, int(np.searchsorted(self.time_ms, ms, "right"))))

    def between(self, after_ms: int, until_ms: int) -> "Dataset":
        """Return the rows with closes after one time and up to another."""
        first, end = np.searchsorted(self.time_ms, [after_ms, until_ms], "right")
        return self._rows(slice(int(first), int(end)))

    def inputs(self, names: Sequence[str]) -> FloatArray:
        """Return some columns in the order of the names, shape (n_symbols, n, n_names), or raise DataError."""
        for name in names:
            if name not in self.columns:
                raise DataError(
                    f"training: input {name!r} is no column of the rows{did_you_mean(name, self.columns)}"
                )
        return self.x[:, :, [self.columns.index(name) for name in names]]

    def check(self) -> None:
        """Raise DataError unless every array fits the names and time goes forward."""
        n_symbols, n = len(self.symbols), len(self.time_ms)
        shapes = {
            "x": (n_symbols, n, len(self.columns)),
            **dict.fromkeys(("open", "high", "low", "close", "atr"), (n_symbols, n)),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value.shape != shape or value.dtype != np.float64:
                raise DataError(
                    f"training: {name} of type {value.dtype} and shape {value.shape} is not float64 {shape}"
                )
        if self.side is not None and (
            self.side.shape != (n_symbols, n) or not np.isin(self.side, (-1.0, 0.0, 1.0)).all()
        ):
            raise DataError(
                f"training: side of shape {self.side.shape} is not ({n_symbols}, {n}), each 1, −1 or 0"
            )
        timeframe_ms(self.timeframe)
        if n == 0 or n_symbols == 0:
            raise DataError(f"training: {n_symbols} symbols and {n} closes are nothing to learn from")
        if (np.diff(self.time_ms) <= 0).any():
            raise DataError("training: the closes are not in the order of time")

    def _rows(self, chosen: slice) -> "Dataset":
        names = ["x", "open", "high", "low", "close", "atr"]
        if self.side is not None:
            names.append("side")
        cut = {name: getattr(self, name)[:, chosen] for name in names}
        return self._replace(time_ms=self.time_ms[chosen], **cut)
