"""What a caller may give as candles: each kind gives the same tape, and what holds none is refused with one sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import papertape
from papertape.engine.errors import DataError
from papertape.replay.backtesting.verify import verify
from papertape.replay.config import Config
from papertape.replay.front.data import names_of, tape_of_table, tapes_of
from papertape.replay.tapes.store import Store, Tape, write_tape
from papertape.replay.tapes.tables import candle_frame
from tests.support.helpers import random_candles

CANDLES = random_candles(60, 5)
TAPE = Tape(CANDLES, "binance-spot", "AAAUSDT", "1h")
FRAME = candle_frame(CANDLES)
NAIVE = FRAME.tz_localize(None)


def numbered(unit: int) -> pd.DataFrame:
    return NAIVE.reset_index(drop=True).assign(time=CANDLES["open_ms"] * unit // 1000)


TABLES = {
    "index in UTC": FRAME,
    "index without a zone": NAIVE,
    "index in another zone": FRAME.tz_convert("Asia/Kolkata"),
    "capital letters": NAIVE.rename(columns=str.title),
    "a column of dates": NAIVE.rename_axis("Date").reset_index(),
    "a column of texts": NAIVE.rename_axis("timestamp").reset_index().astype({"timestamp": str}),
    "seconds": numbered(1),
    "milliseconds": numbered(1000),
    "two levels": pd.concat({"AAA": NAIVE}, axis=1).swaplevel(axis=1),
    "levels the other way": pd.concat({"AAA": NAIVE}, axis=1),
    "more columns": NAIVE.assign(Trades=3, note="x"),
    "newest first": NAIVE[::-1],
}


@pytest.mark.parametrize("name", TABLES)
def test_every_kind_of_table_is_the_same_tape(name: str) -> None:
    before = TABLES[name].copy()

    found = tape_of_table(TABLES[name], "AAAUSDT", "binance-spot")

    assert (found.sha256, found.name) == (TAPE.sha256, TAPE.name)
    pd.testing.assert_frame_equal(TABLES[name], before)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (FRAME.drop(columns="high"), "the table has no column high; it has open, low"),
        (FRAME.reset_index(drop=True), "the table has no times"),
        (FRAME.iloc[:0], "the table has no row"),
        (FRAME.assign(close="x"), "column close is not numeric"),
        (FRAME.assign(high=FRAME["low"] - 1.0), "X row 0"),
        (pd.concat([FRAME, FRAME.assign(close=FRAME["low"])]), "X row"),
        (FRAME.set_axis([pd.NaT, *FRAME.index[1:]]), "times: row 0 has none"),
        (pd.concat({"A": FRAME, "B": FRAME}, axis=1), "several markets"),
        (pd.concat({"A": FRAME[["open"]]}, axis=1), "has the prices"),
    ],
    ids=["column", "times", "rows", "text", "rules", "twice", "no time", "markets", "levels"],
)
def test_a_table_without_candles_is_refused(frame: pd.DataFrame, told: str) -> None:
    with pytest.raises(DataError, match=told):
        tape_of_table(frame, "X")


def test_a_table_without_volume_says_so() -> None:
    found = tape_of_table(FRAME.drop(columns="volume"), "X")

    assert not found.candles["volume"].any()
    assert "no volume in the table: 0 everywhere" in found.notes


def given(kind: str, folder: Path) -> Any:
    """Return the same candles as something that a caller may have."""
    if kind == "tape":
        return TAPE
    if kind == "table":
        return FRAME
    if kind == "name":
        Store(folder / "tapes").save(TAPE)
        return "AAAUSDT"
    if kind == "our file":
        write_tape(TAPE, folder / "x.parquet")
        return folder / "x.parquet"
    NAIVE.rename_axis("time").reset_index().to_csv(folder / "AAAUSDT.csv", index=False)
    return str(folder / "AAAUSDT.csv")


@pytest.mark.parametrize("kind", ["tape", "table", "name", "our file", "text file"])
@pytest.mark.parametrize("how", ["alone", "in a list", "named"])
def test_every_kind_of_data_is_the_same_candles(
    kind: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAPERTAPE_TAPES", str(tmp_path / "tapes"))
    one = given(kind, tmp_path)
    data = {"alone": one, "in a list": [one], "named": {"BBB": one}}[how]

    found = tapes_of(data, Config())

    assert [tape.sha256 for tape in found] == [TAPE.sha256]
    if how == "named":
        assert found[0].symbol == "BBB"
    elif kind in ("tape", "name", "our file", "text file"):
        assert found[0].symbol == "AAAUSDT"


def test_symbol_and_venue_name_a_table() -> None:
    found = tapes_of(FRAME, Config(), "AAAUSDT", "binance-spot")

    assert found[0].name == TAPE.name


@pytest.mark.parametrize(
    ("data", "symbol", "told"),
    [
        (7, None, "int holds no candles"),
        ([], None, "an empty list"),
        ({"A": 7}, None, "int holds no candles"),
        ([TAPE, TAPE], "X", "2 tapes cannot have one name"),
        ({"A": TAPE}, "X", "names its symbols already"),
        (TAPE, ["X"], "beside data"),
    ],
)
def test_what_holds_no_candles_is_refused(data: Any, symbol: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        tapes_of(data, Config(), symbol)


def test_a_result_names_its_tapes_as_the_caller_did() -> None:
    assert names_of([TAPE], "AAAUSDT") == ("AAAUSDT",)
    assert names_of([TAPE], None, ["A", "B"]) == ("A", "B")
    assert names_of([TAPE], FRAME, "AAAUSDT") == (TAPE.name,)
    assert names_of([TAPE], None) == ()


QUIET: dict[str, Any] = {"use_ml": False, "use_smc": False, "report": {"sensitivity": False}}
OTHER = Tape(random_candles(60, 6), "binance-spot", "BBBUSDT", "1h")


@pytest.mark.parametrize(
    ("call", "n_kept"),
    [
        ({"data": FRAME}, 1),
        ({"data": FRAME, "symbol": "MINE", "venue": "binance-usdm"}, 1),
        ({"data": {"MINE": FRAME, "AAA": "AAAUSDT"}}, 2),
        ({"data": [OTHER, "AAAUSDT"]}, 2),
        ({"data": OTHER}, 1),
        ({"tapes": [OTHER]}, 1),
        ({"data": "AAAUSDT", "venue": "binance-usdm"}, 1),
        ({"data": "table.csv", "symbol": "MINE"}, 1),
        ({"data": TAPE}, 0),  # the store has it, candle by candle
        ({"data": "AAAUSDT"}, 0),
        ({"symbol": "AAAUSDT"}, 0),
        ({"data": "table.csv"}, 0),
        ({}, 0),
    ],
)
def test_a_result_can_be_verified_whatever_its_candles_were_given_as(
    call: dict[str, Any], n_kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Store("tapes").save(TAPE)
    NAIVE.rename_axis("time").to_csv("table.csv")

    saved = papertape.backtest(**call, **QUIET).save("result")

    assert len(list((saved / "tapes").glob("*"))) == n_kept
    assert verify(saved).is_equal


def test_kept_candles_that_were_changed_are_told(tmp_path: Path) -> None:
    saved = papertape.backtest(FRAME, **QUIET).save(tmp_path / "result")
    kept = saved / "tapes" / "0001.parquet"
    rows = CANDLES.copy()
    rows["close"][30] = rows["high"][30]
    write_tape(tape_of_table(candle_frame(rows), "TABLE"), kept)

    with pytest.raises(DataError, match="the candles have changed since"):
        verify(saved)

    kept.write_bytes(b"none")
    with pytest.raises(DataError, match=r"0001\.parquet"):
        verify(saved)


def test_prices_are_taken_as_they_are() -> None:
    found = tape_of_table(FRAME, "X").candles

    for name in ("open", "high", "low", "close", "volume"):
        assert np.array_equal(found[name], CANDLES[name])
