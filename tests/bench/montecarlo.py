"""Accounts that could have been: ten thousand paths of a thousand trades."""

import time
from typing import Any

import numpy as np

from papertape.engine.performance.paths import drawn_paths, in_another_order, in_blocks

MUST_S = 1.0
PATHS, TRADES = 10_000, 1_000


def paths() -> dict[str, Any]:
    """Return the seconds of two kinds of paths, the slower of which counts; drawing and walking them."""
    returns = np.random.default_rng(1).normal(0.001, 0.02, TRADES)
    seconds = {}
    for name, draw in (("order", in_another_order(returns)), ("blocks", in_blocks(returns, 8.0))):
        drawn_paths(draw, 256, 0.5, 1, 0)
        started = time.perf_counter()
        drawn_paths(draw, PATHS, 0.5, 1, 0)
        seconds[f"{name}_s"] = time.perf_counter() - started
    is_met = max(seconds.values()) <= MUST_S
    return {"work": "montecarlo: 10,000 paths of 1,000", **seconds, "must": MUST_S, "is_met": is_met}
