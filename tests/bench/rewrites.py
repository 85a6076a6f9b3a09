"""
`python -m tests.bench.rewrites`: how many readings change after they were given, for the batch package and for ours.

A reading is a cell: a statement with the candle at which it stands. Candles arrive one at a time; after each, everything
that had been said about the candles before is read again and compared. For the package the cells are those of its
tables; for a stream of EVENT rows every field of every event, which stands at the candle that made it known. Both are
counted by `rewritten`: cells that differ, are gone or turn up late.

Both read a history afresh at every step, so the count would see a stepper that says other things about a longer history.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from papertape.engine.candles import CANDLE
from papertape.engine.features.smc import EVENT, SmartMoney
from papertape.engine.jit import IntArray, Rows
from papertape.replay.tapes.synthetic import synthesize
from tests.oracles.smc_batch import SmcBatch
from tests.oracles.smc_package import STEP_MS, Package, recorded_candles

SWING_LENGTH = 5
FIRST = 1_000  # candles known before the count begins, as in the reference
Said = Mapping[
    str, tuple[IntArray, Any]
]  # name -> (candle at which each statement stands, ascending; values)
Reader = Callable[[Rows], Said]
_BTC = (
    Path(__file__).resolve().parents[3]
    / "shared/data/candles/binance-usdm_BTCUSDT_15m_20240101_20250630.parquet"
)


def rewritten(then: Said, later: Said, n: int) -> dict[str, int]:
    """Return by name how many cells that stand at the first n candles are not the same in both."""
    counts = {}
    for name, (rows, values) in then.items():
        later_rows, later_values = later[name]
        old, new = values[rows < n], later_values[later_rows < n]
        both = min(len(old), len(new))
        is_same = (old[:both] == new[:both]) | (_is_nan(old[:both]) & _is_nan(new[:both]))
        counts[name] = int((~is_same).sum()) + max(len(old), len(new)) - both
    return counts


def _is_nan(values: Any) -> Any:
    return np.isnan(values.astype(np.float64))


def count_steps(candles: Rows, read: Reader, first: int, steps: int) -> dict[str, int]:
    """Return the cells rewritten while candles `first` … `first + steps` arrive one at a time, by part of a name."""
    totals: dict[str, int] = {}
    then = read(candles[:first])
    for n in range(first, first + steps):
        later = read(candles[: n + 1])
        for name, count in rewritten(then, later, n).items():
            concept = name.partition("/")[0]
            totals[concept] = totals.get(concept, 0) + count
        then = later
    return totals


def read_package(candles: Rows) -> Said:
    """Return every cell of every table of the batch package."""
    rows = np.arange(len(candles))
    return {
        f"{table}/{column}": (rows, values.to_numpy())
        for table, frame in Package(candles, SWING_LENGTH).all().items()
        for column, values in frame.items()
    }


def reader_of(name: str, said: Callable[[Rows], Rows]) -> Reader:
    """Return a reader of a stream: `said` gives all EVENT rows of a history."""

    def read(candles: Rows) -> Said:
        events = said(candles)
        return {f"{name}/{field}": (events["known_bar"], events[field]) for field in EVENT.names or ()}

    return read


def engine_events(candles: Rows) -> Rows:
    """Return what the engine says about a history."""
    return SmartMoney("15m").update(candles)


def batch_events(candles: Rows) -> Rows:
    """Return what the package's definitions say as a stream."""
    batch = SmcBatch(STEP_MS, SWING_LENGTH)
    return np.concatenate([batch.step(candle) for candle in candles])


OURS: Mapping[str, Callable[[Rows], Rows]] = {
    "engine events": engine_events,
    "batch definitions, streamed": batch_events,
}


def markets() -> dict[str, Rows]:
    """Return the three series: two that traded, and a tick-rounded random walk."""
    table = pd.read_parquet(_BTC, columns=["open_time", "open", "high", "low", "close", "volume"])
    btc = np.zeros(len(table), CANDLE)
    for field, column in zip(("open_ms", *list(table)[1:]), table, strict=True):
        btc[field] = table[column]
    return {
        "EURUSD 15m": recorded_candles("EURUSD_15M"),
        "BTC perpetual 15m": btc,
        "random walk, tick 10": tick_walk(FIRST + 1_001),
    }


def tick_walk(n: int, tick: float = 10.0) -> Rows:
    """Return a seeded random walk from 20,000 on a grid so coarse that ties are common."""
    candles = synthesize("noise", n, "15m", seed=7).candles.copy()
    for name in ("open", "high", "low", "close"):
        candles[name] = np.round(candles[name] / tick) * tick
    return candles


def measure(candles: Rows, steps: int, first: int = FIRST, *, package: bool = True) -> dict[str, int]:
    """Return rewritten cells by concept of the package, then of our two streams."""
    found = count_steps(candles, read_package, first, steps) if package else {}
    for name, said in OURS.items():
        found |= count_steps(candles, reader_of(name, said), first, steps)
    return found


def main() -> None:
    """Count on every series and print one column each, or JSON; fail if one of ours was rewritten."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rewrites", description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="candles, one at a time")
    parser.add_argument("--ours", action="store_true", help="leave out the package, which is slow")
    parser.add_argument("--json", action="store_true", help="for machines")
    options = parser.parse_args()
    found = {
        name: measure(candles, options.steps, package=not options.ours) for name, candles in markets().items()
    }
    print(json.dumps(found, indent=1) if options.json else table_of(found, options.steps))  # noqa: T201
    if any(row[name] for row in found.values() for name in OURS):
        raise SystemExit(1)


def table_of(found: Mapping[str, Mapping[str, int]], steps: int) -> str:
    """Return the counts as text: the package's concepts, then ours."""
    names = list(next(iter(found.values())))
    lines = [f"cells rewritten while {steps:,} candles arrive one at a time"]
    lines.append(f"{'':<38}" + "".join(f"{market:>22}" for market in found))
    for name in names:
        label = f"{'ours' if name in OURS else 'package'}: {name}"
        lines.append(f"{label:<38}" + "".join(f"{row[name]:>22,}" for row in found.values()))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
