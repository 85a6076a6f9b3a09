"""Columns against a fold of the events: what is live, nearest and newest according to what was said."""

from collections import defaultdict

import numpy as np
import pytest

from papertape.engine.features import evaluate
from papertape.engine.features.smc import KIND_NAMES, SmartMoney
from papertape.engine.features.smc.columns import COLUMNS, FARTHEST, OLDEST
from papertape.engine.jit import FloatArray, Rows
from tests.support.helpers import random_candles

N = 3_000
FROM = 200  # warm-up of smc_10_3_50
KEYS = ("kind", "scale", "side", "bar", "top", "bottom", "level", "tag")


def wilder(candles: Rows, period: int) -> FloatArray:
    """Return Wilder's average true range as the reference defines it."""
    high, low, close = (candles[name] for name in ("high", "low", "close"))
    reach = np.maximum(high[1:] - low[1:], np.maximum(abs(high[1:] - close[:-1]), abs(low[1:] - close[:-1])))
    ranges = np.concatenate([[high[0] - low[0]], reach])
    atr = np.full(len(ranges), np.nan)
    atr[period - 1] = ranges[:period].mean()
    for t in range(period, len(ranges)):
        atr[t] = atr[t - 1] + (ranges[t] - atr[t - 1]) / period
    return atr


class Fold:
    """What is live after the events so far."""

    def __init__(self) -> None:
        self.gaps: dict[int, tuple[int, float]] = {}
        self.blocks: dict[tuple[int, int, int, int], tuple[int, float, float]] = {}
        self.levels: dict[int, tuple[int, float]] = {}
        self.trend = {1: 0, 2: 0, 3: 0}
        self.broke: dict[int, int] = {}
        self.swept: dict[int, int] = {}

    def take(self, t: int, event: dict[str, float]) -> None:
        kind, scale = KIND_NAMES[int(event["kind"])], int(event["scale"])
        bar, side = int(event["bar"]), int(event["side"])
        if scale == 3:
            if kind == "HTF_BIAS":
                self.trend[3] = side
            return
        if kind == "GAP":
            self.gaps[bar] = (side, event["top"] if side > 0 else event["bottom"])
        elif kind == "FVG_FILL":
            del self.gaps[bar]
        elif kind == "OB" and event["top"] >= event["bottom"]:
            edges = (event["top"], event["bottom"]) if side > 0 else (event["bottom"], event["top"])
            self.blocks[scale, bar, side, t] = (side, *edges)
        elif kind == "OB_MITIGATED":
            # A candle can carry several blocks; all of one zone end at the same candle.
            for key in [k for k in self.blocks if (k[0], k[1], k[2]) == (scale, bar, side)]:
                del self.blocks[key]
        elif kind == "SWING" and scale == 1:
            self.levels[bar] = (side, event["level"])
        elif kind in ("SWEEP", "RUN"):
            del self.levels[bar]
            if kind == "SWEEP":
                self.swept[side] = t
        elif kind == "POOL_SWEEP":
            self.swept[side] = t
        elif kind in ("BOS", "CHOCH"):
            self.trend[scale], self.broke[scale] = side, t


@pytest.fixture(scope="module")
def case() -> tuple[Rows, dict[str, FloatArray], dict[int, list[dict[str, float]]]]:
    candles = random_candles(N, 95, "15m")
    columns = dict(zip(COLUMNS, evaluate("smc_10_3_50", candles, 900_000), strict=True))
    events = SmartMoney("15m", swing_bars=10, internal_bars=3, inverse_age_bars=50).update(candles)
    by_candle = defaultdict(list)
    for event in events:
        by_candle[int(event["known_bar"])].append({key: float(event[key]) for key in KEYS})
    return candles, columns, by_candle


def test_columns_are_a_fold_of_the_events(
    case: tuple[Rows, dict[str, FloatArray], dict[int, list[dict[str, float]]]],
) -> None:
    candles, columns, by_candle = case
    atr, fold = wilder(candles, 14), Fold()

    def far(distances: list[float], t: int) -> float:
        return min([max(d, 0.0) / atr[t] for d in distances], default=FARTHEST)

    for t in range(N):
        for event in by_candle[t]:
            fold.take(t, event)
        if t < FROM:
            continue
        close = float(candles["close"][t])
        want = {
            "trend_swing": fold.trend[2],
            "trend_internal": fold.trend[1],
            "trend_higher": fold.trend[3],
            "break_swing_bars": min(t - fold.broke.get(2, -1_000), OLDEST),
            "break_internal_bars": min(t - fold.broke.get(1, -1_000), OLDEST),
            "sweep_up_bars": min(t - fold.swept.get(1, -1_000), OLDEST),
            "sweep_down_bars": min(t - fold.swept.get(-1, -1_000), OLDEST),
            "gap_below": far([close - edge for side, edge in fold.gaps.values() if side > 0], t),
            "gap_above": far([edge - close for side, edge in fold.gaps.values() if side < 0], t),
            "block_below": far([close - near for side, near, _ in fold.blocks.values() if side > 0], t),
            "block_above": far([near - close for side, near, _ in fold.blocks.values() if side < 0], t),
        }
        for name, value in want.items():
            if name.startswith(("gap", "block")):
                value = min(value, FARTHEST)
            assert columns[name][t] == pytest.approx(value, rel=1e-9, abs=1e-9), (name, t)


def test_nearest_level_is_the_nearest_that_was_not_passed(
    case: tuple[Rows, dict[str, FloatArray], dict[int, list[dict[str, float]]]],
) -> None:
    candles, columns, by_candle = case
    atr, fold = wilder(candles, 14), Fold()

    for t in range(N):
        for event in by_candle[t]:
            fold.take(t, event)
        if t < FROM:
            continue
        close, high, low = (float(candles[name][t]) for name in ("close", "high", "low"))
        # Levels that wait for their verdict have been passed by one of the last three candles.
        highest, lowest = candles["high"][t - 2 : t + 1].max(), candles["low"][t - 2 : t + 1].min()
        above = [level - close for side, level in fold.levels.values() if side > 0 and level >= highest]
        below = [close - level for side, level in fold.levels.values() if side < 0 and level <= lowest]
        assert columns["level_above"][t] <= min([d / atr[t] for d in above], default=FARTHEST) * (1 + 1e-9)
        assert columns["level_below"][t] <= min([d / atr[t] for d in below], default=FARTHEST) * (1 + 1e-9)
        assert columns["level_above"][t] >= min((high - close) / atr[t], FARTHEST) * (1 - 1e-9)
        assert columns["level_below"][t] >= min((close - low) / atr[t], FARTHEST) * (1 - 1e-9)


def test_flags_and_shares_are_within_their_bounds(
    case: tuple[Rows, dict[str, FloatArray], dict[int, list[dict[str, float]]]],
) -> None:
    _, columns, _ = case
    bounds = {
        "position": (0, 1),
        "zone": (-1, 1),
        "equilibrium": (0, 1),
        "reaction": (-1, 1),
        "entry": (-1, 1),
        "retracement": (0, 2),
        "inducement": (-1, 1),
        "displacement": (-5, 5),
        "day_high": (-20, 20),
        "asia": (0, 1),
        "bullish_count": (0, 10),
        "bearish_count": (0, 10),
    }

    for name, (least, most) in bounds.items():
        values = columns[name][FROM:]
        assert least <= values.min() <= values.max() <= most, name
        assert len(np.unique(values)) > 1, name
