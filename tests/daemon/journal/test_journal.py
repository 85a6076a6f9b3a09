"""The journal: what goes in comes out, every change is found, every fault is one sentence."""

import asyncio
import errno
import hashlib
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.daemon.journal import Journal, Snapshot, ThreadWriter, encode, schema, take_back
from papertape.daemon.journal.archive import (
    all_inputs,
    back_up,
    backups,
    forget,
    last_to_archive,
    release_pages,
    write_archive,
)
from papertape.daemon.journal.codec import decode
from papertape.daemon.journal.export import export_tables, export_tapes
from papertape.engine.broker.risk.brackets import Bracket
from papertape.engine.core import Engine
from papertape.engine.errors import DataError, InvariantError
from papertape.engine.events import Action, Command, Event, Funding, MarketChange, NewModel
from papertape.engine.jit import copy_rows
from papertape.engine.spec import Market
from papertape.replay.feed import ReplayFeed
from papertape.replay.tapes.store import read_tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.helpers import interleave, random_candles
from tests.support.journals import SYMBOLS, candles, derived, filled, identity


def snapshot_of(engine: Engine, journal: Journal, sequence: int | None = None) -> Snapshot:
    state = engine.snapshot()
    at = journal.sequence if sequence is None else sequence
    return Snapshot(
        at,
        0,
        engine.spec.fingerprint(),
        engine.digest,
        journal.hash_of(at),
        hashlib.sha256(state).digest(),
        state,
    )


finite = st.floats(allow_nan=False, allow_infinity=False)
figures = st.builds(
    lambda tick, up_to: Market("A/B:C", True, tick_size=tick, brackets=(Bracket(up_to, 5.0, 0.01),)).plain(),
    st.floats(0.0, 1e300),
    st.floats(1.0, 1e300),
)
events = st.one_of(
    st.builds(Command, st.sampled_from(list(Action)), st.just(1.0) | finite),
    st.builds(NewModel, st.integers(1, 2**40), st.binary(max_size=200)),
    st.builds(Funding, st.integers(0, 2**45), st.integers(0, 9), finite, finite),
    st.builds(MarketChange, st.integers(0, 2**45), st.integers(0, 9), figures),
    st.integers(1, 5).map(lambda n: random_candles(n, seed=n)),
)


@given(events)
def test_an_input_reads_back_to_the_same_bits(event: Event) -> None:
    encoded = encode(event)
    again = decode(encoded.kind, encoded.payload)

    if isinstance(event, np.ndarray):
        assert isinstance(again, np.ndarray)
        assert again.tobytes() == event.tobytes()
        assert (encoded.first_ms, encoded.last_ms) == (event["open_ms"][0], event["open_ms"][-1])
    else:
        assert again == event
        assert type(again) is type(event)


def test_a_command_without_a_value_keeps_the_bytes_it_always_had() -> None:
    assert encode(Command(Action.PAUSE)).payload == b'{"action": "pause"}'
    assert encode(Command(Action.SCALE, 0.5)).payload == b'{"action": "scale", "value": 0.5}'
    assert decode("command", b'{"action": "kill"}') == Command(Action.KILL, 1.0)


def test_a_kind_of_a_later_version_is_refused() -> None:
    with pytest.raises(DataError, match="kind 'dividend' is unknown; use the version that wrote it"):
        decode("dividend", b"{}")
    with pytest.raises(DataError, match="kind 'command' cannot be read"):
        decode("command", b'{"action": "dance"}')


def test_the_chain_is_the_formula_of_the_schema(tmp_path: Path) -> None:
    rows = candles(6)
    with Journal.open(tmp_path, 0) as journal:
        for event in (rows[:4], Command(Action.PAUSE), rows[4:]):
            journal.commit([lambda j, e=event: j.add_input(encode(e), 7)])

    # With nothing but sqlite and hashlib, as a stranger would.
    connection = sqlite3.connect(tmp_path / "journal.db")
    before = bytes(32)
    for kind, payload, found in connection.execute(
        "SELECT kind, payload, hash FROM inputs ORDER BY sequence"
    ):
        before = hashlib.sha256(before + kind.encode() + payload).digest()
        assert before == found
    kinds = connection.execute("SELECT group_concat(kind) FROM inputs").fetchone()[0]
    connection.close()
    assert kinds == "candles,command,candles"


