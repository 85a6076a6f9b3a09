"""A feature over a whole array of candles at once: for proofs, tests and notebooks."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from papertape.engine.candles import HOUR_MS
from papertape.engine.features.compute import perceive
from papertape.engine.features.history import N_ROWS
from papertape.engine.features.own.base import NewCandles, OwnFeature
from papertape.engine.features.own.series import OwnSeries, refuse_bad
from papertape.engine.features.smc.events import EVENT
from papertape.engine.features.table import plan_features
from papertape.engine.jit import FloatArray, Rows


def evaluate(
    request: str,
    candles: Rows,
    length_ms: int = HOUR_MS,
    own: Mapping[str, OwnFeature] = MappingProxyType({}),
) -> FloatArray:
    """
    Return the columns of one feature, shape (n_columns, n), by the same kernel that the engine runs.

    candles    CANDLE records of one symbol and timeframe, in time order
    length_ms  of a candle, for features that look at the clock; own: features of somebody's own, by name

    Raises StrategyError where one of those has no value that a float could be.
    """
    plan = plan_features((request,), length_ms, own)
    history = history_of(candles, plan.has_series)
    out: FloatArray = np.full((len(plan.columns), len(candles)), np.nan)
    slab = plan.initial_state().view(np.float64).reshape(-1)
    if len(candles):
        nobody = np.zeros(1, EVENT)
        perceive(history, 0, len(candles), 0, plan, slab, out, nobody, np.zeros(1, np.int64))
        bad = OwnSeries(plan.own, slab).update(NewCandles(history, 0, len(candles), 0), out)
        refuse_bad(bad, "", candles["open_ms"] + length_ms)
    return out


def history_of(candles: Rows, has_series: bool = False) -> FloatArray:
    """Return candles as the columns that kernels read, shape (6, n); of series there are none: NaN, shape (11, n)."""
    names = ("open_ms", "open", "high", "low", "close", "volume")
    history: FloatArray = np.full((N_ROWS if has_series else len(names), len(candles)), np.nan)
    for row, name in enumerate(names):
        history[row] = candles[name]
    return history
