"""
Running sums keep nothing of what has left their window: silence after trading, dust after large values.

The oracle sums every window on its own, exactly (`math.fsum` is correctly rounded).
"""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.candles import CANDLE
from papertape.engine.features import evaluate
from papertape.engine.jit import Rows
from tests.support.helpers import START_MS

# What market does for some candles: it trades with volumes and moves of a size, stands still, or falls to a price.
TRADES, SILENT, FALLS = "trades", "silent", "falls"
Stretch = tuple[str, int, int]  # what, for how many candles, decimal exponent of its size


def market(stretches: list[Stretch], seed: int = 0) -> Rows:
    """Return hours of a market that does one thing after the other."""
    random = np.random.default_rng(seed)
    rows: list[tuple[float, ...]] = []
    price = 1000.0
    for what, n, exponent in stretches:
        if what == FALLS:
            price = 1000.0 * 10.0 ** min(exponent, 0)
        for _ in range(n):
            before = price
            high = low = before
            volume = 0.0
            if what == TRADES:
                price = before * math.exp(random.normal(0.0, min(10.0**exponent, 0.05)))
                high, low = max(before, price) * 1.0001, min(before, price) * 0.9999
                volume = random.random() * 10.0**exponent
            rows.append((before, max(high, price), min(low, price), price, volume))
    candles = np.zeros(len(rows), CANDLE)
    candles["open_ms"] = START_MS + 3_600_000 * np.arange(len(rows))
    for name, values in zip(("open", "high", "low", "close", "volume"), np.array(rows).T, strict=True):
        candles[name] = values
    return candles


def windows(values: np.ndarray, n: int) -> Iterator[tuple[int, list[float]]]:
    """Yield the place of each last value and the window that ends there."""
    for end in range(n, len(values) + 1):
        yield end - 1, values[end - n : end].tolist()


def each(values: np.ndarray, n: int, formula: Callable[[list[float]], Any]) -> np.ndarray:
    """Return a formula over every window, NaN where there is none yet."""
    found = np.full(len(values), np.nan)
    for place, window in windows(values, n):
        found[place] = formula(window)
    return found


def mean(window: list[float]) -> float:
    return math.fsum(window) / len(window)


def deviation(window: list[float]) -> float:
    centre = mean(window)
    if min(window) == max(window):
        return 0.0
    return math.sqrt(math.fsum((value - centre) ** 2 for value in window) / len(window))


def score(window: list[float]) -> float:
    spread = deviation(window)
    return (window[-1] - mean(window)) / spread if spread else 0.0


def weighted(window: list[float]) -> float:
    n = len(window)
    return math.fsum((j + 1) * value for j, value in enumerate(window)) / (n * (n + 1) / 2)


def slope(window: list[float]) -> float:
    half = (len(window) - 1) / 2
    spread = math.fsum((j - half) ** 2 for j in range(len(window)))
    return math.fsum((j - half) * value for j, value in enumerate(window)) / spread


def money_flow_index(window: list[float]) -> float:
    inflow = math.fsum(max(flow, 0.0) for flow in window)
    total = math.fsum(abs(flow) for flow in window)
    return 100.0 * inflow / total if total else 50.0


def flows(candles: Rows) -> np.ndarray:
    """Return the signed money flows, NaN for the first candle; a move of the last bits is none."""
    typical = (candles["high"] + candles["low"] + candles["close"]) / 3.0
    move = np.diff(typical)
    signs = np.where(np.abs(move) <= 1e-13 * typical[1:], 0.0, np.sign(move))
    return np.concatenate([[np.nan], signs * typical[1:] * candles["volume"][1:]])


def log_returns(candles: Rows) -> np.ndarray:
    close = candles["close"]
    return np.array([math.log(b / a) for a, b in pairwise(close)])


