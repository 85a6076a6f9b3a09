"""
The terminal as commands see it: nothing that a file or a venue named moves the cursor, and nothing wide is cut.

A table that is wider than the terminal is printed in parts, each with the first column, as wide data frames are; names
and values stand beside each other, and what a value holds stands below it, indented.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_GAP: Final = 2  # blanks between columns
_INDENT: Final = "  "


def printable(text: str) -> str:
    """Return a text whose control and direction characters are shown and not obeyed; line ends and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        sign
        if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cf", "Co", "Cn")
        else f"\\x{ord(sign):02x}"
        if ord(sign) < 256
        else f"\\u{ord(sign):04x}"
        for sign in text
    )


class Terminal(Console):
    """A console that prints names as text and folds tables that are too wide."""

    def __init__(self, **options: Any) -> None:
        """Take what a console takes; colons around a word, as in `fees:key:`, are no picture."""
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text for the terminal, without control characters of its own."""
        return super().render_str(printable(text), **options)

    def on_broken_pipe(self) -> None:
        """Let the command line say what a broken pipe means: this console would end with a failure, and with no pipe to ask."""
        raise  # noqa: PLE0704 - called while it is handled

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, tables in as many parts as they need."""
        parts = [
            part
            for each in objects
            for part in (folded(each, self.width) if isinstance(each, Table) else [each])
        ]
        super().print(*parts, **options)


def folded(table: Table, width: int) -> list[Table]:
    """Return a table as parts that are not wider than `width`, each with the first column in front."""
    widths = [_column_width(column) for column in table.columns]
    if sum(widths) + _GAP * (len(widths) - 1) <= width or len(widths) < 3:
        return [table]
    groups: list[list[int]] = [[]]
    used = widths[0]
    for index, needed in enumerate(widths[1:], start=1):
        if groups[-1] and used + _GAP + needed > width:
            groups.append([])
            used = widths[0]
        groups[-1].append(index)
        used += _GAP + needed
    return [_part(table, [0, *group], is_first=not at) for at, group in enumerate(groups)]


def _column_width(column: Column) -> int:
    cells = [column.header, *column.cells]
    return max(cell_len(str(cell)) for cell in cells)


def _part(table: Table, indices: Sequence[int], *, is_first: bool) -> Table:
    """Return some columns of a table as one; the title stands over the first alone."""
    part = Table(
        title=table.title if is_first else None,
        title_justify=table.title_justify,
        box=table.box,
        pad_edge=table.pad_edge,
        show_header=table.show_header,
    )
    columns = [table.columns[index] for index in indices]
    for column in columns:
        part.add_column(column.header, justify=column.justify, no_wrap=True)
    for cells in zip(*(list(column.cells) for column in columns), strict=True):
        part.add_row(*cells)
    return part


def plain_table(
    texts: Sequence[str], numbers: Sequence[str] = (), title: str | None = None, *, no_wrap: bool = False
) -> Table:
    """Return a table without lines: heads of texts, then heads of numbers, which stand to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for head in texts:
        table.add_column(head, no_wrap=no_wrap)
    for head in numbers:
        table.add_column(head, justify="right", no_wrap=no_wrap)
    return table


def name_table(values: Mapping[str, Any]) -> Table:
    """Return names beside their values; what is nested stands below its name, and long values wrap."""
    table = Table.grid(padding=(0, _GAP))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _lines(values, ""):
        table.add_row(name, Text(printable(text)))
    return table


def _lines(values: Mapping[str, Any], indent: str) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        label = f"{indent}{printable(str(name))}"
        if isinstance(value, Mapping) and value:
            yield label, ""
            yield from _lines(value, indent + _INDENT)
        elif isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
            for number, each in enumerate(value, start=1):
                yield f"{label} {number}", ""
                yield from _lines(each, indent + _INDENT)
        else:
            yield label, _plain(value)


def _plain(value: Any) -> str:
    """Return a value as a person reads it; what there is none of is a dash."""
    if value is None or value in ({}, [], (), ""):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(each) for each in value)
    return str(value)
