"""
Recorded series in a run: which settlements fall into it and at which price, what else was known when, and what was not.

A value is seen from its own time on. Where the next one does not come within half an interval of what was usual before, the
series is not known until it does: that is looked for with what was known then, so nothing of it depends on the future.
A daemon's export says itself which settlements had no known rate, and the series is not known from each of these on.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from papertape.engine.events import Funding
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.records import FUNDING_RATE, MARK_PRICE, SERIES, SERIES_NAMES
from papertape.replay.importers.series import SeriesFile
from papertape.replay.tapes.timestamps import utc_text

_STEPS: Final = 5  # of which the median is what was usual


@dataclass(frozen=True, slots=True)
class FundingUse:
    """
    The funding of one symbol in one run.

    events  (time in ms, settlement), each to come after the candles that have closed by then
    holes   those of the rates that lie within the candles
    """

    symbol: str
    rates: SeriesFile
    events: tuple[tuple[int, Funding], ...]
    holes: tuple[tuple[int, int, int], ...]
    first_ms: int
    last_ms: int

    @property
    def paid(self) -> tuple[tuple[int, Funding], ...]:
        """Return those that a run pays: one at the last close is after it, for what is held is counted at that close."""
        return tuple(event for event in self.events if event[0] < self.last_ms)

    def section(self) -> dict[str, Any]:
        """Return what result.json holds of it."""
        return {
            "file": self.rates.name,
            "sha256": self.rates.sha256,
            "settlements": len(self.paid),
            "price": "last close" if self.rates.prices is None else "mark",
            "holes": [list(hole) for hole in self.holes],
        }

    def sentences(self) -> list[str]:
        """Return what a reader must know: what was charged on what, and what was not known and not charged."""
        said = []
        name = self.symbol
        if self.rates.prices is None and self.paid:
            said.append(f"{name}: funding is charged on the last close; {self.rates.name} has no mark price.")
        for before, after, missing in self.holes[:3]:
            said.append(
                f"{name}: {missing:,} settlements are missing between {utc_text(before)} and {utc_text(after)}; nothing "
                "was charged for them."
            )
        if len(self.holes) > 3:
            said.append(f"{name}: settlements are missing in {len(self.holes) - 3:,} more places.")
        first, last = (int(t) for t in self.rates.time_ms[[0, -1]])
        if self.events and not self.paid:
            said.append(
                f"{name}: the only settlement of {self.rates.name} that falls into the candles is at their last close, after the "
                "run: no funding was charged."
            )
            return said
        if not self.paid:
            said.append(
                f"{name}: no settlement of {self.rates.name} ({utc_text(first)} … {utc_text(last)}) falls into the candles "
                f"({utc_text(self.first_ms)} … {utc_text(self.last_ms)}): no funding was charged."
            )
            return said
        steps = np.diff(self.rates.time_ms)
        interval = int(np.median(steps)) if len(steps) else 0
        if first > self.first_ms + interval:
            said.append(f"{name}: before {utc_text(first)} no funding was charged; the rates begin there.")
        if last < self.last_ms - interval:
            said.append(f"{name}: after {utc_text(last)} no funding was charged; the rates end there.")
        return said


def funding_use(rates: SeriesFile, symbol: str, index: int, candles: Rows, base_ms: int) -> FundingUse:
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
        events.append((time_ms, Funding(time_ms, index, float(rates.values[row]), price)))
    holes = tuple(hole for hole in rates.holes if hole[1] > first_ms and hole[0] < last_ms)
    return FundingUse(symbol, rates, tuple(events), holes, first_ms, last_ms)


@dataclass(frozen=True, slots=True)
class SeriesUse:
    """
    One series of one symbol in one run.

    rows      SERIES, what was known when
    unmarked  base candles of the run without a mark price of their own; None: there are no marks of single candles in it
    """

    symbol: str
    file: SeriesFile
    rows: Rows
    holes: tuple[tuple[int, int, int], ...]
    first_ms: int
    last_ms: int
    unmarked: int | None = None

    @property
    def name(self) -> str:
        """Return what the series is called."""
        return SERIES_NAMES[self.file.kind]

    def section(self) -> dict[str, Any]:
        """Return what result.json holds of it."""
        holes = [list(hole) for hole in self.holes]
        return {"file": self.file.name, "sha256": self.file.sha256, "rows": len(self.rows), "holes": holes}

    def sentences(self) -> list[str]:
        """Return what a reader must know: where the series was not known."""
        what = f"{self.symbol}: {self.name}"
        times = self.rows["known_ms"]
        if not len(times) or times[0] > self.last_ms or self.file.time_ms[-1] < self.first_ms:
            return [
                f"{what}: nothing of {self.file.name} falls into the candles ({utc_text(self.first_ms)} … {utc_text(self.last_ms)})."
            ]
        said = [
            f"{what}: {missing:,} values are missing between {utc_text(before)} and {utc_text(after)}; it is not known there."
            for before, after, missing in self.holes[:3]
        ]
        if len(self.holes) > 3:
            said.append(f"{what}: values are missing in {len(self.holes) - 3:,} more places.")
        first, last = (int(t) for t in self.file.time_ms[[0, -1]])
        if first > self.first_ms + self.file.step_ms:
            said.append(f"{what}: it is not known before {utc_text(first)}; {self.file.name} begins there.")
        if last < self.last_ms - self.file.step_ms:
            said.append(f"{what}: it is not known after {utc_text(last)}; {self.file.name} ends there.")
        return said


def series_use(file: SeriesFile, symbol: str, index: int, candles: Rows, base_ms: int) -> SeriesUse:
    """
    Return what was known of a series up to the last close of a symbol's candles.

    index  of the symbol in the engine
    """
    first_ms, last_ms = int(candles["open_ms"][0]), int(candles["open_ms"][-1]) + base_ms
    late_ms = 1 if file.kind == FUNDING_RATE else 0  # a settlement is known after the close of its own minute
    rows = _rows(file.time_ms + late_ms, file.values, file.ranges, index, file.kind)
    unmarked = None
    if file.kind == MARK_PRICE and 0 < file.step_ms <= base_ms:
        rows, closes = _by_candle(rows, file, base_ms)
        unmarked = len(np.setdiff1d(candles["open_ms"] + base_ms, closes))
    absent = _absences(file) if file.unknown_ms is None else file.unknown_ms
    absent = absent + late_ms
    rows = np.concatenate([rows, _rows(absent, np.full(len(absent), np.nan), None, index, file.kind)])
    rows = rows[np.argsort(rows["known_ms"], kind="stable")]
    # Where a value comes at the very time at which it would be missed, it is not.
    rows = rows[np.append(np.diff(rows["known_ms"]) > 0, True)]
    rows = rows[rows["known_ms"] <= last_ms]
    holes = tuple(hole for hole in file.holes if hole[1] > first_ms and hole[0] < last_ms)
    return SeriesUse(symbol, file, rows, holes, first_ms, last_ms, unmarked)


def _rows(known_ms: IntArray, values: FloatArray, ranges: FloatArray | None, index: int, kind: int) -> Rows:
    rows = np.zeros(len(known_ms), SERIES)
    rows["known_ms"], rows["symbol"], rows["kind"], rows["value"] = known_ms, index, kind, values
    for place, name in enumerate(("open", "high", "low")):
        rows[name] = values if ranges is None else ranges[:, place]
    return rows


def _absences(file: SeriesFile) -> IntArray:
    """Return when a value that did not come was missed: half an interval after it was due, by the steps before."""
    steps = np.diff(file.time_ms)
    if not len(steps):
        return np.zeros(0, np.int64)
    padded = np.concatenate([np.full(_STEPS - 1, steps[0]), steps])
    usual = np.median(np.lib.stride_tricks.sliding_window_view(padded, _STEPS), axis=1)
    due = file.time_ms[1:] + (1.5 * usual).astype(np.int64)
    following = np.append(file.time_ms[2:], np.iinfo(np.int64).max)
    return np.asarray(due[due < following], np.int64)


def _by_candle(rows: Rows, file: SeriesFile, base_ms: int) -> tuple[Rows, IntArray]:
    """
    Return marks as candles of the base timeframe, and the closes of those that are whole.

    A candle of which a part is missing has no range: what is known of it is a value, seen at the next close.
    """
    ends = -(-rows["known_ms"] // base_ms) * base_ms
    starts = np.flatnonzero(np.append(True, np.diff(ends) > 0))
    joined = rows[np.append(starts[1:], len(rows)) - 1].copy()
    joined["open"] = rows["open"][starts]
    joined["high"] = np.maximum.reduceat(rows["high"], starts)
    joined["low"] = np.minimum.reduceat(rows["low"], starts)
    counts = np.diff(np.append(starts, len(rows)))
    is_whole = counts >= base_ms // file.step_ms
    joined["known_ms"] = np.where(is_whole, ends[starts], ends[starts] + 1)
    for name in ("open", "high", "low"):
        joined[name] = np.where(is_whole, joined[name], joined["value"])
    return joined, ends[starts][is_whole]