def test_a_commit_is_on_the_disk_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    with Journal.open(tmp_path, 0) as journal:
        assert journal.one("PRAGMA journal_mode")[0] == "wal"
        assert journal.one("PRAGMA synchronous")[0] == 2  # FULL
        journal.commit([lambda j: j.add_input(encode(Command(Action.PAUSE)), 1)])
        tip = journal.sequence, journal.hash

        def fail(_: Journal) -> None:
            raise DataError("no")

        with pytest.raises(DataError, match="no"):
            journal.commit([lambda j: j.add_input(encode(Command(Action.RESUME)), 2), fail])

        assert (journal.sequence, journal.hash) == tip
        assert journal.one("SELECT count(*) FROM inputs")[0] == 1


def test_tables_hold_what_the_engine_reported(tmp_path: Path) -> None:
    rows = candles(1_500)
    engine = filled(tmp_path, rows)
    plain = Engine(identity().spec).step(rows)

    tables = derived(tmp_path)

    assert len(plain.fills) > 20
    assert [row[0] for row in tables["fills"]] == plain.fills["sequence"].tolist()
    assert [row[6] for row in tables["fills"]] == plain.fills["price"].tolist()
    assert [row[2] for row in tables["fills"]] == [SYMBOLS[i] for i in plain.fills["symbol"]]
    assert [row[0] for row in tables["trades"]] == sorted(plain.trades["number"].tolist())
    assert [row[1] for row in tables["equity"]] == plain.marks["equity"].tolist()  # 15 m: all kept
    assert engine.digest == _digest(rows)


def _digest(rows: Any) -> str:
    engine = Engine(identity().spec)
    engine.step(rows)
    return engine.digest


def test_anyone_reads_it_with_plain_sql_while_it_is_written(tmp_path: Path) -> None:
    filled(tmp_path, candles(600))
    with Journal.open(tmp_path, 0) as journal:
        journal.connection.execute("BEGIN IMMEDIATE")
        journal.add_input(encode(Command(Action.PAUSE)), 1)  # a write is in progress

        reader = sqlite3.connect(f"file:{tmp_path}/journal.db?mode=ro", uri=True)
        quote, units = reader.execute(
            "SELECT q.pnl, t.pnl FROM trades_quote q JOIN trades t USING (number)"
        ).fetchone()
        time = reader.execute("SELECT time_time FROM equity_quote ORDER BY 1 LIMIT 1").fetchone()[0]
        reader.close()
        journal.connection.execute("ROLLBACK")

    assert quote == pytest.approx(units / 1e9, rel=1e-12)
    assert time == "2020-01-01T00:15:00Z"  # close of the first quarter of an hour


def test_what_is_stepped_again_can_be_taken_back(tmp_path: Path) -> None:
    filled(tmp_path, candles(1_500))
    before = derived(tmp_path)["fills"]
    with Journal.open(tmp_path, 0) as journal:
        half = journal.sequence // 2
        journal.commit([lambda j: take_back(j.connection, half)])
        kept = journal.one("SELECT count(*), max(input) FROM fills")

    assert 0 < kept[0] < len(before)
    assert kept[1] <= half
    assert derived(tmp_path)["fills"] == before[: kept[0]]


