"""A feature of somebody's own as a function over a table of candles: the declaration, and the table that it is handed."""

from collections.abc import Callable
from typing import Any

import numpy as np

from papertape.engine.features.own.tables import TableFeature
from papertape.engine.jit import FloatArray
from papertape.replay.tapes.tables import utc

_COLUMNS = ("open", "high", "low", "close", "volume")


def table_feature(*, look_back: int, name: str = "") -> Callable[[Any], TableFeature]:
    """
    Declare a feature that is a function of a table of candles and returns one value for each of them.

    The function gets a DataFrame of open, high, low, close and volume indexed by open time, of exactly the newest
    `look_back` candles; its last value is the feature's. name: of its column, by itself that of the function.
    """

    def declare(function: Any) -> TableFeature:
        own = name or getattr(function, "__name__", "")
        return TableFeature(own, function, look_back, make_table)

    return declare


def make_table(columns: FloatArray) -> Any:
    """Return columns of open time in ms, open, high, low, close, volume as the table that users' functions take."""
    import pandas as pd

    prices = np.ascontiguousarray(columns[1:])
    return pd.DataFrame(prices.T, index=utc(columns[0].astype(np.int64)), columns=list(_COLUMNS))
