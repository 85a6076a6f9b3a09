"""
Technical signals, one file per family, each value from the candles up to its own.

    trend        EMA, SMA, WMA, MACD, ADX and DI, Aroon, regression slope
    momentum     RSI, stochastic, CCI, rate of change, Williams %R
    volatility   ATR, Bollinger, Keltner, Donchian, realised volatility
    volume       OBV, money flow, session VWAP, volume z-score
    shape        log returns, candle shape, time on a circle
    frames       causal candles of higher timeframes
    smc          market structure: events, and columns that say where price stands among them
    history      the columns that kernels read, and sliding windows
    table        one row per feature: requests, parameters, warm-up, state
    evaluate     a feature over an array of candles
    perceive     every feature of a lane, a whole batch at a time
"""

from papertape.engine.features.compute import perceive
from papertape.engine.features.evaluate import evaluate
from papertape.engine.features.table import (
    FEATURES,
    FeaturePlan,
    columns_of,
    plan_features,
    read_request,
)

__all__ = [
    "FEATURES",
    "FeaturePlan",
    "columns_of",
    "evaluate",
    "perceive",
    "plan_features",
    "read_request",
]
