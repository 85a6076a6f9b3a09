"""Technical features against TA-Lib 0.8, from its own first valid candle on."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
import talib

from papertape.engine.candles import CANDLE
from papertape.engine.features import evaluate
from papertape.engine.jit import Rows
from tests.support.helpers import SHARED, needs_shared, random_candles

Oracle = Callable[[dict[str, np.ndarray]], Sequence[np.ndarray]]

CASES: dict[str, Oracle] = {
    "ema_12": lambda d: [talib.EMA(d["close"], 12)],
    "ema_1": lambda d: [d["close"]],
    "sma_20": lambda d: [talib.SMA(d["close"], 20)],
    "wma_15": lambda d: [talib.WMA(d["close"], 15)],
    "macd_12_26_9": lambda d: talib.MACD(d["close"], 12, 26, 9),
    "macd_5_13_4": lambda d: talib.MACD(d["close"], 5, 13, 4),
    "adx_14": lambda d: [
        talib.ADX(d["high"], d["low"], d["close"], 14),
        talib.PLUS_DI(d["high"], d["low"], d["close"], 14),
        talib.MINUS_DI(d["high"], d["low"], d["close"], 14),
    ],
    "aroon_14": lambda d: [
        *reversed(talib.AROON(d["high"], d["low"], 14)),
        talib.AROONOSC(d["high"], d["low"], 14),
    ],
    "slope_14": lambda d: [talib.LINEARREG_SLOPE(d["close"], 14)],
    "rsi_14": lambda d: [talib.RSI(d["close"], 14)],
    "rsi_2": lambda d: [talib.RSI(d["close"], 2)],
    "stochastic_5_3_3": lambda d: talib.STOCH(d["high"], d["low"], d["close"], 5, 3, 0, 3, 0),
    "stochastic_14_3_5": lambda d: talib.STOCH(d["high"], d["low"], d["close"], 14, 3, 0, 5, 0),
    "cci_14": lambda d: [talib.CCI(d["high"], d["low"], d["close"], 14)],
    "roc_10": lambda d: [talib.ROC(d["close"], 10)],
    "williams_r_14": lambda d: [talib.WILLR(d["high"], d["low"], d["close"], 14)],
    "atr_14": lambda d: [talib.ATR(d["high"], d["low"], d["close"], 14)],
    "bollinger_20_2": lambda d: talib.BBANDS(d["close"], 20, 2.0, 2.0),
    "bollinger_5_1.5": lambda d: talib.BBANDS(d["close"], 5, 1.5, 1.5),
    "donchian_20": lambda d: [talib.MAX(d["high"], 20), talib.MIN(d["low"], 20)],
    "mfi_14": lambda d: [talib.MFI(d["high"], d["low"], d["close"], d["volume"], 14)],
    "obv": lambda d: [talib.OBV(d["close"], d["volume"])],
}


def check(name: str, candles: Rows) -> None:
    """Compare every column of a feature with TA-Lib's wherever TA-Lib says something."""
    columns = {c: candles[c].copy() for c in ("open", "high", "low", "close", "volume")}
    ours = evaluate(name, candles)
    for row, theirs in enumerate(CASES[name](columns)):
        said = np.isfinite(theirs)
        # DI is said earlier by TA-Lib than ADX; a feature has one warm-up.
        said &= np.arange(len(said)) >= np.argmax(np.isfinite(ours[row]))
        assert said.sum() > len(said) // 2
        scale = np.maximum(np.abs(theirs[said]), 1.0)
        worst = np.max(np.abs(ours[row][said] - theirs[said]) / scale)
        assert worst < 1e-9, f"{name} column {row}: {worst:.2e}"


def as_candles(table: pd.DataFrame) -> Rows:
    """Return a table of open, high, low, close, volume indexed by open time as CANDLE records."""
    candles = np.zeros(len(table), CANDLE)
    candles["open_ms"] = pd.DatetimeIndex(table.index).as_unit("ms").asi8
    for name in ("open", "high", "low", "close", "volume"):
        candles[name] = table[name].to_numpy()
    return candles


@pytest.mark.parametrize("name", CASES)
def test_feature_equals_talib_on_a_tick_rounded_walk(name: str) -> None:
    check(name, random_candles(3_000, seed=3, tick=0.05))


@needs_shared
@pytest.mark.parametrize("name", CASES)
def test_feature_equals_talib_on_real_candles(name: str) -> None:
    path = SHARED / "data/candles/binance-spot_ADAUSDT_15m_20230401_20240409.parquet"
    frame = pd.read_parquet(path)
    frame.index = pd.to_datetime(frame.pop("open_time"), unit="ms", utc=True)

    check(name, as_candles(frame))
