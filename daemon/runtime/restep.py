"""
Stepping a journal's inputs again, beside the daemon or long after it, and comparing every record with what it wrote.

The comparison is exact: integers and floats as they are, in order. The first record that differs is named with its
table, key and field; where all records agree but the state does not, the field of the state is named.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.daemon.chapters.stepping import Stepper, refuse_code_of
from papertape.daemon.journal import Input, Journal
from papertape.daemon.journal.archive import all_inputs
from papertape.daemon.journal.tables import TABLES, ReportTable, as_values, events_since, kept
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.report import Report
from papertape.engine.snapshot import unpack

_GROUP: Final = 256  # inputs compared at a time


class Difference(NamedTuple):
    """The first thing that is not as it was: which record of which input, which field, and both values."""

    sequence: int
    record: str
    field: str
    live: str
    again: str

    def __str__(self) -> str:
        return (
            f"input {self.sequence}, {self.record}, field {self.field}: "
            f"the daemon has {self.live}, stepped again it is {self.again}"
        )


class Again:
    """
    An engine that takes a journal's inputs once more.

    sequence  of the newest input that was compared
    """

    def __init__(self, state: Path, journal: Journal) -> None:
        self._state, self._journal = state, journal
        self.stepper = Stepper(state, journal)
        self.sequence = 0

    @property
    def engine(self) -> Engine:
        """Return the engine after that input."""
        return self.stepper.engine

    def start_from_snapshot(self) -> None:
        """Begin behind the oldest snapshot that can be loaded, rather than at the first input."""
        for snapshot in reversed(list(self._journal.snapshots())):
            if snapshot.is_whole and self.stepper.fits(snapshot):
                self.stepper.load(snapshot)
                self.sequence = snapshot.sequence
                return

    def advance(self, last: int) -> Iterator[Difference | int]:
        """Step up to input `last`; yield how far it is after every group, and the first difference as the end."""
        inputs = all_inputs(self._state, self._journal, self.sequence)
        while self.sequence < last and (group := list(islice(inputs, min(_GROUP, last - self.sequence)))):
            difference = self._compare(group)
            if difference is not None:
                yield difference
                return
            self.sequence = group[-1].sequence
            yield self.sequence

    def _compare(self, group: Sequence[Input]) -> Difference | None:
        """Step some inputs and return the first record that differs from the tables."""
        marks = self._snapshot_digests(group)
        reports: list[tuple[Input, Report]] = []
        for found in group:
            reports.append((found, self.stepper.step(found)))
            digest = marks.get(found.sequence)
            if digest is not None and digest != self.engine.digest:
                record = self._records_differ(reports)
                return record or Difference(found.sequence, "snapshot", "digest", digest, self.engine.digest)
        return self._records_differ(reports)

    def _snapshot_digests(self, group: Sequence[Input]) -> dict[int, str]:
        span = group[0].sequence, group[-1].sequence
        query = "SELECT sequence, digest FROM snapshots WHERE sequence BETWEEN ? AND ?"
        return dict(self._journal.all(query, *span))

    def _records_differ(self, reports: Sequence[tuple[Input, Report]]) -> Difference | None:
        """Return the first difference of all tables, by input."""
        kept_here = (table for table in TABLES if self._journal.has_table(table.name))
        firsts = [self._table_differs(table, reports) for table in kept_here]
        return min((d for d in firsts if d is not None), default=None, key=lambda d: d.sequence)

    def _table_differs(
        self, table: ReportTable, reports: Sequence[tuple[Input, Report]]
    ) -> Difference | None:
        rows = self._journal.all(
            f"SELECT * FROM {table.name} WHERE input BETWEEN ? AND ? ORDER BY input, {table.key}",  # noqa: S608
            reports[0][0].sequence,
            reports[-1][0].sequence,
        )
        live = {number: list(found) for number, found in groupby(rows, key=lambda row: row[0])}
        since: dict[tuple[str, int], int] | None = None
        for found, report in reports:
            again = sorted(
                as_values(table, kept(table, report), self.engine.symbols),
                key=lambda row: [row[place] for place in table.key_places],
            )
            was = [row[1:] for row in live.get(found.sequence, [])]
            if was != again and table.name == "events":
                if since is None:  # asked once: a daemon that runs lets go of more meanwhile
                    since = events_since(self._journal.connection)
                was, again = (_still_kept(table, side, since) for side in (was, again))
            if was != again:
                return _first(table, found.sequence, was, again)
        return None

    def state_differs(self, state: bytes) -> Difference | None:
        """Return what differs between this engine's state and a snapshot taken at the same input."""
        mine = self.engine.snapshot()
        if mine == state:
            return None
        like = self.engine._arrays()
        fingerprint = self.engine.spec.fingerprint()
        try:
            live = unpack(state, fingerprint, like)
        except DataError as error:
            return Difference(self.sequence, "snapshot", "state", str(error), "whole")
        for name, array in like.items():
            if live[name].tobytes() != array.tobytes():
                return _field_of(self.sequence, name, live[name], array)
        return Difference(self.sequence, "snapshot", "header", "another", "of this version")


