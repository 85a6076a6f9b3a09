"""An example of a strategy in Python: buy weakness in an uptrend, leave when it is over. Copy it and change it."""

from papertape.engine.records import FLAT, LONG
from papertape.engine.strategies.protocol import Decision, View


class RsiReversion:
    """
    Long when the two-bar RSI is below `entry` and the close above its long average; out when RSI is above `exit`.

    Connors and Alvarez, Short Term Trading Strategies That Work (2008), chapter 9, with a stop added.
    """

    features = ("rsi_2", "sma_200", "atr_14")

    def __init__(self, entry: float = 10.0, exit: float = 70.0, stop_atr: float = 3.0) -> None:
        self.entry, self.exit, self.stop_atr = entry, exit, stop_atr

    def decide(self, view: View) -> Decision | None:
        """Return what to hold; None keeps it."""
        if view.position == 0.0:
            if view["rsi_2"] < self.entry and view.close > view["sma_200"]:
                stop_distance = self.stop_atr * view["atr_14"]
                return Decision(LONG, stop_distance=stop_distance, score_technical=1.0)
        elif view["rsi_2"] > self.exit:
            return Decision(FLAT)
        return None
