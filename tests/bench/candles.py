"""
The candles of the reference benchmark: seeded, the same on every machine.

A geometric random walk of one-minute candles in four sub-steps, with a slow AR(1) drift so that a trend strategy
roughly pays its costs, and a weak pull to the starting price. Prices are rounded to 0.01.
"""

from functools import cache

import numpy as np

from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows

_START_MS = 1_577_836_800_000
_START_PRICE = 30_000.0
_SIGMA = 0.0007
_DRIFT_SCALE = 0.00009
_PHI = 0.99
_PULL = 2e-5


@cache
def make(n: int, seed: int = 7) -> Rows:
    """Return `n` one-minute candles."""
    random = np.random.Generator(np.random.PCG64(seed))
    steps = random.standard_normal((n, 4)) * (_SIGMA / 2.0)
    drift_noise = random.standard_normal(n).tolist()
    gap = (random.standard_normal(n) * 0.3e-4).tolist()
    volume_noise = random.standard_normal(n)
    opens, drift = _recurse(n, steps.sum(axis=1).tolist(), drift_noise, gap)
    path = np.cumsum(steps + (drift / 4.0)[:, None], axis=1)
    logs = {
        "open": opens,
        "high": opens + np.maximum(0.0, path.max(axis=1)),
        "low": opens + np.minimum(0.0, path.min(axis=1)),
        "close": opens + path[:, 3],
    }
    candles = np.zeros(n, CANDLE)
    candles["open_ms"] = _START_MS + 60_000 * np.arange(n)
    for name, values in logs.items():
        candles[name] = np.round(_START_PRICE * np.exp(values), 2)
    move = np.abs(logs["close"] - opens)
    volume = np.round(np.exp(1.0 + 0.7 * volume_noise + 0.3 * move / _SIGMA), 3)
    candles["volume"] = np.round(volume + 0.001, 3)
    return candles


def _recurse(n, totals, drift_noise, gap):  # type: ignore[no-untyped-def] # two scalar recursions
    opens, drifts = [0.0] * n, [0.0] * n
    momentum = last = 0.0
    scale = (1.0 - _PHI * _PHI) ** 0.5
    for i in range(n):
        momentum = _PHI * momentum + scale * drift_noise[i]
        drifts[i] = _DRIFT_SCALE * momentum - _PULL * last
        opens[i] = last + gap[i]
        last = opens[i] + drifts[i] + totals[i]
    return np.array(opens), np.array(drifts)
