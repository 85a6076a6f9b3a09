"""
Technical signals, one file per family, each value from the candles up to its own.

    trend        EMA, SMA, WMA, MACD, ADX and DI, Aroon, regression slope
    momentum     RSI, stochastic, CCI, rate of change, Williams %R
    volatility   ATR, Bollinger, Keltner, Donchian, realised volatility
    volume       OBV, money flow, session VWAP, volume z-score
    shape        log returns, candle shape, time on a circle; in the table alone: the candle itself (`close`, `volume` …)
    derivatives  funding, mark, index, open interest, long/short ratio, and what is made of them
    smc          market structure: events, and columns that say where price stands among them
    own          features of somebody's own: objects, kernels, functions over a table
    known        series beside the candles: what was known of each at every close
    history      the columns that kernels read, and sliding windows
    requests     what a request says: symbol, name, timeframe
    table codes  one row per feature: requests, parameters, warm-up, state; the numbers by which kernels know them
    evaluate     a feature over an array of candles
    compute      every feature of a series, a whole batch at a time
    resample     causal candles of higher timeframes
    series matrix   one symbol on one timeframe; every symbol on every timeframe
    reading      candles that many engines read: each request computed once for all of them
    answers      what strategies in kernels wanted there, for engines that differ in their account alone
"""

from papertape.engine.features.compute import perceive
from papertape.engine.features.evaluate import evaluate
from papertape.engine.features.requests import split_request
from papertape.engine.features.table import FEATURES, FeaturePlan, columns_of, plan_features, read_request

__all__ = [
    "FEATURES",
    "FeaturePlan",
    "columns_of",
    "evaluate",
    "perceive",
    "plan_features",
    "read_request",
    "split_request",
]
