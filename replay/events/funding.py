"""Funding of recorded perpetuals: which settlements fall into a run, at which price, and what is not known of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from papertape.engine.events import Funding
from papertape.engine.jit import Rows
from papertape.replay.importers.funding import FundingRates
from papertape.replay.tapes.timestamps import utc_text


@dataclass(frozen=True, slots=True)
class FundingUse:
    """
    The funding of one symbol in one run.

    events  (time in ms, settlement), each to come after the candles that have closed by then
    holes   those of the rates that lie within the candles
    """

    symbol: str
    rates: FundingRates
    events: tuple[tuple[int, Funding], ...]
    holes: tuple[tuple[int, int, int], ...]
    first_ms: int
    last_ms: int

    def section(self) -> dict[str, Any]:
        """Return what result.json holds of it."""
        return {
            "file": self.rates.name,
            "sha256": self.rates.sha256,
            "settlements": len(self.events),
            "price": "last close" if self.rates.prices is None else "mark",
            "holes": [list(hole) for hole in self.holes],
        }

    def sentences(self) -> list[str]:
        """Return what a reader must know: what was charged on what, and what was not known and not charged."""
        said = []
        name = self.symbol
        if self.rates.prices is None and self.events:
            said.append(
                f"{name}: funding is charged on the last close; {self.rates.name} has no mark price."
            )
        for before, after, missing in self.holes[:3]:
            said.append(
                f"{name}: {missing:,} settlements are missing between {utc_text(before)} and {utc_text(after)}; nothing "
                "was charged for them."
            )
        if len(self.holes) > 3:
            said.append(f"{name}: settlements are missing in {len(self.holes) - 3:,} more places.")
        first, last = (int(t) for t in self.rates.time_ms[[0, -1]])
        if not self.events:
            said.append(
                f"{name}: no settlement of {self.rates.name} ({utc_text(first)} … {utc_text(last)}) falls into the candles "
                f"({utc_text(self.first_ms)} … {utc_text(self.last_ms)}): no funding was charged."
            )
            return said
        steps = np.diff(self.rates.time_ms)
        interval = int(np.median(steps)) if len(steps) else 0
        if first > self.first_ms + interval:
            said.append(f"{name}: before {utc_text(first)} no funding was charged; the rates begin there.")  # fmt: skip
        if last < self.last_ms - interval:
            said.append(f"{name}: after {utc_text(last)} no funding was charged; the rates end there.")  # fmt: skip
        return said


def funding_use(rates: FundingRates, symbol: str, index: int, candles: Rows, base_ms: int) -> FundingUse:  # fmt: skip
    """
    Return the settlements that fall between the first open and the last close of a symbol's candles.

    index  of the symbol in the engine
    """
    first_ms, last_ms = int(candles["open_ms"][0]), int(candles["open_ms"][-1]) + base_ms
    within = np.flatnonzero((rates.time_ms > first_ms) & (rates.time_ms <= last_ms))
    closes = candles["open_ms"] + base_ms
    newest = np.searchsorted(closes, rates.time_ms[within], "right") - 1
    events = []
    for row, candle in zip(within.tolist(), newest.tolist(), strict=True):
        if rates.prices is not None:
            price = float(rates.prices[row])
        elif candle >= 0:
            price = float(candles["close"][candle])
        else:
            continue  # nothing has closed yet, so nothing can be held
        time_ms = int(rates.time_ms[row])
        events.append((time_ms, Funding(time_ms, index, float(rates.rates[row]), price)))
    holes = tuple(hole for hole in rates.holes if hole[1] > first_ms and hole[0] < last_ms)
    return FundingUse(symbol, rates, tuple(events), holes, first_ms, last_ms)