def change(state: Path, statement: str, *values: object) -> None:
    """Change a journal behind the daemon's back."""
    connection = sqlite3.connect(state / "journal.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE inputs SET payload = payload || x'00' WHERE sequence = 3",
        "UPDATE inputs SET kind = 'command' WHERE sequence = 3",
        "UPDATE inputs SET hash = zeroblob(32) WHERE sequence = 3",
        "DELETE FROM inputs WHERE sequence = 3",
    ],
)
def test_a_changed_input_is_named(tmp_path: Path, statement: str) -> None:
    filled(tmp_path, candles(200))
    change(tmp_path, statement)

    with (
        Journal.read(tmp_path) as journal,
        pytest.raises(InvariantError, match="input 3 is missing or was changed"),
    ):
        list(journal.inputs())
    assert InvariantError.exit_code == 3


def test_newest_snapshots_are_kept_and_a_damaged_one_is_known(tmp_path: Path) -> None:
    engine = filled(tmp_path, candles(200))
    with Journal.open(tmp_path, 0) as journal:
        for sequence in range(1, 6):
            snapshot = snapshot_of(engine, journal, sequence)
            journal.commit([lambda j, s=snapshot: j.add_snapshot(s, keep=3)])
    change(tmp_path, "UPDATE snapshots SET state = zeroblob(length(state)) WHERE sequence = 5")

    with Journal.read(tmp_path) as journal:
        found = [(s.sequence, s.is_whole) for s in journal.snapshots()]

    assert found == [(5, False), (4, True), (3, True)]


def test_a_newer_or_foreign_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    filled(tmp_path, candles(10))
    change(tmp_path, f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(
        DataError,
        match=r"journal.db: version \d is newer than \d; update papertape or name another state directory",
    ):
        Journal.open(tmp_path, 0)

    other = tmp_path / "other"
    other.mkdir()
    change(other, "CREATE TABLE somebody (elses INTEGER)")
    with pytest.raises(DataError, match="not a journal of papertape; name another state directory"):
        Journal.open(other, 0)

    (other / "journal.db").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(
        InvariantError, match=r"damaged: file is not a database; put the newest file of .*backup"
    ):
        Journal.open(other, 0)

    with pytest.raises(DataError, match=r"no journal.db there; name the state directory"):
        Journal.read(tmp_path / "nowhere")


def test_a_damaged_page_stops_with_a_sentence(tmp_path: Path) -> None:
    filled(tmp_path, candles(3_000))
    path = tmp_path / "journal.db"
    data = bytearray(path.read_bytes())
    data[4096 * 8 : 4096 * 60] = b"\xff" * (4096 * 52)
    path.write_bytes(data)

    with pytest.raises(InvariantError, match=r"damaged|was changed"), Journal.read(tmp_path) as journal:
        list(journal.inputs())


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    filled(tmp_path, candles(100))
    with Journal.open(tmp_path, 0) as journal:
        pages = journal.one("PRAGMA page_count")[0]
        journal.connection.execute(f"PRAGMA max_page_count = {pages}")
        tip = journal.sequence

        with pytest.raises(DataError, match="the disk is full; free some space and start again") as caught:
            journal.commit([lambda j: j.add_input(encode(candles(5_000)), 0)])

        assert journal.sequence == tip
    assert caught.value.exit_code == 1
    with Journal.read(tmp_path) as journal:
        assert len(list(journal.inputs())) == tip


def test_a_read_only_disk_is_one_sentence(tmp_path: Path) -> None:
    filled(tmp_path, candles(10))
    with Journal.open(tmp_path, 0) as journal:
        journal.connection.execute("PRAGMA query_only = ON")
        with pytest.raises(DataError, match="read-only; make it writable or name another state directory"):
            journal.commit([lambda j: j.add_input(encode(Command(Action.PAUSE)), 0)])


def test_old_inputs_leave_for_a_file_and_the_chain_still_holds(tmp_path: Path) -> None:
    rows = candles(4_000)
    engine = filled(tmp_path, rows)
    with Journal.open(tmp_path, 0) as journal:
        everything = list(journal.inputs())
        size = (tmp_path / "journal.db").stat().st_size
        limit = int(rows["open_ms"][2 * 3_000])
        assert last_to_archive(journal, limit) == 0  # without a snapshot nothing may go
        snapshot = snapshot_of(engine, journal, 190)
        journal.commit([lambda j: j.add_snapshot(snapshot, 8)])

        last = last_to_archive(journal, limit)
        path = write_archive(tmp_path, journal, last)
        assert list(all_inputs(tmp_path, journal)) == everything  # killed here, both are there
        journal.commit([forget(last)])
        assert journal.commit([release_pages]) == [0]

        # 40 rows of 2 symbols: 20 instants an input; input 150 ends before instant 3,000
        assert last == 150
        assert path.name == "inputs-000000000001-000000000150.parquet"
        assert [found.sequence for found in journal.inputs(last)] == list(range(151, 201))
        assert list(all_inputs(tmp_path, journal)) == everything
        assert list(all_inputs(tmp_path, journal, 60)) == everything[60:]
        assert last_to_archive(journal, 2**62) == 190  # no further than the oldest snapshot
    assert (tmp_path / "journal.db").stat().st_size < 0.8 * size

    table = pq.read_table(path)
    (tmp_path / "tape" / path.name).unlink()
    pq.write_table(table.slice(1), path)
    with (
        Journal.read(tmp_path) as journal,
        pytest.raises(InvariantError, match="input 1 is missing or was changed"),
    ):
        list(all_inputs(tmp_path, journal))


@pytest.mark.parametrize(("step", "time"), [("hash_of", 1), ("_page", 1), ("_page", 3)])
def test_whoever_reads_misses_nothing_that_is_archived_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, time: int
) -> None:
    filled(tmp_path, candles(400))
    monkeypatch.setattr("papertape.daemon.journal.journal._PAGE", 4)
    with Journal.open(tmp_path, 0) as journal, Journal.read(tmp_path) as reader:
        everything = list(journal.inputs())
        real, calls = getattr(reader, step), 0

        def archive_before(after: int) -> Any:
            nonlocal calls
            calls += 1
            if calls == time:
                write_archive(tmp_path, journal, 15)
                journal.commit([forget(15)])
            return real(after)

        monkeypatch.setattr(reader, step, archive_before)

        assert list(all_inputs(tmp_path, reader)) == everything
        assert calls > time
        assert journal.first_sequence == 16


