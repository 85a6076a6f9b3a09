"""Features that TA-Lib does not define, against their formula written out in numpy."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from papertape.engine.candles import timeframe_ms
from papertape.engine.features import evaluate
from papertape.engine.features.matrix import FeatureMatrix
from tests.support.helpers import START_MS, make_candles, random_candles

CANDLES = random_candles(500, seed=21)
O, H, L, C, V = (CANDLES[name] for name in ("open", "high", "low", "close", "volume"))  # noqa: E741 # prices


def rolling(values: np.ndarray, n: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(values, n)


def test_keltner_is_an_ema_with_average_true_ranges_around_it() -> None:
    middle, atr = evaluate("ema_20", CANDLES)[0], evaluate("atr_10", CANDLES)[0]

    upper, centre, lower = evaluate("keltner_20_10_1.5", CANDLES)

    np.testing.assert_allclose(centre[19:], middle[19:], rtol=1e-12)
    np.testing.assert_allclose(upper[19:], (middle + 1.5 * atr)[19:], rtol=1e-12)
    np.testing.assert_allclose(lower[19:], (middle - 1.5 * atr)[19:], rtol=1e-12)


def test_donchian_is_highest_high_lowest_low_and_middle() -> None:
    upper, lower, middle = evaluate("donchian_20", CANDLES)

    np.testing.assert_array_equal(upper[19:], rolling(H, 20).max(axis=1))
    np.testing.assert_array_equal(lower[19:], rolling(L, 20).min(axis=1))
    np.testing.assert_allclose(middle[19:], (upper + lower)[19:] / 2, rtol=1e-15)


def test_bollinger_width_and_place() -> None:
    upper, middle, lower, width, place = evaluate("bollinger_20_2", CANDLES)

    np.testing.assert_allclose(width[19:], ((upper - lower) / middle)[19:], rtol=1e-9)
    np.testing.assert_allclose(place[19:], ((C - lower) / (upper - lower))[19:], rtol=1e-9)


def test_volatility_close_is_the_sample_deviation_of_log_returns() -> None:
    expected = rolling(np.diff(np.log(C)), 20).std(axis=1, ddof=1)

    np.testing.assert_allclose(evaluate("volatility_close_20", CANDLES)[0][20:], expected, rtol=1e-9)


def test_volatility_parkinson_by_its_formula() -> None:
    expected = np.sqrt(rolling(np.log(H / L) ** 2, 20).mean(axis=1) / (4 * math.log(2)))

    np.testing.assert_allclose(evaluate("volatility_parkinson_20", CANDLES)[0][19:], expected, rtol=1e-9)


def test_volume_z_score() -> None:
    window = rolling(V, 20)
    expected = (V[19:] - window.mean(axis=1)) / window.std(axis=1)

    np.testing.assert_allclose(evaluate("volume_z_20", CANDLES)[0][19:], expected, rtol=1e-9)


def test_vwap_starts_again_at_midnight_by_the_clock() -> None:
    value = (H + L + C) / 3 * V
    day = (CANDLES["open_ms"] - START_MS) // 86_400_000
    expected = np.array(
        [
            value[: t + 1][day[: t + 1] == day[t]].sum() / V[: t + 1][day[: t + 1] == day[t]].sum()
            for t in range(500)
        ]
    )

    np.testing.assert_allclose(evaluate("vwap", CANDLES)[0], expected, rtol=1e-12)


@pytest.mark.parametrize("bars", [1, 5, 24])
def test_log_return_over_its_horizon(bars: int) -> None:
    np.testing.assert_allclose(
        evaluate(f"log_return_{bars}", CANDLES)[0][bars:], np.log(C[bars:] / C[:-bars]), atol=1e-15
    )


def test_candle_shape_by_hand() -> None:
    # open 10, high 20, low 0+2, close 15: range 18, body 5, upper 5, lower 8
    body, upper, lower, reach = evaluate("candle_shape", make_candles([(10.0, 20.0, 2.0, 15.0)]))

    assert (body[0], upper[0], lower[0]) == pytest.approx((5 / 18, 5 / 18, 8 / 18))
    assert reach[0] == pytest.approx(18 / 15)


def test_clock_by_hand() -> None:
    # 2020-01-01 was a Wednesday; 06:00 is a quarter of the day, 2.25 days after Monday 00:00
    candles = make_candles([(1.0, 1.0, 1.0, 1.0)] * 7)

    day_sin, day_cos, week_sin, week_cos = evaluate("clock", candles)[:, 6]

    assert (day_sin, day_cos) == pytest.approx((1.0, 0.0), abs=1e-12)
    angle = 2 * math.pi * 2.25 / 7
    assert (week_sin, week_cos) == pytest.approx((math.sin(angle), math.cos(angle)), abs=1e-12)


@pytest.mark.parametrize(("hours", "timeframe"), [(8, "1h"), (1, "15m"), (24, "4h"), (168, "4h"), (8, "1d")])
def test_until_is_what_is_left_of_an_interval_at_the_close(hours: int, timeframe: str) -> None:
    candles = make_candles([(1.0, 1.0, 1.0, 1.0)] * 200, timeframe)
    length_ms = timeframe_ms(timeframe)

    shares = evaluate(f"until_{hours}", candles, length_ms)[0]

    closes = [datetime.fromtimestamp(int(open_ms + length_ms) / 1000, UTC) for open_ms in candles["open_ms"]]
    since = [close.weekday() * 24 + close.hour + close.minute / 60 for close in closes]
    expected = [1.0 - h % hours / hours for h in since]
    np.testing.assert_allclose(shares, expected, rtol=1e-15)


def test_until_by_hand() -> None:
    # The first candle closes at 01:00; the eighth at 08:00, where a settlement has passed and the next is a whole interval away.
    shares = evaluate("until_8", make_candles([(1.0, 1.0, 1.0, 1.0)] * 9))[0]

    assert shares.tolist() == [0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 1.0, 0.875]


def test_until_of_a_longer_candle_is_said_of_its_own_close() -> None:
    matrix = FeatureMatrix(("AAA",), "1h", "1h", ("until_8", "until_24@4h"))

    closed, at = matrix.advance(make_candles([(1.0, 1.0, 1.0, 1.0)] * 9), 9)

    hourly, longer, _ = matrix.matrix(0, closed, at)[:, :closed].tolist()
    assert hourly == [0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 1.0, 0.875]
    assert longer[3:] == pytest.approx([20 / 24] * 4 + [16 / 24] * 2, rel=1e-15)
    assert np.isnan(longer[:3]).all()


def test_first_variants_start_at_the_first_candle() -> None:
    ema = evaluate("ema_12:first", CANDLES)[0]
    line, signal, _ = evaluate("macd_12_26_9:first", CANDLES)
    rsi, atr = evaluate("rsi_14:first", CANDLES)[0], evaluate("atr_14:first", CANDLES)[0]

    # Recursions written out, from the reference benchmark's definition.
    fast, slow, sig, gain, loss, reach = C[0], C[0], 0.0, 0.0, 0.0, H[0] - L[0]
    for t in range(len(C)):
        if t:
            fast += 2 / 13 * (C[t] - fast)
            slow += 2 / 27 * (C[t] - slow)
            gain += (max(C[t] - C[t - 1], 0) - gain) / 14
            loss += (max(C[t - 1] - C[t], 0) - loss) / 14
            true = max(H[t] - L[t], abs(H[t] - C[t - 1]), abs(L[t] - C[t - 1]))
            reach += (true - reach) / 14
        sig += 2 / 10 * (fast - slow - sig)
        assert ema[t] == pytest.approx(fast, rel=1e-12)
        assert line[t] == pytest.approx(fast - slow, abs=1e-11)
        assert signal[t] == pytest.approx(sig, abs=1e-11)
        assert atr[t] == pytest.approx(reach, rel=1e-12)
        if t:
            assert rsi[t] == pytest.approx(100 * gain / (gain + loss), rel=1e-11)
