"""
How much a finer base timeframe knows of entries inside a candle: a year of real minutes against the same year in hours.

The same breakout trades both. In hours a fill inside a candle leaves open what came before it; in minutes nearly nothing.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape.engine import Engine, EngineSpec, Market, Settings
from papertape.engine.candles import CANDLE, FLAG_ABSENT
from papertape.engine.jit import Rows
from papertape.replay.feed import ReplayFeed
from papertape.replay.tapes.resample import resample
from papertape.replay.tapes.store import Tape
from tests.support.helpers import SHARED, needs_shared

pytestmark = [pytest.mark.slow, needs_shared]

YEAR = SHARED / "data/candles/binance-spot_BTCUSDT_1m_20210101_20211231.parquet"


class Range:
    """A stop order on either side of the last 24 hours, a close stop and a wider target."""

    features = ("donchian_24", "atr_14")

    def decide(self, view: Any) -> None:
        high, low = view["donchian_24_upper"], view["donchian_24_lower"]
        if view.position == 0 and not view.orders and low < view.close < high:
            bracket = {"stop_distance": view["atr_14"], "target_distance": 2 * view["atr_14"]}
            view.buy(stop=high, oco="range", expires_bars=24, **bracket)
            view.sell(stop=low, oco="range", expires_bars=24, **bracket)


def minutes() -> Rows:
    frame = pd.read_parquet(YEAR)
    rows = np.zeros(len(frame), CANDLE)
    rows["open_ms"] = frame["open_time"]
    for column in ("open", "high", "low", "close", "volume"):
        rows[column] = frame[column]
    return rows


def trades_of(rows: Rows, base: str) -> Rows:
    market = Market("BTCUSDT", is_perpetual=True, tick_size=0.01, lot_size=0.0001)
    settings = Settings("fraction", fixed_fraction=0.2, leverage_cap=2.0)
    engine = Engine(EngineSpec([market], Range(), "1h", base, settings=settings))
    parts = [engine.step(event).trades for event in ReplayFeed([rows], engine.base_ms).events()]
    return np.concatenate(parts)


def test_minutes_leave_open_a_small_part_of_what_hours_leave_open() -> None:
    fine = minutes()
    coarse = resample(Tape(fine, "binance-spot", "BTCUSDT", "1m"), "1h").candles
    whole = coarse[coarse["flag_bits"] & FLAG_ABSENT == 0]

    in_minutes, in_hours = trades_of(fine, "1m"), trades_of(whole, "1h")
    open_in_minutes = int((in_minutes["is_ambiguous"] != 0).sum())
    open_in_hours = int((in_hours["is_ambiguous"] != 0).sum())

    assert min(len(in_minutes), len(in_hours)) > 200
    assert open_in_hours > 20
    assert open_in_minutes * 10 < open_in_hours, (open_in_minutes, open_in_hours)