def test_a_restored_journal_is_read_without_what_had_become_of_it_before(tmp_path: Path) -> None:
    """Files that were archived after the backup hold inputs that follow its own by the chain, and that it never had."""
    rows = candles(400)
    went = rows.copy()
    went["volume"][600:] += 1.0  # from the sixteenth input on
    before, state = tmp_path / "before", tmp_path / "restored"
    for folder, taken in ((before, went), (state, rows)):
        folder.mkdir()
        filled(folder, taken)
    with Journal.open(before, 0) as journal:
        old = [write_archive(before, journal, 12)]
        journal.commit([forget(12)])
        old.append(write_archive(before, journal, 18))
    contents = [path.read_bytes() for path in old]

    with Journal.open(state, 0) as journal:
        everything = list(journal.inputs())
        for path, content in zip(old, contents, strict=True):
            (state / "tape").mkdir(exist_ok=True)
            (state / "tape" / path.name).write_bytes(content)
        write_archive(state, journal, 19)
        journal.commit([forget(19)])
        assert list(all_inputs(state, journal)) == everything

    aside = sorted((state / "tape").glob("aside-*"))
    assert [path.read_bytes() for path in aside] == contents


def test_a_backup_is_a_whole_journal_and_seven_are_kept(tmp_path: Path) -> None:
    filled(tmp_path, candles(400))
    with Journal.read(tmp_path) as journal:
        for day in range(9):
            path = back_up(tmp_path, journal, f"journal-2020010{day}")
        everything = list(journal.inputs())

    assert len(list((tmp_path / "backup").iterdir())) == 7
    other = tmp_path / "restored"
    other.mkdir()
    path.rename(other / "journal.db")
    with Journal.open(other, 0) as journal:
        assert list(journal.inputs()) == everything
    assert derived(other) == derived(tmp_path)