def _still_kept(
    table: ReportTable, rows: Sequence[tuple[Any, ...]], since: Mapping[tuple[str, int], int]
) -> list[tuple[Any, ...]]:
    """Return the rows of market structure that the journal has not let go of meanwhile."""
    places = [table.fields.index(name) for name in ("symbol", "timeframe_ms", "known_ms")]
    named = [(row, *(row[place] for place in places)) for row in rows]
    return [
        row for row, symbol, length_ms, known_ms in named if known_ms > since.get((symbol, length_ms), -1)
    ]


def _first(
    table: ReportTable, sequence: int, live: list[tuple[Any, ...]], again: list[tuple[Any, ...]]
) -> Difference:
    """Return the first field that differs between two lists of rows that are not equal."""
    for old, new in zip(live, again, strict=False):
        for name, a, b in zip(table.fields, old, new, strict=True):
            if a != b:
                return Difference(sequence, _named(table, new), name, repr(a), repr(b))
    if len(live) > len(again):
        named = _named(table, live[len(again)])
        return Difference(sequence, named, table.key, "the record", "missing")
    return Difference(sequence, _named(table, again[len(live)]), table.key, "missing", "there")


def _named(table: ReportTable, row: tuple[Any, ...]) -> str:
    """Return which record a row is."""
    return " ".join([table.name, *(str(row[place]) for place in table.key_places)])


def _field_of(sequence: int, name: str, live: Any, again: Any) -> Difference:
    """Return the first field that differs between two arrays of the engine's state."""
    if live.shape != again.shape:
        return Difference(sequence, f"state {name}", "length", str(live.shape), str(again.shape))
    flat_live, flat_again = live.reshape(-1), again.reshape(-1)
    for index, (a, b) in enumerate(zip(flat_live, flat_again, strict=True)):
        if a.tobytes() == b.tobytes():
            continue
        for field in live.dtype.names or ():
            if np.asarray(a[field]).tobytes() != np.asarray(b[field]).tobytes():
                return Difference(sequence, f"state {name}[{index}]", field, str(a[field]), str(b[field]))
        return Difference(sequence, f"state {name}[{index}]", "value", str(a), str(b))
    raise AssertionError("the arrays are equal")


class RestepVerdict(NamedTuple):
    """What a verification of a whole state directory found; `difference` is None when everything is equal."""

    inputs: int
    digest: str
    told: tuple[str, ...]
    difference: Difference | None

    @property
    def is_equal(self) -> bool:
        """Return whether the inputs lead to what the daemon wrote."""
        return self.difference is None


def verify_state(state: Path, on_progress: Any = None, *, trust_code: bool = False) -> RestepVerdict:
    """
    Return whether all inputs of a state directory, stepped again, lead to its records, digests and snapshots.

    trust_code  run a strategy that is not built in, whatever module the state names

    Raises ConfigError when the state names code that is not trusted, InvariantError where an input is missing or was changed.
    """
    with Journal.read(state) as journal:
        refuse_code_of(journal, state, trust_code)
        again = Again(state, journal)
        last, told, difference = journal.sequence, [], None
        for snapshot in reversed(list(journal.snapshots())):
            if not snapshot.is_whole:
                told.append(f"snapshot {snapshot.sequence} is damaged; recovery would use an older one")
            elif not again.stepper.fits(snapshot):
                told.append(f"snapshot {snapshot.sequence} is of other sources than these")
            elif difference is None:
                difference = _advance(again, snapshot.sequence, last, on_progress)
                difference = difference or again.state_differs(snapshot.state)
        difference = difference or _advance(again, last, last, on_progress)
        return RestepVerdict(again.sequence, again.engine.digest, tuple(told), difference)


def _advance(again: Again, to: int, last: int, on_progress: Any) -> Difference | None:
    for found in again.advance(to):
        if isinstance(found, Difference):
            return found
        if on_progress is not None:
            on_progress("verifying", found, last)
    return None
