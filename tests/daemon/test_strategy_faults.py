"""A user's strategy that fails live: entries pause, stops stay, it is told, nothing is lost, and replay makes the same of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from journals import candles, derived, identity, recorded

from papertape.daemon.app import serve
from papertape.daemon.compare import verify_state
from papertape.daemon.journal import Journal
from papertape.daemon.running import Daemon, Hooks
from papertape.engine.core import Engine
from papertape.engine.events import Action
from papertape.engine.records import REFUSED_FAULT
from papertape.engine.report import Fault

ROWS = candles(800)
FAULTY = """
from papertape import Decision, FLAT, LONG


class Faulty:
    features = ("ema_5", "atr_14")
    state_fields = ("bars",)

    def decide(self, view):
        view.state.bars += 1
        if view.symbol == "AAA" and view.state.bars in (60, 61, 90):
            raise ConnectionError("the oracle is silent")
        if view.close > view["ema_5"]:
            return Decision(LONG, stop_price=0.9 * view.close)
        return Decision(FLAT)
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faulty_live.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path)


def about(state: Path) -> Any:
    return identity(
        strategy={"name": "faulty_live:Faulty"},
        account={"sizing": "fraction"},
        daemon={"state": str(state)},
    )


def run(state: Path, rows: Any, hold: Any = None, **hooks: Any) -> Daemon:
    open_feed = recorded(rows, 20, hold=hold)
    return asyncio.run(
        asyncio.wait_for(serve(about(state), open_feed, Hooks(**hooks), is_virtual=True), 300)
    )


def notices(state: Path) -> list[tuple[Any, ...]]:
    with Journal.read(state) as journal:
        return journal.all("SELECT symbol, detail FROM notices WHERE kind = 'strategy'")


def test_daemon_goes_on_tells_once_and_replay_of_its_journal_is_equal(tmp_path: Path) -> None:
    state, told = tmp_path / "state", []

    daemon = run(state, ROWS, on_fault=told.append)

    assert [fault.symbol for fault in told] == ["AAA"]  # the same for the same reason is told once
    [(symbol, detail)] = notices(state)
    assert symbol == "AAA"
    assert "faulty_live:Faulty: AAA, candle closed" in detail
    assert "ConnectionError: the oracle is silent (faulty_live.py, line 12)" in detail
    assert daemon.engine.account["is_paused"][0] == 1
    assert daemon.faults.is_halting
    assert daemon.engine.account["instants"][0] == 800
    again = Engine(about(state).spec)
    again.step(ROWS)
    assert again.digest == daemon.engine.digest
    assert verify_state(state, trust_code=True).is_equal


@pytest.mark.parametrize(
    "stop_at", [220, 300]
)  # before the first fault; between the first and the last
def test_restart_changes_nothing_of_it(tmp_path: Path, stop_at: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, ROWS)
    recovered: list[Any] = []

    run(parts, ROWS[: 2 * stop_at])
    run(parts, ROWS[2 * stop_at :], on_recovered=recovered.append)

    assert derived(parts) == derived(whole)
    codes = [row for row in derived(parts)["decisions"] if row[-1] == REFUSED_FAULT]
    assert len(codes) == 3


def test_resume_lets_entries_in_and_the_next_fault_is_news(tmp_path: Path) -> None:
    state, told, daemons = tmp_path / "state", [], []

    async def hold(instant: int) -> None:
        if instant == 300:
            await daemons[0].command(Action.RESUME)

    daemon = run(state, ROWS, hold=hold, on_fault=told.append, on_ready=daemons.append)

    assert [fault.time_ms for fault in told] == sorted({fault.time_ms for fault in told})
    assert len(told) == len(notices(state)) == 2
    assert all(isinstance(fault, Fault) for fault in told)
    assert daemon.engine.account["is_paused"][0] == 1
