"""
The account over time, column by column.

Records of a million candles are read field by field, and each field costs a walk over all of them; columns are read
once and shared by everything that measures.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows, kernel
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


def columns_of(parts: Sequence[Rows]) -> Columns:
    """Return MARK records, in several arrays one after the other, by column."""
    assert MARK.names is not None
    columns = np.empty((len(MARK.names), sum(len(part) for part in parts)), np.int64)
    start = 0
    for part in parts:
        split_marks(part.view(np.int64).reshape(len(part), -1), columns, start)
        start += len(part)
    return Columns(**dict(zip(MARK.names, columns, strict=True)))


@kernel
def split_marks(words: IntArray, columns: IntArray, start: int) -> None:
    """Write records, shape (n, n_fields), to columns, shape (n_fields, more), from `start` on."""
    for row in range(len(words)):
        for column in range(len(columns)):
            columns[column, start + row] = words[row, column]


def has_column(marks: Marks, name: str) -> bool:
    """Return whether marks hold this column; records hold all."""
    return not isinstance(marks, Columns) or name in marks
