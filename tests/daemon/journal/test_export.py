"""What is taken out of a journal while a daemon writes to it is of one moment."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import export_tables, journal_statement
from tests.support.journals import candles, filled


def written_between(state: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let a daemon write a mark with another cash each time that a reader asks for rows; return how often it did."""
    real, times = Journal.all, list[int]()

    def told(journal: Journal, query: str, *values: object) -> object:
        found = real(journal, query, *values)
        with closing(sqlite3.connect(state / "journal.db")) as writer, writer:
            names = [row[1] for row in writer.execute("PRAGMA table_info(equity)")]
            changed = {"time_ms": "time_ms + 60000", "cash": "cash + 1", "sequence": "sequence + 1"}
            columns = ", ".join(changed.get(name, name) for name in names)
            copied = f"SELECT {columns} FROM equity ORDER BY time_ms DESC LIMIT 1"  # noqa: S608 # of the table itself
            writer.execute(f"INSERT INTO equity {copied}")
        times.append(len(found))
        return found

    monkeypatch.setattr(Journal, "all", told)
    return times


def test_a_statement_of_a_daemon_that_trades_on_balances(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fills of one moment stood beside the equity of a later one, and the statement was called wrong."""
    filled(tmp_path, candles(400))
    with Journal.read(tmp_path) as journal:
        before = journal_statement(journal)
        times = written_between(tmp_path, monkeypatch)
        during = journal_statement(journal)

    assert len(times) > 2
    assert str(during) == str(before)


def test_tables_are_exported_as_they_are_at_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, candles(400))
    with Journal.read(tmp_path) as journal:
        marks = journal.one("SELECT count(*) FROM equity")[0]
        times = written_between(tmp_path, monkeypatch)
        paths = export_tables(journal, tmp_path / "out")

    (equity,) = (path for path in paths if path.stem == "equity")
    assert len(times) > 5
    assert pq.read_table(equity).num_rows == marks
