"""Recorded series in a run: liquidation on the mark, features that were known, gaps that are said, files that are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape.engine.errors import ConfigError, DataError
from papertape.engine.records import LONG, MARK_PRICE, OPEN_INTEREST, SERIES_NAMES
from papertape.engine.strategies import Decision
from papertape.replay import Result, Tape, backtest
from papertape.replay.backtesting.verify import verify
from papertape.replay.events.series import series_use
from papertape.replay.importers.series import read_series
from tests.support.helpers import FREE, SHARED, START_MS, make_candles, needs_shared

HOUR_MS = 3_600_000
CANDLES = SHARED / "data" / "candles"
PERPETUAL = {**FREE, "kind": "perpetual"}
BARS = [(100.0, 100.0, 100.0, 100.0)] * 4 + [(100.0, 101.0, 95.0, 96.0)] + [(96.0,) * 4] * 5
TAPE = Tape(make_candles(BARS), "test", "X", "1h")
QUIET = {"sensitivity": False, "random_draws": 0, "benchmarks": False}


def write(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def at(hour: float, late_ms: int = 0) -> int:
    return START_MS + round(hour * HOUR_MS) + late_ms


class Watches:
    """Reads features and goes long at once."""

    def __init__(self, *features: str) -> None:
        self.features = features

    def decide(self, view: Any) -> Decision:
        return Decision(LONG)


def run(
    *features: str, market: dict[str, Any] = PERPETUAL, **series: Any
) -> tuple[Result, dict[str, list[float]]]:
    account = {"sizing": "fraction", "fixed_fraction": 0.5, "leverage_cap": 10.0}
    result = backtest(
        TAPE,
        strategy=Watches(*features),
        account=account,
        market=market,
        report=QUIET,
        use_ml=False,
        **series,
    )
    lines = result.features
    assert lines is not None
    values = np.concatenate(lines._values[0], axis=1)
    return result, {column.name: values[i].tolist() for i, column in enumerate(lines.columns)}


NAN = float("nan")


def test_every_series_is_read_at_the_closes_from_its_time_on(tmp_path: Path) -> None:
    interest = write(
        tmp_path / "oi.csv",
        "timestamp,symbol,sumOpenInterest",
        *(f"{at(h, 3)},X,{100 + h}" for h in range(1, 10)),
    )
    index = write(tmp_path / "index.csv", "time,index_price", *(f"{at(h)},{90 + h}" for h in range(2, 11)))
    ratio = write(tmp_path / "ratio.csv", "time,longShortRatio", *(f"{at(h)},1.{h}" for h in range(1, 10)))

    _, seen = run(
        "open_interest",
        "index",
        "long_short_ratio",
        open_interest={"X": interest},
        index={"X": index},
        long_short_ratio={"X": ratio},
    )

    # Open interest is stamped 3 ms late, so it is seen an hour later; index at its own close.
    assert seen["open_interest"] == pytest.approx([NAN, *(100.0 + h for h in range(1, 10))], nan_ok=True)
    assert seen["index"] == pytest.approx([NAN, *(90.0 + h for h in range(2, 11))], nan_ok=True)
    assert seen["long_short_ratio"] == pytest.approx([*(1.0 + h / 10 for h in range(1, 10)), 1.9])


def test_a_gap_is_not_carried_over_and_is_said(tmp_path: Path) -> None:
    interest = write(
        tmp_path / "oi.csv", "time,open_interest", *(f"{at(h)},{h}" for h in (1, 2, 3, 7, 8, 9, 10))
    )

    result, seen = run("open_interest", open_interest={"X": interest})

    # Due at 4, missed at 4:30.
    assert seen["open_interest"] == pytest.approx([1, 2, 3, 3, NAN, NAN, 7, 8, 9, 10], nan_ok=True)
    assert (
        "X: open_interest: 3 values are missing between 2020-01-01 03:00 and 2020-01-01 07:00; it is not known there."
        in result.summary["warnings"]
    )
    assert result.summary["series"]["X"]["open_interest"]["rows"] == 8  # seven values, and that it was missed


def test_a_settlement_is_a_feature_at_the_closes_after_it(tmp_path: Path) -> None:
    rates = write(
        tmp_path / "f.csv",
        "time,rate",
        f"{at(-4)},0.003",
        f"{at(0, 4)},0.001",
        f"{at(4, 7)},0.002",
        f"{at(8)},-0.001",
    )

    result, seen = run("funding", funding={"X": rates})

    assert seen["funding"] == pytest.approx([0.001] * 4 + [0.002] * 4 + [-0.001] * 2)
    # Half of 10,000 from the open of hour 1 at 100: 50 units; at 4 the last close is 100, at 8 96.
    assert result.trades["funding"].tolist() == [pytest.approx(50 * (100 * 0.002 - 96 * 0.001))]


def test_rates_before_a_missing_settlement_are_known_as_those_after_it(tmp_path: Path) -> None:
    """An engine that is told first of all what will be missing takes older settlements for no news."""
    settled = (0, 1, 2, 3, 6, 7, 8, 9)
    rates = write(tmp_path / "f.csv", "time,rate", *(f"{at(h)},{h / 1000 + 0.001}" for h in settled))

    _, seen = run("funding", funding={"X": rates})

    # Each from the close after it on; that of 4 is due then, and missed at 4:30.
    expected = [0.001, 0.002, 0.003, 0.004, NAN, NAN, 0.007, 0.008, 0.009, 0.01]
    assert seen["funding"] == pytest.approx(expected, nan_ok=True)


MARKS = {
    "as traded": ([(96.0,) * 4] * 10, False),
    "a wick": ([(100.0,) * 4] * 4 + [(100.0, 100.0, 90.0, 96.0)] + [(96.0,) * 4] * 5, True),
}


@pytest.mark.parametrize("kind", MARKS)
@pytest.mark.parametrize("step", ["1h", "15m"])
def test_liquidation_is_tested_on_the_recorded_mark(tmp_path: Path, kind: str, step: str) -> None:
    bars, is_gone = MARKS[kind]
    times = [at(h) for h in range(10)]
    if step == "15m":  # the same extremes, in the second quarter of each hour
        bars = [
            quarter
            for o, high, low, c in bars
            for quarter in ((o, o, o, o), (o, high, low, c), (c,) * 4, (c,) * 4)
        ]
        times = [at(quarter / 4) for quarter in range(40)]
    lines = [f"{time},{o},{high},{low},{c},0" for time, (o, high, low, c) in zip(times, bars, strict=True)]
    path = write(tmp_path / "mark.csv", "open_time,open,high,low,close,volume", *lines)

    result, _ = run(market={**PERPETUAL, "leverage": 10.0}, mark={"X": path})

    reasons = result.trades["exit_reason"].tolist()
    assert (reasons[0] == "liquidation") is is_gone
    assert not any("tested on traded prices" in line for line in result.summary["warnings"])


def test_candles_without_a_mark_are_counted_and_tested_on_traded_prices(tmp_path: Path) -> None:
    lines = [f"{at(h)},100,100,100,100" for h in range(10) if h != 7]
    path = write(tmp_path / "mark.csv", "time,open,high,low,close", *lines)

    result, _ = run(market={**PERPETUAL, "leverage": 10.0}, mark={"X": path})

    (said,) = [line for line in result.summary["warnings"] if "tested on traded prices" in line]
    assert said == "X: 1 candle without a mark price: liquidation is tested on traded prices there."


def test_a_result_is_verified_by_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "oi.csv", "time,oi", *(f"{at(h)},{h}" for h in range(1, 9)))
    asked = {"strategy": "ema_cross", "parameters": {"fast": 2, "slow": 3}, "use_ml": False}
    result = backtest(
        TAPE, open_interest={"X": path}, market=PERPETUAL, account={"sizing": "all_in"}, **asked
    )
    folder = result.save(tmp_path / "out")
    assert verify(folder, [TAPE]).differences == ()

    write(path, "time,oi", *(f"{at(h)},{h + 1}" for h in range(1, 9)))

    assert any("series" in line for line in verify(folder, [TAPE]).differences)


@pytest.mark.parametrize(
    ("kind", "lines", "message"),
    [
        ("mark", ["time,mark_price", f"{at(1)},0"], "row 2: the mark price 0 is not above 0"),
        ("index", ["time,price", f"{at(1)},nan"], "row 2: the index price nan is not above 0"),
        ("open_interest", ["time,oi", f"{at(1)},-1"], "row 2: the open interest -1 is not 0 or above"),
        ("open_interest", ["time,rate", f"{at(1)},1"], "there is no open interest; name its column one of"),
        ("long_short_ratio", ["time,ratio", f"{at(2)},1", f"{at(1)},1"], "row 3: 2020-01-01 01:00 does not come after"),
        ("mark", ["time,symbol,mark_price", f"{at(1)},BTCUSDT,5"], "these are values of mark of BTCUSDT, not of X"),
        ("mark", ["time,open,high,low,close", f"{at(1)},5,6,5.5,5"], "row 2: the candle that closes at 5 has no low and high"),
        ("mark", ["time,open,high,low,close", f"{at(1)},5,6,5,5"], "one candle does not say how long it is"),
    ],
)  # fmt: skip
def test_what_is_no_series_is_refused(tmp_path: Path, kind: str, lines: list[str], message: str) -> None:
    path = write(tmp_path / "x.csv", *lines)

    with pytest.raises(DataError) as caught:
        read_series(path, "X", SERIES_NAMES.index(kind))

    assert message in str(caught.value)
    assert "x.csv" in str(caught.value)


def test_series_of_what_has_none_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "time,price", f"{at(0)},100", f"{at(2)},100")
    with pytest.raises(ConfigError, match=r"data\.open_interest\.Y: no tape has that symbol"):
        backtest(TAPE, strategy="ema_cross", open_interest={"Y": path})
    with pytest.raises(ConfigError, match=r"data\.mark\.X: a spot market has no mark"):
        backtest(TAPE, strategy="ema_cross", market={"kind": "spot"}, mark={"X": path})
    with pytest.raises(ConfigError, match=r"data\.mark\.X: m\.csv has a value every 120 minutes"):
        backtest(TAPE, strategy="ema_cross", market={**PERPETUAL, "leverage": 10.0}, mark={"X": path})


@pytest.mark.parametrize("kind", [OPEN_INTEREST, MARK_PRICE])
def test_what_a_file_says_later_changes_nothing_that_was_known(tmp_path: Path, kind: int) -> None:
    """Cut off anywhere, with gaps and steps that change: the rows that were known by then are the same."""
    chance = np.random.default_rng(8)
    hours = np.cumsum(chance.choice([0.25, 0.25, 0.25, 1.0, 3.0], 200))
    frame = pd.DataFrame({"time": [at(hour) for hour in hours], "value": chance.uniform(90, 110, 200)})
    candles = make_candles([(100.0,) * 4] * 200)

    def known(n: int, until_ms: int) -> list[Any]:
        path = tmp_path / f"{n}.csv"
        frame[:n].to_csv(path, index=False)
        rows = series_use(read_series(path, "X", kind), "X", 0, candles, HOUR_MS).rows
        return rows[rows["known_ms"] <= until_ms].tolist()

    for n in (7, 60, 131):
        until_ms = int(frame["time"][n - 1])
        assert str(known(n, until_ms)) == str(known(200, until_ms))


@needs_shared
def test_a_real_mark_series_liquidates_where_its_extremes_say() -> None:
    """Against pandas: no position of an hourly year and a half outlives a mark beyond its level, and none goes without one."""
    mark = CANDLES / "binance-usdm_BTCUSDT-mark_1h_20240101_20250630.parquet"
    source = pd.read_parquet(CANDLES / "binance-usdm_BTCUSDT_15m_20240101_20250630.parquet")
    hours = source.groupby(source["open_time"] // HOUR_MS * HOUR_MS).agg(
        open=("open", "first"),
        high=("high", "max"),
        low=("low", "min"),
        close=("close", "last"),
        volume=("volume", "sum"),
    )
    hours.index = pd.to_datetime(hours.index, unit="ms", utc=True)
    market = {"kind": "perpetual", "leverage": 50.0, "maintenance_rate": 0.005}
    account = {"sizing": "fraction", "fixed_fraction": 0.01, "leverage_cap": 2.0}
    asked = {"strategy": "ema_cross", "use_ml": False, "report": QUIET, "account": account, "market": market}
    result = backtest(hours, symbol="BTCUSDT", mark={"BTCUSDT": mark}, **asked)

    trades = result.trades
    gone = trades[trades["exit_reason"] == "liquidation"]
    assert len(gone) > 20
    marks = pd.read_parquet(mark).set_index("open_time")
    for trade in gone.itertuples():
        hour = marks.loc[pd.Timestamp(trade.exit_time).value // 1_000_000]
        side = 1 if trade.side == "long" else -1
        level = trade.entry_price * (1 - side * (1 / 50 - 0.005))
        assert (hour.low <= level) if side > 0 else (hour.high >= level)
