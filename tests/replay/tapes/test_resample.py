"""Longer candles: by hand, against the engine's own clock, and against the exchange's own hourly candles."""

import numpy as np
import pytest

from papertape.engine.candles import FLAG_REPAIRED, FLAG_SYNTHETIC, TIMEFRAMES, bucket_start
from papertape.engine.errors import DataError
from papertape.replay.importers.build import import_tape
from papertape.replay.tapes.resample import resample
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.timestamps import floor_to
from tests.support.helpers import SHARED, START_MS, make_candles, needs_shared, random_candles

HOUR_MS = 3_600_000


def make_tape(candles: object, timeframe: str = "1h") -> Tape:
    return Tape(candles, "test-spot", "X", timeframe, "made by hand")  # type: ignore[arg-type] # CANDLE rows


def test_a_bucket_has_first_open_extremes_last_close_and_all_volume() -> None:
    candles = make_candles([(5, 9, 4, 6), (6, 7, 2, 3), (3, 4, 3, 4), (4, 8, 1, 7)])
    candles["volume"] = [1.0, 2.0, 4.0, 8.0]
    candles["flag_bits"] = [FLAG_REPAIRED, 0, 0, FLAG_SYNTHETIC]

    tape = resample(make_tape(candles), "2h")

    rows = tape.candles
    assert rows["open_ms"].tolist() == [START_MS, START_MS + 2 * HOUR_MS]
    assert [tuple(row)[2:] for row in rows.tolist()] == [
        (5.0, 9.0, 2.0, 3.0, 3.0, FLAG_REPAIRED),
        (3.0, 8.0, 1.0, 7.0, 12.0, FLAG_SYNTHETIC),
    ]
    assert tape.timeframe == "2h"
    assert tape.source == "resampled from 1h: made by hand"


def test_incomplete_buckets_at_the_ends_are_left_out_and_said() -> None:
    candles = random_candles(11)[1:]  # 01:00 … 10:00

    tape = resample(make_tape(candles), "4h")

    assert tape.candles["open_ms"].tolist() == [START_MS + 4 * HOUR_MS]
    assert "left out the incomplete 4h candle of 2020-01-01 00:00" in tape.notes
    assert "left out the incomplete 4h candle of 2020-01-01 08:00" in tape.notes


def test_a_hole_inside_keeps_its_bucket_and_is_counted() -> None:
    candles = np.delete(random_candles(12), [5, 6])

    tape = resample(make_tape(candles), "4h")

    assert len(tape.candles) == 3
    assert "candles made from fewer than all 1h candles: 1" in tape.notes


def test_cutting_the_tape_changes_no_candle_before_the_cut() -> None:
    whole = resample(make_tape(random_candles(100)), "4h").candles

    for n in (8, 13, 50, 99):
        part = resample(make_tape(random_candles(100)[:n]), "4h").candles
        assert part.tobytes() == whole[: len(part)].tobytes()
        assert len(part) == n // 4


@pytest.mark.parametrize("timeframe", list(TIMEFRAMES))
def test_buckets_are_those_of_the_engine(timeframe: str) -> None:
    length_ms = TIMEFRAMES[timeframe]
    stamps = np.random.default_rng(1).integers(0, 2_000_000_000_000, 200)

    ours = floor_to(stamps, length_ms)

    assert ours.tolist() == [bucket_start(int(stamp), length_ms) for stamp in stamps]


@pytest.mark.parametrize("timeframe", ["1h", "1m", "15m"])
def test_only_a_longer_multiple_is_possible(timeframe: str) -> None:
    with pytest.raises(DataError, match=f"cannot be resampled to {timeframe}"):
        resample(make_tape(random_candles(10)), timeframe)


def test_12h_is_no_multiple_of_8h_and_too_short_a_tape_gives_nothing() -> None:
    with pytest.raises(DataError, match="no multiple of 8h"):
        resample(make_tape(random_candles(10, timeframe="8h"), "8h"), "12h")
    with pytest.raises(DataError, match="no whole 1d candle"):
        resample(make_tape(random_candles(10)), "1d")


@needs_shared
def test_resampled_minutes_equal_the_exchange_hours() -> None:
    folder = SHARED / "data" / "candles"
    minutes = import_tape(folder / "binance-spot_BTCUSDT_1m_20200101_20201231.parquet").tape
    native = import_tape(folder / "binance-spot_BTCUSDT_1h_20170817_20240421.parquet").tape
    stamps = minutes.candles["open_ms"]
    hours, counts = np.unique(floor_to(stamps, HOUR_MS), return_counts=True)
    complete = hours[counts == 60]

    ours = resample(minutes, "1h").candles
    _, mine, theirs = np.intersect1d(ours["open_ms"], native.candles["open_ms"], return_indices=True)
    whole = np.isin(ours["open_ms"][mine], complete)
    ours, wanted = ours[mine][whole], native.candles[theirs][whole]

    # Five hours of 8,760 differ: the recorded minutes hold less volume than the exchange's own hour, and in the
    # last one, the hour before an outage, they miss its extremes as well.
    differ = np.array(
        ["2020-04-09T08", "2020-06-14T01", "2020-06-24T01", "2020-10-27T06", "2020-12-21T13"],
        dtype="datetime64[ms]",
    ).astype(np.int64)
    same = ~np.isin(ours["open_ms"], differ)
    assert len(ours) == len(complete) > 8_700
    assert np.array_equal(ours["open_ms"], wanted["open_ms"])
    for name in ("open", "high", "low", "close"):
        equal = ours[name] == wanted[name]
        assert equal[ours["open_ms"] != differ[-1]].all()
    assert np.allclose(ours["volume"][same], wanted["volume"][same], rtol=1e-9)
    assert (ours["volume"][~same] < wanted["volume"][~same]).all()
