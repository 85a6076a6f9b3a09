"""Limits live: a lock outlasts a kill and a new start, is journalled and verified, and ends when somebody resumes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import _DECIDING
from papertape.daemon.monitoring.states import account_state
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.events import Action, Command, Event
from papertape.engine.jit import Rows, join_rows
from papertape.engine.records import LIMIT_EVENT, REFUSED_DRAWDOWN
from papertape.replay.config import Config
from tests.support.journals import candles, identity, recorded

ROWS = candles(900)
SECTIONS: dict[str, Any] = {
    "strategy": {"name": "ema_cross", "parameters": {"fast": 3, "slow": 8}},
    "account": {"sizing": "fraction", "fixed_fraction": 1.0, "leverage_cap": 3.0},
    "limits": {"daily_loss": 0.02, "drawdown": 0.06, "losses": 3, "losses_lock_hours": 6.0},
}


def run(state: Path, rows: Rows, **hooks: Any) -> RunningDaemon:
    about = identity(**SECTIONS, daemon={"state": str(state)})
    hold = hooks.pop("hold", None)
    return asyncio.run(serve(about, recorded(rows, 20, hold=hold), Hooks(**hooks), is_virtual=True))


def by_hand(*events: Event) -> tuple[Engine, Rows]:
    """Return an engine after these events, and the limits that were met."""
    engine = Engine(identity(**SECTIONS).spec)
    return engine, join_rows([engine.step(event).limits for event in events])


def journalled(state: Path) -> list[tuple[Any, ...]]:
    names = ", ".join(f'"{name}"' for name in LIMIT_EVENT.names or ())
    with Journal.read(state) as journal:
        return journal.all(f"SELECT {names} FROM limits ORDER BY sequence")  # noqa: S608


def test_a_lock_outlasts_a_new_start_and_is_verified(tmp_path: Path) -> None:
    plain, limits = by_hand(ROWS)
    (lock,) = limits[limits["limit"] == REFUSED_DRAWDOWN]
    assert lock["until_ms"] > ROWS["open_ms"][-1]
    at = 2 * int((lock["time_ms"] - ROWS["open_ms"][0]) // (15 * 60_000) + 30)
    assert at < len(ROWS) - 100

    run(tmp_path, ROWS[:at])
    daemon = run(tmp_path, ROWS)

    assert daemon.engine.digest == plain.digest
    assert journalled(tmp_path) == [tuple(row) for row in limits.tolist()]
    assert verify_state(tmp_path).is_equal
    assert daemon.status()["locked_by"] == "drawdown"
    state = account_state(daemon.engine, "USDT", 0.0)
    assert (state.locked_by, state.locked_until_ms) == ("drawdown", None)


def test_resume_ends_a_lock_live_as_in_a_replay(tmp_path: Path) -> None:
    _, limits = by_hand(ROWS)
    (lock,) = limits[limits["limit"] == REFUSED_DRAWDOWN]
    after = (int((lock["time_ms"] - ROWS["open_ms"][0]) // (15 * 60_000)) // 20 + 2) * 20
    assert by_hand(ROWS[: 2 * after])[0].account[0].locked_by == REFUSED_DRAWDOWN
    daemons: list[RunningDaemon] = []

    async def hold(instant: int) -> None:
        if instant == after:
            await daemons[0].command(Action.RESUME)

    daemon = run(tmp_path, ROWS, hold=hold, on_ready=daemons.append)

    plain, more = by_hand(ROWS[: 2 * after], Command(Action.RESUME), ROWS[2 * after :])
    assert daemon.engine.digest == plain.digest
    assert len(more) > len(limits)  # it trades again, and meets limits again
    assert journalled(tmp_path) == [tuple(row) for row in more.tolist()]
    assert verify_state(tmp_path).is_equal


def test_a_lock_that_was_taken_out_is_found(tmp_path: Path) -> None:
    run(tmp_path, ROWS)
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.connection.execute("DELETE FROM limits")])

    verdict = verify_state(tmp_path)

    assert not verdict.is_equal
    assert "limits" in str(verdict.difference)


def test_limits_of_a_running_account_are_those_it_was_opened_with(tmp_path: Path) -> None:
    run(tmp_path, ROWS[:100])
    other = {**SECTIONS, "limits": {**SECTIONS["limits"], "drawdown": 0.5}}
    about = identity(**other, daemon={"state": str(tmp_path)})

    with pytest.raises(
        ConfigError, match=r"limits\.drawdown: 0\.5 is not 0\.06, with which the journal began"
    ):
        asyncio.run(serve(about, recorded(ROWS, 20), Hooks(), is_virtual=True))


def test_every_section_of_a_configuration_is_fixed_or_known_not_to_decide() -> None:
    """A section that the engine sees and that might change at a new start would rewrite what was decided."""
    free = {
        "learning",
        "drift",
        "report",
        "daemon",
        "notifications",
        "backtests",
    }  # models enter as inputs; the rest is no engine's
    deciding = {rule.split(".")[0] for _, rules in _DECIDING for rule in rules}
    assert deciding.isdisjoint(free)
    assert set(Config.model_fields) == deciding | free
