"""Text tables: what every CSV dialect shares. Numbers are rounded correctly, errors name the line of the file."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray
from papertape.replay.importers.source import FileSource
from papertape.replay.tapes.raw import Part


class NumberStyle(NamedTuple):
    """How a file writes numbers: the sign before the fraction, and the one between thousands if there is any."""

    decimal: str = "."
    thousands: str = ""

    @property
    def pattern(self) -> str:
        """Return the expression that a cell must match in whole: thousands in threes, or none."""
        decimal = re.escape(self.decimal)
        whole = r"\d*"
        if self.thousands:
            whole = rf"(?:\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+|\d*)"
        return rf"^[+-]?{whole}(?:{decimal}\d*)?(?:[eE][+-]?\d+)?$"


PLAIN = NumberStyle()
_LIKELY_STYLES = (
    (NumberStyle(".", ","), "--thousands ,"),
    (NumberStyle(",", ""), "--decimal ,"),
    (NumberStyle(",", "."), "--decimal , --thousands ."),
    (NumberStyle(".", " "), "--thousands ' '"),
    (NumberStyle(",", " "), "--decimal , --thousands ' '"),
    (NumberStyle(".", "'"), '--thousands "\'"'),
)


class TextTable(NamedTuple):
    """
    Text columns of a CSV file by position.

    part  names the file and the line of each row, for messages
    """

    name: str
    header: tuple[str, ...] | None
    columns: tuple[Any, ...]  # pyarrow string arrays
    part: Part
    style: NumberStyle = PLAIN


def split(line: str, delimiter: str = ",") -> list[str]:
    """Return the cells of a line, without quotes and spaces."""
    cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])
    return [cell.strip() for cell in cells]


def only_place(names: Sequence[str], name: str, where: str, way_out: str = "") -> int:
    """Return the position of a name; DataError where several columns have it, for nothing says which one is meant."""
    places = [place for place, each in enumerate(names) if each == name]
    if len(places) > 1:
        numbered = " and ".join(map(str, places))
        hint = f", or {way_out}: they are columns {numbered}" if way_out else ""
        raise DataError(f"{where}: {len(places)} columns are called {name!r}; leave one{hint}")
    return places[0]


def is_number(cell: str) -> bool:
    """Return whether a cell is a plain number."""
    return bool(re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", cell))


def read_table(
    source: FileSource, *, skip: int = 0, has_header: bool, delimiter: str = ",", style: NumberStyle = PLAIN
) -> TextTable:
    """
    Return a CSV file as text columns; blank lines count for nothing.

    skip  lines before the header or the data

    Raises DataError when it is not UTF-8 or its rows differ in length.
    """
    lines = source.lines[skip:]
    if not lines or (has_header and len(lines) < 2):
        raise DataError(f"{source.name}: no row of data")
    header = tuple(split(lines[0], delimiter)) if has_header else None
    names = [str(i) for i in range(len(split(lines[0], delimiter)))]
    body, part = _body(source, skip + has_header)
    try:
        table = pacsv.read_csv(
            io.BytesIO(body),
            pacsv.ReadOptions(column_names=names, use_threads=False),
            pacsv.ParseOptions(delimiter=delimiter),
            pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except (pa.ArrowException, ValueError) as error:
        raise DataError(_reason(error, body, part, len(names), delimiter)) from error
    if not table.num_rows:
        raise DataError(f"{source.name}: no row of data")
    columns = (table.column(i).combine_chunks() for i in range(len(names)))
    columns_text = tuple(
        pc.utf8_trim_whitespace(c.chunk(0) if isinstance(c, pa.ChunkedArray) else c) for c in columns
    )
    return TextTable(source.name, header, columns_text, part, style)


def _body(source: FileSource, skip: int) -> tuple[bytes, Part]:
    """Return the text behind the first lines that are not blank, and where its rows stand in the file."""
    text = source.text
    blank = re.compile(rb"(?m)^[ \t\r]*(?:\n|\Z)")
    start, line = 0, 1
    while skip:
        end = text.find(b"\n", start) + 1
        skip -= not blank.match(text, start)
        start, line = end, line + 1
    has_blanks = any(found.end() > found.start() for found in blank.finditer(text, start))
    if not has_blanks:
        return text[start:], Part(0, source.name, line)
    rows = text[start:].split(b"\n")
    numbers = [line + i for i, row in enumerate(rows) if row.strip()]
    body = b"\n".join(row for row in rows if row.strip())
    return body, Part(0, source.name, line, np.asarray(numbers, dtype=np.int64))


def _reason(error: Exception, body: bytes, part: Part, width: int, delimiter: str) -> str:
    """Return why a body is no table, with the line as an editor counts."""
    text = (str(error).splitlines() or [""])[0]
    if "UTF8" in text or "UTF-8" in text:
        return f"{part.name}: not a whole table: it is not UTF-8 text"
    for index, line in enumerate(body.decode(errors="replace").splitlines()):
        found = len(split(line, delimiter))
        if found != width:
            return f"{part.where(index)} has {found} columns, the rows before {width}"
    return f"{part.name}: not a whole table: {text.rstrip('.')}"


def numbers(table: TextTable, column: int, what: str) -> FloatArray:
    """Return a column as float64, correctly rounded, or raise DataError at the first cell that is no number."""
    cells = table.columns[column]
    try:
        values = pc.cast(_plain_cells(cells, table.style), pa.float64())
    except (pa.ArrowException, ValueError) as error:
        for index, cell in enumerate(cells.to_pylist()):
            if cell is None or not _is_styled(cell, table.style):
                raise DataError(
                    f"{table.part.where(index)}: {what} {str(cell)[:40]!r} is not a number"
                    f"{_likely_style(str(cell))}"
                ) from error
        raise DataError(f"{table.name}: {what}: {error}") from error
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)


def _is_styled(cell: str, style: NumberStyle) -> bool:
    if style == PLAIN:
        return is_number(cell)
    return bool(re.search(r"\d", cell)) and bool(re.match(style.pattern, cell))


def _plain_cells(cells: Any, style: NumberStyle) -> Any:
    """Return cells as the compiler of numbers wants them; ValueError when one is of another style."""
    if style == PLAIN:
        return cells
    if not pc.all(pc.match_substring_regex(cells, style.pattern)).as_py():
        raise ValueError("a cell is of another style")
    if style.thousands:
        cells = pc.replace_substring(cells, style.thousands, "")
    return pc.replace_substring(cells, style.decimal, ".")


def _likely_style(cell: str) -> str:
    """Return which options would read a cell, as the end of a sentence."""
    for style, options in _LIKELY_STYLES:
        if _is_styled(cell, style):
            return f"; if it is one, say {options}"
    return ""
