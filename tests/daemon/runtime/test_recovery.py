"""A daemon that was stopped, killed, damaged or updated comes back to what an undisturbed one would be."""

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import papertape.daemon.runtime.recovery
import papertape.daemon.venues
import papertape.engine.spec
from papertape.daemon.app import serve
from papertape.daemon.feeds.protocol import FeedStart
from papertape.daemon.journal import InlineWriter, Journal, encode, schema
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.audit import Auditor, AuditResult
from papertape.daemon.runtime.daemon import Hooks
from papertape.daemon.runtime.maintenance import compaction
from papertape.daemon.runtime.recovery import Recovered
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.venues import live_identity
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError, InvariantError
from papertape.engine.events import OF_PAUSES, Action, Command, MarketChange
from papertape.engine.jit import Rows
from papertape.engine.records import REFUSED_PAUSED
from papertape.engine.spec import Market
from papertape.replay.config import Config
from tests.support.commands import invoke
from tests.support.journals import (
    SYMBOLS,
    candles,
    change_to_version_1,
    derived,
    filled,
    identity,
    recorded,
    served,
)

ROWS = candles(1_500)


class Plain:
    """What the engine says of the same candles without a daemon."""

    engine = Engine(identity().spec)
    report = engine.step(ROWS)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state directory of a daemon that ran over all candles without a break."""
    state = tmp_path_factory.mktemp("undisturbed")
    served(state, recorded(ROWS))
    return state


def told(hooks: list[Recovered]) -> str:
    return "\n".join(hooks[-1].told)


def run_part(state: Path, last: int, **options: Any) -> None:
    """Run a daemon over the first `last` instants."""
    served(state, recorded(ROWS[: last * len(SYMBOLS)], **options))


def test_a_daemon_does_what_a_replay_of_its_tape_does(undisturbed: Path) -> None:
    with Journal.read(undisturbed) as journal:
        snapshot = next(journal.snapshots())

    assert len(Plain.report.fills) > 30
    assert snapshot.digest == Plain.engine.digest
    assert snapshot.state == Plain.engine.snapshot()
    assert [row[0] for row in derived(undisturbed)["fills"]] == Plain.report.fills["sequence"].tolist()
    verdict = verify_state(undisturbed)
    assert verdict.is_equal
    assert verdict.digest == Plain.engine.digest


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 1_499), min_size=1, max_size=3), batch=st.sampled_from([7, 60, 900]))
def test_stops_at_any_place_change_nothing(
    undisturbed: Path, tmp_path_factory: Any, cuts: list[int], batch: int
) -> None:
    state = tmp_path_factory.mktemp("stopped")
    for cut in sorted(cuts):
        run_part(state, cut, batch=batch)
    starts: list[FeedStart] = []

    daemon = served(state, recorded(ROWS, batch, starts=starts))

    assert starts[0].after_ms == ROWS["open_ms"][max(cuts) * len(SYMBOLS) - 1]
    assert daemon.engine.digest == Plain.engine.digest
    assert daemon.engine.snapshot() == Plain.engine.snapshot()
    assert derived(state) == derived(undisturbed)


def change(state: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(state / "journal.db")
    with connection:
        connection.execute(statement, values)
    connection.close()


def snapshots(state: Path) -> list[int]:
    with Journal.read(state) as journal:
        return [snapshot.sequence for snapshot in journal.snapshots()]


def test_a_damaged_snapshot_falls_back_to_an_older_one(undisturbed: Path, tmp_path: Path) -> None:
    for last in (400, 800, 1_200):
        run_part(tmp_path, last)
    assert snapshots(tmp_path) == [60, 40, 20]  # batches of 20 instants
    change(tmp_path, "UPDATE snapshots SET state = substr(state, 1, 900) WHERE sequence = 60")
    change(tmp_path, "UPDATE snapshots SET hash = zeroblob(32) WHERE sequence = 40")
    heard: list[Recovered] = []

    daemon = served(tmp_path, recorded(ROWS), Hooks(on_recovered=heard.append))

    assert heard[0].stepped == 40
    assert "snapshot 60 is damaged; an older one is used" in told(heard)
    assert "snapshot 40 is not of this journal; an older one is used" in told(heard)
    assert daemon.engine.digest == Plain.engine.digest
    assert derived(tmp_path) == derived(undisturbed)


def test_without_any_snapshot_everything_is_stepped_again(undisturbed: Path, tmp_path: Path) -> None:
    run_part(tmp_path, 700)
    change(tmp_path, "DELETE FROM snapshots")
    heard: list[Recovered] = []

    served(tmp_path, recorded(ROWS), Hooks(on_recovered=heard.append))

    assert heard[0].stepped == 35
    assert derived(tmp_path) == derived(undisturbed)


def test_a_changed_journal_stops_the_daemon_and_says_where(tmp_path: Path) -> None:
    run_part(tmp_path, 400)
    change(tmp_path, "DELETE FROM snapshots")
    change(tmp_path, "UPDATE inputs SET payload = zeroblob(length(payload)) WHERE sequence = 9")

    with pytest.raises(InvariantError, match="input 9 is missing or was changed") as caught:
        served(tmp_path, recorded(ROWS))
    assert caught.value.exit_code == 3
    with pytest.raises(InvariantError, match="input 9 is missing or was changed"):
        verify_state(tmp_path)


def test_a_change_from_before_the_snapshot_stops_the_start_too(tmp_path: Path) -> None:
    """Nothing has to be stepped again there, so only the chain can tell."""
    run_part(tmp_path, 400)
    change(tmp_path, "UPDATE inputs SET payload = zeroblob(length(payload)) WHERE sequence = 1")

    with pytest.raises(InvariantError, match=r"input 1 is missing or was changed.*; put the newest"):
        served(tmp_path, recorded(ROWS))


def test_a_change_from_long_ago_is_found_by_the_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_part(tmp_path, 400)
    change(tmp_path, "UPDATE inputs SET payload = zeroblob(length(payload)) WHERE sequence = 1")
    monkeypatch.setattr(papertape.daemon.runtime.recovery, "CHECKED", 5)

    daemon = served(tmp_path, recorded(ROWS))  # the start does not look so far back

    async def audit() -> AuditResult:
        auditor = Auditor(tmp_path)
        try:
            return await auditor.check(daemon.tables.stepped, daemon.engine.digest, "")
        finally:
            await auditor.close()

    assert "input 1 is missing or was changed" in asyncio.run(audit()).difference


def test_other_sources_step_everything_again_archive_included(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_part(tmp_path, 1_200)
    with Journal.open(tmp_path, 0) as journal:
        asyncio.run(compaction(tmp_path, InlineWriter(journal), keep_days=2))
        assert journal.first_sequence > 20
        digest = next(journal.snapshots()).digest
    monkeypatch.setattr(papertape.engine.spec, "source_digest", lambda: "another version")
    heard: list[Recovered] = []

    served(tmp_path, recorded(ROWS), Hooks(on_recovered=heard.append))

    assert heard[0].stepped == 60
    assert "is of other sources; every input is stepped again" in told(heard)
    assert "decides otherwise" not in told(heard)
    assert derived(tmp_path) == derived(undisturbed)

    # A version that really decides otherwise is told, and its tables are its own.
    monkeypatch.setattr(papertape.engine.spec, "source_digest", lambda: "a third version")
    change(tmp_path, "UPDATE snapshots SET digest = 'x' WHERE digest = ?", digest)
    served(tmp_path, recorded(ROWS), Hooks(on_recovered=heard.append))
    assert "this version decides otherwise than the one before, from an input up to 60 on" in told(heard)


def test_a_journal_of_version_1_is_brought_forward(undisturbed: Path, tmp_path: Path) -> None:
    run_part(tmp_path, 800, now_ms=int(ROWS["open_ms"][-1]))  # all of them late
    change_to_version_1(tmp_path)
    heard: list[Recovered] = []

    served(tmp_path, recorded(ROWS), Hooks(on_recovered=heard.append))

    with Journal.read(tmp_path) as journal:
        assert journal.one("PRAGMA user_version")[0] == schema.VERSION == 7
        assert journal.one("SELECT sum(instants) FROM outages")[0] == 800
        assert journal.one("SELECT cause FROM job_runs")[0] == "schedule"
        assert journal.meta("tables_stale") is None
    assert heard[0].stepped == 40
    assert "the tables are made again" in told(heard)
    assert derived(tmp_path) == derived(undisturbed)


@pytest.fixture(params=[1, 2])
def older(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a state directory whose journal is of an older version."""
    filled(tmp_path, ROWS[:200])
    change_to_version_1(tmp_path)
    if request.param == 2:
        connection = sqlite3.connect(tmp_path / "journal.db")
        connection.executescript(schema.STATEMENTS[2] + "PRAGMA user_version = 2;")
        connection.close()
    return tmp_path


