"""The account of a daemon in a currency with many digits: whoever reads its journal gets the same in quote, as many times."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.chapters.changes import changes_of
from papertape.daemon.chapters.figures import figures_of, told
from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import journal_statement
from papertape.daemon.journal.tables import TABLES, as_text
from papertape.daemon.monitoring.api.listings import LISTINGS, ListingQuery, page
from papertape.daemon.monitoring.states import account_state, position_states
from papertape.daemon.monitoring.windows.equity import EquityHistory
from papertape.daemon.notifications.account import _day_sentence
from papertape.daemon.notifications.memory import remembered
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.spec import Market
from tests.support.commands import invoke
from tests.support.journals import SYMBOLS, candles, filled, identity

COARSER = 1e6
LARGE = {"capital": 1e10, "quote": "IDR", "money_decimals": 3}
# What is quote by its name; the rest is the same in both.
IN_QUOTE = frozenset({
    "equity", "cash", "exposure", "fee", "fees", "slippage", "spread", "notional", "realised", "pnl", "pnl_optimistic", "risk",
    "funding", "equity_before", "equity_after", "amount", "balance", "realised_pnl", "funding_paid", "equity_peak", "unrealised_pnl",
    "capital", "debits", "credits", "price", "entry_price", "exit_price", "stop_price", "target_price", "mae_price", "mfe_price",
    "last_price", "stop_distance", "target_distance",
})  # fmt: skip


def account(scale: float, **settings: Any) -> Any:
    markets = tuple(Market(s, is_perpetual=True, tick_size=0.01 * scale, lot_size=0.001) for s in SYMBOLS)
    about = identity(account=settings) if settings else identity()
    return about._replace(markets=markets)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Engine]]:
    found = []
    for scale, settings in ((1.0, {}), (COARSER, LARGE)):
        rows = candles(500)
        for name in ("open", "high", "low", "close"):
            rows[name] = np.round(rows[name], 2) * scale
        state = tmp_path_factory.mktemp("unit") / "state"
        found.append((state, filled(state, rows, account=account(scale, **settings))))
    return found


def compare(one: Any, two: Any, name: str = "") -> None:
    """Assert that what stands under a name is the same, or as many times the quote."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), name
        for key in one:
            compare(one[key], two[key], key)
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), name
        for pair in zip(one, two, strict=True):
            compare(*pair, name)
    elif isinstance(one, float):
        scale = COARSER if name in IN_QUOTE else 1.0
        assert two == pytest.approx(one * scale, rel=1e-6, abs=6e-3 * scale), (
            name
        )  # a curve is rounded to cents
    elif name != "currency":
        assert one == two, name


def read(state: Path, engine: Engine) -> dict[str, Any]:
    """Return what everybody who reads a journal gets."""
    with Journal.read(state) as journal:
        views = {}
        for table in TABLES:
            cursor = journal.connection.execute(f"SELECT * FROM {table.name}_quote LIMIT 60")  # noqa: S608
            names = [column[0] for column in cursor.description]
            views[table.name] = [dict(zip(names, row, strict=True)) for row in cursor]
        lists = {one.name: json.loads(page(one, ListingQuery(limit=40), journal))["rows"] for one in LISTINGS}
        booked = journal_statement(journal)
        curve = EquityHistory(engine.spec.capital).window(journal, None, None)
        chapters = figures_of(journal)
    return {
        "views": views,
        "lists": lists,
        "cash": booked.cash / booked.units_per_quote,
        "curve": curve.model_dump(),
        "chapters": chapters,
        "equity_peak": remembered(state)[1],
        "account": account_state(engine, "IDR", remembered(state)[1]).model_dump(),
        "positions": [one.model_dump() for one in position_states(engine)],
    }


def test_every_reader_gets_the_same_as_many_times(pair: list[tuple[Path, Engine]]) -> None:
    small, large = (read(*one) for one in pair)

    assert len(small["views"]["trades"]) > 5
    assert small["lists"]["fills"][0]["fee"] > 0.0
    compare(small, large)


def test_its_statement_balances_in_its_unit(pair: list[tuple[Path, Engine]]) -> None:
    (small, _), (large, engine) = pair
    said = [json.loads(invoke("statement", str(state), "--json")) for state in (small, large)]

    assert engine.spec.money_decimals == 3
    assert said[1]["difference"] in (0.0, None)
    compare(said[0]["accounts"], said[1]["accounts"])


@pytest.mark.parametrize(("quote", "places"), [("JPY", 0), ("USDT", 2), ("BTC", 8), ("xbt", 8)])
def test_amounts_are_shown_with_the_decimals_of_their_coins(
    pair: list[tuple[Path, Engine]], quote: str, places: int
) -> None:
    engine = pair[0][1]
    chapter = {
        "name": "",
        "begins_ms": None,
        "equity_before": 1e4,
        "equity_after": 1.25e4,
        "trades": 3,
        "wins": 1,
        "fees": 7.5,
    }

    assert account_state(engine, quote, 0.0).money_places == places
    line = told(chapter, places)
    assert ("equity 10,000 → 12,500 (+2,500)" in line) is (places == 0)
    assert ("fees 8" in line) is (places == 0)
    sentence = _day_sentence(
        {"day": "2026-01-01", "equity": 1e12, "pnl": -5e9, "fees": 1e9, "trades": 2, "wins": 0}, 1e9, places
    )
    assert ("equity 1,000, 2 trades closed, 0 won, result -5, fees 1" in sentence) is (places == 0)


def test_an_amount_as_text_is_in_quote() -> None:
    table = next(one for one in TABLES if one.name == "fills")

    assert as_text(table, "fee", 12_345, 1e2) == "123.45"
    assert as_text(table, "price", 12_345.0, 1e2) == "12345.0"


def test_a_chapter_cannot_change_the_unit() -> None:
    before, after = (account(1.0, **{**LARGE, "money_decimals": n}) for n in (3, 2))

    with pytest.raises(ConfigError, match=r"account\.money_decimals: 2 is not 3, and this stays what it is"):
        changes_of(before, after)
