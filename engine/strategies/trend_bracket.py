"""W2 of the reference benchmark: eight indicators agree, then a bracket of two ATR down and three up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, Rows, kernel, record
from papertape.engine.records import FLAT, KEEP, LONG
from papertape.engine.strategies.decisions import want

STATE: Final = record(("bars", "i8"), ("was_above", "i8"))

_FAST, _SLOW, _MACD, _SIGNAL, _RSI, _ATR, _UPPER, _MIDDLE = 0, 1, 2, 3, 5, 6, 7, 8
_WARM_UP_BARS: Final = 40
_STOP_ATR: Final = 2.0
_TARGET_ATR: Final = 3.0


@kernel
def decide(features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows) -> None:
    """Enter on the cross that everything confirms; leave when fast is no longer above slow."""
    bars = state[0].bars
    was_above = state[0].was_above
    for k in range(n):
        is_above = 1 if features[_FAST, k] > features[_SLOW, k] else 0
        target = KEEP if is_above == 1 else FLAT
        close = candles[k].close
        if (
            bars >= _WARM_UP_BARS
            and is_above == 1
            and was_above == 0
            and features[_MACD, k] > features[_SIGNAL, k]
            and 50.0 < features[_RSI, k] < 75.0
            and features[_MIDDLE, k] < close < features[_UPPER, k]
        ):
            target = LONG
        atr = features[_ATR, k]
        want(decisions[k], target, _STOP_ATR * atr, _TARGET_ATR * atr, 1.0, 1.0)
        was_above = is_above
        bars += 1
    state[0].bars = bars
    state[0].was_above = was_above


@dataclass(slots=True)
class BracketW2:
    """
    Long only: EMA 12/26 cross with MACD, RSI, Bollinger confirming; stop 2 ATR, target 3 ATR.

    Size it by risk 0.001 to reproduce the reference.
    """

    name: str = field(default="bracket_w2", init=False)
    state_dtype: np.dtype[Any] = field(default=STATE, init=False)
    features: Sequence[str] = field(
        default=(
            "ema_12:first",
            "ema_26:first",
            "macd_12_26_9:first",
            "rsi_14:first",
            "atr_14:first",
            "bollinger_20_2",
        ),
        init=False,
    )

    def decide_batch(self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows) -> None:
        """Write `n` decisions."""
        decide(features, candles, n, state, decisions)
