"""Features of somebody's own as a caller names them, and the declaration of those that are functions over a table."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.own.names import as_feature, own_features, request_texts
from papertape.engine.features.own.tables import TableFeature
from papertape.engine.features.requests import VARIANTS
from papertape.engine.features.table import is_built_in
from papertape.engine.jit import FloatArray
from papertape.engine.strategies import load_object
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


def load_feature(path: str) -> OwnFeature:
    """Return the feature that `module:name` names, or raise ConfigError; what is none is not called."""
    found = load_object(path)
    if isinstance(found, type):
        raise ConfigError(f"{path} is a class; {name_an_instance(path)}")
    return as_feature(found)


def names_code(request: str) -> bool:
    """Return whether a request is `module:name` of a feature of somebody's own, and not a feature of another symbol."""
    module, colon, name = request.rpartition(":")
    parts = module.split(".")
    return (
        bool(colon)
        and all(map(str.isidentifier, [*parts, name]))
        and name not in VARIANTS
        and not is_built_in(name)
    )


def with_own(requests: Sequence[str]) -> tuple[tuple[str, ...], dict[str, OwnFeature]]:
    """Return requests by name and the features that `module:name` among them names, or raise ConfigError."""
    read = [load_feature(r) if names_code(r) else r for r in requests]
    return request_texts(read), own_features(read)


def name_an_instance(path: str) -> str:
    """Return what to do about a class that stands where a feature should."""
    module, _, kind = path.partition(":")
    return f"write {kind.lower()} = {kind}() in the module and name {module}:{kind.lower()}"


def make_table(columns: FloatArray) -> Any:
    """Return columns of open time in ms, open, high, low, close, volume as the table that users' functions take."""
    import pandas as pd

    prices = np.ascontiguousarray(columns[1:])
    return pd.DataFrame(prices.T, index=utc(columns[0].astype(np.int64)), columns=list(_COLUMNS))