@pytest.mark.asyncio
async def test_a_live_start_on_an_older_journal_brings_it_forward(older: Path) -> None:
    """`run` said "start the daemon once" to whoever had just done that."""
    config = identity(daemon={"state": str(older)}).config

    found = await live_identity(config)

    assert found == identity()._replace(config=config)


@pytest.mark.asyncio
@pytest.mark.parametrize("content", [b"", None], ids=["no bytes", "no identity"])
async def test_a_live_start_on_an_empty_journal_asks_the_venue(
    tmp_path: Path, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is None:
        Journal.open(tmp_path, 0).close()
    else:
        (tmp_path / "journal.db").write_bytes(content)
    asked = identity(daemon={"state": str(tmp_path)})

    async def ask(config: Config) -> Identity:
        return asked

    monkeypatch.setattr(papertape.daemon.venues, "_ccxt_identity", ask)

    assert await live_identity(asked.config) is asked


def test_another_account_is_refused_with_every_key(tmp_path: Path) -> None:
    run_part(tmp_path, 100)
    about = identity(
        daemon={"state": str(tmp_path), "port": 0}, account={"capital": 5.0, "leverage_cap": 2.0}
    )

    with pytest.raises(ConfigError) as caught:
        served(tmp_path, recorded(ROWS), about=about)
    assert str(caught.value).splitlines() == [
        "account.capital: 5.0 is not 10000.0, with which the journal began",
        "account.leverage_cap: 2.0 is not 1.0, with which the journal began",
        "choose another --state for another account, or begin a chapter of this one: --chapter NAME",
    ]


def test_a_market_that_the_venue_changed_is_told_and_the_account_stays(
    undisturbed: Path, tmp_path: Path
) -> None:
    run_part(tmp_path, 700)
    about = identity(daemon={"state": str(tmp_path)})
    changed = about._replace(markets=tuple(_with_tick(m, 0.5) for m in about.markets))
    heard: list[Recovered] = []

    served(tmp_path, recorded(ROWS), Hooks(on_recovered=heard.append), changed)

    assert "AAA: tick_size is 0.5 now; this account stays with 0.01" in told(heard)
    assert derived(tmp_path) == derived(undisturbed)


def _with_tick(market: Any, tick_size: float) -> Any:
    return replace(market, tick_size=tick_size)


def test_decisions_of_an_outage_are_listed_and_the_account_follows(undisturbed: Path, tmp_path: Path) -> None:
    run_part(tmp_path, 600)
    # Down for 500 instants: candles 600 … 1,099 are fetched when 1,099 has closed 30 s ago; grace and deadline
    # together are 40 s, so 1,099 itself is in time and the 499 before it are not.
    quarter_ms = 900_000
    start_ms = int(ROWS["open_ms"][0])
    now_ms = start_ms + 1_100 * quarter_ms + 30_000
    run_part(tmp_path, 1_100, now_ms=now_ms, batch=2_000)

    decisions = Plain.report.decisions
    closes = decisions["time_ms"]
    first, last = start_ms + 601 * quarter_ms, start_ms + 1_099 * quarter_ms
    late = (closes >= first) & (closes <= last) & (decisions["refused"] == 0)
    with Journal.read(tmp_path) as journal:
        outages = journal.all("SELECT first_close_ms, last_close_ms, instants, received_ms FROM outages")
        missed = journal.all("SELECT sequence, time_ms, late_ms FROM missed_decisions ORDER BY 1")

    assert late.sum() > 5
    assert outages == [(first, last, 499, now_ms)]
    assert [row[0] for row in missed] == decisions["sequence"][late].tolist()
    assert all(late_ms == now_ms - time_ms for _, time_ms, late_ms in missed)
    served(tmp_path, recorded(ROWS))
    assert derived(tmp_path) == derived(undisturbed)


def test_history_from_before_the_first_start_warms_up_without_trades(tmp_path: Path) -> None:
    about = identity(
        daemon={"state": str(tmp_path)},
        live={"venue": "test", "symbols": SYMBOLS, "timeframe": "15m", "history_bars": 700},
    )
    now_ms = int(ROWS["open_ms"][0]) + 700 * 900_000 + 10_000
    part = ROWS[: 650 * len(SYMBOLS)]
    served(tmp_path, recorded(part, 45, now_ms), about=about)  # stopped within the warm-up
    daemon = served(tmp_path, recorded(ROWS, 45, now_ms), about=about)

    with Journal.read(tmp_path) as journal:
        inputs = list(journal.inputs())
        kinds = [found.kind for found in inputs]
        entered = journal.one("SELECT min(entry_ms) FROM trades")[0]
        refused = {
            row[0] for row in journal.all("SELECT refused FROM decisions WHERE time_ms <= ?", now_ms - 40_000)
        }
        assert journal.one("SELECT count(*) FROM missed_decisions")[0] == 0
        assert journal.one("SELECT count(*) FROM outages")[0] == 0
    assert kinds.count("command") == 2
    resumed = kinds.index("command", 1)
    assert inputs[0].event == Command(Action.PAUSE)
    assert inputs[resumed].event == Command(Action.RESUME, OF_PAUSES)
    assert inputs[resumed].sequence == resumed + 1
    first_live_ms = inputs[resumed + 1].first_ms
    assert first_live_ms == int(ROWS["open_ms"][0]) + 699 * 900_000  # closed 10 s ago
    assert entered > first_live_ms
    assert refused == {REFUSED_PAUSED}
    assert not daemon.journal_feed.is_warming
    assert verify_state(tmp_path).is_equal

    # By hand: the same commands at the same places.
    engine = Engine(about.spec)
    engine.step(Command(Action.PAUSE))
    engine.step(ROWS[: 699 * 2])
    engine.step(Command(Action.RESUME))
    engine.step(ROWS[699 * 2 :])
    assert engine.digest == daemon.engine.digest


def test_a_second_daemon_on_the_directory_is_refused(tmp_path: Path) -> None:
    async def both() -> str:
        reached, go = asyncio.Event(), asyncio.Event()

        async def hold(_: int) -> None:
            reached.set()
            await go.wait()

        about = identity(daemon={"state": str(tmp_path)})
        first = asyncio.ensure_future(serve(about, recorded(ROWS[:40], hold=hold), is_virtual=True))
        await reached.wait()
        with pytest.raises(DataError) as caught:
            await serve(about, recorded(ROWS), is_virtual=True)
        go.set()
        await first
        return str(caught.value)

    message = asyncio.run(both())

    assert message == (
        f"{tmp_path}: another daemon (process {os.getpid()}) is using it; "
        "stop that one or choose another --state"
    )
    run_part(tmp_path, 100)  # the lock went with the first


def test_a_feed_that_breaks_its_promise_stops_the_daemon_before_anything_is_journalled(
    tmp_path: Path,
) -> None:
    broken: list[Callable[[Rows], Rows]] = [
        lambda rows: rows[:-1],  # half an instant
        lambda rows: np.concatenate([rows[:4], rows[:4]]),  # twice the same
        lambda rows: _with(rows, "close", np.nan),
    ]
    for number, spoil in enumerate(broken):
        state = tmp_path / str(number)
        with pytest.raises(InvariantError, match="the feed yielded what must not be traded on"):
            served(state, recorded(spoil(ROWS[:40].copy())))
        with Journal.read(state) as journal:
            assert journal.sequence == 0


def _with(rows: Rows, field: str, value: float) -> Rows:
    rows[field][7] = value
    return rows


def test_a_full_disk_ends_the_daemon_with_a_sentence_and_it_goes_on_later(
    undisturbed: Path, tmp_path: Path
) -> None:
    run_part(tmp_path, 400)

    async def hold(instant: int) -> None:
        if instant == 200:
            daemon[0].writer.journal.connection.execute("PRAGMA max_page_count = 1")

    daemon: list[Any] = []
    with pytest.raises(DataError, match="the disk is full; free some space and start again"):
        served(tmp_path, recorded(ROWS, hold=hold), Hooks(on_ready=daemon.append))
    served(tmp_path, recorded(ROWS))

    assert derived(tmp_path) == derived(undisturbed)


def test_a_torn_wal_loses_at_most_what_was_never_flushed(undisturbed: Path, tmp_path: Path) -> None:
    """Every cut through the write-ahead log is a state that a power cut may leave; each must recover."""
    ending = _crashed_copy(tmp_path / "live")
    wal = (ending / "journal.db-wal").read_bytes()
    random = np.random.default_rng(1)
    cuts = [0, 31, 32, *random.integers(32, len(wal), 12).tolist(), len(wal) - 1, len(wal)]
    for number, cut in enumerate(cuts):
        state = tmp_path / f"cut{number}"
        state.mkdir()
        (state / "journal.db").write_bytes((ending / "journal.db").read_bytes())
        torn = wal[:cut] + (b"\x55" * 100 if number % 2 else b"")
        (state / "journal.db-wal").write_bytes(torn)

        daemon = served(state, recorded(ROWS, batch=250))

        assert daemon.engine.digest == Plain.engine.digest, f"cut at byte {cut}"
        assert derived(state) == derived(undisturbed)


def _crashed_copy(state: Path) -> Path:
    """Return a copy of a state directory, taken while its daemon was running."""
    state.mkdir()
    copy = state.with_name("copy")

    async def hold(instant: int) -> None:
        if instant == 600:
            copy.mkdir()
            for name in ("journal.db", "journal.db-wal"):
                (copy / name).write_bytes((state / name).read_bytes())

    served(state, recorded(ROWS, batch=60, hold=hold))
    return copy


def test_compaction_and_backup_leave_an_account_that_goes_on(undisturbed: Path, tmp_path: Path) -> None:
    for last in (500, 1_000):
        run_part(tmp_path, last)
        with Journal.open(tmp_path, 0) as journal:
            said = asyncio.run(compaction(tmp_path, InlineWriter(journal), keep_days=2))
        assert said.startswith("inputs up to") or last == 500

    served(tmp_path, recorded(ROWS))

    assert derived(tmp_path) == derived(undisturbed)
    assert verify_state(tmp_path).is_equal
    with Journal.read(tmp_path) as journal:
        # By age everything up to instant 808 might go; what follows the oldest snapshot, at instant 500, stays.
        assert journal.first_sequence == 500 // 20 + 1


def test_verify_names_the_first_record_and_field_that_differ(tmp_path: Path) -> None:
    run_part(tmp_path, 1_000)
    number, value = _some_fill(tmp_path)
    change(tmp_path, "UPDATE fills SET price = price + 0.01 WHERE sequence = ?", number)

    verdict = verify_state(tmp_path)

    assert verdict.difference is not None
    assert verdict.difference.record == f"fills {number}"
    assert verdict.difference.field == "price"
    assert verdict.difference.live == repr(value + 0.01)
    assert verdict.difference.again == repr(value)

    change(tmp_path, "UPDATE fills SET price = ? WHERE sequence = ?", value, number)
    assert verify_state(tmp_path).is_equal
    change(tmp_path, "DELETE FROM trades WHERE number = 2")
    difference = verify_state(tmp_path).difference
    assert difference is not None
    assert (difference.record, difference.live) == ("trades 2", "missing")


def test_verify_names_the_field_of_a_state_that_differs(tmp_path: Path) -> None:
    run_part(tmp_path, 1_000)
    with Journal.open(tmp_path, 0) as journal:
        snapshot = next(journal.snapshots())
        changed = Engine(identity().spec)
        changed.restore(snapshot.state)
        changed.account["is_paused"] = 1
        state = changed.snapshot()
        sha256 = hashlib.sha256(state).digest()
        journal.commit([lambda j: j.add_snapshot(snapshot._replace(state=state, sha256=sha256), 8)])

    difference = verify_state(tmp_path).difference

    assert difference is not None
    assert (difference.record, difference.field) == ("state account[0]", "is_paused")
    assert (difference.live, difference.again) == ("1", "0")


def _some_fill(state: Path) -> tuple[int, float]:
    with Journal.read(state) as journal:
        number, price = journal.one("SELECT sequence, price FROM fills ORDER BY 1 LIMIT 1 OFFSET 3")
    return int(number), float(price)


def test_an_input_that_the_engine_refuses_is_a_broken_promise(tmp_path: Path) -> None:
    run_part(tmp_path, 100)
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.add_input(encode(ROWS[:2]), 0)])  # the first instant again

    with pytest.raises(InvariantError, match="input 6: candle 0 of the batch: the open time is not after"):
        served(tmp_path, recorded(ROWS))


