"""The numbers by which `perceive` knows a feature, and the record of one row of its program."""

from typing import Final

from papertape.engine.jit import record

PROGRAM: Final = record(
    ("code", "i8"),
    ("parameters", "f8", (4,)),
    ("state", "i8"),  # where the feature's state begins in the slab, in words of eight bytes
    ("state_length", "i8"),
    ("column", "i8"),  # first row of the output
    ("outputs", "i8"),
)

EMA, SMA, WMA, MACD_LINES, ADX_LINES, AROON, SLOPE = 1, 2, 3, 4, 5, 6, 7
RSI_LINE, STOCHASTIC, CCI, ROC, WILLIAMS_R = 11, 12, 13, 14, 15
ATR, BOLLINGER, KELTNER_LINES, DONCHIAN, VOLATILITY_CLOSE, VOLATILITY_PARKINSON = (21, 22, 23, 24, 25, 26)
OBV_LINE, MFI_LINE, VWAP_LINE, VOLUME_Z = 31, 32, 33, 34
LOG_RETURN, CANDLE_SHAPE, CLOCK, UNTIL = 41, 42, 43, 44
SMC = 51
CANDLE_LINE = 60  # and the column of the history: open 61 … volume 65
SERIES_LINE = (
    70  # and the row of the history: funding 76 … long_short_ratio 80; beyond them what is made of one
)
OPEN_INTEREST_CHANGE, MARK_PREMIUM, INDEX_PREMIUM = 91, 92, 93
