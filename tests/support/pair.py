"""A strategy that trades one symbol against another: its candle, its longer trend and its past."""

import math
from typing import Any

from papertape.engine.records import FLAT, LONG, SHORT
from papertape.engine.strategies import Decision


class Pair:
    """
    Sell what has outrun another symbol and buy what fell behind it; leave when the other's candle is not there.

    other  the symbol; longer: a timeframe above the strategy's
    """

    history_bars = 12
    state_fields = ("before",)

    def __init__(self, other: str = "AAA", longer: str = "4h") -> None:
        self.other, self.longer = other, longer

    @property
    def features(self) -> tuple[str, ...]:
        other = self.other
        return (f"{other}:close", f"{other}:rsi_4@{self.longer}", "rsi_14", f"{other}:ema_5")

    def decide(self, view: Any) -> Decision | None:
        close, rsi = view[f"{self.other}:close"], view[f"{self.other}:rsi_4@{self.longer}"]
        if math.isnan(close) or math.isnan(rsi):
            return Decision(FLAT) if view.position else None
        past = view.history(f"{self.other}:close", 12)
        strength = view.close / close - view.history("close", 12)[0] / past[0]
        view.state.before = strength if strength == strength else 0.0
        if view.position == 0.0 and abs(strength) > 0.01 and view["rsi_14"] != rsi:
            return Decision(SHORT if strength > 0 else LONG, stop_distance=0.03 * view.close)
        return Decision(FLAT) if abs(strength) < 0.002 else None
