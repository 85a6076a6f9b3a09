"""What each chapter came to, beside what its tables say one by one."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.chapters.figures import figures_of, told
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import journal_statement
from papertape.daemon.monitoring.api import routes
from papertape.daemon.monitoring.api.listings import LISTINGS, ListingQuery, page
from papertape.daemon.monitoring.api.routes import Api
from papertape.engine.performance.statement import ACCOUNTS
from papertape.engine.records import REASON_ENTRY, UNITS_PER_QUOTE
from tests.daemon.chapters.test_chapters import CROSS, CUT, ROWS, lived
from tests.daemon.monitoring.test_api import get, serving
from tests.support.api import account, no_status
from tests.support.commands import invoke
from tests.support.journals import SYMBOLS, candles, filled


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    state = tmp_path_factory.mktemp("figures")
    lived(state, CUT)
    lived(state, 600, Opening("cross"), **CROSS)
    return state


def test_results_add_up_and_are_those_of_the_tables(state: Path) -> None:
    with Journal.read(state) as journal:
        first, second = figures_of(journal)
        begin = journal.one("SELECT input, time_ms FROM chapters")
        last = journal.one("SELECT equity FROM equity ORDER BY time_ms DESC LIMIT 1")[0]
        between = journal.one("SELECT equity FROM equity WHERE time_ms = ?", begin[1])[0]
        trades = journal.all("SELECT input, pnl FROM trades")
        fees = journal.all("SELECT input, fee FROM fills")

    assert (first["name"], second["name"]) == ("", "cross")
    assert first["ends_ms"] == second["begins_ms"] == begin[1]
    assert second["ends_ms"] is None
    assert first["equity_before"] == 10_000.0
    assert first["equity_after"] == second["equity_before"] == between / UNITS_PER_QUOTE
    assert second["equity_after"] == last / UNITS_PER_QUOTE
    for figures, rows in (
        (first, [row for row in trades if row[0] < begin[0]]),
        (second, [row for row in trades if row[0] >= begin[0]]),
    ):
        assert figures["trades"] == len(rows) > 3
        assert figures["wins"] == sum(pnl > 0 for _, pnl in rows)
    paid = sum(fee for number, fee in fees if number >= begin[0])
    assert second["fees"] == paid / UNITS_PER_QUOTE
    assert second["changes"]["market.taker_fee_rate"] == [None, 0.001]


def test_the_statement_and_the_api_say_them(state: Path) -> None:
    with Journal.read(state) as journal:
        expected = figures_of(journal)
        listing = next(each for each in LISTINGS if each.name == "chapters")
        rows = json.loads(page(listing, ListingQuery(), journal))["rows"]

    lines = invoke("statement", str(state)).splitlines()
    as_json = json.loads(invoke("statement", str(state), "--json"))

    assert lines[-2:] == [told(row, 2) for row in expected]
    assert lines[-2].startswith("before the first chapter from 2020-01-01 00:15: equity 10,000.00 → ")
    assert "chapter 'cross' from 2020-01-05 04:00: equity " in lines[-1]
    assert as_json["chapters"] == expected
    assert as_json["difference"] == 0.0
    assert [row["name"] for row in rows] == ["cross", ""]
    assert rows[0]["equity_after"] == expected[1]["equity_after"]


def test_the_statement_of_an_account_in_bitcoin_shows_its_decimals(tmp_path: Path) -> None:
    lived(tmp_path, 40, account={"quote": "BTC"})
    lived(tmp_path, 60, Opening("cross"), **CROSS | {"account": {"quote": "BTC"}})

    lines = invoke("statement", str(tmp_path)).splitlines()

    assert "before the first chapter from 2020-01-01 00:15: equity 10,000.00000000 → " in lines[-2]


def test_slippage_of_each_fill_is_booked_by_the_rate_that_held_then(tmp_path: Path) -> None:
    """Of a fill at a candle's open: open × quantity × rate; 0.01 % before the chapter, 0.1 % from it on."""
    lived(tmp_path, CUT)
    lived(tmp_path, 600, Opening("thin"), market={"slippage_rate": 0.001})
    with Journal.read(tmp_path) as journal:
        booked = journal_statement(journal)
        begin_ms = journal.one("SELECT time_ms FROM chapters")[0]
        fills = journal.all(
            "SELECT sequence, symbol, candle_ms, quantity FROM fills WHERE reason = ?", REASON_ENTRY
        )
    opens = {(SYMBOLS[row["symbol"]], int(row["open_ms"])): float(row["open"]) for row in ROWS}
    slippage = booked.postings[booked.postings["account"] == ACCOUNTS.index("slippage")]
    found = dict(zip(slippage["sequence"].tolist(), slippage["amount"].tolist(), strict=True))

    numbers = {"before": 0, "after": 0}
    for sequence, symbol, at_ms, quantity in fills:
        is_after = at_ms >= begin_ms
        rate = 0.001 if is_after else 0.0001
        expected = opens[symbol, at_ms] * quantity * rate * UNITS_PER_QUOTE
        assert found[sequence] == pytest.approx(expected, rel=1e-6), (symbol, at_ms)
        numbers["after" if is_after else "before"] += 1
    assert min(numbers.values()) >= 5
    assert [
        (booked.symbols[one["symbol"]], one["time_ms"], one["before"], one["after"]) for one in booked.changes
    ] == [(symbol, begin_ms, 0.0001, 0.001) for symbol in SYMBOLS]
    assert booked.curve_cash == booked.cash
    listing = next(each for each in LISTINGS if each.name == "changes")
    with Journal.read(tmp_path) as journal:
        newest = json.loads(page(listing, ListingQuery(limit=1), journal))
        rest = json.loads(page(listing, ListingQuery(cursor=newest["next"]), journal))
    rows = [*newest["rows"], *rest["rows"]]
    assert [
        (row["symbol"], row["time_ms"], row["figure"], row["before"], row["after"], row["chapter"])
        for row in rows
    ] == [(symbol, begin_ms, "slippage_rate", 0.0001, 0.001, "thin") for symbol in reversed(SYMBOLS)]


