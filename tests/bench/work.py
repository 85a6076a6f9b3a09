"""The work that is measured: engine specifications and the feeds that drive them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

from papertape.engine.core import Engine
from papertape.engine.features import FEATURES
from papertape.engine.jit import Rows
from papertape.engine.loop import run
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import BracketW2, Confluence, EmaCross
from papertape.replay.backtesting.recorder import Counter

# Reference results: candles → (W1 equity, W1 fills, W2 equity, W2 fills).
REFERENCE = {
    10_000: (1_095_631.979158322, 270, 957_984.5657042486, 168),
    100_000: (1_703_942.0951185147, 2_875, 543_300.4639085397, 1_810),
    1_000_000: (3_139_025.375550832, 29_464, 2_044.3764142930302, 18_100),
}
_MARKET = Market("X", taker_fee_rate=5e-4, half_spread_rate=0.0, slippage_rate=1e-4)
_CASH = 1_000_000.0


class Batches:
    """A feed that hands out one array in slices, again and again if asked."""

    def __init__(self, candles: Rows, batch: int, times: int = 1) -> None:
        self.candles, self.batch, self.times = candles, batch, times

    async def __aiter__(self) -> AsyncIterator[Rows]:
        span = int(self.candles["open_ms"][-1] - self.candles["open_ms"][0]) + 60_000
        for number in range(self.times):
            for start in range(0, len(self.candles), self.batch):
                part = self.candles[start : start + self.batch]
                if number:
                    part = part.copy()
                    part["open_ms"] += number * span
                yield part


def w1(timeframe: str = "1m") -> EngineSpec:
    """Return W1: two averages, all-in."""
    return EngineSpec([_MARKET], EmaCross(), timeframe, "1m", _CASH, Settings("all_in"))


def w2() -> EngineSpec:
    """Return W2: eight indicators, a bracket, sized by risk."""
    return EngineSpec([_MARKET], BracketW2(), "1m", "1m", _CASH, Settings("risk", 0.001))


TECHNICAL = tuple(name for name, row in FEATURES.items() if name != "smc" and not row.is_series)


def everything(extra: Sequence[str] = TECHNICAL, use_smc: bool = False) -> EngineSpec:
    """Return the default strategy with every technical feature, or structure too, computed on every candle."""
    return EngineSpec(
        [_MARKET],
        Confluence(use_smc=use_smc),
        "1m",
        "1m",
        _CASH,
        Settings("risk", 0.001),
        extra_features=extra,
    )


def drive(spec: EngineSpec, feed: Batches) -> tuple[float, Engine, Counter]:
    """Run a feed through a fresh engine and return (seconds, engine, counts)."""
    engine, counter = Engine(spec), Counter()
    started = time.perf_counter()
    asyncio.run(run(engine, feed, [counter]))
    return time.perf_counter() - started, engine, counter
