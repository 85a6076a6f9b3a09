"""The candles seen so far, as plain columns: a batch view needs them all, so memory grows with the tape here."""

from collections.abc import Callable

import numpy as np

from papertape.engine.jit import FloatArray, Row

View = dict[str, FloatArray]  # columns of the batch package by name, one cell per candle
Rounding = Callable[[float], float]


class Series:
    """Six growing columns; the newest candle has the number `last`."""

    def __init__(self) -> None:
        self.open_ms: list[int] = []
        self.open: list[float] = []
        self.high: list[float] = []
        self.low: list[float] = []
        self.close: list[float] = []
        self.volume: list[float] = []

    def __len__(self) -> int:
        return len(self.open_ms)

    @property
    def last(self) -> int:
        """Return the number of the newest candle, -1 before the first."""
        return len(self.open_ms) - 1

    def add(self, candle: Row) -> None:
        """Append one final candle."""
        self.open_ms.append(int(candle["open_ms"]))
        for name in ("open", "high", "low", "close", "volume"):
            getattr(self, name).append(float(candle[name]))


def rounding(single_precision: bool) -> Rounding:
    """Return how a stored price is held: as given, or rounded to float32 as the batch package does."""
    return _to_single if single_precision else float


def _to_single(value: float) -> float:
    return float(np.float32(value))


def empty_view(n: int, *names: str) -> View:
    """Return columns in which no cell is stamped."""
    return {name: np.full(n, np.nan) for name in names}
