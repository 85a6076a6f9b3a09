"""Counts of what is wrong with candles, and the repairs that an import makes: all stated, none silent."""

import math

import numpy as np
import pandas as pd
import pytest

from papertape.engine.candles import CANDLE, FLAG_REPAIRED, TIMEFRAMES
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.replay.tapes.cleaning import clean
from papertape.replay.tapes.quality import measure, sentences
from papertape.replay.tapes.raw import Part, Raw
from papertape.replay.tapes.timestamps import find_timeframe
from tests.support.helpers import SHARED, START_MS, make_candles, needs_shared

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


def at(hours: list[float], close: float = 10.0) -> Rows:
    """Return flat candles at these hours after the start."""
    candles = make_candles([(close, close, close, close)] * len(hours))
    candles["open_ms"] = [START_MS + round(h * HOUR_MS) for h in hours]
    return candles


def as_raw(candles: Rows) -> Raw:
    return Raw(candles, "test", (Part(0, "file", 2),))


def manifest() -> "pd.DataFrame":
    table = pd.read_csv(SHARED / "data" / "MANIFEST.csv")
    return table[table["tf"].isin(list(TIMEFRAMES))]


@pytest.mark.slow
@needs_shared
def test_counts_equal_the_manifest_for_every_recorded_file() -> None:
    rows = manifest()
    wrong = []

    for row in rows.itertuples():
        frame = pd.read_parquet(SHARED / "data" / "candles" / str(row.file))
        candles = np.zeros(len(frame), CANDLE)
        for name, column in zip(("open_ms", "open", "high", "low", "close", "volume"), frame, strict=True):
            candles[name] = frame[column]
        timeframe = find_timeframe(candles["open_ms"], None, str(row.file))
        q = measure(candles, timeframe)
        after = q.longest_gap_after_ms
        found = {
            "tf": timeframe,
            "rows": q.rows,
            "start": str(pd.Timestamp(q.first_ms, unit="ms"))[:16],
            "end": str(pd.Timestamp(q.last_ms, unit="ms"))[:16],
            "dups": q.duplicates,
            "backsteps": q.backward,
            "offgrid": q.off_grid,
            "gaps": q.gaps,
            "missing": q.missing,
            "maxgap_bars": q.longest_gap_bars,
            "maxgap_at": str(pd.Timestamp(after, unit="ms"))[:16] if after else np.nan,
            "nan": q.not_finite,
            "ohlc_bad": q.inconsistent,
            "nonpos": q.not_positive,
            "neg_vol": q.negative_volume,
            "zero_vol": q.zero_volume,
            "flat": q.flat,
            "max_absret": round(q.largest_move, 4),
            "max_openjump": round(q.largest_jump, 4),
        }
        wrong += [
            f"{row.file}: {name} {value}, manifest {getattr(row, name)}"
            for name, value in found.items()
            if value != getattr(row, name) and not (value is np.nan and pd.isna(getattr(row, name)))
        ]

    assert len(rows) == 36
    assert wrong == []


@needs_shared
def test_the_offgrid_months_can_be_imported_once_the_collision_is_decided() -> None:
    from papertape.replay.importers.build import import_tape
    from papertape.replay.importers.options import Options

    path = SHARED / "data/candles/binance-spot_BTCUSDT_1m_20170817_20180228_dirty.parquet"

    with pytest.raises(DataError, match=r"row 156662: the stamp of row 156661 again"):
        import_tape(path)
    made = import_tape(path, Options(keep="first"))

    assert made.repairs.snapped == 21_602
    assert made.repairs.resolved == 1
    assert len(made.tape.candles) == 279_320 - 1
    flagged = int((made.tape.candles["flag_bits"] & FLAG_REPAIRED != 0).sum())
    # The collision is of an off-grid candle with one on the grid, so its flag covers both repairs.
    assert flagged in (21_602, 21_603)


