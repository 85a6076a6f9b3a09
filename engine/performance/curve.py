"""
The account over time, column by column.

Records of a million candles are read field by field, and each field costs a walk over all of them; columns are read
once and shared by everything that measures.
"""

from typing import Any

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.records import MARK


class Columns:
    """MARK records by column, read like records: `marks["equity"]`, `len(marks)`; a column may be missing."""

    def __init__(self, **columns: IntArray | FloatArray) -> None:
        self._columns = columns

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        return len(self._columns["time_ms"])


Marks = Rows | Columns


def columns_of(parts: list[Rows]) -> Columns:
    """Return MARK records, in several arrays one after the other, by column; `parts` is emptied on the way."""
    n = sum(len(part) for part in parts)
    columns = {name: np.empty(n, np.int64) for name in MARK.names or ()}
    start = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        for name, column in columns.items():
            column[start : start + len(part)] = part[name]
        start += len(part)
    return Columns(**columns)


def rows_of(columns: Columns) -> Rows:
    """Return columns as MARK records again."""
    assert MARK.names is not None
    rows = np.zeros(len(columns), MARK)
    for name in MARK.names:
        rows[name] = columns[name]
    return rows


def has_column(marks: Marks, name: str) -> bool:
    """Return whether marks hold this column; records hold all."""
    return not isinstance(marks, Columns) or name in marks