def test_a_chapter_without_a_mark_has_no_equity_after_it(state: Path, tmp_path: Path) -> None:
    """What stood before it is no result of it; a journal keeps no older definition of the view either."""
    shutil.copytree(state, tmp_path / "state")
    with Journal.open(tmp_path / "state", 0) as journal:
        for statement in (
            "DROP VIEW chapter_figures",
            "CREATE VIEW chapter_figures AS SELECT 1 AS older",
            "DELETE FROM equity WHERE input >= (SELECT input FROM chapters)",
        ):
            journal.commit([lambda j, s=statement: j.connection.execute(s)])

    with Journal.open(tmp_path / "state", 0) as journal:
        first, second = figures_of(journal)

    assert first["equity_after"] == second["equity_before"] is not None
    assert second["equity_after"] is None
    assert told(second, 2) == "chapter 'cross' from 2020-01-05 04:00: no mark of the account is kept yet"


@pytest.mark.asyncio
async def test_they_are_summed_anew_when_something_came_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_made = 0

    def counted(*arguments: Any) -> bytes:
        nonlocal n_made
        n_made += 1
        return page(*arguments)

    def pay_more() -> None:
        with Journal.open(tmp_path, 0) as journal:
            names = ", ".join(row[1] for row in journal.all("PRAGMA table_info(fills)"))
            more = names.replace("sequence", "sequence + 1").replace("input", "input + 1")
            last = f"SELECT {more} FROM fills ORDER BY sequence DESC LIMIT 1"  # noqa: S608 - of the table
            journal.commit([lambda j: j.connection.execute(f"INSERT INTO fills {last}")])

    monkeypatch.setattr(routes, "page", counted)
    await asyncio.to_thread(filled, tmp_path, candles(400))
    async with serving(Api(account(tmp_path), no_status)) as http:
        first = await get(http, "chapters")
        assert (await get(http, "chapters"), n_made) == (first, 1)
        assert json.loads((await get(http, "chapters", to_ms=0))[1])["rows"] == []
        before = json.loads((await get(http, "chapters"))[1])["rows"][0]["fees"]
        await asyncio.to_thread(pay_more)
        after = json.loads((await get(http, "chapters"))[1])["rows"][0]["fees"]
    with Journal.read(tmp_path) as journal:
        (paid,) = journal.one("SELECT sum(fee) FROM fills")
    assert after == paid / UNITS_PER_QUOTE > before


def test_without_a_chapter_nothing_is_said(tmp_path: Path) -> None:
    lived(tmp_path, 60)

    assert "chapter" not in invoke("statement", str(tmp_path))
    with Journal.read(tmp_path) as journal:
        assert len(figures_of(journal)) == 1
    fresh = {"name": "x", "begins_ms": None, "equity_after": None}
    assert told(fresh, 2) == "chapter 'x': no mark of the account is kept yet"
