"""
From what a file says to candles that may be traded on. Every change is counted and flagged; nothing is invented.

In this order: time order; rows that break a candle's rules are refused (or dropped when asked); stamps off the grid
are floored to it; then a stamp that came before is folded if its candle is the same and refused if it differs,
unless told which of the two to keep. Gaps stay gaps.
"""

from typing import Literal, NamedTuple

import numpy as np

from papertape.engine.candles import FLAG_REPAIRED, describe, timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.jit import IntArray, Rows, copy_rows
from papertape.replay.tapes.quality import FAULT_WORDS, find_faults, in_time_order, same_candles
from papertape.replay.tapes.raw import Raw
from papertape.replay.tapes.timestamps import floor_to, off_grid_reason, utc_text

Keep = Literal["first", "last"]

# More than this share of stamps off the grid is another time zone or another timeframe, not a defect.
OFF_GRID_SHARE_MAX = 0.5


class Repairs(NamedTuple):
    """What was done, in rows."""

    reversed: int
    sorted: int
    dropped: int
    snapped: int
    folded: int
    resolved: int
    forming: int

    def sentences(self) -> list[str]:
        """Return one sentence for each thing that was done."""
        words = {
            "reversed": "newest-first rows turned round",
            "sorted": "backward stamps put in order",
            "dropped": "rows dropped because they break the rules of a candle",
            "snapped": "stamps off the grid floored to it",
            "folded": "identical duplicates folded",
            "resolved": "conflicting duplicates resolved as asked",
            "forming": "candles left out because they were not final",
        }
        return [f"{words[name]}: {n:,}" for name, n in self._asdict().items() if n]


def clean(
    raw: Raw, timeframe: str, *, keep: Keep | None = None, drop_bad: bool = False, now_ms: int | None = None
) -> tuple[Rows, Repairs]:
    """
    Return candles in time order on the grid, and what was done to get there.

    now_ms  what the clock says: candles that are not over by then are left out; None: all are over

    Raises DataError with the first row that must not be traded on, and how to go on.
    """
    rows, places, is_reversed, backward = in_time_order(raw.candles)
    rows, places, forming = _final_only(raw, rows, places, timeframe, now_ms)
    if not len(rows):
        raise DataError(f"{raw.name}: its only candle is not over yet")
    rows, places, dropped = _without_faults(raw, rows, places, drop_bad)
    if not len(rows):
        raise DataError(f"{raw.name}: no candle is left after dropping {dropped:,} bad rows")
    rows = copy_rows(np.ascontiguousarray(rows))
    rows["symbol"] = 0
    snapped = _snap(raw, rows, timeframe)
    rows, folded, resolved = _without_duplicates(raw, rows, places, keep)
    return rows, Repairs(
        reversed=len(raw.candles) if is_reversed else 0,
        sorted=backward,
        dropped=dropped,
        snapped=snapped,
        folded=folded,
        resolved=resolved,
        forming=raw.forming + forming,
    )


def _final_only(
    raw: Raw, rows: Rows, places: IntArray, timeframe: str, now_ms: int | None
) -> tuple[Rows, IntArray, int]:
    """Return the candles that are over, and how many are not; refuse what has not begun: another unit or zone."""
    if now_ms is None:
        return rows, places, 0
    opens = rows["open_ms"]
    future = np.flatnonzero(opens > now_ms)
    if len(future):
        index = int(future[np.argmin(places[future])])
        raise DataError(
            f"{raw.where(int(places[index]))}: opens at {utc_text(int(opens[index]))} UTC, which is still "
            f"to come ({len(future):,} such); stamps must be the opens of candles in UTC"
        )
    is_final = opens + timeframe_ms(timeframe) <= now_ms
    return rows[is_final], places[is_final], int((~is_final).sum())


def _without_faults(raw: Raw, rows: Rows, places: IntArray, drop_bad: bool) -> tuple[Rows, IntArray, int]:
    """Return the rows that keep the rules, or refuse at the first that does not."""
    faults = find_faults(rows)
    bad = faults.any_fault
    n_bad = int(bad.sum())
    if n_bad and not drop_bad:
        indices = np.flatnonzero(bad)
        index = int(indices[np.argmin(places[indices])])
        rule = next(w for f, w in zip(faults, FAULT_WORDS, strict=True) if f[index])
        raise DataError(
            f"{raw.where(int(places[index]))}: {rule}: {describe(rows[index])} ({n_bad:,} such "
            f"of {len(rows):,}; --drop-bad leaves them out)"
        )
    return (rows[~bad], places[~bad], n_bad) if n_bad else (rows, places, 0)


def _snap(raw: Raw, rows: Rows, timeframe: str) -> int:
    """Floor stamps to the grid in place, flag those that moved, and return how many did."""
    grid = floor_to(rows["open_ms"], timeframe_ms(timeframe))
    off = grid != rows["open_ms"]
    snapped = int(off.sum())
    if snapped > OFF_GRID_SHARE_MAX * len(rows):
        index = int(np.argmax(off))
        raise DataError(
            f"{raw.name}: {snapped:,} of {len(rows):,} stamps are not on the {timeframe} grid, for "
            f"example {describe(rows[index])}; {off_grid_reason(rows['open_ms'], timeframe)}"
        )
    rows["open_ms"] = grid
    rows["flag_bits"][off] |= FLAG_REPAIRED
    return snapped


def _without_duplicates(raw: Raw, rows: Rows, places: IntArray, keep: Keep | None) -> tuple[Rows, int, int]:
    """Return one row per stamp; the one that stands for several is flagged."""
    again = np.diff(rows["open_ms"]) == 0
    if not again.any():
        return rows, 0, 0
    conflict = again & ~same_candles(rows)
    if conflict.any() and keep is None:
        index = int(np.argmax(conflict))
        raise DataError(
            f"{raw.where(int(places[index + 1]))}: the stamp of {_other(raw, places, index)} again "
            f"with another candle: {describe(rows[index])} and {describe(rows[index + 1])} "
            f"({int(conflict.sum()):,} such; --keep first or --keep last decides)"
        )
    starts = np.flatnonzero(np.concatenate([[True], ~again]))
    ends = np.concatenate([starts[1:], [len(rows)]]) - 1
    flags = np.bitwise_or.reduceat(rows["flag_bits"], starts)
    kept = copy_rows(np.ascontiguousarray(rows[ends if keep == "last" else starts]))
    kept["flag_bits"] = np.where(ends > starts, flags | FLAG_REPAIRED, flags)
    return kept, int(again.sum() - conflict.sum()), int(conflict.sum())


def _other(raw: Raw, places: IntArray, index: int) -> str:
    """Return `row 12` for the earlier of two rows, with its file when that is another one."""
    first, second = (raw.where(int(places[i])) for i in (index, index + 1))
    file, _, number = first.rpartition(" row ")
    return f"row {number}" if second.startswith(f"{file} row ") else first
