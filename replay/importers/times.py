"""Times in files: numbers since 1970 in any unit, ISO dates, dates of a named form, in UTC or a named zone."""

import re
import zoneinfo
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.importers.table import TextTable, is_number, numbers
from papertape.replay.tapes.raw import Part

if TYPE_CHECKING:  # it takes a third of a second to import, which numbers need not
    from pandas import DatetimeIndex

# A number of seconds, milliseconds, … since 1970 is told by its size: these are 1973-03-03 in each unit.
_UNITS = (
    ("seconds", 1e8, 1000.0),
    ("milliseconds", 1e11, 1.0),
    ("microseconds", 1e14, 1e-3),
    ("nanoseconds", 1e17, 1e-6),
)
_LATEST = 1e20
_CLOCK = re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?( ?[AaPp][Mm])?")


def times(table: TextTable, column: int, *, mixed_units: bool = False) -> tuple[IntArray, str]:
    """Return a column as ms UTC, and in words how it was read; it may hold numbers or ISO dates."""
    cells = table.columns[column]
    first = str(cells[0].as_py())
    if is_number(first) and not re.fullmatch(r"(19|20)\d{6}", first):
        return numeric_times(numbers(table, column, "time"), table.part, mixed_units=mixed_units)
    return text_times(cells.to_pylist(), table.part)


def is_clock(cell: str) -> bool:
    """Return whether a cell is a time of day without a date."""
    return bool(_CLOCK.fullmatch(cell))


def numeric_times(
    values: FloatArray | IntArray, part: Part, *, mixed_units: bool = False
) -> tuple[IntArray, str]:
    """Return numbers since 1970 as ms UTC; the unit is told by their size and must be one for all unless mixed."""
    exact = np.asarray(values)
    floats = exact.astype(np.float64)
    bounds = [lowest for _, lowest, _ in _UNITS]
    units = np.searchsorted(bounds, floats, "right") - 1
    bad = ~np.isfinite(floats) | (units < 0) | (floats >= _LATEST)
    if not mixed_units:
        bad |= units != units[0]
    if bad.any():
        index = int(np.argmax(bad))
        raise DataError(
            f"{part.where(index)}: {floats[index]:.17g} is no time like those before it "
            "(seconds, ms, µs or ns since 1970)"
        )
    out = np.zeros(len(floats), dtype=np.int64)
    for number, (_, _, factor) in enumerate(_UNITS):
        here = units == number
        if factor >= 1.0:
            out[here] = np.rint(floats[here] * factor).astype(np.int64)
        elif here.any():
            out[here] = exact[here].astype(np.int64) // round(1.0 / factor)
    used = [_UNITS[int(u)][0] for u in np.unique(units)]
    return out, f"times are {' and '.join(used)} since 1970"


def text_times(
    cells: Sequence[str], part: Part, pattern: str | None = None, zone: str | None = None
) -> tuple[IntArray, str]:
    """
    Return dates as ms UTC.

    pattern  of strptime; None: ISO 8601
    zone     of those that name none, for example Europe/Berlin; None: UTC
    """
    import pandas as pd

    try:
        parsed = pd.to_datetime(
            pd.Series(cells, dtype=object), format=pattern or "ISO8601", utc=zone is None, errors="coerce"
        )
    except (ValueError, OverflowError, TypeError) as error:
        raise DataError(f"{part.name}: times cannot be read as dates: {error}") from error
    missing = parsed.isna().to_numpy()
    if missing.any():
        index = int(np.argmax(missing))
        raise DataError(f"{part.where(index)}: {_no_date(str(cells[index]), pattern)}")
    stamps = pd.DatetimeIndex(parsed)
    if zone is None:
        how = "times are dates, in UTC where they name no zone"
    else:
        stamps, how = in_zone(stamps, zone, part.name), f"times are dates in {zone}"
    return np.asarray(stamps.as_unit("ms").asi8, dtype=np.int64), how


def _no_date(cell: str, pattern: str | None) -> str:
    if pattern is not None:
        return f"time {cell[:40]!r} is not of the form --date-format {pattern!r}"
    return (
        f"time {cell[:40]!r} is neither a number since 1970 nor a date like 2023-01-31 13:00; "
        "name its form with --date-format, for example --date-format '%d.%m.%Y %H:%M'"
    )


def in_zone(stamps: "DatetimeIndex", zone: str, name: str) -> "DatetimeIndex":
    """Return times of a zone as UTC; DataError for what that zone's clocks never showed, or showed twice unclearly."""
    if stamps.tz is not None:
        raise DataError(f"{name}: the times name their zone themselves; leave --time-zone out")
    known = zoneinfo.available_timezones()
    if zone not in known:
        near = (
            did_you_mean(zone, known)
            if get_close_matches(zone, known, 1)
            else "; write one like Europe/Berlin"
        )
        raise DataError(f"--time-zone {zone!r}: unknown{near}")
    try:
        return stamps.tz_localize(zone, ambiguous="infer", nonexistent="raise").tz_convert("UTC")
    except ValueError as error:  # of its two kinds one is a subclass here, the other one elsewhere
        said = (
            str(error).splitlines()[0].partition(" Try using ")[0].rstrip(".")
        )  # pandas's options are none here
        raise DataError(
            f"{name}: not times of {zone}: {said}; if they are UTC, leave --time-zone out"
        ) from error
