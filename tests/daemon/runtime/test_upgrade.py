"""What another version would decide otherwise is listed, row by row, and nothing in the state directory is touched."""

import hashlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.journal.archive import back_up
from papertape.daemon.journal.export import export_tables, journal_statement
from papertape.daemon.runtime.drill import drill
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.runtime.upgrade.comparison import Change, Upgrade, compare_versions
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError, InvariantError
from papertape.engine.records import DECISION, UNITS_PER_QUOTE
from tests.support.commands import invoke
from tests.support.journals import candles, change_to_version_1, filled, identity, recorded, served

ROWS = candles(400)


def files_of(state: Path) -> dict[str, str]:
    """Return the content of every file, but for sqlite's own beside the journal, which a reader makes."""
    paths = [path for path in state.rglob("*") if path.is_file() and "-" not in path.name]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def changed(state: Path, *statements: str) -> None:
    """Let the tables be those of a version that decided otherwise."""
    connection = sqlite3.connect(state / "journal.db")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def lines(found: Upgrade) -> list[str]:
    return [str(change) for change in found.changes]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    filled(tmp_path / "state", ROWS)
    return tmp_path / "state"


def test_the_same_version_decides_the_same(state: Path) -> None:
    before = files_of(state)

    found = compare_versions(state)

    engine = Engine(identity().spec)
    report = engine.step(ROWS)
    assert found.is_equal
    assert found.digest == engine.digest
    assert found.rows["fills"] == len(report.fills) > 10
    assert found.rows["trades"] == len(report.trades) > 4
    assert found.not_kept == ()
    assert files_of(state) == before


def test_a_journal_without_a_table_that_came_since_is_read_all_the_same(state: Path) -> None:
    changed(state, "DROP VIEW changes_quote", "DROP TABLE changes")

    assert verify_state(state).is_equal
    assert compare_versions(state).not_kept == ("changes",)
    with Journal.read(state) as journal:
        booked = journal_statement(journal)
        names = {path.stem for path in export_tables(journal, state.parent / "out")}
    assert booked.transactions > 10
    assert not len(booked.changes)
    assert "changes" not in names
    assert "fills" in names


def test_every_row_that_differs_is_named_with_both_values(state: Path) -> None:
    engine = Engine(identity().spec)
    report = engine.step(ROWS)
    fill, trade, decision = report.fills[2], report.trades[1], report.decisions[-1]
    others = ", ".join(DECISION.names[2:])  # behind sequence and time
    money = "price = price + 1, fee = fee + 1000000000"
    statements = [
        f"UPDATE fills SET {money} WHERE sequence = {fill.sequence}",  # noqa: S608
        f"DELETE FROM trades WHERE number = {trade.number}",  # noqa: S608
        f"INSERT INTO decisions SELECT input, sequence + 1000000, time_ms + 900000, {others} FROM decisions WHERE sequence = {decision.sequence}",  # noqa: S608
    ]
    changed(state, *statements)

    found = compare_versions(state)

    assert [(change.table, change.what) for change in found.changes] == [
        ("decisions", "gone"),
        ("fills", "changed"),
        ("trades", "new"),
    ]
    assert found.changes[1].fields == {
        "price": (str(fill.price + 1), str(fill.price)),
        "fee": (str((fill.fee + 10**9) / UNITS_PER_QUOTE), str(fill.fee / UNITS_PER_QUOTE)),
    }
    assert found.changes[1].row.split()[1:] == [engine.symbols[fill.symbol], str(fill.side)]


def test_a_rule_that_changed_is_seen_in_every_fill(state: Path) -> None:
    """The old version took no fee at all: each fill now pays the taker's rate of its notional."""
    free = identity()
    free = free._replace(markets=tuple(replace(market, taker_fee_rate=0.0) for market in free.markets))
    old = Engine(free.spec).step(ROWS)
    fees = dict(zip(old.fills["sequence"].tolist(), old.fills["fee"].tolist(), strict=True))
    assert set(fees.values()) == {0}
    changed(state, "UPDATE fills SET fee = 0")

    found = compare_versions(state)

    rate = identity().markets[0].taker_fee_rate
    for change in found.changes:
        assert change.table == "fills"
        assert set(change.fields) == {"fee"}
        assert change.fields["fee"][0] == "0.0"
    report = Engine(identity().spec).step(ROWS)
    expected = [float(notional) / UNITS_PER_QUOTE * rate for notional in report.fills["notional"]]
    assert sorted(float(c.fields["fee"][1]) for c in found.changes) == pytest.approx(sorted(expected))