def named(state: Path) -> list[str]:
    return [path.stem for path in backups(state, time.time_ns())]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_journal_that_is_gone_is_not_begun_anew_over_its_backups(is_there: bool, tmp_path: Path) -> None:
    with Journal.open(tmp_path, 0) as journal:
        kept = back_up(tmp_path, journal, "journal-20240501T102030")
    for path in tmp_path.glob("journal.db*"):
        path.unlink()
    if is_there:
        (tmp_path / "journal.db").touch()

    with pytest.raises(DataError, match=r"it is gone or empty, and copies of it are there; put .*backup/"):
        Journal.open(tmp_path, 0)

    assert len(list(tmp_path.glob("journal.db"))) == is_there
    kept.replace(tmp_path / "journal.db")
    Journal.open(tmp_path, 0).close()


def test_a_backup_is_new_whatever_it_is_called(tmp_path: Path) -> None:
    """Seven of those that people write, or of a clock that ran ahead, were newer by name: every other one went at once."""
    filled(tmp_path, candles(20))
    with Journal.read(tmp_path) as journal:
        for number in range(7):
            back_up(tmp_path, journal, f"journal-input-{number}")
        path = back_up(tmp_path, journal, "journal-20240501T102030")
        assert named(tmp_path) == [f"journal-input-{n}" for n in range(1, 7)] + [path.stem]

        ahead_s = time.time() + 86_400.0
        for number in range(1, 5):
            os.utime(tmp_path / "backup" / f"journal-input-{number}.db", (ahead_s, ahead_s))
        back_up(tmp_path, journal, "journal-20240502T102030")

    # Of those from tomorrow the first has gone.
    ahead = [f"journal-input-{n}" for n in (2, 3, 4)]
    assert named(tmp_path) == [
        *ahead,
        "journal-input-5",
        "journal-input-6",
        path.stem,
        "journal-20240502T102030",
    ]


def test_a_backup_that_fails_leaves_nothing_and_one_that_takes_too_much_room_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, candles(20))
    folder = tmp_path / "backup"

    def full(_: int) -> None:
        (folder / ".one.db.tmp-journal").touch()  # as sqlite leaves it
        raise OSError(errno.ENOSPC, "No space left on device")

    with Journal.read(tmp_path) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OSError, match="No space left"):
                back_up(tmp_path, journal, "one")
        assert list(folder.iterdir()) == []

        room = shutil.disk_usage(tmp_path)._replace(free=(tmp_path / "journal.db").stat().st_size)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: room)
        with pytest.raises(DataError, match=r"one\.db: [\d,]+ bytes are free, and [\d,]+ are needed"):
            back_up(tmp_path, journal, "one")
    assert list(folder.iterdir()) == []


def test_who_may_not_write_beside_it_reads_the_journal_of_a_daemon_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sqlite wanted to make a WAL beside it: a statement of another user's account ended with "the disk is read-only"."""
    filled(tmp_path, candles(20))
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere

    with Journal.read(tmp_path) as journal:
        assert journal.one("SELECT count(*) FROM equity")[0] > 0
        assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]


def test_export_gives_back_the_tape_that_was_received(tmp_path: Path) -> None:
    tapes = [random_candles(300, seed, "15m") for seed in (1, 2)]
    missing = np.ones(300, np.bool_)
    missing[[50, 51, 120]] = False
    received = next(ReplayFeed([tapes[0], tapes[1][missing]], 900_000, batch_rows=10**6).batches())
    filled(tmp_path, received)

    with Journal.read(tmp_path) as journal:
        first, second = export_tapes(tmp_path, journal, tmp_path / "out")
        tables = export_tables(journal, tmp_path / "out" / "tables")

    assert read_tape(first).candles.tobytes() == tapes[0].tobytes()
    assert read_tape(second).candles.tobytes() == tapes[1][missing].tobytes()
    assert (read_tape(first).venue, read_tape(second).symbol) == ("test", "BBB")
    fills = pq.read_table(next(path for path in tables if path.stem == "fills"))
    assert [tuple(row.values())[1:] for row in fills.to_pylist()] == derived(tmp_path)["fills"]


