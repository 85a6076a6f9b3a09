"""`papertape statement`: of a result and of a daemon's journal, on the terminal and as files, and when it does not balance."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from papertape.daemon.feeds.protocol import FeedSource, FeedStart
from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import journal_statement
from papertape.engine.core import Engine
from papertape.engine.errors import DataError, InvariantError
from papertape.engine.events import Event, MarketChange
from papertape.engine.records import FILL, UNITS_PER_QUOTE
from papertape.replay import backtest
from papertape.replay.backtesting.result import read_records, write_records
from tests.support.commands import invoke
from tests.support.helpers import random_candles
from tests.support.journals import candles, filled, identity, served

ROWS = candles(400)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A perpetual with margin and funding: 120 hours of a hundred or so, settled every eight."""
    folder = tmp_path_factory.mktemp("statement")
    rows = pd.DataFrame(random_candles(600, 5, "1h"))
    rates = pd.DataFrame({"fundingTime": rows["open_ms"][::8] + 0, "fundingRate": 0.0005})
    rates.to_csv(folder / "funding.csv", index=False)
    rows["time"] = pd.to_datetime(rows["open_ms"], unit="ms", utc=True)
    frame = rows.set_index("time")[["open", "high", "low", "close", "volume"]]
    found = backtest(
        frame,
        strategy="ema_cross",
        use_ml=False,
        account={"sizing": "fraction", "leverage_cap": 5.0, "fixed_fraction": 2.0},
        market={"kind": "perpetual", "leverage": 5.0, "tick_size": 0.01},
        funding={"TABLE": folder / "funding.csv"},
        report={"sensitivity": False, "random_draws": 0},
    )
    return found, found.save(folder / "out")


def test_a_result_balances_and_is_written(result: tuple[Any, Path], tmp_path: Path) -> None:
    found, folder = result
    files = tmp_path / "all.csv", tmp_path / "all.parquet"

    shown = invoke("statement", str(folder), "--csv", str(files[0]), "--parquet", str(files[1]))
    told = json.loads(invoke("statement", str(folder), "--json"))

    assert f"of {len(found.fills) + len(found.payments) + 1:,} transactions" in shown
    assert "is that of equity.parquet at" in shown
    assert len(found.payments) > 5
    # Beside sums of the trades, and of the account's curve.
    accounts = told["accounts"]
    closed = found.trades[found.trades["exit_reason"] != "end of tape"]
    assert accounts["fees"]["balance"] == pytest.approx(found.trades["fees"].sum(), abs=1e-6)
    assert accounts["funding"]["balance"] == pytest.approx(found.trades["funding"].sum(), abs=1e-6)
    earned = accounts["result"]["balance"] + accounts["spread"]["balance"]
    earned += accounts["slippage"]["balance"] + accounts["grid"]["balance"]
    assert -earned == pytest.approx((closed["pnl"] + closed["fees"] + closed["funding"]).sum(), abs=1e-6)
    assert told["cash"] == pytest.approx(found.equity["cash"].iloc[-1], abs=1e-9)
    assert told["difference"] == 0.0
    assert sum(sums["balance"] for sums in accounts.values()) == pytest.approx(0.0, abs=1e-6)
    csv, parquet = pd.read_csv(files[0]), pd.read_parquet(files[1])
    assert len(csv) == len(parquet) == told["postings"]
    assert csv["amount"].tolist() == parquet["amount"].tolist()
    assert csv["time"][0].endswith("Z")


def test_a_daemon_balances_against_its_curve(tmp_path: Path) -> None:
    filled(tmp_path / "state", ROWS)
    engine = Engine(identity().spec)
    report = engine.step(ROWS)

    told = json.loads(invoke("statement", str(tmp_path / "state"), "--json"))

    assert told["transactions"] == 1 + len(report.fills) > 10
    assert told["cash"] == int(engine.account[0].cash) / UNITS_PER_QUOTE
    assert told["accounts"]["fees"]["balance"] == int(engine.account[0].fees) / UNITS_PER_QUOTE
    assert told["compared_with"].startswith("the equity curve at 20")
    assert told["difference"] == 0.0


