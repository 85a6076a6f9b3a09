"""Several symbols in one account: ten beside one, and two hundred perpetuals on shared margin for a year of hours."""

import time
from typing import Any, Final

import numpy as np

from papertape.engine.jit import Rows
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import BracketW2, Confluence
from tests.bench.candles import make
from tests.bench.work import TECHNICAL, Batches, drive
from tests.support.helpers import interleave

MUST_TIMES: Final = 10.0  # of one symbol's seconds
MUST_S: Final = 10.0
_CASH: Final = 1_000_000.0
_HOURS: Final = 8_784
_APART: Final = 40  # candles between the parts of the walk that two neighbours are made of


def ten_beside_one(n: int, runs: int) -> dict[str, Any]:
    """Return the least seconds of W2's work for one symbol and for ten that share an account, in turn."""
    one, ten = (Batches(_walks(count, n), 2048 * count) for count in (1, 10))
    seconds: dict[int, float] = {}
    drive(_bracket(10), ten)
    for _ in range(runs):
        for count, tape in ((1, one), (10, ten)):
            taken, _, _ = drive(_bracket(count), tape)
            seconds[count] = min(taken, seconds.get(count, taken))
    times = seconds[10] / seconds[1]
    return {
        "work": "ten symbols in one account",
        "candles": 10 * n,
        "m_candles_per_s": 10 * n / seconds[10] / 1e6,
        "times_one": times,
        "must": MUST_TIMES,
        "is_met": times <= MUST_TIMES,
    }


def year_of_many(n_symbols: int = 200) -> dict[str, Any]:
    """Return the seconds of a year of hours of many perpetuals, cross margin, every technical feature of each."""
    candles = _walks(n_symbols, _HOURS, 3_600_000)
    spec = _cross(n_symbols)
    drive(_cross(2), Batches(_walks(2, 200, 3_600_000), 64))
    started = time.perf_counter()
    _, engine, counter = drive(spec, Batches(candles, 64 * n_symbols))
    seconds = time.perf_counter() - started
    assert int(engine.account[0].instants) == _HOURS
    return {
        "work": f"{n_symbols} symbols, a year of hours",
        "candles": len(candles),
        "fills": counter.fills,
        "seconds": seconds,
        "must": MUST_S,
        "is_met": seconds <= MUST_S,
    }


def _walks(n_symbols: int, n: int, length_ms: int = 60_000) -> Rows:
    """Return candles of several symbols: parts of one walk, each a little later than the one before."""
    walk = make(n + _APART * (n_symbols - 1))
    parts = []
    for number in range(n_symbols):
        part = walk[number * _APART : number * _APART + n].copy()
        part["open_ms"] = int(walk["open_ms"][0]) + length_ms * np.arange(n)
        parts.append(part)
    return interleave(parts)


def _bracket(n_symbols: int) -> EngineSpec:
    markets = [Market(f"S{i:03}", taker_fee_rate=5e-4, slippage_rate=1e-4) for i in range(n_symbols)]
    return EngineSpec(markets, BracketW2(), "1m", "1m", _CASH, Settings("risk", 0.001))


def _cross(n_symbols: int) -> EngineSpec:
    margin = {"leverage": 10.0, "maintenance_rate": 0.005}
    markets = [
        Market(f"S{i:03}", is_perpetual=True, taker_fee_rate=5e-4, slippage_rate=1e-4, **margin)
        for i in range(n_symbols)
    ]
    settings = Settings("risk", 0.001, leverage_cap=10.0, margin="cross")
    strategy = Confluence(use_smc=False)
    return EngineSpec(markets, strategy, "1h", "1h", _CASH, settings, extra_features=TECHNICAL)