def test_a_hole_is_a_step_beyond_the_timeframe_and_counts_whole_bars() -> None:
    q = measure(at([0, 1, 4, 5, 5.5, 8.4]), "1h")

    # 1 → 4 lacks 2 bars; 5.5 → 8.4 is 2.9 steps: one whole bar beside the one that came.
    assert (q.gaps, q.missing, q.longest_gap_bars) == (2, 3, 2)
    assert q.longest_gap_after_ms == START_MS + HOUR_MS
    assert q.off_grid == 2


def test_largest_move_and_jump_are_log_moves() -> None:
    candles = make_candles([(100, 100, 100, 100), (110, 121, 110, 121)])

    q = measure(candles, "1h")

    assert math.isclose(q.largest_move, math.log(1.21))
    assert math.isclose(q.largest_jump, math.log(1.10))


def test_a_jump_over_a_hole_is_no_jump() -> None:
    candles = at([0, 2])
    candles["open"][1] = candles["high"][1] = 20.0

    assert measure(candles, "1h").largest_jump == 0.0


def test_extreme_moves_are_reported_and_never_dropped() -> None:
    candles = make_candles([(0.1, 2.0, 0.1, 1.77), (1.77, 1.8, 1.7, 1.75), (1.75, 1.75, 1.2, 1.3)])

    q = measure(candles, "1h")
    kept, _ = clean(as_raw(candles), "1h")

    assert q.extreme_moves == 2  # the range of the first, the fall of the last
    assert math.isclose(q.extremes[0].size, math.log(20.0))
    assert len(kept) == 3


@pytest.mark.parametrize(
    ("field", "value", "count", "words"),
    [
        ("close", math.nan, "not_finite", "not a finite number"),
        ("volume", math.inf, "not_finite", "not a finite number"),
        ("low", 0.0, "not_positive", "not above zero"),
        ("high", 9.0, "inconsistent", "not between low and high"),
        ("low", 11.0, "inconsistent", "not between low and high"),
        ("volume", -1.0, "negative_volume", "volume is negative"),
    ],
)
def test_rows_that_break_a_rule_are_refused_with_their_row_or_dropped_when_asked(
    field: str, value: float, count: str, words: str
) -> None:
    candles = at([0, 1, 2, 3])
    candles[field][2] = value
    q = measure(candles, "1h")

    with pytest.raises(DataError, match=f"file row 4: .*{words}.*1 such of 4; --drop-bad"):
        clean(as_raw(candles), "1h")
    kept, repairs = clean(as_raw(candles), "1h", drop_bad=True)

    assert getattr(q, count) == q.bad_rows == 1
    assert kept["open_ms"].tolist() == [START_MS + h * HOUR_MS for h in (0, 1, 3)]
    assert repairs.dropped == 1


def test_nothing_left_after_dropping_is_refused() -> None:
    candles = at([0])
    candles["close"] = math.nan

    with pytest.raises(DataError, match="no candle is left"):
        clean(as_raw(candles), "1h", drop_bad=True)


def test_identical_duplicates_are_folded_and_flagged() -> None:
    kept, repairs = clean(as_raw(at([0, 1, 1, 2])), "1h")

    assert repairs.folded == 1
    assert kept["open_ms"].tolist() == [START_MS + h * HOUR_MS for h in range(3)]
    assert kept["flag_bits"].tolist() == [0, FLAG_REPAIRED, 0]


def test_conflicting_duplicates_show_both_rows_and_need_a_word() -> None:
    candles = at([0, 1, 1, 2])
    candles["volume"][2] = 5.0

    with pytest.raises(DataError, match=r"file row 4: the stamp of row 3 .*volume 1 .*volume 5"):
        clean(as_raw(candles), "1h")
    first, repairs = clean(as_raw(candles), "1h", keep="first")
    last, _ = clean(as_raw(candles), "1h", keep="last")

    assert (first["volume"][1], last["volume"][1]) == (1.0, 5.0)
    assert repairs.resolved == 1
    assert measure(candles, "1h").conflicts == 1