def test_candles_of_a_market_that_never_traded_are_exported_as_such(tmp_path: Path) -> None:
    """The local exchange streams no flags: a replay of what a daemon had received said nothing of it."""
    tapes = [
        synthesize("noise", 60, "15m", seed=seed, symbol=name).candles for seed, name in enumerate(SYMBOLS)
    ]
    received = interleave([copy_rows(rows) for rows in tapes])
    received["flag_bits"] = 0
    filled(tmp_path, received, account=identity()._replace(venue="synthetic"))

    with Journal.read(tmp_path) as journal:
        paths = export_tapes(tmp_path, journal, tmp_path / "out")

    assert [read_tape(path).candles.tobytes() for path in paths] == [rows.tobytes() for rows in tapes]


@pytest.mark.asyncio
async def test_works_that_arrive_during_a_flush_share_the_next_commit_in_order(tmp_path: Path) -> None:
    async def write() -> tuple[list[int], int]:
        journal = Journal.open(tmp_path, 0)
        writer = ThreadWriter(journal)
        gate, started = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        commits = 0
        commit = journal.commit

        def counted(works: Any) -> Any:
            nonlocal commits
            commits += 1
            loop.call_soon_threadsafe(started.set)
            return commit(works)

        journal.commit = counted  # type: ignore[method-assign]
        first = asyncio.ensure_future(writer.submit(lambda _: gate.wait(10)))
        await started.wait()
        rest = [
            asyncio.ensure_future(writer.submit(lambda j: j.add_input(encode(Command(Action.PAUSE)), 0)))
            for _ in range(50)
        ]
        await asyncio.sleep(0)
        gate.set()
        assert await first
        sequences = list(await asyncio.gather(*rest))
        await writer.close()
        return sequences, commits

    sequences, commits = await write()

    assert sequences == list(range(1, 51))
    assert commits == 2
    with Journal.read(tmp_path) as journal:
        assert journal.sequence == 50


@pytest.mark.asyncio
async def test_a_failed_commit_ends_the_writer_and_tells_everybody(tmp_path: Path) -> None:
    async def write() -> None:
        journal = Journal.open(tmp_path, 0)
        writer = ThreadWriter(journal)
        journal.connection.execute("PRAGMA query_only = ON")
        writer.post(lambda j: j.add_input(encode(Command(Action.PAUSE)), 0))
        with pytest.raises(DataError, match="read-only"):
            await asyncio.wait_for(writer.failed(), 10)
        with pytest.raises(DataError, match="read-only"):
            await writer.submit(lambda j: j.sequence)
        await writer.close()

    await write()


@settings(max_examples=15, deadline=None)
@given(st.lists(events, min_size=1, max_size=8))
def test_any_inputs_in_any_order_read_back(tmp_path_factory: Any, given_events: list[Event]) -> None:
    state = tmp_path_factory.mktemp("journal")
    with Journal.open(state, 0) as journal:
        for event in given_events:
            journal.commit([lambda j, e=event: j.add_input(encode(e), 0)])
    with Journal.read(state) as journal:
        found = [(row.kind, row.payload) for row in journal.inputs()]

    assert found == [encode(event)[:2] for event in given_events]


def test_a_loop_that_closes_while_it_is_told_leaves_the_thread_unhurt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def writing() -> ThreadWriter:
        return ThreadWriter(Journal.open(tmp_path, 0))

    writer = asyncio.run(writing())  # whose loop is closed, which is not seen yet
    with monkeypatch.context() as patch:
        patch.setattr(writer._loop, "is_closed", lambda: False)
        writer.post(lambda journal: journal.add_input(encode(Command(Action.PAUSE)), 0))
        asyncio.run(writer.close())

    assert not writer._thread.is_alive()
    with Journal.read(tmp_path) as journal:
        assert journal.sequence == 1
