"""Open times as a whole: the grid of a timeframe, which timeframe they have, and how a message says a time."""

from datetime import timedelta
from typing import Any

import numpy as np

from papertape.engine.candles import TIMEFRAMES, WEEK_ANCHOR_MS, WEEK_MS, timeframe_ms, timeframe_name
from papertape.engine.errors import DataError
from papertape.engine.jit import IntArray

# A second step makes a second regime when it comes this often in a row, or five times and in a quarter of the file.
# Thin markets that leave candles out have such steps too, but scattered.
REGIME_STEPS = 20
SHORT_REGIME_STEPS = 5
SHORT_REGIME_SHARE = 0.25

_DAY_MS = 86_400_000
_MONTH_MS = (28 * _DAY_MS, 31 * _DAY_MS)
_DAYS = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")  # 1970 began so

TIMEFRAME_OF = {length_ms: name for name, length_ms in TIMEFRAMES.items()}


def utc_text(milliseconds: int) -> str:
    """Return a time as `2020-01-31 23:59`, with seconds only when it has some."""
    try:
        text = str(np.datetime64(int(milliseconds), "ms")).replace("T", " ")
    except (ValueError, OverflowError):
        return f"{milliseconds} ms"
    return text.removesuffix(".000").removesuffix(":00")


def floor_to(open_ms: Any, length_ms: int) -> IntArray:
    """Return the start of the candle of `length_ms` that holds each time: `papertape.engine.candles.bucket_start` for arrays."""
    anchor = WEEK_ANCHOR_MS if length_ms == WEEK_MS else 0
    stamps = np.asarray(open_ms, dtype=np.int64)
    return (stamps - anchor) // length_ms * length_ms + anchor


def find_timeframe(open_ms: IntArray, declared: str | None, name: str) -> str:
    """
    Return the timeframe that the stamps have: their most common step.

    open_ms   in any order, with any defect
    declared  what the user says; it must agree, and decides when there is nothing to measure

    Raises DataError for another timeframe than declared, for two in one file and for a step that is none.
    """
    declared_ms = timeframe_ms(declared) if declared is not None else None
    steps: IntArray = np.diff(np.unique(open_ms)).astype(np.int64)
    if not len(steps):
        if declared is None:
            raise DataError(f"{name}: one candle does not tell its timeframe; give --timeframe")
        return declared
    lengths, counts = np.unique(steps, return_counts=True)
    found_ms = int(lengths[np.argmax(counts)])
    is_unclear = len(steps) < 3 and len(lengths) == len(steps)
    if declared_ms is not None and is_unclear and not (lengths % declared_ms).any():
        return str(declared)  # two or three candles with gaps between them
    _refuse_mixed(steps, found_ms, name)
    if _MONTH_MS[0] <= found_ms <= _MONTH_MS[1]:
        raise DataError(
            f"{name}: candles are months, whose lengths differ; the longest timeframe is 1w: "
            "import days, and make weeks of them with `papertape tape resample`"
        )
    if found_ms not in TIMEFRAMES.values():
        raise DataError(
            f"{name}: candles are most often {found_ms / 1000:,.10g} s apart, which is no timeframe; "
            f"the timeframes are {', '.join(TIMEFRAMES)}"
        )
    found = timeframe_name(found_ms)
    if declared is not None and declared != found:
        raise DataError(
            f"{name}: candles are {found} apart, not {declared} as declared; "
            f"leave --timeframe out or give --timeframe {found}"
        )
    return found


def off_grid_reason(open_ms: IntArray, timeframe: str) -> str:
    """Return why stamps that are mostly off a timeframe's grid may be so, and the way out."""
    length_ms = timeframe_ms(timeframe)
    offsets = np.unique(open_ms - floor_to(open_ms, length_ms))
    if len(offsets) > 1:
        return "stamps must be the opens of candles in UTC"
    if length_ms == WEEK_MS and not offsets[0] % _DAY_MS:
        day = _DAYS[int(open_ms[0]) // _DAY_MS % 7]
        return (
            f"its weeks begin on {day}, and weeks begin on Monday here: import days, and make weeks "
            "of them with `papertape tape resample`"
        )
    return (
        f"every one is {timedelta(milliseconds=int(offsets[0]))} after it: if they are local times "
        "say --time-zone; stamps must be the opens of candles in UTC"
    )


def _refuse_mixed(steps: IntArray, found_ms: int, name: str) -> None:
    """Raise DataError when a second timeframe has a stretch of its own."""
    edges = np.flatnonzero(np.diff(steps)) + 1
    starts = np.concatenate([[0], edges])
    runs = np.diff(np.concatenate([starts, [len(steps)]]))
    known = np.isin(steps[starts], list(TIMEFRAMES.values())) & (steps[starts] != found_ms)
    is_short = (runs >= SHORT_REGIME_STEPS) & (runs >= SHORT_REGIME_SHARE * len(steps))
    mixed = np.flatnonzero(known & ((runs >= REGIME_STEPS) | is_short))
    if len(mixed) and found_ms in TIMEFRAMES.values():
        other = timeframe_name(int(steps[starts[mixed[0]]]))
        raise DataError(
            f"{name}: two timeframes in one file: {timeframe_name(found_ms)} and, "
            f"{int(runs[mixed[0]])} times in a row, {other}; import each from a file of its own"
        )
