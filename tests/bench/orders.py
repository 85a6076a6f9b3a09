"""Working orders: sixteen that rest on every candle, and a strategy in Python that looks back and places two at every close."""

from typing import Any, Final

import numpy as np

from papertape.engine.spec import EngineSpec, Market, Settings
from tests.bench.candles import make
from tests.bench.work import Batches, drive

RESTING_MUST_PER_S: Final = 2e6
MUST_US: Final = 12.0
_MARKET: Final = Market("X", is_perpetual=True)


class Sixteen:
    """Rests sixteen orders that no candle meets, once."""

    features = ()

    def decide(self, view: Any) -> None:
        """Place them at the first close."""
        if not view.orders:
            for step in range(8):
                view.buy(0.01, limit=view.close * (0.01 + 0.001 * step))
                view.sell(0.01, limit=view.close * (50 + step))


class TwoOrders:
    """Takes back what rests and places an order on either side of the last fifty closes."""

    features = ()
    history_bars = 50

    def decide(self, view: Any) -> None:
        """Ask anew at every close."""
        closes = view.history("close", 50)
        view.cancel()
        view.buy(0.01, limit=0.5 * float(closes[0]))
        view.sell(0.01, limit=2.0 * float(closes[-1]))


def speeds(n: int, runs: int) -> list[dict[str, Any]]:
    """Return the lines of the table."""
    candles = make(n)
    tape = Batches(candles, 2048)
    resting = EngineSpec([_MARKET], Sixteen(), "1d", "1m", 1e6, Settings("all_in"))
    drive(resting, tape)
    rate = n / float(np.median([drive(resting, tape)[0] for _ in range(runs)]))
    few = Batches(candles[: n // 10], 2048)
    asking = EngineSpec([_MARKET], TwoOrders(), "1m", "1m", 1e6, Settings("all_in"))
    drive(asking, few)
    seconds = float(np.median([drive(asking, few)[0] for _ in range(runs)]))
    each_us = seconds / len(few.candles) * 1e6
    return [
        {
            "work": "sixteen resting orders",
            "candles": n,
            "m_candles_per_s": rate / 1e6,
            "must": RESTING_MUST_PER_S,
            "is_met": rate >= RESTING_MUST_PER_S,
        },
        {
            "work": "Python, 50 closes and two orders",
            "candles": len(few.candles),
            "us_per_candle": each_us,
            "must": MUST_US,
            "is_met": each_us <= MUST_US,
        },
    ]