def test_a_change_that_is_dated_before_the_account_is_what_it_began_with(tmp_path: Path) -> None:
    """An account of December listed a tick of March before it had been paid in."""
    first_close_ms, later_ms = (int(ROWS["open_ms"][place]) + 900_000 for place in (0, 400))
    market = identity().markets[0]

    def change(time_ms: int, tick: float) -> MarketChange:
        return MarketChange(time_ms, 0, replace(market, tick_size=tick).plain())

    class Changing:
        async def __aiter__(self) -> AsyncIterator[Event]:
            yield change(first_close_ms - 90 * 86_400_000, 0.05)
            yield ROWS[:402]
            yield change(later_ms, 0.02)
            yield ROWS[402:]

    @asynccontextmanager
    async def open_feed(_: FeedStart) -> AsyncIterator[FeedSource]:
        yield FeedSource(Changing(), lambda: 0)

    served(tmp_path, open_feed)

    told = json.loads(invoke("statement", str(tmp_path), "--json"))
    expected = {"time_ms": later_ms, "symbol": "AAA", "what": "tick_size 0.05 → 0.02"}
    assert told["market_changes"] == [expected]
    assert told["difference"] == 0.0
    assert invoke("statement", str(tmp_path)).count("another market") == 1


def test_what_an_earlier_version_did_not_write_down_is_not_zero(tmp_path: Path) -> None:
    state = tmp_path / "state"
    filled(state, ROWS)
    assert json.loads(invoke("statement", str(state), "--json"))["inputs_missing"] == 0
    with Journal.open(state, 0) as journal:
        journal.commit([lambda j: j.connection.execute("DELETE FROM meta WHERE key = 'reported'")])

    assert json.loads(invoke("statement", str(state), "--json"))["inputs_missing"] is None
    assert "whether accepted inputs are missing is not known" in invoke("statement", str(state))


@pytest.mark.parametrize(("quote", "capital"), [("BTC", 12.5), ("USDT", 8e8)])
def test_every_decimal_that_is_counted_is_shown_and_written(
    tmp_path: Path, quote: str, capital: float
) -> None:
    """A fee of a fraction of a bitcoin says nothing in two decimals; 8e8 in nine are more digits than a float has."""
    account = identity(account={"quote": quote, "capital": capital})
    engine = filled(tmp_path / "state", ROWS, account=account)
    files = tmp_path / "all.csv", tmp_path / "all.parquet"

    arguments = "--csv", str(files[0]), "--parquet", str(files[1])
    shown = invoke("statement", str(tmp_path / "state"), *arguments)

    with Journal.read(tmp_path / "state") as journal:
        postings = journal_statement(journal).postings
    fees = int(engine.account[0].fees)
    assert fees % 10**7 > 0  # more than two decimals say
    whole, parts = divmod(fees, 10**9)
    assert f"{whole:,}.{parts:09d}" in next(line for line in shown.splitlines() if "fees" in line)
    csv, parquet = pd.read_csv(files[0], dtype=str), pd.read_parquet(files[1])
    for name in ("amount", "balance"):
        units = postings[name].tolist()
        assert [int(Decimal(text) * 10**9) for text in csv[name]] == units
        assert parquet[f"{name}_units"].tolist() == units


def test_what_does_not_balance_stops(result: tuple[Any, Path], tmp_path: Path) -> None:
    found, folder = result
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    fills = read_records(changed / "fills.parquet", FILL)
    fills["fee"][3] += 1
    write_records(changed / "fills.parquet", fills)

    with pytest.raises(InvariantError, match=r"leaves .* of cash and margin, and the ledger had"):
        invoke("statement", str(changed))
    # A curve that says something else: exit code 1.
    write_records(changed / "fills.parquet", found.fills)
    equity = found.equity.copy()
    equity.loc[equity.index[-1], "cash"] += 0.5
    equity.to_parquet(changed / "equity.parquet")
    assert "DIFFERS: cash" in invoke("statement", str(changed), code=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "not a result folder"),
        (
            lambda folder: (folder / "result.json").write_text('{"format": 1}'),
            "lacks what a statement needs: 'config'",
        ),
        (lambda folder: (folder / "journal.db").write_bytes(b""), "journal.db"),
    ],
)
def test_what_is_none_is_one_sentence(make: Any, message: str, tmp_path: Path) -> None:
    make(tmp_path)

    with pytest.raises(DataError, match=message):
        invoke("statement", str(tmp_path), "--csv", str(tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()