def test_what_an_earlier_version_was_told_of_markets_is_kept_apart(tmp_path: Path) -> None:
    """It told an engine and kept nothing beside: figures that a venue no longer says are those of its newest input."""
    run_part(tmp_path, 400)
    known = identity().markets[1]
    ticks = (0.25, 0.5)
    with Journal.open(tmp_path, 0) as journal:
        at_ms = (journal.last_candle_ms() or 0) + 60_000
        changes = [MarketChange(at_ms, 1, replace(known, tick_size=tick).plain()) for tick in ticks]
        journal.commit([lambda j, c=c: j.add_input(encode(c), at_ms) for c in changes])

    run_part(tmp_path, 410)

    with Journal.read(tmp_path) as journal:
        figures = journal.told_market(known.symbol)
        assert figures is not None
        assert Market(**figures) == replace(known, tick_size=0.5)
        assert journal.told_market(identity().markets[0].symbol) is None


def test_what_an_error_ends_is_told_up_to_the_input_that_raised_it(tmp_path: Path) -> None:
    """Not to be told again is what a recovery takes back first, whichever way it ends."""
    run_part(tmp_path, 400)
    with Journal.open(tmp_path, 0) as journal:
        n_inputs = journal.sequence
        assert journal.unreported == 0
        journal.commit(
            [
                lambda j: j.add_input(encode(ROWS[:2]), 0),  # the first instant again
                lambda j: j.connection.execute("DELETE FROM snapshots"),
            ]
        )
    before = derived(tmp_path)

    with pytest.raises(InvariantError, match="the open time is not after"):
        served(tmp_path, recorded(ROWS))

    assert len(before["fills"]) > 5
    assert derived(tmp_path) == before
    with Journal.read(tmp_path) as journal:
        assert (journal.sequence, journal.unreported) == (n_inputs + 1, 1)
    said = invoke("statement", str(tmp_path))
    assert "not in it yet: 1 accepted input, which a daemon steps now or at its next start" in said