def test_stamps_off_the_grid_are_floored_and_flagged() -> None:
    kept, repairs = clean(as_raw(at([0, 1, 2.3, 3])), "1h")

    assert repairs.snapped == 1
    assert kept["open_ms"].tolist() == [START_MS + h * HOUR_MS for h in range(4)]
    assert kept["flag_bits"].tolist() == [0, 0, FLAG_REPAIRED, 0]


def test_a_snapped_stamp_that_meets_another_is_a_duplicate() -> None:
    candles = at([0, 1, 1.5, 2])

    kept, repairs = clean(as_raw(candles), "1h")
    candles["close"][2] = candles["high"][2] = 11.0

    assert (len(kept), repairs.folded) == (3, 1)
    with pytest.raises(DataError, match="again with another candle"):
        clean(as_raw(candles), "1h")


def test_mostly_off_the_grid_is_refused_as_another_clock() -> None:
    with pytest.raises(DataError, match="3 of 4 stamps are not on the 1h grid"):
        clean(as_raw(at([0, 1.5, 2.5, 3.5])), "1h")


def test_newest_first_is_turned_round_and_other_disorder_sorted_and_counted() -> None:
    turned, repairs = clean(as_raw(at([3, 2, 1, 0])), "1h")
    ordered, others = clean(as_raw(at([0, 2, 1, 3, 4])), "1h")

    assert turned["open_ms"].tolist() == [START_MS + h * HOUR_MS for h in range(4)]
    assert (repairs.reversed, repairs.sorted) == (4, 0)
    assert ordered["open_ms"].tolist() == [START_MS + h * HOUR_MS for h in range(5)]
    assert (others.reversed, others.sorted) == (0, 1)
    assert measure(at([0, 2, 1, 3, 4]), "1h").backward == 1
    assert measure(at([3, 2, 1, 0]), "1h").order == "newest first"


def test_every_doubt_has_its_sentence_and_clean_candles_have_none() -> None:
    assert sentences(measure(at([0, 1, 2]), "1h")) == []

    told = " ".join(sentences(measure(at([0, 1, 1, 3.2]), "1h")))

    for words in ("1 stamp twice", "1 stamp off the 1h grid", "1 gap with 1 candle missing"):
        assert words in told


def test_timeframe_is_the_most_common_step() -> None:
    stamps = START_MS + MINUTE_MS * np.array([0, 1, 2, 5, 6, 7, 3000], dtype=np.int64)

    assert find_timeframe(stamps, None, "f") == "1m"
    assert find_timeframe(stamps[::-1], "1m", "f") == "1m"
    with pytest.raises(DataError, match="are 1m apart, not 5m as declared"):
        find_timeframe(stamps, "5m", "f")
    with pytest.raises(DataError, match="unknown timeframe"):
        find_timeframe(stamps, "7m", "f")


def test_one_candle_needs_its_timeframe_told() -> None:
    one = np.array([START_MS], dtype=np.int64)

    with pytest.raises(DataError, match="give --timeframe"):
        find_timeframe(one, None, "f")
    assert find_timeframe(one, "4h", "f") == "4h"


def test_two_timeframes_in_one_file_are_refused_and_scattered_holes_are_not() -> None:
    minutes = START_MS + MINUTE_MS * np.arange(100, dtype=np.int64)
    hours = minutes[-1] + HOUR_MS * np.arange(1, 40, dtype=np.int64)
    steps = np.random.default_rng(1).choice([1, 2, 3, 5, 15], 5000, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    thin = START_MS + MINUTE_MS * np.cumsum(steps)

    with pytest.raises(DataError, match="two timeframes in one file: 1m and, 39 times in a row, 1h"):
        find_timeframe(np.concatenate([minutes, hours]), None, "f")
    assert find_timeframe(thin, None, "f") == "1m"


def test_a_step_that_is_no_timeframe_is_refused() -> None:
    stamps = START_MS + 7 * MINUTE_MS * np.arange(10, dtype=np.int64)

    with pytest.raises(DataError, match="420 s apart, which is no timeframe"):
        find_timeframe(stamps, None, "f")
