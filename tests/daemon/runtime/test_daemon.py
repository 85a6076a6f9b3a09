"""A running daemon: commands take effect in order and are journalled, stopping is orderly, a failure ends everything."""

import asyncio
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.app import OpenFeed, serve
from papertape.daemon.feeds.protocol import FeedSource, Notice, NoticeKind
from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.observer import Operation
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Action, Command, Event, Funding, NewModel
from papertape.engine.records import FLAT, REASON_COMMAND, REFUSED_PAUSED
from papertape.replay.runtime import compile as compiling
from tests.support.journals import SYMBOLS, candles, derived, identity, model_bytes, recorded, until

ROWS = candles(800)


class Gate:
    """Holds the feed before one instant until something was done to the daemon."""

    def __init__(self, acts: dict[int, Callable[[RunningDaemon], Coroutine[Any, Any, Any]]]) -> None:
        self.acts = acts
        self.results: dict[int, Any] = {}
        self.daemon: RunningDaemon | None = None

    def ready(self, daemon: RunningDaemon) -> None:
        self.daemon = daemon

    async def hold(self, instant: int) -> None:
        if instant in self.acts:
            assert self.daemon is not None
            self.results[instant] = await self.acts[instant](self.daemon)


async def run_gated(
    state: Path, gate: Gate, rows: Any = ROWS, batch: int = 20, hooks: Hooks | None = None
) -> RunningDaemon:
    hooks = hooks or Hooks()
    hooks.on_ready = gate.ready
    about = identity(daemon={"state": str(state)})
    open_feed = recorded(rows, batch, hold=gate.hold)
    return await asyncio.wait_for(serve(about, open_feed, hooks, is_virtual=True), 60)


def by_hand(*events: Event) -> Engine:
    engine = Engine(identity().spec)
    for event in events:
        engine.step(event)
    return engine


def act(action: Action) -> Callable[[RunningDaemon], Coroutine[Any, Any, int]]:
    return lambda daemon: daemon.command(action)


@pytest.mark.asyncio
async def test_commands_are_inputs_between_two_instants(tmp_path: Path) -> None:
    def pause(daemon: RunningDaemon) -> Coroutine[Any, Any, int]:
        return daemon.command(Action.PAUSE, "the venue is in maintenance")

    gate = Gate({200: pause, 400: act(Action.RESUME), 600: act(Action.FLATTEN)})
    commits: list[tuple[float, bool]] = []

    daemon = await run_gated(tmp_path, gate, hooks=Hooks(on_commit=lambda *told: commits.append(told)))

    # 20 instants a batch: inputs 1 … 10, then the command
    assert gate.results == {200: 11, 400: 22, 600: 33}
    plain = by_hand(
        ROWS[:400],
        Command(Action.PAUSE),
        ROWS[400:800],
        Command(Action.RESUME),
        ROWS[800:1200],
        Command(Action.FLATTEN),
        ROWS[1200:],
    )
    assert daemon.engine.digest == plain.digest
    assert daemon.engine.digest != by_hand(ROWS).digest
    assert verify_state(tmp_path).is_equal
    with Journal.read(tmp_path) as journal:
        refused = journal.one("SELECT count(*) FROM decisions WHERE refused = ?", REFUSED_PAUSED)[0]
        left = journal.one("SELECT count(*) FROM fills WHERE reason = ?", REASON_COMMAND)[0]
        assert journal.all("SELECT kind, detail FROM notices") == [
            ("command", "input 11, pause: the venue is in maintenance")
        ]
    # 40 batches and 3 commands, each an input and what it led to; the reason; the last snapshot; and the watch on drift
    # notes that an operator paused and resumed
    assert len(commits) == 2 * 43 + 4
    assert all(seconds > 0.0 and is_done for seconds, is_done in commits)
    assert refused > 0
    assert left > 0


@pytest.mark.asyncio
async def test_scale_is_an_input_that_outlives_the_daemon(tmp_path: Path) -> None:
    async def too_much(daemon: RunningDaemon) -> str:
        with pytest.raises(DataError, match=r"size factor 1.5 is not between 0 and 1") as refusal:
            await daemon.command(Action.SCALE, value=1.5)
        return str(refusal.value)

    def halve(daemon: RunningDaemon) -> Coroutine[Any, Any, int]:
        return daemon.command(Action.SCALE, "drift", 0.5)

    daemon = await run_gated(tmp_path, Gate({200: halve, 240: too_much}))

    plain = by_hand(ROWS[:400], Command(Action.SCALE, 0.5), ROWS[400:])
    assert daemon.engine.digest == plain.digest != by_hand(ROWS).digest
    assert verify_state(tmp_path).is_equal
    with Journal.read(tmp_path) as journal:
        events = [found.event for found in journal.inputs() if found.kind == "command"]
    assert events == [Command(Action.SCALE, 0.5)]
    again = Engine(identity().spec)
    again.restore(daemon.engine.snapshot())
    assert again.account[0].size_factor == 0.5


