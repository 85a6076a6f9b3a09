"""Text tables and times: what every CSV dialect shares. Numbers are rounded correctly, errors name the row."""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.importers.source import Source

# A number of seconds, milliseconds, … since 1970 is told by its size: these are 1973-03-03 in each unit.
_UNITS = (
    ("seconds", 1e8, 1000.0),
    ("milliseconds", 1e11, 1.0),
    ("microseconds", 1e14, 1e-3),
    ("nanoseconds", 1e17, 1e-6),
)
_LATEST = 1e20


class Table(NamedTuple):
    """Text columns of a CSV file by position."""

    name: str
    header: tuple[str, ...] | None
    columns: tuple[Any, ...]  # pyarrow string arrays
    first_row: int

    def where(self, index: int) -> str:
        """Return `file row 12`."""
        return f"{self.name} row {index + self.first_row}"


def split(line: str, delimiter: str = ",") -> list[str]:
    """Return the cells of a line, without quotes and spaces."""
    return [cell.strip().strip('"').strip() for cell in line.split(delimiter)]


def is_number(cell: str) -> bool:
    """Return whether a cell is a plain number."""
    return bool(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell))


def read_table(source: Source, *, skip: int = 0, has_header: bool, delimiter: str = ",") -> Table:
    """
    Return a CSV file as text columns.

    skip  lines before the header or the data

    Raises DataError when it is not UTF-8 or its rows differ in length.
    """
    lines = source.lines[skip:]
    if not lines or (has_header and len(lines) < 2):
        raise DataError(f"{source.name}: no row of data")
    header = tuple(split(lines[0], delimiter)) if has_header else None
    names = [str(i) for i in range(len(split(lines[0], delimiter)))]
    first_row = skip + (2 if has_header else 1)
    try:
        table = pacsv.read_csv(
            io.BytesIO(source.text),
            pacsv.ReadOptions(column_names=names, skip_rows=first_row - 1, use_threads=False),
            pacsv.ParseOptions(delimiter=delimiter),
            pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{source.name}: not a whole table: {_reason(error, first_row)}") from error
    if not table.num_rows:
        raise DataError(f"{source.name}: no row of data")
    columns = (table.column(i).combine_chunks() for i in range(len(names)))
    columns_text = tuple(
        pc.utf8_trim_whitespace(c.chunk(0) if isinstance(c, pa.ChunkedArray) else c)
        for c in columns
    )
    return Table(source.name, header, columns_text, first_row)


def _reason(error: Exception, first_row: int) -> str:
    """Return the library's reason with the row as an editor counts."""
    text = (str(error).splitlines() or [""])[0]
    match = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", text)
    if match:
        row, wanted, got = match.groups()
        # The library counts from its own first row, skipped lines included.
        return f"row {row} has {got} columns, the rows before {wanted}"
    if "UTF8" in text or "UTF-8" in text:
        return "it is not UTF-8 text"
    return text.rstrip(".")


def numbers(table: Table, column: int, what: str) -> FloatArray:
    """Return a column as float64, correctly rounded, or raise DataError at the first cell that is no number."""
    cells = table.columns[column]
    try:
        values = pc.cast(cells, pa.float64())
    except pa.ArrowException as error:
        for index, cell in enumerate(cells.to_pylist()):
            if cell is None or not is_number(cell):
                raise DataError(
                    f"{table.where(index)}: {what} {str(cell)[:40]!r} is not a number"
                ) from error
        raise DataError(f"{table.name}: {what}: {error}") from error
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def times(table: Table, column: int, *, mixed_units: bool = False) -> tuple[IntArray, str]:
    """Return a column as ms UTC, and in words how it was read; it may hold numbers or ISO dates."""
    cells = table.columns[column]
    first = str(cells[0].as_py())
    if is_number(first) and not re.fullmatch(r"(19|20)\d{6}", first):
        values = numbers(table, column, "time")
        return numeric_times(values, table.name, table.first_row, mixed_units=mixed_units)
    return text_times(cells.to_pylist(), table)


def numeric_times(
    values: FloatArray | IntArray, name: str, first_row: int, *, mixed_units: bool = False
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
            f"{name} row {index + first_row}: {floats[index]:.17g} is no time like those before it "
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
    cells: Sequence[str], table: Table, pattern: str | None = None
) -> tuple[IntArray, str]:
    """Return dates as ms UTC: by a strptime pattern, or ISO 8601; without a zone they are UTC."""
    import pandas as pd

    try:
        parsed = pd.to_datetime(
            pd.Series(cells, dtype=object), format=pattern or "ISO8601", utc=True, errors="coerce"
        )
    except (ValueError, OverflowError, TypeError) as error:
        raise DataError(f"{table.name}: times cannot be read as dates: {error}") from error
    missing = parsed.isna().to_numpy()
    if missing.any():
        index = int(np.argmax(missing))
        raise DataError(
            f"{table.where(index)}: time {str(cells[index])[:40]!r} is neither a number since 1970 "
            "nor a date like 2023-01-31 13:00"
        )
    stamps = pd.DatetimeIndex(parsed).as_unit("ms").asi8
    return np.asarray(stamps, dtype=np.int64), "times are dates, in UTC where they name no zone"
