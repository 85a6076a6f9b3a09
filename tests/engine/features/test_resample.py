"""Higher timeframes: by the clock, causal, the same in any batching; gaps, absent and off-grid candles included."""

import numpy as np
import pandas as pd
import pytest

from papertape.engine.candles import CANDLE, FLAG_ABSENT, HOUR_MS, MINUTE_MS
from papertape.engine.features.resample import FRAME_STATE, aggregate
from papertape.engine.jit import Rows
from tests.support.helpers import START_MS, random_candles


def gather(candles: Rows, length_ms: int, batch: int = 10**9) -> tuple[Rows, list[int]]:
    """Return the closed candles and the base candle that made each known."""
    state = np.zeros(1, FRAME_STATE)
    closed, known = [], []
    for start in range(0, len(candles), batch):
        part = candles[start : start + batch]
        rows = np.zeros(2 * len(part) + 2, CANDLE)
        at = np.zeros(len(rows), np.int64)
        n = aggregate(part, 0, 1, len(part), MINUTE_MS, length_ms, state[0], rows, at)
        closed.append(rows[:n].copy())
        known += [start + int(i) for i in at[:n]]
    return np.concatenate(closed), known


def test_full_hours_equal_pandas_resample() -> None:
    candles = random_candles(60 * 30 + 25, seed=2, timeframe="1m")
    frame = pd.DataFrame({n: candles[n] for n in ("open", "high", "low", "close", "volume")})
    frame.index = pd.to_datetime(candles["open_ms"], unit="ms")
    rules = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    expected = frame.resample("1h").agg(rules)[:30]

    closed, known = gather(candles, HOUR_MS)

    assert known == [60 * k + 59 for k in range(30)]
    for name in rules:
        np.testing.assert_allclose(closed[name], expected[name].to_numpy(), rtol=1e-12)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batching_changes_nothing(batch: int) -> None:
    candles = random_candles(1_000, seed=3, timeframe="1m")
    candles = candles[np.random.default_rng(1).random(1_000) > 0.3]

    whole, known = gather(candles, 15 * MINUTE_MS)
    parts, known_parts = gather(candles, 15 * MINUTE_MS, batch)

    assert parts.tobytes() == whole.tobytes()
    assert known_parts == known


def test_gap_closes_the_hour_late_and_before_the_candle_after_it() -> None:
    candles = random_candles(180, seed=4, timeframe="1m")
    # minutes 50 … 129 are missing: hour 0 ends with minute 49, hour 1 has no candle, hour 2 begins at minute 130
    gapped = np.concatenate([candles[:50], candles[130:]])

    closed, known = gather(gapped, HOUR_MS)

    assert known == [50, 99]
    assert closed["open_ms"].tolist() == [START_MS, START_MS + 2 * HOUR_MS]
    assert closed[0].close == candles[49].close
    assert closed[1].open == candles[130].open


def test_one_candle_may_close_two_hours() -> None:
    candles = random_candles(120, seed=5, timeframe="1m")
    # only minute 0 and minute 119: the second closes hour 0 by arriving and hour 1 by ending
    closed, known = gather(candles[[0, 119]], HOUR_MS)

    assert known == [1, 1]
    assert closed["volume"].tolist() == [candles[0].volume, candles[119].volume]


def test_off_grid_candles_belong_where_they_open() -> None:
    candles = random_candles(120, seed=6, timeframe="1m")
    candles["open_ms"] += 20_799

    closed, known = gather(candles, HOUR_MS)

    # Minute 59:20.8 ends after the hour does and closes it.
    assert known == [59, 119]
    assert closed["open_ms"].tolist() == [START_MS, START_MS + HOUR_MS]


def test_candle_of_a_closed_hour_is_left_out() -> None:
    candles = random_candles(61, seed=7, timeframe="1m")
    off = candles.copy()
    off["open_ms"][59] += 20_799  # closes the hour
    off["open_ms"][60] = off["open_ms"][59] + 10_000  # still opens in it

    closed, _ = gather(off, HOUR_MS)

    assert len(closed) == 1
    assert closed[0].close == candles[59].close


def test_absent_candles_count_only_when_there_is_nothing_else() -> None:
    candles = random_candles(120, seed=8, timeframe="1m")
    candles["flag_bits"][:60] = FLAG_ABSENT
    candles["flag_bits"][60:70] = FLAG_ABSENT

    closed, _ = gather(candles, HOUR_MS)

    assert closed["flag_bits"].tolist() == [FLAG_ABSENT, 0]
    assert closed[1].open == candles[70].open
    assert closed[1].high == candles["high"][70:].max()
    assert closed[1].low == candles["low"][70:].min()


def test_weeks_start_on_monday() -> None:
    day = 24 * HOUR_MS
    candles = random_candles(15, seed=9, timeframe="1d")
    state, rows, at = np.zeros(1, FRAME_STATE), np.zeros(40, CANDLE), np.zeros(40, np.int64)

    n = aggregate(candles, 0, 1, 15, day, 7 * day, state[0], rows, at)

    # 2020-01-01 is a Wednesday: weeks end with Sundays 5 and 12 January, numbers 4 and 11
    assert at[:n].tolist() == [4, 11]
    assert rows["open_ms"][:2].tolist() == [START_MS - 2 * day, START_MS + 5 * day]
