"""Working orders live: what a replay makes of them, in the journal, through commands and a new start, and verified."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.broker.working.orders import BY_COMMAND, ORDER_EVENT
from papertape.engine.core import Engine
from papertape.engine.events import Action, Command, Event
from papertape.engine.jit import Rows
from tests.support.journals import candles, identity, recorded

ROWS = candles(600)
NAME = "tests.support.every_order:EveryOrder"


def about(state: Path, name: str = NAME) -> Any:
    return identity(strategy={"name": name}, daemon={"state": str(state)})


def run(state: Path, rows: Rows, hold: Any = None, name: str = NAME, **hooks: Any) -> RunningDaemon:
    open_feed = recorded(rows, 20, hold=hold)
    return asyncio.run(serve(about(state, name), open_feed, Hooks(**hooks), is_virtual=True))


def by_hand(*events: Event) -> tuple[Engine, Rows]:
    """Return an engine after these events, and what happened to orders."""
    engine = Engine(identity(strategy={"name": NAME}).spec)
    return engine, np.concatenate([engine.step(event).orders for event in events])


def journalled(state: Path) -> list[tuple[Any, ...]]:
    with Journal.read(state) as journal:
        names = [name for name in ORDER_EVENT.names or () if name != "symbol"]
        return journal.all(f"SELECT {', '.join(names)} FROM orders ORDER BY sequence")  # noqa: S608


def expected(orders: Rows) -> list[tuple[Any, ...]]:
    return [
        tuple(v for n, v in zip(orders.dtype.names, row, strict=True) if n != "symbol")
        for row in orders.tolist()
    ]


@pytest.mark.parametrize("name", [NAME, pytest.param(f"{NAME}Kernel", marks=pytest.mark.slow)])
def test_live_is_the_replay_also_when_it_starts_anew(name: str, tmp_path: Path) -> None:
    """In a kernel, too, and that is what its text makes in Python."""
    plain, orders = by_hand(ROWS)
    assert len(orders) > 100

    whole = run(tmp_path / "whole", ROWS, name=name)
    run(
        tmp_path / "twice", ROWS[:610], name=name
    )  # 305 instants: within a batch and a candle of the strategy
    twice = run(tmp_path / "twice", ROWS, name=name)

    assert whole.engine.digest == twice.engine.digest == plain.digest
    assert twice.engine.snapshot() == whole.engine.snapshot()
    for state in (tmp_path / "whole", tmp_path / "twice"):
        assert journalled(state) == expected(orders)
        assert verify_state(state, trust_code=True).is_equal


def test_a_flatten_takes_orders_back_and_is_stepped_again_alike(tmp_path: Path) -> None:
    daemons: list[RunningDaemon] = []

    async def hold(instant: int) -> None:
        if instant == 360:
            assert daemons[0].engine.account[0].working > 0
            await daemons[0].command(Action.FLATTEN)

    daemon = run(tmp_path, ROWS, hold, on_ready=daemons.append)

    plain, orders = by_hand(ROWS[:720], Command(Action.FLATTEN), ROWS[720:])
    assert BY_COMMAND in orders["cause"]
    assert daemon.engine.digest == plain.digest
    assert journalled(tmp_path) == expected(orders)
    assert verify_state(tmp_path, trust_code=True).is_equal


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE orders SET price = price + 1 WHERE sequence = {}", "field price"),
        ("UPDATE orders SET cause = 104 WHERE sequence = {}", "field cause"),
        ("DELETE FROM orders WHERE sequence = {}", "orders"),
    ],
)
def test_an_order_that_was_changed_is_found(tmp_path: Path, change: str, told: str) -> None:
    run(tmp_path, ROWS[:600])
    sequence = journalled(tmp_path)[-1][0]
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        connection.execute(change.format(sequence))
    connection.close()

    verdict = verify_state(tmp_path, trust_code=True)

    assert verdict.difference is not None
    assert told in str(verdict.difference)
    assert str(sequence) in verdict.difference.record
