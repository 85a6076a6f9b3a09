"""Funding of recorded perpetuals: charged at its stamps with that interval's rate, never guessed, said where it is missing."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from papertape.daemon.commands.replay import show
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.records import FUNDING_RATE, LONG, SHORT
from papertape.engine.strategies import Decision
from papertape.replay import Result, Tape, backtest
from papertape.replay.backtesting.verify import result_statement, verify
from papertape.replay.importers.series import SeriesFile, read_series
from tests.support.helpers import SHARED, START_MS, make_candles, needs_shared

HOUR_MS = 3_600_000
RATES = SHARED / "data" / "funding"
CANDLES = SHARED / "data" / "candles"
FREE = {"taker_fee_rate": 0.0, "half_spread_rate": 0.0, "slippage_rate": 0.0, "kind": "perpetual"}
# The open of each hour is the close before it.
CLOSES = [100.0, 100.0, 110.0, 120.0, 120.0, 90.0, 90.0, 95.0, 95.0, 95.0]
TAPE = Tape(
    make_candles([(o, max(o, c), min(o, c), c) for o, c in zip([100.0, *CLOSES], CLOSES, strict=False)]),
    "test",
    "X",
    "1h",
)


def rows(path: Path, *lines: str, header: str = "timestamp,funding_rate") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def read_funding(path: Path, symbol: str) -> SeriesFile:
    return read_series(path, symbol, FUNDING_RATE)


def at(hour: float, late_ms: int = 0) -> int:
    return START_MS + round(hour * HOUR_MS) + late_ms


class Holds:
    """Holds one side from the first close on, all-in, and nothing from the close of an hour on."""

    features = ()

    def __init__(self, side: int = LONG, until: int = 99) -> None:
        self.side, self.until = side, until

    def decide(self, view: Any) -> Decision | None:
        return Decision(self.side if (view.time_ms - START_MS) // HOUR_MS < self.until else 0)


def run(path: Path, side: int = LONG, until: int = 99, **options: Any) -> Result:
    account = {"sizing": "all_in", "cash_share": 1.0, "capital": 1_000.0}
    report = {"sensitivity": False, "random_draws": 0, "benchmarks": False}
    return backtest(
        TAPE,
        strategy=Holds(side, until),
        account=account,
        market=FREE,
        report=report,
        use_ml=False,
        funding={"X": path},
        **options,
    )


@pytest.mark.parametrize(("side", "sign", "said"), [(LONG, 1.0, "received"), (SHORT, -1.0, "paid")])
def test_longs_pay_a_rate_above_zero_on_what_is_held_at_its_stamp(
    tmp_path: Path, side: int, sign: float, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rows(tmp_path / "x.csv", f"{at(1)},0.01", f"{at(4)},0.01", f"{at(8, 7)},-0.02")

    result = run(path, side)

    # 10 units from the open of hour 1, at 100. At 01:00 nothing is held yet: the entry comes after the settlement.
    # At 04:00 the last close is 120: 10 × 120 × 0.01 = 12. At 08:00, stamped 7 ms late, 95: 10 × 95 × -0.02 = -19.
    assert result.trades["funding"].tolist() == [pytest.approx(sign * (12.0 - 19.0), abs=1e-9)]
    assert result.summary["funding"]["X"]["settlements"] == 3
    show(result, tmp_path / "out", as_json=False)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"funding 7.00 USDT {said} in 2 settlements" in printed


def test_what_is_closed_at_an_open_has_paid_what_was_settled_before_it(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.csv", f"{at(4)},0.01", f"{at(5)},0.01")

    # Flat is decided at the close of 04:00 and filled at the open of that hour, after the settlement of 04:00.
    assert run(path, until=4).trades["funding"].tolist() == [pytest.approx(12.0)]


def test_a_mark_price_is_what_is_charged_on(tmp_path: Path) -> None:
    header = "fundingTime,symbol,fundingRate,markPrice"
    path = rows(tmp_path / "x.csv", f"{at(4)},X,0.01,119.5", header=header)

    result = run(path)

    assert result.trades["funding"].tolist() == [pytest.approx(11.95)]
    assert not any("last close" in line for line in result.summary["warnings"])


def test_a_settlement_at_the_last_close_is_after_the_run(tmp_path: Path) -> None:
    """What is held then is counted at that close; equity, trades and statement are of one moment."""
    path = rows(tmp_path / "x.csv", f"{at(4)},0.01", f"{at(10)},0.01")

    result = run(path)

    assert result.trades["funding"].tolist() == [pytest.approx(12.0)]
    assert result.summary["funding"]["X"]["settlements"] == 1
    made = float(result.trades["pnl"].sum())
    assert result.equity["equity"].iloc[-1] == pytest.approx(1_000.0 + made, abs=1e-9)
    booked = result_statement(result.save(tmp_path / "out"))
    assert booked.curve_cash == booked.cash
    begins = result.equity["time"].iloc[0]  # then the capital was paid in
    assert result.statement["time"].iloc[0] == begins
    assert int(booked.postings["time_ms"][0]) == int(begins.timestamp() * 1000)


def test_of_one_settlement_at_the_last_close_alone_it_is_said_where_it_falls(tmp_path: Path) -> None:
    result = run(rows(tmp_path / "x.csv", f"{at(10)},0.01"))

    (said,) = [line for line in result.summary["warnings"] if "settlement" in line]
    assert "at their last close, after the run: no funding was charged" in said


def test_a_missing_settlement_is_a_gap_and_not_a_guess(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.csv", *(f"{at(hour)},0.001" for hour in (1, 2, 3, 6, 7, 8)))

    result = run(path)

    (said,) = [line for line in result.summary["warnings"] if "missing" in line]
    assert said == (
        "X: 2 settlements are missing between 2020-01-01 03:00 and 2020-01-01 06:00; nothing was charged for them."
    )
    # 10 units: at 2, 3, 6, 7, 8 hours the last closes are 100, 110, 90, 90, 95
    paid = 10 * 0.001 * (100 + 110 + 90 + 90 + 95)
    assert result.trades["funding"].tolist() == [pytest.approx(paid)]


def test_an_interval_that_changes_is_no_gap(tmp_path: Path) -> None:
    hours = (1, 5, 9, 13, 17, 18, 19, 20, 21)

    rates = read_funding(rows(tmp_path / "x.csv", *(f"{at(hour)},0.001" for hour in hours)), "X")

    assert rates.holes == ()


def test_rates_beside_the_candles_are_said_not_to_count(tmp_path: Path) -> None:
    early = rows(tmp_path / "x.csv", f"{at(-48)},0.01", f"{at(-40)},0.01")

    result = run(early)

    assert result.trades["funding"].tolist() == [0.0]
    assert any("no funding was charged" in line for line in result.summary["warnings"])
    late = rows(tmp_path / "y.csv", *(f"{at(hour)},0.001" for hour in (5, 6, 7)))
    said = run(late).summary["warnings"]
    assert any("before 2020-01-01 05:00 no funding was charged" in line for line in said)
    assert any("after 2020-01-01 07:00 no funding was charged" in line for line in said)


def test_a_result_with_funding_is_verified_by_its_file(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.csv", f"{at(4)},0.01")
    asked = {"strategy": "ema_cross", "parameters": {"fast": 2, "slow": 3}, "use_ml": False}
    account = {"sizing": "all_in"}
    result = backtest(TAPE, funding={"X": path}, market=FREE, account=account, **asked)
    folder = result.save(tmp_path / "out")
    assert verify(folder, [TAPE]).differences == ()

    rows(path, f"{at(4)},0.02")

    assert any("funding" in line for line in verify(folder, [TAPE]).differences)


@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (["1577851200000,0.5"], "time,rate", "row 2: the rate 0.5 is not between"),
        (["1577851200000,nan"], "time,rate", "row 2: the rate nan is not between"),
        (
            ["1577851200000,0.1", "1577851200000,0.1"],
            "time,rate",
            "row 3: 2020-01-01 04:00 does not come after",
        ),
        (["1577851200000,BTCUSDT,0.1"], "time,symbol,rate", "these are rates of BTCUSDT, not of X"),
        (["1577851200000,1"], "time,value", "there is no rate; name its column"),
        (["yesterday,0.1"], "time,rate", "time 'yesterday'"),
        ([], "time,rate", "no row of data"),
        (["1577851200000,0.01,-5"], "time,rate,mark_price", "the mark price -5 is not above 0"),
        (["1577851200000,0.01,0.02"], "time,rate,Rate", "2 columns are called rate; leave one"),
    ],
)
def test_what_are_no_rates_is_refused(tmp_path: Path, lines: list[str], header: str, message: str) -> None:
    path = rows(tmp_path / "x.csv", *lines, header=header)

    with pytest.raises(DataError) as caught:
        read_funding(path, "X")

    assert message in str(caught.value)
    assert "x.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"rate": ["abc"]}, "the column for rate of type string holds no numbers"),
        ({"rate": [[0.1]]}, "the column for rate of type list"),
        ({"rate": [{"a": 0.1}]}, "the column for rate of type struct"),
        ({"rate": [None]}, "row 1: the rate nan is not between"),
        ({"time": [[1]]}, "the time column of type list"),
        ({"time": pa.array([None], pa.timestamp("ms"))}, "1 rows have no time"),
        ({"symbol": [None]}, "some rows name no symbol"),
        ({"rate": [], "time": pa.array([], pa.int64())}, "no row of data"),
    ],
)
def test_a_parquet_file_of_no_rates_is_one_sentence(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"time": [at(4)], "rate": [0.01]} | columns), path)

    with pytest.raises(DataError, match=message):
        read_funding(path, "X")


def test_an_archive_of_several_files_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for month in "ab":
            archive.writestr(f"{month}.csv", f"time,rate\n{at(4)},0.01\n")

    with pytest.raises(DataError, match=r"x\.zip: it holds 2 files; a series is one"):
        read_funding(tmp_path / "x.zip", "X")


@pytest.mark.parametrize(
    ("venue", "is_said"), [("Test", False), ("test-usdm", False), ("bybit-linear", True)]
)
def test_rates_that_name_another_venue_are_said(tmp_path: Path, venue: str, is_said: bool) -> None:
    path = rows(tmp_path / "x.csv", f"{at(4)},{venue},0.01", header="time,venue,rate")

    said = run(path).summary["warnings"]

    told = "X: x.csv says that it is of bybit-linear; the candles are of test."
    assert (told in said) is is_said


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv"):
        read_funding(tmp_path / "none.csv", "X")


def test_funding_of_what_has_none_is_refused(tmp_path: Path) -> None:
    path = rows(tmp_path / "x.csv", f"{at(4)},0.01")
    with pytest.raises(ConfigError, match=r"data\.funding\.Y: no tape has that symbol"):
        backtest(TAPE, strategy="ema_cross", market=FREE, funding={"Y": path})
    with pytest.raises(ConfigError, match=r"data\.funding\.X: a spot market has no funding"):
        backtest(TAPE, strategy="ema_cross", market={"kind": "spot"}, funding={"X": path})


@pytest.mark.parametrize("name", ["BTC/USDT:USDT", "btc-usdt", "BTCUSDT"])
def test_names_of_one_market_are_the_same_market(tmp_path: Path, name: str) -> None:
    path = rows(tmp_path / "x.csv", f"{at(4)},{name},0.01", header="time,symbol,rate")

    assert len(read_funding(path, "BTCUSDT").time_ms) == 1


def test_leans_file_without_a_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "btcusd.csv"
    path.write_text("20201229 00:00:00,0.00020030\n20201229 08:00:00,0.00046053\n", encoding="utf-8")

    rates = read_funding(path, "BTCUSD")

    stamps = pd.to_datetime(rates.time_ms, unit="ms")
    assert stamps.tolist() == [pd.Timestamp("2020-12-29"), pd.Timestamp("2020-12-29 08:00")]
    assert rates.values.tolist() == [0.0002003, 0.00046053]


@needs_shared
def test_real_rates_are_charged_as_pandas_charges_them() -> None:
    """Every payment of a year and a half: position before the stamp × last close × rate, joined by pandas."""
    path = RATES / "binance-usdm_BTCUSDT_funding_20220101_20250630.parquet"
    tape = CANDLES / "binance-usdm_BTCUSDT_15m_20240101_20250630.parquet"
    result = backtest(
        str(tape),
        timeframe="4h",
        strategy="ema_cross",
        use_ml=False,
        funding={"BTCUSDT": path},
        account={"sizing": "fraction", "fixed_fraction": 1.0},
        report={"sensitivity": False, "random_draws": 0},
    )
    rates = pd.read_parquet(path)
    rates["stamp"] = pd.to_datetime((rates["funding_time"] + 30_000) // 60_000 * 60_000, unit="ms").astype(
        "datetime64[ms]"
    )
    candles = pd.read_parquet(tape)
    candles["stamp"] = pd.to_datetime(candles["open_time"] + 900_000, unit="ms").astype("datetime64[ms]")
    fills = result.fill_table
    fills["stamp"] = pd.to_datetime(fills["time"]).dt.tz_localize(None)  # the open at which it happened
    joined = pd.merge_asof(rates, candles[["stamp", "close"]], on="stamp")
    # A fill at the open of 08:00 comes after the settlement of 08:00.
    held = pd.merge_asof(joined, fills[["stamp", "position"]], on="stamp", allow_exact_matches=False)
    expected = (held["position"].fillna(0.0) * held["close"] * held["funding_rate"]).sum()

    assert result.summary["funding"]["BTCUSDT"]["settlements"] > 1_600
    assert result.trades["funding"].sum() == pytest.approx(expected, abs=1e-4)
    assert abs(expected) > 100.0


@needs_shared
@pytest.mark.parametrize("path", sorted(RATES.glob("*.parquet")) if RATES.is_dir() else [])
def test_recorded_rates_have_no_holes_and_lie_on_the_hour(path: Path) -> None:
    """As `data/README.md` says: 8-hourly, one interval that changes, stamps a few ms late."""
    rates = read_funding(path, path.name.split("_")[1])

    assert rates.holes == ()
    assert not (rates.time_ms % HOUR_MS).any()
    assert np.array_equal(rates.values, pd.read_parquet(path)["funding_rate"].to_numpy())
