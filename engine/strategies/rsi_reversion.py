"""An example of a strategy in Python: buy weakness in an uptrend, leave when it is over. Copy it and change it."""

from dataclasses import dataclass

from papertape.engine.records import FLAT, LONG
from papertape.engine.strategies.parameters import parameter
from papertape.engine.strategies.protocol import Decision
from papertape.engine.strategies.view import View


@dataclass
class RsiReversion:
    """
    Long when the two-bar RSI is below `entry` and the close above its long average; out when RSI is above `exit`.

    Connors and Alvarez, Short Term Trading Strategies That Work (2008), chapter 9, with a stop added.
    """

    features = ("rsi_2", "sma_200", "atr_14")

    entry: float = parameter(10.0, low=0.0, high=100.0, help="RSI below which it buys")
    exit: float = parameter(70.0, low=0.0, high=100.0, help="RSI above which it sells")
    stop_atr: float = parameter(3.0, low=0.0, help="distance of the stop in ATR; 0: none")

    def decide(self, view: View) -> Decision | None:
        """Return what to hold; None keeps it."""
        if view.position == 0.0:
            if view["rsi_2"] < self.entry and view.close > view["sma_200"]:
                stop_distance = self.stop_atr * view["atr_14"]
                return Decision(LONG, stop_distance=stop_distance, score_technical=1.0)
        elif view["rsi_2"] > self.exit:
            return Decision(FLAT)
        return None
