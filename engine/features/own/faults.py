"""
What was no value, until the strategy's next close: there entries pause, and it is told.

A feature may live on a shorter timeframe than the strategy. What is wrong with it between two closes is kept, in the
snapshot as well, so that no batching makes a difference.
"""

import json
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from papertape.engine.features.own.series import BadValue
from papertape.engine.jit import IntArray, Rows


class FeatureFault(NamedTuple):
    """What was wrong with a feature by a close of the strategy."""

    close_ms: int
    symbol: int
    reason: str


Waiting = tuple[int, int, str, str]  # known at, of which symbol, the column, why


class FeatureFaults:
    """
    Faults of features.

    waiting  those that have not been told, in no order
    """

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []

    def add(self, found: Iterable[BadValue], symbol: int, at: str, known_ms: IntArray) -> None:
        """Keep what was wrong; at: `@4h` behind the names, known_ms: when each of the new candles was known."""
        self.waiting += [(int(known_ms[bad.place]), symbol, f"{bad.name}{at}", bad.reason) for bad in found]

    def take(self, closes_ms: IntArray) -> list[FeatureFault]:
        """
        Return all that was known by the last of these closes, in order.

        closes_ms  when each of the strategy's new closes is known, ascending
        """
        if not self.waiting:
            return []
        told, waiting = [], []
        for one in sorted(self.waiting):
            known_ms, symbol, name, reason = one
            place = int(np.searchsorted(closes_ms, known_ms))
            if place == len(closes_ms):
                waiting.append(one)
                continue
            own = "" if closes_ms[place] == known_ms else f", its candle known {_stamp(known_ms)}"
            close_ms = int(closes_ms[place])
            told.append(FeatureFault(close_ms, symbol, f"feature {name}{own}: {reason}"))
        self.waiting = waiting
        return sorted(told, key=lambda one: one[:2])

    def save(self) -> dict[str, Rows]:
        """Return what waits as bytes; nothing where nothing does."""
        text = json.dumps(sorted(self.waiting)) if self.waiting else ""
        return {"feature_faults": np.frombuffer(text.encode(), np.uint8)}

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""
        text = saved["feature_faults"].tobytes()
        self.waiting = [tuple(one) for one in json.loads(text)] if text else []


def _stamp(time_ms: int) -> str:
    return f"{np.datetime64(time_ms // 1000, 's')}Z"
