"""
ReplayFeed: recorded tapes as the engine wants them, in batches.

Several tapes begin with the earliest first candle and end with the latest last one, each taking part from its first to
its last candle: before, it is unlisted (`papertape.engine.broker.listing`), and after it, delisted. A candle that a tape does not
have in between is declared absent: flat at its last close, no volume, flagged, exactly as the daemon does after its grace
period; with `gaps="skip"` only instants that some tape has exist. What else happened (a model that took over, funding,
a command) comes between two instants, at its own time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np

from papertape.engine.candles import CANDLE, FLAG_ABSENT, FLAG_SYNTHETIC, FLAG_UNLISTED
from papertape.engine.errors import DataError
from papertape.engine.events import Cause, Event, Halt
from papertape.engine.jit import FloatArray, IntArray, Rows, join_rows
from papertape.engine.spec import EngineSpec

Gaps = Literal["absent", "skip"]
_LEAST_READ: Final = 1_024  # instants: to read a few costs as much as to read these
Told: TypeAlias = tuple[int, Event]  # time in ms, what happens then beside candles


def whole_span(tapes: Sequence[Rows]) -> tuple[int, int]:
    """Return the first and last open time that any of the tapes covers, in ms."""
    if any(not len(tape) for tape in tapes):
        raise DataError("a tape has no candle in the chosen span; widen start and end")
    opens = [tape["open_ms"] for tape in tapes]
    return min(int(each[0]) for each in opens), max(int(each[-1]) for each in opens)


def common_span(tapes: Sequence[Rows]) -> tuple[int, int]:
    """Return the first and last open time that all tapes cover, in ms."""
    if any(not len(tape) for tape in tapes):
        raise DataError("a tape has no candle in the chosen span; widen start and end")
    first = max(int(tape["open_ms"][0]) for tape in tapes)
    last = min(int(tape["open_ms"][-1]) for tape in tapes)
    if last < first:
        raise DataError("the tapes have no common span: one ends before another begins")
    return first, last


def within_traded(spec: EngineSpec, tapes: Sequence[Rows], gaps: Gaps = "absent") -> list[Rows]:
    """
    Return tapes, in the order of the symbols, of which what is read only begins and ends with what is traded.

    So a run is not longer, and begins no earlier, by what it reads; and has no other instants where gaps are skipped.
    """
    if spec.traded == spec.symbols:
        return list(tapes)
    held = dict(zip(spec.symbols, tapes, strict=True))
    traded = [held[symbol] for symbol in spec.traded]
    first_ms, last_ms = whole_span(traded)
    instants = np.unique(np.concatenate([rows["open_ms"] for rows in traded]))
    for symbol in set(spec.symbols) - set(spec.traded):
        opens = held[symbol]["open_ms"]
        is_within = (opens >= first_ms) & (opens <= last_ms)
        if gaps == "skip":
            is_within &= np.isin(opens, instants)
        held[symbol] = held[symbol][is_within]
        if not len(held[symbol]):
            raise DataError(
                f"{symbol}: it is read only, and has no candle while anything is traded; leave it out"
            )
    return list(held.values())


class ReplayFeed:
    """
    An async iterator of batches over one or more tapes, in symbol order, with the events between them.

    tapes       CANDLE arrays of one timeframe, on its grid, in the order of the engine's symbols
    batch_rows  candles per batch; any number gives the same result
    events      (time in ms, event): each comes after the candles that have closed by then; those after the last
                close are left out, and of one time the order is kept
    on_progress called with the number of instants done and in all
    """

    def __init__(
        self,
        tapes: Sequence[Rows],
        base_ms: int,
        *,
        gaps: Gaps = "absent",
        batch_rows: int = 2048,
        on_progress: Callable[[int, int], None] | None = None,
        events: Sequence[Told] = (),
    ) -> None:
        if batch_rows < 1:
            raise DataError(f"batch_rows: {batch_rows} is not at least 1")
        self.first_ms, self.last_ms = whole_span(tapes)
        self.base_ms = base_ms
        self.batch_rows = batch_rows
        self.tapes = list(tapes)
        self._gaps = gaps
        self._on_progress = on_progress
        self._stamps = self._grid()
        end_ms = self.last_ms + base_ms
        told = [*self._delistings(), *events]
        due = sorted((event for event in told if event[0] <= end_ms), key=lambda event: event[0])
        self._due = [
            (int(np.searchsorted(self._stamps + base_ms, time_ms, "right")), event) for time_ms, event in due
        ]

    def _delistings(self) -> list[tuple[int, Halt]]:
        """Return when each tape ends that ends before the last."""
        ends = [int(tape["open_ms"][-1]) for tape in self.tapes]
        return [
            (end_ms + self.base_ms, Halt(end_ms + self.base_ms, symbol, Cause.GONE, True))
            for symbol, end_ms in enumerate(ends)
            if end_ms < self.last_ms
        ]

    def _grid(self) -> IntArray:
        """Return the open time of every instant."""
        if self._gaps == "absent":
            return np.arange(self.first_ms, self.last_ms + 1, self.base_ms, dtype=np.int64)
        return np.unique(np.concatenate([tape["open_ms"] for tape in self.tapes]))

    @property
    def n_instants(self) -> int:
        """Return how many instants the feed has."""
        return len(self._stamps)

    @property
    def n_absent(self) -> int:
        """Return how many candles are missing within the tapes, each from its first to its last."""
        missing = 0
        for tape in self.tapes:
            first, last = np.searchsorted(self._stamps, tape["open_ms"][[0, -1]])
            missing += int(last - first) + 1 - len(tape)
        return missing

    def longest_gap(self) -> tuple[int, int]:
        """Return the candles of the longest stretch that no tape holds, and the open before it in ms; (0, …) for none."""
        steps = np.diff(self._stamps)
        if not len(steps):
            return 0, self.first_ms
        at = int(np.argmax(steps))
        return int(steps[at]) // self.base_ms - 1, int(self._stamps[at])

    def closes(self) -> FloatArray:
        """Return the close of every instant and symbol, an absent one as its candle has it, shape (n_instants, n_symbols)."""
        columns = []
        for tape in self.tapes:
            if np.array_equal(tape["open_ms"], self._stamps):
                columns.append(np.ascontiguousarray(tape["close"]))
                continue
            index = np.searchsorted(tape["open_ms"], self._stamps, "right") - 1
            close = tape["close"][np.maximum(index, 0)]
            columns.append(np.where(index < 0, tape["open"][0], close))
        return columns[0].reshape(-1, 1) if len(columns) == 1 else np.stack(columns, axis=1)

    def _instants(self, first: int, last: int) -> Rows:
        """Return the candles of instants `first` … `last - 1`, absent ones filled in."""
        stamps = self._stamps[first:last]
        candles = np.zeros((len(stamps), len(self.tapes)), CANDLE)
        words = candles.view(np.uint64).reshape(len(stamps), len(self.tapes), -1)
        for symbol, tape in enumerate(self.tapes):
            # Words are copied, not fields: thirty times faster for records.
            rows = np.ascontiguousarray(_rows_at(tape, stamps))
            words[:, symbol] = rows.view(np.uint64).reshape(len(stamps), -1)
            candles["symbol"][:, symbol] = symbol
        return candles.reshape(-1)

    def batches(self) -> Iterator[Rows]:
        """Yield the candles alone in batches of `batch_rows`, without an event loop."""
        return self._batches(0, self.n_instants)

    def close_times(self) -> IntArray:
        """Return when every instant closes, in ms."""
        return self._stamps + self.base_ms

    def candles(self) -> Rows:
        """Return the candles of every instant at once."""
        return self._instants(0, self.n_instants)

    def between_events(self) -> Iterator[int | Event]:
        """Yield how many instants come next, then what happens after them, and so on until the end."""
        done = 0
        for instants, event in self._due:
            if instants > done:
                yield instants - done
            yield event
            done = instants
        if self.n_instants > done:
            yield self.n_instants - done

    def events(self) -> Iterator[Event]:
        """Yield the candles in batches and every other event at its place, without an event loop."""
        done = 0
        for instants, event in self._due:
            yield from self._batches(done, instants)
            yield event
            done = instants
        yield from self._batches(done, self.n_instants)

    def _batches(self, start: int, end: int) -> Iterator[Rows]:
        """Yield the candles of instants `start` … `end - 1` in batches of at most `batch_rows`."""
        per_instant = len(self.tapes)
        block = max(self.batch_rows // per_instant * 8, _LEAST_READ)
        left = np.zeros(0, CANDLE)
        for first in range(start, end, block):
            last = min(first + block, end)
            rows = self._instants(first, last)
            rows = join_rows([left, rows]) if len(left) else rows
            whole = len(rows) - len(rows) % self.batch_rows
            for row in range(0, whole, self.batch_rows):
                yield rows[row : row + self.batch_rows]
            left = rows[whole:]
            if self._on_progress is not None:
                self._on_progress(last, self.n_instants)
        if len(left):
            yield left

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield the events, letting other tasks run now and then."""
        for number, event in enumerate(self.events()):
            if number % 64 == 0:
                await asyncio.sleep(0)
            yield event


def _rows_at(tape: Rows, stamps: IntArray) -> Rows:
    """Return the tape's candles at these open times, with an absent one for each that it lacks."""
    start = int(np.searchsorted(tape["open_ms"], stamps[0]))
    rows = tape[start : start + len(stamps)]
    if len(rows) == len(stamps) and np.array_equal(rows["open_ms"], stamps):
        return rows  # no gap here: nearly always
    index = np.searchsorted(tape["open_ms"], stamps, "right") - 1
    is_unlisted = index < 0
    rows = tape[np.maximum(index, 0)]
    rows["close"][is_unlisted] = rows["open"][is_unlisted]
    is_absent = rows["open_ms"] != stamps
    close = rows["close"][is_absent]
    for name in ("open", "high", "low"):
        rows[name][is_absent] = close
    rows["volume"][is_absent] = 0.0
    rows["flag_bits"][is_absent] = FLAG_ABSENT | (rows["flag_bits"][is_absent] & FLAG_SYNTHETIC)
    rows["flag_bits"][is_unlisted] |= FLAG_UNLISTED
    rows["open_ms"] = stamps
    return rows