def test_kill_flattens_and_refuses_entries_until_resumed(tmp_path: Path) -> None:
    at = _an_instant_with_a_position()
    engine = by_hand(ROWS[: 2 * at])
    assert engine.positions["quantity"].any()
    engine.step(Command(Action.KILL))

    after = engine.step(ROWS[2 * at :])

    held = np.count_nonzero(by_hand(ROWS[: 2 * at]).positions["quantity"])
    assert len(after.fills) == held  # each position closed once, nothing opened
    assert set(after.fills["reason"]) == {REASON_COMMAND}
    assert set(after.fills["candle_ms"]) == {ROWS["open_ms"][2 * at]}  # at the next open
    assert not engine.positions["quantity"].any()
    asked = after.decisions[after.decisions["target"] != FLAT]
    assert len(asked) > 0
    assert set(asked["refused"]) == {REFUSED_PAUSED}

    engine = by_hand(ROWS[: 2 * at], Command(Action.KILL), ROWS[2 * at : 2 * at + 2])
    engine.step(Command(Action.RESUME))
    assert len(engine.step(ROWS[2 * at + 2 :]).fills) > 0


def _an_instant_with_a_position() -> int:
    engine = Engine(identity().spec)
    for at in range(len(ROWS) // 2):
        engine.step(ROWS[2 * at : 2 * at + 2])
        if at > 200 and engine.positions["quantity"].any():
            return at + 1
    raise AssertionError("the strategy never trades")


@pytest.mark.asyncio
async def test_models_and_settlements_enter_the_same_way(tmp_path: Path) -> None:
    model, paid = NewModel(3, model_bytes(3)), Funding(1_577_900_000_000, 0, 1e-4, 101.5)
    gate = Gate({200: lambda d: d.offer(model), 260: lambda d: d.offer(paid)})

    daemon = await run_gated(tmp_path, gate)

    plain = by_hand(ROWS[:400], model, ROWS[400:520], paid, ROWS[520:])
    assert daemon.engine.digest == plain.digest
    assert daemon.engine.digest != by_hand(ROWS[:520], paid, ROWS[520:]).digest  # the model has a say
    assert daemon.engine.snapshot() == plain.snapshot()
    assert verify_state(tmp_path).is_equal
    with Journal.read(tmp_path) as journal:
        assert journal.one("SELECT version FROM models")[0] == 3
        assert journal.one("SELECT payload FROM inputs WHERE kind = 'model'")[0][8:] == model.artefact


@pytest.mark.asyncio
async def test_what_the_engine_would_refuse_is_not_journalled(tmp_path: Path) -> None:
    async def bad(daemon: RunningDaemon) -> list[str]:
        said = []
        for event in (Funding(0, 9, 1e-4, 100.0), Funding(0, 0, 7.0, 100.0), NewModel(1, b"")):
            with pytest.raises(DataError) as caught:
                await daemon.offer(event)
            said.append(str(caught.value))
        return said

    gate = Gate({100: bad})
    daemon = await run_gated(tmp_path, gate)

    assert len(gate.results[100]) == 3
    assert "symbol index 9" in gate.results[100][0]
    assert daemon.engine.digest == by_hand(ROWS).digest
    with Journal.read(tmp_path) as journal:
        assert journal.one("SELECT count(*) FROM inputs WHERE kind <> 'candles'")[0] == 0


@pytest.mark.asyncio
async def test_a_settlement_of_the_venue_that_cannot_be_is_told_and_left_out(tmp_path: Path) -> None:
    notices: list[Notice] = []

    class Feed:
        async def __aiter__(self) -> Any:
            yield ROWS[:400]
            yield Funding(1, 0, 1e-4, 101.0)
            yield Funding(1, 0, 1e-4, float("nan"))
            yield ROWS[400:]

    @asynccontextmanager
    async def open_feed(_: Any) -> Any:
        yield FeedSource(Feed(), lambda: 77)

    about = identity(daemon={"state": str(tmp_path)})
    daemon = await serve(about, open_feed, Hooks(on_notice=notices.append), is_virtual=True)

    plain = by_hand(ROWS[:400], Funding(1, 0, 1e-4, 101.0), ROWS[400:])
    assert daemon.engine.digest == plain.digest
    assert [(n.kind, n.time_ms) for n in notices] == [(NoticeKind.REJECTED, 77)]
    with Journal.read(tmp_path) as journal:
        assert journal.all("SELECT kind, time_ms FROM notices") == [("rejected", 77)]


@pytest.mark.asyncio
async def test_status_tells_how_the_account_stands(tmp_path: Path) -> None:
    async def look(daemon: RunningDaemon) -> Any:
        return daemon.status()

    async def pause(daemon: RunningDaemon) -> Any:
        await daemon.command(Action.PAUSE)
        return daemon.status()

    gate = Gate({0: look, 400: pause})
    await run_gated(tmp_path, gate)

    fresh, status = gate.results[0], gate.results[400]
    assert (fresh["equity"], fresh["sequence"], fresh["last_close_ms"]) == (10_000.0, 0, None)
    engine = Engine(identity().spec)
    marks = engine.step(ROWS[:800]).marks
    assert status["equity"] == pytest.approx(marks["equity"][-1] / 1e9, rel=1e-12)
    assert status["last_close_ms"] == marks["time_ms"][-1]
    assert status["positions"] == dict(zip(SYMBOLS, engine.positions["quantity"], strict=True))
    assert (status["is_paused"], status["sequence"]) == (True, 21)


async def _until_signalled(state: Path, open_feed: OpenFeed, send: Callable[[], None]) -> RunningDaemon:
    about = identity(daemon={"state": str(state), "snapshot_every_s": 0})
    return await serve(about, open_feed, Hooks(on_ready=lambda _: send()), is_virtual=True)


@pytest.mark.asyncio
async def test_sigterm_finishes_the_candle_and_leaves_a_snapshot(tmp_path: Path) -> None:
    async def hold(instant: int) -> None:
        if instant == 300:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()  # the venue says nothing more

    daemon = await _until_signalled(tmp_path, recorded(ROWS, hold=hold), lambda: None)

    assert daemon.engine.digest == by_hand(ROWS[:600]).digest
    with Journal.read(tmp_path) as journal:
        assert next(journal.snapshots()).sequence == journal.sequence == 15


@pytest.mark.asyncio
async def test_an_offer_after_the_end_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async def late(daemon: RunningDaemon) -> str:
        daemon.stop()
        with pytest.raises(DataError) as caught:
            await daemon.command(Action.PAUSE)
        return str(caught.value)

    gate = Gate({100: late})
    await run_gated(tmp_path, gate)

    assert gate.results[100] == "the daemon is stopping; nothing is accepted any more"


@pytest.mark.asyncio
async def test_a_service_that_fails_takes_the_daemon_down_and_nothing_is_lost(tmp_path: Path) -> None:
    async def broken(daemon: RunningDaemon) -> None:
        await until(lambda: daemon.tables.stepped >= 10)
        raise DataError("port 9464 is taken")

    async def hold(instant: int) -> None:
        if instant == 400:
            await asyncio.Event().wait()

    about = identity(daemon={"state": str(tmp_path)})
    with pytest.raises(DataError, match="port 9464 is taken"):
        await serve(about, recorded(ROWS, hold=hold), Hooks(services=[broken]), is_virtual=True)
    daemon = await serve(about, recorded(ROWS), is_virtual=True)

    assert daemon.engine.digest == by_hand(ROWS).digest


@pytest.mark.asyncio
async def test_the_writer_thread_and_the_loop_come_to_the_same_tables(tmp_path: Path) -> None:
    for name, is_virtual in (("loop", True), ("thread", False)):
        about = identity(daemon={"state": str(tmp_path / name)})
        await serve(about, recorded(ROWS, batch=7), is_virtual=is_virtual)

    assert derived(tmp_path / "thread") == derived(tmp_path / "loop")
    connection = sqlite3.connect(tmp_path / "thread" / "journal.db")
    jobs = connection.execute("SELECT count(*) FROM job_runs WHERE outcome = 'running'").fetchone()
    connection.close()
    assert jobs == (0,)


@pytest.mark.parametrize("is_on_disk", [False, True])
def test_a_start_that_has_to_compile_says_so_in_one_line_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_on_disk: bool
) -> None:
    """Without a terminal, as under systemd, a first start after an upgrade said nothing for a minute."""
    monkeypatch.setattr(compiling, "is_stored", lambda kernel: is_on_disk)
    monkeypatch.setattr(compiling, "compile_beside", lambda parts, has_model: None)
    about = identity(daemon={"state": str(tmp_path), "port": 0, "log": "json"})
    hooks = Operation(about.config, about, is_paced=True).hang_on(Hooks())

    asyncio.run(asyncio.wait_for(serve(about, recorded(ROWS), hooks, is_virtual=True), 60))

    told = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    events = [line["event"] for line in told]
    assert events.index("recovered") == (0 if is_on_disk else 1)
    assert [line["about_s"] for line in told if line["event"] == "compiling"] == ([] if is_on_disk else [60])
