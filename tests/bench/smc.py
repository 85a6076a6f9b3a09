"""
What market structure costs: all concepts together, in a replay and from Python, beside the batch package.

The batch package is asked for its full set on the newest 1,000 candles, which is what a program that wants fresh
values has to do at every candle; ours takes the one candle that is new. Times are of the processor, so that a busy
machine does not count.
"""

import contextlib
import io
import math
import statistics
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

from papertape.engine.features import perceive, plan_features
from papertape.engine.features.smc import EVENT, SmartMoney
from papertape.engine.jit import Rows
from tests.bench.candles import make

# Microseconds per candle that must be reached, and what we aim at.
GOALS = {"replay": (4.0, 1.5), "one at a time": (50.0, 15.0)}
_BLOCK = 512
_EVENT_ROWS = 64 * _BLOCK


def replay_us(candles: Rows, runs: int = 3) -> float:
    """Return microseconds per candle of the feature in blocks, events and every column included; the best run."""
    plan = plan_features(("smc",), 60_000)
    names = ("open_ms", "open", "high", "low", "close", "volume")
    history = np.ascontiguousarray(np.stack([candles[name].astype(float) for name in names]))
    out = np.zeros((len(plan.columns), _BLOCK))
    events, written = np.zeros(_EVENT_ROWS, EVENT), np.zeros(1, np.int64)
    seconds = []
    for _ in range(runs + 1):
        slab = plan.initial_state().view(np.float64).reshape(-1)
        started = time.process_time()
        for first in range(0, len(candles), _BLOCK):
            last = min(first + _BLOCK, len(candles))
            written[0] = 0
            perceive(history, first, last, first, plan, slab, out, events, written)
        seconds.append(time.process_time() - started)
    return min(seconds[1:]) / len(candles) * 1e6


def one_at_a_time_us(candles: Rows) -> float:
    """Return the median microseconds from a candle to its events, from Python."""
    market = SmartMoney("1m")
    half = len(candles) // 2
    market.update(candles[:half])
    taken = []
    for number in range(half, len(candles)):
        candle = candles[number : number + 1]
        started = time.process_time_ns()
        market.update(candle)
        taken.append(time.process_time_ns() - started)
    return statistics.median(taken) / 1e3


def batch_package_ms(candles: Rows, runs: int = 3) -> float:
    """Return the median milliseconds of the batch package's full set on these candles."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # its own: chained assignment, silent downcasting
        from smartmoneyconcepts import smc

        table = pd.DataFrame({n: candles[n] for n in ("open", "high", "low", "close", "volume")})
        table.index = pd.to_datetime(candles["open_ms"], unit="ms")
        seconds = []
        for _ in range(runs + 1):
            started = time.process_time()
            smc.fvg(table)
            swings = smc.swing_highs_lows(table, swing_length=5)
            smc.bos_choch(table, swings)
            smc.ob(table, swings)
            smc.liquidity(table, swings)
            smc.previous_high_low(table, "4h")
            smc.sessions(table, "London")
            smc.retracements(table, swings)
            seconds.append(time.process_time() - started)
    return statistics.median(seconds[1:]) * 1e3


def exponent(sizes: list[int], per_candle: list[float]) -> float:
    """Return the slope of total time against length on logarithmic axes; 1 is linear."""
    x = [math.log(n) for n in sizes]
    y = [math.log(n * us) for n, us in zip(sizes, per_candle, strict=True)]
    return float(np.polyfit(x, y, 1)[0])


def speeds(n: int = 1_000_000) -> dict[str, Any]:
    """
    Return what was measured: microseconds per candle by length, the exponent, one candle at a time, the batch package.

    n  candles of the longest tape
    """
    candles = make(n)
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= n]
    # A short tape is repeated until it takes long enough to be timed.
    per_candle = [replay_us(candles[:size], max(3, min(100, 100_000 // size))) for size in sizes]
    alone = one_at_a_time_us(candles[:4_000])
    package = batch_package_ms(candles[:1_000])
    return {
        "sizes": sizes,
        "replay_us": per_candle,
        "exponent": exponent(sizes, per_candle),
        "one_at_a_time_us": alone,
        "batch_package_us": package * 1e3,
        "times_faster": package * 1e3 / alone,
        "is_met": per_candle[-1] <= GOALS["replay"][0] and alone <= GOALS["one at a time"][0],
    }