def test_columns_and_tables_of_another_version_are_compared_as_far_as_both_have_them(state: Path) -> None:
    changed(
        state,
        "DROP VIEW trades_quote",
        "ALTER TABLE trades DROP COLUMN confidence",
        "DROP VIEW limits_quote",
        "DROP TABLE limits",
    )

    found = compare_versions(state)

    assert found.is_equal
    assert found.not_kept == ("limits",)


def test_a_journal_of_version_1_is_brought_forward_in_the_copy_alone(state: Path) -> None:
    change_to_version_1(state)
    before = files_of(state)

    found = compare_versions(state)

    assert found.inputs == 20
    assert set(found.not_kept) == set(found.rows)
    assert files_of(state) == before


def test_the_command_lists_and_fails_where_something_differs(state: Path) -> None:
    assert invoke("upgrade", str(state), "--dry-run").startswith("equal: 20 inputs lead to the same ")
    changed(state, "UPDATE equity SET cash = cash + 1")

    told = invoke("upgrade", str(state), "--dry-run", code=1).splitlines()

    assert told[0].startswith("equity: ")
    assert " → " in told[1]
    assert told[-1].endswith("more; --json lists all of them")
    listed = json.loads(invoke("upgrade", str(state), "--dry-run", "--json", code=1))
    assert len(listed["changes"]) == listed["rows"]["equity"] > 20
    with pytest.raises(ConfigError, match="say --dry-run"):
        invoke("upgrade", str(state))
    with pytest.raises(DataError, match=r"no journal\.db there"):
        invoke("upgrade", str(state / "none"), "--dry-run")


def test_a_change_reads_as_a_line() -> None:
    change = Change("fills", "2021-01-01T00:00:00Z AAA 1", "changed", {"price": ("1.0", "2.0")})

    assert str(change) == "fills 2021-01-01T00:00:00Z AAA 1: price 1.0 → 2.0"
    assert str(change._replace(what="gone", fields={})).endswith("AAA 1: gone")


def ran(state: Path, last: int) -> None:
    served(state, recorded(ROWS[: 2 * last]))


def test_a_drill_brings_the_newest_backup_back(tmp_path: Path) -> None:
    ran(tmp_path, 200)
    with Journal.read(tmp_path) as journal:
        back_up(tmp_path, journal, "journal-early")
        early = journal.sequence
        digest = next(journal.snapshots()).digest
    ran(tmp_path, 400)
    before = files_of(tmp_path)

    found = drill(tmp_path)

    assert (found.inputs, found.digest, found.kept) == (early, digest, digest)
    assert found.lost > 0
    assert found.stepped == 0  # its newest snapshot is of its last input
    assert found.is_equal
    assert files_of(tmp_path) == before
    told = invoke("journal", "drill", str(tmp_path))
    assert "as the daemon had it" in told
    assert json.loads(invoke("journal", "drill", str(tmp_path), "--json"))["is_equal"] is True


def test_a_drill_that_comes_to_something_else_fails(tmp_path: Path) -> None:
    ran(tmp_path, 200)
    with Journal.read(tmp_path) as journal:
        back_up(tmp_path, journal, "journal-early")
    changed(tmp_path, "UPDATE snapshots SET digest = 'another'")

    assert not drill(tmp_path).is_equal
    assert "NOT what the daemon had" in invoke("journal", "drill", str(tmp_path), code=1)


def test_a_backup_that_was_changed_and_none_at_all_are_refused(tmp_path: Path) -> None:
    ran(tmp_path, 200)
    with pytest.raises(DataError, match="there is no backup yet"):
        drill(tmp_path)
    with Journal.read(tmp_path) as journal:
        path = back_up(tmp_path, journal, "journal-early")
    connection: Any = sqlite3.connect(path)
    connection.execute("UPDATE inputs SET payload = zeroblob(length(payload)) WHERE sequence = 3")
    connection.commit()
    connection.close()

    with pytest.raises(InvariantError, match="input 3 is missing or was changed"):
        drill(tmp_path)
