"""The features of somebody's own of one symbol on one timeframe, computed for all new candles."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from papertape.engine.errors import StrategyError
from papertape.engine.features.history import has_infinite
from papertape.engine.features.own.base import NewCandles, OwnFeature, infinite
from papertape.engine.jit import FloatArray, IntArray


class OwnPlan(NamedTuple):
    """One feature in the plan of a series: its words of the slab, its row of the output."""

    feature: OwnFeature
    words: slice
    line: int


class BadValue(NamedTuple):
    """What was no value: of which feature, at which of the new candles, and why."""

    name: str
    place: int
    reason: str


class OwnSeries:
    """What computes the features of a plan that are somebody's own."""

    def __init__(self, plans: Sequence[OwnPlan], slab: FloatArray) -> None:
        """
        Start every feature.

        slab  the states of all features of the plan as words, which are changed in place
        """
        self._runners = [
            (plan.feature.name, plan.line, plan.feature.start(slab[plan.words])) for plan in plans
        ]

    def update(self, new: NewCandles, out: FloatArray) -> list[BadValue]:
        """Write the values of new candles, NaN where there is none, and return what was wrong."""
        found: list[BadValue] = []
        n = new.last - new.first
        for name, row, runner in self._runners:
            line = out[row, :n]
            line.fill(np.nan)
            bad = runner.update(new, line)
            if has_infinite(line):
                for place in np.flatnonzero(np.isinf(line)).tolist():
                    bad.append((place, infinite(line[place])))
                    line[place] = np.nan
            if bad:
                found += [BadValue(name, place, reason) for place, reason in bad]
        return found


def refuse_bad(found: Sequence[BadValue], who: str, closes_ms: IntArray) -> None:
    """Raise StrategyError for the first of what was wrong; who: `BTCUSDT, ` or nothing, closes_ms: of the new candles."""
    if found:
        first = min(found, key=lambda bad: bad.place)
        stamp = np.datetime64(int(closes_ms[first.place]) // 1000, "s")
        raise StrategyError(f"feature {first.name}: {who}candle closed {stamp}Z: {first.reason}")
