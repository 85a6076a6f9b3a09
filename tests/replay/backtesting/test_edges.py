"""Where numbers leave: prices and sizes on their grid, money without float noise, minima by quote, ruin said."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.engine.jit import Rows
from papertape.engine.strategies import Decision
from papertape.replay import Config, Result, Tape, backtest
from papertape.replay.config.markets import market_of
from tests.support.helpers import SHARED, make_candles, needs_shared, random_candles

NOISE = 12  # digits: a float with more of them is the decimal of nothing


class Always:
    """Hold what the parameter says, always."""

    features = ()

    def __init__(self, side: int = 1, first: int = 0, last: int = 10**9) -> None:
        self.side, self.first, self.last = side, first, last
        self.target_of = {True: side, False: 0}

    def decide(self, view: Any) -> Decision:
        n = view.time_ms // 3_600_000 - 438_288  # hours since 2020
        return Decision(self.target_of[self.first <= n - 1 < self.last])


def tape(candles: Rows, symbol: str = "TEST", venue: str = "binance-usdm") -> Tape:
    return Tape(candles, venue, symbol, "1h", source="made in a test")


def numbers(value: Any) -> list[float]:
    """Return every float in nested JSON values."""
    if isinstance(value, dict):
        return [x for part in value.values() for x in numbers(part)]
    if isinstance(value, list):
        return [x for part in value for x in numbers(part)]
    return [value] if isinstance(value, float) else []


def digits(value: float) -> int:
    """Return how many digits it takes to write a number."""
    return len(repr(value).partition("e")[0].replace(".", "").replace("-", "").strip("0"))


@pytest.fixture(scope="module")
def result() -> Result:
    candles = random_candles(2_500, 5)
    for name in ("open", "high", "low", "close"):
        candles[name] = np.round(candles[name] / 700.0, 5)
    return backtest(
        tapes=[tape(candles)],
        strategy="bracket_w2",
        market={"tick_size": 0.00001, "lot_size": 0.1},
        use_ml=False,
    )


def test_trades_have_the_decimals_of_their_market(result: Result) -> None:
    trades = result.trades
    assert len(trades) > 5

    for name in ("entry_price", "exit_price", "stop_price", "target_price", "mae_price", "mfe_price"):
        assert all(digits(x) <= 6 for x in trades[name].dropna().tolist()), name
        assert trades[name].tolist() == pytest.approx(trades[name].round(5).tolist(), abs=0, nan_ok=True)
    assert trades["quantity"].tolist() == trades["quantity"].round(1).tolist()
    # money has nine decimals and no more
    for name in ("pnl", "fees", "equity_before", "notional", "risk"):
        assert trades[name].tolist() == trades[name].round(9).tolist(), name


def test_equity_fills_and_json_have_no_float_noise(result: Result, tmp_path: Path) -> None:
    equity, fills = result.equity, result.fill_table
    for name in ("equity", "cash", "exposure"):
        assert equity[name].tolist() == equity[name].round(9).tolist()
    assert fills["price"].tolist() == fills["price"].round(5).tolist()
    assert fills["quantity"].tolist() == fills["quantity"].round(1).tolist()

    result.save(tmp_path / "out")

    saved = json.loads((tmp_path / "out" / "result.json").read_text())
    money = [x for row in saved["breakdown"]["symbol"] for k, x in row.items() if k == "pnl_quote"]
    assert money
    assert [round(x, 9) for x in money] == money


def test_the_initial_capital_is_the_first_equity() -> None:
    """1,000 in units of 1e-9, times 1e-9, were 1000.0000000000001 quote."""
    result = backtest(
        tapes=[tape(make_candles([(1.0, 1.0, 1.0, 1.0)] * 60))], initial_capital=1_000.0, use_ml=False
    )

    assert set(result.equity["equity"]) == {1_000.0}


@needs_shared
def test_one_satoshi_is_not_sold_for_nothing() -> None:
    rows = np.loadtxt(SHARED / "cases" / "one_satoshi.csv", delimiter=",", skiprows=1)
    candles = make_candles([tuple(row[1:5]) for row in rows])

    result = backtest(
        tapes=[tape(candles, "SHIBBTC", "binance-spot")],
        strategy=Always,
        parameters={"first": 10, "last": 20},
        account={"sizing": "all_in", "quote": "BTC"},
        market={"tick_size": 1e-8},
        initial_capital=1.0,
    )

    trade = result.trades.iloc[0]
    assert trade["exit_price"] == 1e-8
    assert trade["entry_price"] == 2e-8
    # what was bought for 0.99 is worth half of it at once: the grid took it, and it is a cost
    assert result.metrics["costs_quote"] == pytest.approx(0.4975, abs=0.005)
    assert result.metrics["total_return"] == pytest.approx(-0.4975, abs=0.005)


@pytest.mark.parametrize(
    ("venue", "symbol", "smallest"),
    [
        ("binance-spot", "BTCUSDT", 5.0),
        ("binance-spot", "ETHBTC", 0.0001),
        ("binance-spot", "ETH/BTC", 0.0001),
        ("binance-spot", "WBTCETH", 0.001),
        ("binance-spot", "BTCTRY", 10.0),
        ("binance-spot", "BTCIDR", 0.0),  # not known: none is made up
        ("binance-spot", "BTC", 0.0),  # a quote of nothing
        ("binance-usdm", "ETHUSDC", 5.0),
        ("binance-usdm", "BTCUSDT", 100.0),  # the symbol's own
        ("bybit-linear", "BTC/USDT:USDT", 5.0),
        ("okx-swap", "BTC-USDT-SWAP", 0.0),
        ("somewhere", "BTCUSDT", 0.0),
    ],
)
def test_smallest_notionals_are_amounts_of_their_quote(venue: str, symbol: str, smallest: float) -> None:
    assert market_of(venue, symbol, "spot", Config()).minimum_notional == smallest


def test_what_the_venue_or_the_configuration_says_of_the_minimum_wins() -> None:
    config = Config.model_validate({"markets": {"ETHBTC": {"minimum_notional": 0.5}}})

    assert market_of("binance-spot", "ETHBTC", "spot", config).minimum_notional == 0.5
    told = {"minimum_notional": 0.002}
    assert market_of("binance-spot", "LTCBTC", "spot", config, told).minimum_notional == 0.002


@pytest.fixture(scope="module")
def ruined() -> Result:
    # three times long at 100; at 60 all is lost; later it trades at 300
    prices = [100.0] * 30 + [60.0] + [61.0] * 5 + [300.0] * 30
    return backtest(
        tapes=[tape(make_candles([(p, p, p, p) for p in prices]))],
        strategy=Always,
        account={"sizing": "all_in", "leverage_cap": 3.0},
        market={"kind": "perpetual"},
    )


def test_a_ruined_account_is_said_and_does_not_come_back(ruined: Result) -> None:
    assert ruined.metrics["total_return"] < -1.0
    first = ruined.summary["warnings"][0]
    assert first.startswith("RUINED at 2020-01-02T07:00:00Z: equity was -")
    assert "USDT" in first
    assert ruined.summary["refusals"]["the account is ruined"] >= 1
    assert ruined.trades["exit_reason"].tolist() == ["ruin"]


def test_every_figure_of_a_ruined_account_is_a_number_or_undefined(ruined: Result) -> None:
    text = json.dumps(ruined.summary, allow_nan=False)

    assert all(np.isfinite(numbers(json.loads(text))))
    for name in ("cagr", "sharpe", "calmar"):
        assert (ruined.metrics[name] is None) == (name in ruined.undefined)


def test_the_report_of_a_ruined_account_says_so_on_top(ruined: Result, tmp_path: Path) -> None:
    page = ruined.plot(tmp_path / "report.html").read_text()

    assert "RUINED at 2020-01-02T07:00:00Z" in page
