"""
Features as subjects of a proof: built-in ones, and what users wrote, which is loaded anew in every process that runs it.

A feature of somebody's own is run as the engine runs it. Of one that is a function of a table two things more are asked: that
the function says the same of a candle when it is shown the whole tape, as on a chart, before and after its end; and that
no more candles than it declares change its value.
"""

from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any, Final

import numpy as np
import pandas as pd

from papertape.engine.errors import ConfigError, StrategyError
from papertape.engine.features import evaluate, plan_features, split_request
from papertape.engine.features.evaluate import history_of
from papertape.engine.features.own.base import OwnFeature
from papertape.engine.features.own.kernels import KernelFeature
from papertape.engine.features.own.names import as_feature, own_features
from papertape.engine.features.own.tables import TableFeature, told_difference
from papertape.engine.jit import Rows
from papertape.engine.strategies import load_object
from papertape.replay.research.subjects import Foreign, Said, Subject
from papertape.replay.tapes.own_features import names_code
from papertape.replay.tapes.tables import candle_frame

_TRIED: Final = 16  # candles at which a value is compared with that of all candles before it


def feature_subject(request: str, step_ms: int) -> Subject | Foreign:
    """
    Return the subject of a built-in feature (`ema_12`) or of what `module:name` names.

    That is a feature of somebody's own, or a function that gets a DataFrame of open, high, low, close, volume indexed by
    open time and returns a value per candle: a Series, a DataFrame, or an array of shape (n,) or (n, k).
    """
    if names_code(request):
        return Foreign(
            lambda candles: _from_path(request, candles, step_ms),
            begin=lambda: _compiled(load_object(request)),
        )
    _refuse_joined(request)
    plan = plan_features((request,), step_ms)

    def subject(candles: Rows) -> Said:
        out = evaluate(request, candles, step_ms)
        closes = candles["open_ms"] + step_ms
        return {name: (closes, out[row]) for row, name in enumerate(plan.columns)}

    return subject


def _refuse_joined(request: str) -> None:
    """Raise ConfigError for a feature of another symbol or timeframe: it is the same feature over other candles."""
    parts = split_request(request)
    if parts.symbol or parts.timeframe:
        raise ConfigError(
            f"prove: feature {request!r} is {parts.name} of other candles, and is proven on those of the tape; write "
            f"{parts.name}, or prove a strategy that reads it"
        )


def given_subject(given: Any, name: str, step_ms: int) -> Foreign:
    """Return the subject of a feature of somebody's own, or of a user's function of a table of candles."""
    return Foreign(lambda candles: _from_given(given, name, candles, step_ms), begin=lambda: _compiled(given))


def _compiled(found: Any) -> None:
    """Compile a feature in a kernel, which takes a second and more; whatever else there is begins when it is run."""
    if isinstance(found, KernelFeature):
        found.start(np.zeros(found.state_dtype.itemsize // 8))


def _from_path(path: str, candles: Rows, step_ms: int) -> Said:
    found = load_object(path)
    if _is_own(found):
        return _from_own(as_feature(found), candles, step_ms)
    if isinstance(found, type | BuiltinFunctionType) or not callable(found):
        raise ConfigError(
            f"{path} is a {type(found).__name__}, neither a function of a table of candles nor a feature of your own; it was "
            "not called"
        )
    return _from_function(found, path, candles, step_ms)


def _from_given(given: Any, name: str, candles: Rows, step_ms: int) -> Said:
    if _is_own(given):
        return _from_own(as_feature(given), candles, step_ms)
    return _from_function(given, name, candles, step_ms)


def _is_own(found: Any) -> bool:
    is_object = not isinstance(found, type) and callable(getattr(found, "update", None))
    return isinstance(found, OwnFeature) or is_object


def _from_own(feature: OwnFeature, candles: Rows, step_ms: int) -> Said:
    """Return the values of a feature, and of one over a table what its function says of the whole tape."""
    own = own_features((feature,))
    values = evaluate(feature.name, candles, step_ms, own)[0]
    said = {feature.name: (candles["open_ms"] + step_ms, values)}
    if isinstance(feature, TableFeature):
        _refuse_longer(feature, candles, values, step_ms)
        said |= _from_function(feature.subject, f"{feature.name} over the whole tape", candles, step_ms)
    return said


def _refuse_longer(feature: TableFeature, candles: Rows, values: Any, step_ms: int) -> None:
    """Raise StrategyError where all candles so far give another value than those that a feature looks back on."""
    columns = history_of(candles)
    n, bars = len(candles), feature.look_back
    for place in np.unique(np.linspace(2 * bars, n - 1, _TRIED, dtype=int)).tolist():
        if place >= n:
            continue
        whole = feature.value_of(columns[:, : place + 1])
        if reason := told_difference(bars, float(values[place]), place + 1, whole):
            close_ms = int(candles["open_ms"][place]) + step_ms
            stamp = np.datetime64(close_ms // 1000, "s")
            raise StrategyError(f"feature {feature.name}: candle closed {stamp}Z: {reason}")


def _from_function(function: Callable[[pd.DataFrame], Any], name: str, candles: Rows, step_ms: int) -> Said:
    """Call a user's function and return its columns."""
    values = function(candle_frame(candles))
    closes = candles["open_ms"] + step_ms
    if isinstance(values, pd.DataFrame):
        columns = {f"{name}.{column}": values[column].to_numpy() for column in values.columns}
    else:
        array = np.asarray(values)
        if array.ndim == 1:
            columns = {name: array}
        else:
            columns = {f"{name}.{i}": array[:, i] for i in range(array.shape[1])}
    for column, array in columns.items():
        if len(array) != len(candles):
            raise ConfigError(
                f"{column}: returned {len(array)} values for {len(candles)} candles; one per candle is needed"
            )
    return {column: (closes, array.astype(np.float64)) for column, array in columns.items()}
