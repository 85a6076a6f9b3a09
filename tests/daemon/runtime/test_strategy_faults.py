"""A user's strategy that fails live: entries pause, stops stay, it is told, nothing is lost, and replay makes the same of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.model_observer import ModelObserver
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.core import Engine
from papertape.engine.events import Action
from papertape.engine.records import REFUSED_FAULT
from papertape.engine.report import StrategyFault
from tests.support.journals import candles, derived, identity, recorded

ROWS = candles(800)
FAULTY = """
import numpy as np

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


class FaultyKernel:
    name, features = "faulty", ("ema_5", "atr_14")
    state_dtype = np.dtype([("bars", "f8")])

    def decide_batch(self, features, candles, n, state, decisions):
        for k in range(n):
            state[0]["bars"] += 1
            if candles[k]["symbol"] == 0 and state[0]["bars"] in (60, 61, 90):
                raise ConnectionError("the oracle is silent")
            close = candles[k]["close"]
            is_above = close > features[0, k]
            wish = Decision(LONG, stop_price=0.9 * close) if is_above else Decision(FLAT)
            for name, value in zip(Decision._fields, wish):
                decisions[k][name] = value
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faulty_live.py").write_text(FAULTY)
    monkeypatch.syspath_prepend(tmp_path)


def about(state: Path, kind: str = "Faulty") -> Any:
    return identity(
        strategy={"name": f"faulty_live:{kind}"}, account={"sizing": "fraction"}, daemon={"state": str(state)}
    )


def run(state: Path, rows: Any, hold: Any = None, kind: str = "Faulty", **hooks: Any) -> RunningDaemon:
    open_feed = recorded(rows, 20, hold=hold)
    return asyncio.run(
        asyncio.wait_for(serve(about(state, kind), open_feed, Hooks(**hooks), is_virtual=True), 300)
    )


def halted(daemon: RunningDaemon) -> tuple[str, ...]:
    """Return what the status gives as reasons."""
    return ModelObserver.halted(None, daemon)  # type: ignore[arg-type]


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
    assert "ConnectionError: the oracle is silent (faulty_live.py, line 14)" in detail
    assert daemon.engine.account["is_paused"][0] == PAUSED_BY_FAULT
    assert halted(daemon) == ("errors",)
    assert daemon.engine.account["instants"][0] == 800
    again = Engine(about(state).spec)
    again.step(ROWS)
    assert again.digest == daemon.engine.digest
    assert verify_state(state, trust_code=True).is_equal


@pytest.mark.parametrize("stop_at", [220, 300])  # before the first fault; between the first and the last
def test_restart_changes_nothing_of_it(tmp_path: Path, stop_at: int) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, ROWS)
    recovered: list[Any] = []

    run(parts, ROWS[: 2 * stop_at])
    run(parts, ROWS[2 * stop_at :], on_recovered=recovered.append)

    assert derived(parts) == derived(whole)
    codes = [row for row in derived(parts)["decisions"] if row[-1] == REFUSED_FAULT]
    assert len(codes) == 3


@pytest.mark.parametrize("kind", ["Faulty", "FaultyKernel"])
def test_why_entries_are_paused_survives_a_restart(tmp_path: Path, kind: str) -> None:
    """The second start steps nothing again: the halt comes from the snapshot, its reason from the journal."""
    recovered: list[Any] = []
    first = run(tmp_path, ROWS[:1_000], kind=kind)
    [(_, detail)] = notices(tmp_path)

    second = run(tmp_path, ROWS[1_000:1_040], kind=kind, on_recovered=recovered.append)

    assert halted(first) == halted(second) == ("errors",)
    assert recovered[0].stepped == 0
    assert recovered[0].told == (f"entries are paused: {detail}",)


async def _resume_and_pause(instant: int, daemons: list[RunningDaemon]) -> None:
    if instant == 400:
        await daemons[0].command(Action.RESUME)
        await daemons[0].command(Action.PAUSE)


def test_a_pause_by_hand_after_it_is_a_pause_by_hand(tmp_path: Path) -> None:
    daemons: list[RunningDaemon] = []
    hold = lambda instant: _resume_and_pause(instant, daemons)  # noqa: E731

    daemon = run(tmp_path, ROWS, hold=hold, on_ready=daemons.append)
    recovered: list[Any] = []
    again = run(tmp_path, ROWS, on_recovered=recovered.append)

    assert halted(daemon) == halted(again) == ("manual",)
    assert recovered[0].told == ()


def without_answers(found: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return derived tables but for what only kernels answer at every close."""
    return {**found, "closes": [(*row[:3], *row[8:]) for row in found["closes"]]}


def test_a_kernel_that_fails_is_an_outcome_as_a_class_in_python_is(tmp_path: Path) -> None:
    python, kernel = tmp_path / "python", tmp_path / "kernel"
    told: list[StrategyFault] = []

    run(python, ROWS)
    daemon = run(kernel, ROWS, kind="FaultyKernel", on_fault=told.append)

    assert without_answers(derived(kernel)) == without_answers(derived(python))
    assert [fault.symbol for fault in told] == ["AAA"]
    assert "ConnectionError: the oracle is silent (faulty_live.py, line 28)" in told[0].reason
    assert daemon.engine.account["instants"][0] == 800
    assert verify_state(kernel, trust_code=True).is_equal


def test_resume_lets_entries_in_and_the_next_fault_is_news(tmp_path: Path) -> None:
    state, told, daemons = tmp_path / "state", [], []

    async def hold(instant: int) -> None:
        if instant == 300:
            await daemons[0].command(Action.RESUME)

    daemon = run(state, ROWS, hold=hold, on_fault=told.append, on_ready=daemons.append)

    assert [fault.time_ms for fault in told] == sorted({fault.time_ms for fault in told})
    assert len(told) == len(notices(state)) == 2
    assert all(isinstance(fault, StrategyFault) for fault in told)
    assert daemon.engine.account["is_paused"][0] == PAUSED_BY_FAULT
