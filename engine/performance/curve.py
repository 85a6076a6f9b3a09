"""
The account over time, column by column.

Records of a million candles are read field by field, and each field costs a walk over all of them; columns are read
once and shared by everything that measures.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.performance.times import MarkTimes
from papertape.engine.records import MARK, UNITS_PER_QUOTE

_BLOCK_ROWS: Final = 131_072  # 1 MB of a column


class CurveColumns:
    """
    MARK records by column, read like records: `marks["equity"]`, `len(marks)`; a column may be missing.

    times            those of `time_ms`, where other curves have the same
    units_per_quote  money units in one quote, of the account
    """

    def __init__(
        self,
        times: MarkTimes | None = None,
        /,
        *,
        units_per_quote: float = UNITS_PER_QUOTE,
        **columns: IntArray | FloatArray,
    ) -> None:
        self.units_per_quote = units_per_quote
        self._columns = columns if times is None else {"time_ms": times.time_ms, **columns}
        self.times = times or MarkTimes(columns["time_ms"])

    def __getitem__(self, name: str) -> Any:
        return self._columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __len__(self) -> int:
        return len(self._columns["time_ms"])

    def between(self, start: int, end: int) -> "CurveColumns":
        """Return the marks of these rows, without a copy."""
        rows = {name: column[start:end] for name, column in self._columns.items()}
        return CurveColumns(units_per_quote=self.units_per_quote, **rows)


Marks = Rows | CurveColumns


def times_of(marks: Marks) -> MarkTimes:
    """Return when an account is marked."""
    return marks.times if isinstance(marks, CurveColumns) else MarkTimes(marks["time_ms"])


def units_of(marks: Marks) -> float:
    """Return how many money units one quote of an account is; records by themselves are in the usual unit."""
    return marks.units_per_quote if isinstance(marks, CurveColumns) else UNITS_PER_QUOTE


class Collector:
    """
    Collect MARK records by column as they come, and give them by column at any time.

    Columns grow in blocks that the system takes back whole: records would be held twice while columns are made of them.
    Whoever knows how many marks will come says so (`expected`): one block then holds a column from the start, in large
    pages where the system has them.
    """

    def __init__(self, names: Sequence[str] = MARK.names or (), expected: int = 0) -> None:
        self._block_rows = expected or _BLOCK_ROWS
        self._joined = {name: np.zeros(0, type_of(name)) for name in names}
        self._blocks: dict[str, list[IntArray]] = {name: [] for name in names}
        self._used = self._block_rows  # rows of the last block

    def add(self, marks: Rows) -> None:
        """Take in marks that follow those before."""
        done = 0
        while done < len(marks):
            if self._used == self._block_rows:
                for name, blocks in self._blocks.items():
                    blocks.append(np.empty(self._block_rows, type_of(name)))
                self._used = 0
            taken = min(self._block_rows - self._used, len(marks) - done)
            for name, blocks in self._blocks.items():
                blocks[-1][self._used : self._used + taken] = marks[name][done : done + taken]
            self._used += taken
            done += taken

    def columns(self) -> dict[str, IntArray]:
        """Return every column in one piece; of what was collected none stays behind in another form."""
        for name, blocks in self._blocks.items():
            if blocks:
                blocks[-1] = blocks[-1][: self._used]
                parts = [part for part in (self._joined[name], *blocks) if len(part)]
                self._joined[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
                blocks.clear()
        self._block_rows = self._used = _BLOCK_ROWS
        return dict(self._joined)


def type_of(name: str) -> type[np.signedinteger[Any]]:
    """Return how a column is held: there are not many positions, and each byte of a row is a megabyte of a million."""
    return np.int32 if name == "open_positions" else np.int64


def rows_of(columns: CurveColumns) -> Rows:
    """Return columns as MARK records again."""
    assert MARK.names is not None
    rows = np.zeros(len(columns), MARK)
    for name in MARK.names:
        rows[name] = columns[name]
    return rows


def has_column(marks: Marks, name: str) -> bool:
    """Return whether marks hold this column; records hold all."""
    return not isinstance(marks, CurveColumns) or name in marks
