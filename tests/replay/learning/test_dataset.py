"""Rows to learn from: what the engine's lanes give, several symbols and timeframes, absent candles, any batching."""

import numpy as np
import pytest
import talib

from papertape.engine.candles import timeframe_ms
from papertape.engine.features.own.names import own_features
from papertape.replay.learning.dataset import dataset_of
from tests.support.helpers import START_MS, random_candles
from tests.support.own_features import FEATURES, by_hand, joined

HOUR_MS = 3_600_000


def test_rows_are_the_features_of_the_whole_tape() -> None:
    candles = random_candles(3_000, 4)

    rows = dataset_of(["X"], [candles], "1h", "1h", ("rsi_14", "log_return_6"))

    close = np.ascontiguousarray(candles["close"])
    high, low = (np.ascontiguousarray(candles[name]) for name in ("high", "low"))
    returns = np.log(close[6:] / close[:-6])
    np.testing.assert_allclose(rows.x[0, 200:, 0], talib.RSI(close, 14)[200:], rtol=1e-9)
    np.testing.assert_allclose(rows.x[0, 6:, 1], returns, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(rows.atr[0, 500:], talib.ATR(high, low, close, 14)[500:], rtol=1e-9)
    np.testing.assert_array_equal(rows.time_ms, candles["open_ms"] + HOUR_MS)
    np.testing.assert_array_equal(rows.close[0], candles["close"])
    rows.check()


def test_a_slower_timeframe_is_the_newest_value_that_was_known() -> None:
    candles = random_candles(400, 4)

    rows = dataset_of(["X"], [candles], "1h", "1h", ("log_return_1@4h",))

    closes = candles["close"][3::4]  # of four hours, from 00:00 on
    known = np.repeat(np.log(closes[1:] / closes[:-1]), 4)
    np.testing.assert_allclose(rows.x[0, 7:, 0], known[: 400 - 7], rtol=1e-12)
    assert np.isnan(rows.x[0, :7, 0]).all()


def test_symbols_stand_beside_each_other_and_nothing_stands_before_a_first_candle() -> None:
    first, second = random_candles(500, 1), random_candles(500, 2)[100:]

    rows = dataset_of(["A", "B"], [first, second], "1h", "1h", ("log_return_1",))

    assert rows.symbols == ("A", "B")
    assert rows.x.shape == (2, 500, 1)
    np.testing.assert_array_equal(rows.close[0], first["close"])
    np.testing.assert_array_equal(rows.close[1, 100:], second["close"])
    assert np.isnan(rows.x[1, :101]).all()  # the first return needs two closes
    assert np.isnan(rows.close[1, :100]).all()


def test_a_candle_that_is_absent_has_nothing_and_the_clock_goes_on() -> None:
    candles = np.delete(random_candles(300, 3), slice(200, 204))

    rows = dataset_of(["X"], [candles], "1h", "1h", ("log_return_1",))

    assert len(rows.time_ms) == 300
    for values in (rows.x[0, :, 0], rows.open[0], rows.close[0], rows.atr[0]):
        assert np.isnan(values[200:204]).all()
        assert np.isfinite(values[205:]).all()


@pytest.mark.parametrize("n", [1, 3, 2_047, 2_049])
def test_a_cut_of_the_tape_gives_the_first_rows(n: int) -> None:
    candles = random_candles(2_100, 6, "15m")
    whole = dataset_of(["X"], [candles], "15m", "1h", ("rsi_14", "log_return_1@4h"))

    cut = dataset_of(["X"], [candles[:n]], "15m", "1h", ("rsi_14", "log_return_1@4h"))

    k = len(cut.time_ms)
    assert k == n // 4
    np.testing.assert_array_equal(cut.x, whole.x[:, :k])
    np.testing.assert_array_equal(cut.time_ms, whole.time_ms[:k])
    assert (np.diff(whole.time_ms) == timeframe_ms("1h")).all()
    assert whole.time_ms[0] == START_MS + HOUR_MS


def test_features_of_ones_own_are_columns_like_any() -> None:
    candles = random_candles(300, 4)
    own = own_features(FEATURES)

    rows = dataset_of(["X"], [candles], "1h", "1h", ("stretch", "rsi_14", "wilder@4h"), own=own)

    assert rows.columns == ("stretch", "rsi_14", "wilder@4h")
    expected = by_hand(candles["close"])["stretch"]
    np.testing.assert_allclose(rows.x[0, :, 0], expected, rtol=1e-9, atol=1e-9)
    slow = by_hand(joined(candles, 4)["close"])["wilder"]
    expected = np.concatenate([np.full(3, np.nan), np.repeat(slow, 4)])[:300]
    np.testing.assert_allclose(rows.x[0, :, 2], expected, rtol=1e-9)
