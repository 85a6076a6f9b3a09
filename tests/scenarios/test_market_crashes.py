"""Five perpetuals through May 2021 and November 2022, on real minutes with real funding: what protects an account is told."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from papertape.replay import Result, backtest
from papertape.replay.backtesting.verify import verify
from papertape.replay.report.account_events import pack_account_events
from papertape.replay.tapes.store import Tape
from tests.support.helpers import SHARED, needs_shared
from tests.support.packed import unpack_floats, unpack_integers
from tests.test_real_tapes import candles_of

pytestmark = [pytest.mark.slow, needs_shared]

# They begin and end at different times: three in the weeks before the crash of May 2021, one for a spring, one throughout.
FILES = {
    "ADAUSDT": ["ADAUSDT_1m_20210420_20210520"],
    "BTCUSDT": ["BTCUSDT_1m_20210101_20211231", "BTCUSDT_1m_20220101_20221231"],
    "DOGEUSDT": ["DOGEUSDT_1m_20210420_20210520"],
    "DOTUSDT": ["DOTUSDT_1m_20210420_20210520"],
    "ETHUSDT": ["ETHUSDT_1m_20220401_20220630"],
}
# One is delisted in the middle of a day on which it is held.
DELISTED, GONE = "DOTUSDT", pd.Timestamp("2021-05-14 12:00")
RATES = SHARED / "data/funding/binance-usdm_BTCUSDT_funding_20220101_20250630.parquet"
LEVERAGE, MAINTENANCE, LIQUIDATION_FEE, TAKER = 12.0, 0.01, 0.005, 0.0005
DAILY, DRAWDOWN, LOCK_DAYS, CAPITAL = 0.05, 0.35, 5.0, 10_000.0


def tape_of(symbol: str) -> Tape:
    candles = candles_of(*(f"binance-spot_{name}" for name in FILES[symbol]))
    if symbol == DELISTED:
        candles = candles[candles["open_ms"] < GONE.timestamp() * 1000]
    return Tape(candles, "binance-usdm", symbol, "1m")


@pytest.fixture(scope="module")
def result() -> Result:
    tapes = [tape_of(symbol) for symbol in FILES]
    return backtest(
        tapes=tapes,
        timeframe="1h",
        strategy="ema_cross",
        use_ml=False,
        start="2021-04-20",
        account={"sizing": "fraction", "fixed_fraction": 0.8, "leverage_cap": 5.0, "capital": CAPITAL},
        market={
            "leverage": LEVERAGE,
            "maintenance_rate": MAINTENANCE,
            "liquidation_fee_rate": LIQUIDATION_FEE,
            "taker_fee_rate": TAKER,
            "half_spread_rate": 0.0,
            "slippage_rate": 0.0,
        },
        limits={"daily_loss": DAILY, "drawdown": DRAWDOWN, "drawdown_lock_days": LOCK_DAYS},
        funding={"BTCUSDT": RATES},
        report={"sensitivity": False, "random_draws": 0},
    )


def naive(stamps: pd.Series) -> pd.Series:
    return pd.to_datetime(stamps).dt.tz_localize(None)


def test_the_run_covers_the_union_of_all_spans(result: Result) -> None:
    stamps = naive(result.equity["time"])
    assert stamps.iloc[0] == pd.Timestamp("2021-04-20 00:01")
    assert stamps.iloc[-1] == pd.Timestamp("2023-01-01")
    traded = result.trades.groupby("symbol")
    for symbol, names in FILES.items():
        first, last = names[0].split("_")[-2], names[-1].split("_")[-1]
        trades = traded.get_group(symbol)
        assert naive(trades["entry_time"]).min() >= pd.Timestamp(first)
        assert naive(trades["exit_time"]).max() <= pd.Timestamp(last) + pd.Timedelta(days=1)


def test_every_lock_is_the_first_close_at_which_so_much_was_lost(result: Result) -> None:
    """By pandas from the equity curve: of a day against the last close before it, of a drawdown against the highest."""
    curve = result.equity.set_index(naive(result.equity["time"]))["equity"]
    met = result.limit_table.assign(stamp=naive(result.limit_table["time"]))
    crashes = {"2021-05": 0, "2022-11": 0}
    for row in met.itertuples():
        month = row.stamp.strftime("%Y-%m")
        if month in crashes:
            crashes[month] += 1
        day = (row.stamp - pd.Timedelta(minutes=1)).normalize()
        before = curve[:day]
        opened = before.iloc[-1] if len(before) else CAPITAL
        if row.limit == "daily loss":
            of_day = 1.0 - curve[day + pd.Timedelta(minutes=1) : row.stamp] / opened
            assert of_day.iloc[-1] == pytest.approx(row.value, abs=1e-9)
            assert row.value >= DAILY
            assert (of_day.iloc[:-1] < DAILY).all()
        else:
            assert row.value >= DRAWDOWN
    assert all(crashes.values()), crashes
    assert set(met["limit"]) == {"daily loss", "drawdown"}


def test_what_is_met_flattens_at_the_next_open_and_locks(result: Result) -> None:
    met, trades = result.limit_table, result.trades
    exits = trades[trades["exit_reason"].isin(["daily loss", "drawdown"])]
    assert len(exits) > 20
    assert set(exits["exit_time"]) <= set(
        met["time"]
    )  # the open of the next minute has the stamp of the close
    entries = trades["entry_time"]
    for row in met.itertuples():
        until = pd.Timestamp(row.until_ms, unit="ms", tz="UTC")
        assert not ((entries > row.time) & (entries < until)).any()
        held = trades[(trades["entry_time"] < row.time) & (trades["exit_time"] > row.time)]
        assert held.empty
    counts = result.summary["refusals"]
    assert counts["locked until the day ends: limits.daily_loss was met"] > 0
    assert counts["locked: limits.drawdown was met"] > 0


def test_a_liquidation_costs_the_margin_and_its_fee(result: Result) -> None:
    trades = result.trades[result.trades["exit_reason"] == "liquidation"]
    assert len(trades) >= 1
    side = np.where(trades["side"] == "long", 1.0, -1.0)
    bankrupt = trades["entry_price"] * (1.0 - side / LEVERAGE)
    np.testing.assert_allclose(trades["exit_price"], bankrupt, rtol=1e-5)  # on the market's tick
    margin = trades["notional"] / LEVERAGE
    fees = TAKER * trades["notional"] + LIQUIDATION_FEE * trades["quantity"] * trades["exit_price"]
    np.testing.assert_allclose(trades["pnl"] + trades["funding"], -(margin + fees), rtol=1e-3)
    assert any("liquidat" in line.lower() for line in result.summary["doubts"])


def test_funding_is_what_pandas_makes_of_the_same_rates(result: Result) -> None:
    rates = pd.read_parquet(RATES)
    minute = 60_000
    rates["stamp"] = pd.to_datetime(
        (rates["funding_time"] + minute // 2) // minute * minute, unit="ms"
    ).astype("datetime64[ms]")
    rows = candles_of(*(f"binance-spot_{name}" for name in FILES["BTCUSDT"]))
    candles = pd.DataFrame(
        {
            "stamp": pd.to_datetime(rows["open_ms"] + minute, unit="ms").astype("datetime64[ms]"),
            "close": rows["close"],
        }
    )
    fills = result.fill_table
    place = result.summary["symbols"].index("BTCUSDT")
    fills = fills[fills["symbol"] == place].assign(stamp=naive(fills["time"]).astype("datetime64[ms]"))
    joined = pd.merge_asof(rates[rates["stamp"] < pd.Timestamp("2023-01-01")], candles, on="stamp")
    held = pd.merge_asof(joined, fills[["stamp", "position"]], on="stamp", allow_exact_matches=False)
    expected = (held["position"].fillna(0.0) * held["close"] * held["funding_rate"]).sum()

    assert result.summary["funding"]["BTCUSDT"]["settlements"] > 1_000
    assert abs(expected) > 1.0
    assert result.trades["funding"].sum() == pytest.approx(expected, abs=1e-3)


def test_the_account_is_what_its_trades_made(result: Result) -> None:
    final = result.equity["equity"].iloc[-1]
    assert final == pytest.approx(CAPITAL + result.trades["pnl"].sum(), abs=1e-6)


def test_what_is_held_when_a_coin_ends_is_closed_at_its_last_price(result: Result) -> None:
    ended = result.trades[result.trades["exit_reason"] == "delisted"]
    assert ended["symbol"].tolist() == [DELISTED]
    last = GONE - pd.Timedelta(minutes=1)  # the open of its last candle, at whose close it is gone
    assert naive(ended["exit_time"]).tolist() == [last]
    assert ended["exit_price"].tolist() == [tape_of(DELISTED).candles["close"][-1]]
    said = " ".join(result.summary["warnings"])
    for symbol in set(FILES) - {"BTCUSDT"}:
        assert f"{symbol} takes part from its first to its last candle" in said


def test_the_statement_balances(result: Result) -> None:
    statement = result.statement
    assert len(statement) > 1_000
    assert statement.groupby("transaction")["amount"].sum().abs().max() < 1e-9
    cash = statement.loc[statement["account"].isin(["cash", "margin"]), "amount"].sum()
    assert cash == pytest.approx(result.equity["cash"].iloc[-1], abs=1e-6)


def test_the_report_lists_each_of_them_with_its_reason(result: Result) -> None:
    records = result.decisions, result.orders, result.limits, result.payments
    symbols = result.summary["symbols"]
    packed = pack_account_events(result.traded, symbols, *records, 1e9)
    kinds = [packed["kinds"][code] for code in unpack_integers(packed["kind"])]
    reasons = [packed["reasons"][code] for code in unpack_integers(packed["reason"])]
    listed = Counter(zip(kinds, reasons, strict=True))

    assert packed["earlier"] == [0, 0, 0, 0]
    exits = result.trades["exit_reason"].value_counts()
    for reason in ("liquidation", "daily loss", "drawdown", "delisted"):
        assert listed["closed", reason] == exits[reason]
    for reason, count in result.summary["limits"]["counts"].items():
        assert listed["locked", reason] == count
    refusals = {r: n for r, n in result.summary["refusals"].items() if "held or ordered" not in r}
    assert {reason: n for (kind, reason), n in listed.items() if kind == "refused"} == refusals
    amounts = unpack_floats(packed["amount"])[np.array(kinds) == "funding"]
    assert len(amounts) == len(result.payments) > 400
    assert -amounts.sum() == pytest.approx(result.trades["funding"].sum(), abs=1e-4)


def test_the_result_is_verified(result: Result, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = result.save(tmp_path_factory.mktemp("crash") / "out")

    assert "limits-section" in (folder / "report.html").read_text(encoding="utf-8")
    assert verify(folder).differences == ()
