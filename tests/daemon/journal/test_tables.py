"""Tables of a journal: which orders opened and closed a trade is told by journal, export and result alike."""

import sqlite3
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from papertape.daemon.journal.export import export_tables
from papertape.daemon.journal.tables import TABLES, ensure_tables, write_report
from papertape.engine.core import Engine
from papertape.engine.records import LONG
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.replay.report.orders import trade_tags
from tests.support.helpers import FREE, make_candles

HOUR = (100.0, 101.0, 99.0, 100.0)


class Tagging:
    """
    Four trades: a tag in and out, a decision that an order without a tag leaves, a tag in with a stop out, and a turn by
    one order, of which the last trade stays open with an addition.
    """

    features = ()
    state_fields = ("n",)

    def decide(self, view: Any) -> Any:
        view.state.n += 1
        n = view.state.n
        if n == 1:
            view.buy(1, tag="in")
            view.buy(1, tag="more")
        elif n == 2:
            view.exit(0.5, tag="half")
        elif n == 3:
            view.exit(tag="eightlet")
        elif n == 4:
            return Decision(LONG, stop_price=50.0)
        elif n == 5:
            view.exit()
        elif n == 6:
            view.sell(1, tag="a", stop_loss=100.5)
        elif n == 8:
            view.buy(1, tag="long")
        elif n == 9:
            view.sell(3, tag="turn")
        elif n == 10:
            view.sell(1, tag="later")
        return None


EXPECTED = [(0, "in", "eightlet"), (1, "", ""), (2, "a", ""), (3, "long", "turn"), (4, "turn", "")]


class Opened:
    """As much of a journal as an export reads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def all(self, statement: str) -> list[Any]:
        return self.connection.execute(statement).fetchall()

    def one_moment(self) -> AbstractContextManager[None]:
        return nullcontext()


def test_which_orders_opened_and_closed_a_trade(tmp_path: Path) -> None:
    quiet = (100.0, 100.2, 99.8, 100.0)
    candles = make_candles([quiet] * 7 + [HOUR] + [quiet] * 6)
    market = Market("AAA", is_perpetual=True, **FREE)
    settings = Settings("fraction", leverage_cap=10.0)
    engine = Engine(EngineSpec([market], Tagging(), "1h", "1h", settings=settings))
    report = engine.step(candles)
    numbers = [*report.trades["number"].tolist(), *engine.open_trades()["number"].tolist()]
    assert numbers == [0, 1, 2, 3, 4]

    found = trade_tags({"number": np.array(numbers)}, report.orders, report.fills)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
    ensure_tables(connection)
    ensure_tables(connection)  # at every start
    write_report(connection, report, 1, engine.symbols)
    told = connection.execute("SELECT * FROM trade_tags ORDER BY number").fetchall()
    paths = {path.stem: path for path in export_tables(Opened(connection), tmp_path)}  # type: ignore[arg-type]
    trades = pq.read_table(paths["trades"]).to_pylist()

    assert (
        list(zip(numbers, *(found[n].tolist() for n in ("entry_tag", "exit_tag")), strict=True)) == EXPECTED
    )
    assert told == EXPECTED
    assert [(row["number"], row["entry_tag"], row["exit_tag"]) for row in trades] == EXPECTED[:4]
    assert {table.name for table in TABLES} <= set(paths)
    assert pq.read_table(paths["orders"]).num_rows == len(report.orders)


def test_without_orders_no_trade_has_a_tag() -> None:
    market = Market("AAA", **FREE)
    report = Engine(EngineSpec([market], Tagging(), "1h", "1h")).step(make_candles([HOUR]))

    found = trade_tags({"number": np.array([7, 8])}, report.orders, report.fills)

    assert {name: tags.tolist() for name, tags in found.items()} == {
        "entry_tag": ["", ""],
        "exit_tag": ["", ""],
    }


def test_structure_that_is_let_go_of_is_found_without_reading_what_stays() -> None:
    connection = sqlite3.connect(":memory:")
    ensure_tables(connection)

    plan = connection.execute(
        "EXPLAIN QUERY PLAN DELETE FROM events WHERE symbol = 'A' AND timeframe_ms = 1 AND known_ms <= 5"
    ).fetchall()

    assert "(symbol=? AND timeframe_ms=? AND known_ms<?)" in plan[0][-1]