def expected(name: str, candles: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact values of a feature's first column, and the size that an error is measured by."""
    close, volume = candles["close"], candles["volume"]
    sizes = each(close, 20, max)
    ones = np.ones(len(candles))
    if name == "sma_20":
        return each(close, 20, mean), sizes
    if name == "wma_20":
        return each(close, 20, weighted), sizes
    if name == "slope_20":
        return each(close, 20, slope), sizes
    if name == "bollinger_20_2":
        return each(close, 20, lambda w: mean(w) + 2.0 * deviation(w)), sizes
    if name == "volume_z_20":
        return each(volume, 20, score), ones
    if name == "mfi_14":
        return each(flows(candles), 14, money_flow_index), 100.0 * ones
    if name == "volatility_close_20":
        one = each(log_returns(candles), 20, lambda w: deviation(w) * math.sqrt(20 / 19))
        return np.concatenate([[np.nan], one]), np.concatenate([[np.nan], one])
    squares = np.array(
        [math.log(h / low) ** 2 for h, low in zip(candles["high"], candles["low"], strict=True)]
    )
    found = each(squares, 20, lambda w: math.sqrt(mean(w) / (4.0 * math.log(2.0))))
    return found, found


NAMES = (
    "sma_20",
    "wma_20",
    "slope_20",
    "bollinger_20_2",
    "volume_z_20",
    "mfi_14",
    "volatility_close_20",
    "volatility_parkinson_20",
)


def worst(name: str, candles: Rows) -> float:
    """Return the largest error of a feature in its own size; where that is 0, nothing else is said."""
    ours = evaluate(name, candles)[0]
    right, sizes = expected(name, candles)
    is_said = np.isfinite(right)
    np.testing.assert_array_equal(np.isfinite(ours), is_said)
    off, sizes = np.abs(ours - right)[is_said], sizes[is_said]
    is_zero = sizes == 0.0
    assert (off[is_zero] == 0.0).all()
    return float((off[~is_zero] / sizes[~is_zero]).max(initial=0.0))


def test_money_flow_is_neutral_as_soon_as_nothing_in_the_window_has_traded() -> None:
    for seed in range(20):
        found = evaluate("mfi_14", market([(TRADES, 20, 0), (SILENT, 40, 0)], seed))[0]

        # The last candle with a flow is 19; from 19 + 14 on the window holds none.
        assert found[33:].tolist() == [50.0] * 27


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "stretches",
    [
        [(TRADES, 20, 0), (SILENT, 40, 0)],
        [(TRADES, 31, 9), (TRADES, 50, -6)],
        [(TRADES, 27, 6), (SILENT, 3, 0), (TRADES, 1, -6), (SILENT, 60, 0), (TRADES, 30, -3)],
        [(TRADES, 25, -2), (FALLS, 1, -9), (TRADES, 60, -2)],
        [(TRADES, 25, -2), (FALLS, 1, -3), (TRADES, 5, -2), (FALLS, 1, -9), (TRADES, 40, -6)],
    ],
)
def test_what_has_left_the_window_leaves_nothing_behind(name: str, stretches: list[Stretch]) -> None:
    assert worst(name, market(stretches)) < 1e-7


STRETCHES = st.lists(
    st.tuples(st.sampled_from([TRADES, TRADES, SILENT, FALLS]), st.integers(1, 45), st.integers(-8, 9)),
    min_size=2,
    max_size=6,
)


@settings(max_examples=100, deadline=None)
@given(STRETCHES, st.integers(0, 9))
def test_every_running_sum_is_that_of_its_window(stretches: list[Stretch], seed: int) -> None:
    candles = market(stretches, seed)

    for name in NAMES:
        assert worst(name, candles) < 1e-7, name


def test_running_totals_since_a_start_are_exact_to_their_own_size() -> None:
    """They take nothing away, so silence leaves them where they are."""
    candles = market([(TRADES, 30, 8), (SILENT, 10, 0), (TRADES, 30, -4)])
    signs = np.concatenate([[1.0], np.sign(np.diff(candles["close"]))])
    steps = (signs * candles["volume"]).tolist()

    found = evaluate("obv", candles)[0]

    right = np.array([math.fsum(steps[: end + 1]) for end in range(len(steps))])
    assert np.abs(found - right).max() <= 1e-14 * np.abs(right).max() * len(right)
    assert (found[30:40] == found[29]).all()
