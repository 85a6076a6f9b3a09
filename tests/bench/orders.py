"""Working orders: sixteen that rest on every candle, and a strategy that looks back and places two at every close."""

from typing import Any, Final

import numpy as np

from papertape.engine.jit import kernel
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


class TwoOrdersKernel(TwoOrders):
    """The same text, compiled."""

    decide = kernel(TwoOrders.decide)


def speeds(n: int, runs: int) -> list[dict[str, Any]]:
    """Return the lines of the table."""
    candles = make(n)
    tape = Batches(candles, 2048)
    resting = EngineSpec([_MARKET], Sixteen(), "1d", "1m", 1e6, Settings("all_in"))
    drive(resting, tape)
    rate = n / float(np.median([drive(resting, tape)[0] for _ in range(runs)]))
    few = Batches(candles[: n // 10], 2048)
    each_us, compiled_us = (_each_us(kind(), few, runs) for kind in (TwoOrders, TwoOrdersKernel))
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
        {
            "work": "the same as a kernel",
            "candles": len(few.candles),
            "us_per_candle": compiled_us,
            "of_python": compiled_us / each_us,
            "is_met": True,
        },
    ]


def _each_us(strategy: Any, tape: Batches, runs: int) -> float:
    """Return microseconds a candle of a strategy that decides at every candle, the median of some runs."""
    spec = EngineSpec([_MARKET], strategy, "1m", "1m", 1e6, Settings("all_in"))
    drive(spec, tape)
    seconds = float(np.median([drive(spec, tape)[0] for _ in range(runs)]))
    return seconds / len(tape.candles) * 1e6
