"""
What this version would decide otherwise: every input of a journal stepped again, compared with the tables another version wrote.

All of it is done on a copy, and the tables are read before the copy is migrated, which would drop a table whose columns have
changed. Rows are matched by time and symbol, never by their numbers, and compared by the columns that both versions have.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from papertape.daemon.chapters.stepping import Stepper, refuse_code_of
from papertape.daemon.journal import NAME, Journal
from papertape.daemon.journal.archive import all_inputs, copy_of
from papertape.daemon.journal.journal import connect_to_read
from papertape.daemon.journal.tables import TABLES, ReportTable, as_text, as_values, kept
from papertape.daemon.runtime.recovery import Progress
from papertape.replay.runtime.compile import compile_kernels

# What makes a row the same row, beside how many of that name came before it.
_NAMED_BY: Final = {
    "decisions": ("time_ms", "symbol"),
    "fills": ("candle_ms", "symbol", "side"),
    "trades": ("entry_ms", "symbol"),
    "orders": ("time_ms", "symbol", "status"),
    "limits": ("time_ms", "limit"),
    "payments": ("time_ms", "symbol"),
    "changes": ("time_ms", "symbol", "figure", "place"),
    "models": ("time_ms",),
    "equity": ("time_ms",),
}
_NUMBERING: Final = frozenset({"input", "sequence", "number", "trade", "fill"})

Key = tuple[Any, ...]
Rows = dict[Key, dict[str, Any]]


class Change(NamedTuple):
    """
    One row that would not be as it is.

    row     its time, and its symbol or what else names it, as text
    fields  by name what it is and what it would be; empty for a row that would be gone, or is new
    """

    table: str
    row: str
    what: str  # changed, gone, new
    fields: dict[str, tuple[str, str]]

    def __str__(self) -> str:
        told = ", ".join(f"{name} {was} → {now}" for name, (was, now) in self.fields.items())
        return f"{self.table} {self.row}: {told or self.what}"


class Upgrade(NamedTuple):
    """
    What stepping a journal again comes to.

    inputs      that were stepped
    rows        by table, how many there would be
    changes     every row that would not be as it is, in the order of tables and times
    not_kept    tables that the other version did not have
    """

    inputs: int
    digest: str
    rows: dict[str, int]
    changes: tuple[Change, ...]
    not_kept: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Return whether this version decides what the other one did."""
        return not self.changes


def compare_versions(
    state: Path, on_progress: Progress | None = None, *, trust_code: bool = False
) -> Upgrade:
    """
    Return what would differ if this version took over a state directory; nothing in it is touched.

    trust_code  run a strategy that is not built in, whatever module the state names

    Raises ConfigError when the state names code that is not trusted, DataError where there is no journal of a version that
    can be brought forward, InvariantError where an input is missing or was changed.
    """
    with tempfile.TemporaryDirectory(prefix="papertape-upgrade-") as folder:
        copy_of(state, Path(folder))
        before = _tables_of(Path(folder) / NAME)
        with Journal.open(Path(folder), 0) as journal:
            refuse_code_of(journal, state, trust_code)
            stepper = Stepper(state, journal)
            compile_kernels(stepper.engine.spec)
            symbols, units = stepper.engine.symbols, journal.units_per_quote
            now = {table.name: _Taken(table) for table in _compared()}
            for found in all_inputs(state, journal):
                report = stepper.step(found)
                for table in _compared():
                    rows = kept(table, report)
                    if len(rows):
                        now[table.name].add(table.fields, as_values(table, rows, symbols))
                if on_progress is not None:
                    on_progress("stepping again", found.sequence, journal.sequence)
            changes = [
                change
                for table in _compared()
                if table.name in before
                for change in _changes(table, before[table.name], now[table.name].rows, units)
            ]
            return Upgrade(
                journal.sequence,
                stepper.engine.digest,
                {name: len(taken.rows) for name, taken in now.items()},
                tuple(changes),
                tuple(name for name in now if name not in before),
            )


def _compared() -> Iterator[ReportTable]:
    return (table for table in TABLES if table.name in _NAMED_BY)


class _Taken:
    """Rows of one table by what names them."""

    def __init__(self, table: ReportTable) -> None:
        self._named_by = _NAMED_BY[table.name]
        self._seen: Counter[Key] = Counter()
        self.rows: Rows = {}

    def add(self, names: Sequence[str], rows: Iterator[Sequence[Any]]) -> None:
        """Take in rows with these columns, in their order."""
        for values in rows:
            row = dict(zip(names, values, strict=True))
            key = tuple(row[name] for name in self._named_by)
            self.rows[*key, self._seen[key]] = row
            self._seen[key] += 1


def _tables_of(path: Path) -> dict[str, Rows]:
    """Return what the tables of a journal hold, whatever their columns; a table that is not there is left out."""
    found = {}
    with closing(connect_to_read(path)) as connection:
        for table in _compared():
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")]
            if not set(_NAMED_BY[table.name]) <= set(names):
                continue
            taken = _Taken(table)
            taken.add(
                names,
                connection.execute(f"SELECT * FROM {table.name} ORDER BY input, {table.key}"),  # noqa: S608
            )
            found[table.name] = taken.rows
    return found


def _changes(table: ReportTable, before: Rows, now: Rows, units_per_quote: float) -> Iterator[Change]:
    """Yield what differs between two sets of rows, by time."""
    for key in sorted({*before, *now}, key=lambda key: (key[0], str(key))):
        row = " ".join(
            as_text(table, name, value, units_per_quote)
            for name, value in zip(_NAMED_BY[table.name], key, strict=False)
        )
        if key not in now:
            yield Change(table.name, row, "gone", {})
        elif key not in before:
            yield Change(table.name, row, "new", {})
        elif fields := _fields(table, before[key], now[key], units_per_quote):
            yield Change(table.name, row, "changed", fields)


def _fields(
    table: ReportTable, before: Mapping[str, Any], now: Mapping[str, Any], units_per_quote: float
) -> dict[str, tuple[str, str]]:
    """Return the fields of a row that differ, as text, of those that both have."""
    return {
        name: (
            as_text(table, name, before[name], units_per_quote),
            as_text(table, name, value, units_per_quote),
        )
        for name, value in now.items()
        if name in before and name not in _NUMBERING and before[name] != value
    }
