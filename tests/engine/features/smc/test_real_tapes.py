"""Nothing said is ever rewritten: every candle of real tapes one at a time, restarts, and scrambled futures."""

import numpy as np
import pandas as pd
import pytest

from papertape.engine.candles import CANDLE
from papertape.engine.features.smc import SmartMoney
from papertape.engine.jit import Rows
from tests.oracles.recorded_smc import eurusd
from tests.support.helpers import SHARED, needs_shared, random_candles

pytestmark = [needs_shared, pytest.mark.slow]


def perpetual() -> Rows:
    """Return the BTC perpetual, 15 minutes, 52,512 candles."""
    table = pd.read_parquet(
        SHARED / "data" / "candles" / "binance-usdm_BTCUSDT_15m_20240101_20250630.parquet"
    )
    candles = np.zeros(len(table), CANDLE)
    candles["open_ms"] = table["open_time"]
    for name in ("open", "high", "low", "close", "volume"):
        candles[name] = table[name]
    return candles


TAPES = {
    "EURUSD": eurusd,
    "BTC perpetual": perpetual,
    "tick-rounded walk": lambda: random_candles(20_000, 7, "15m", tick=0.05),
}


@pytest.mark.parametrize("name", TAPES)
def test_one_candle_at_a_time_says_what_the_whole_tape_says(name: str) -> None:
    candles = TAPES[name]()
    market = SmartMoney("15m")

    said = b"".join(market.update(candles[i : i + 1]).tobytes() for i in range(len(candles)))

    assert said == SmartMoney("15m").update(candles).tobytes()


@pytest.mark.parametrize("name", TAPES)
def test_prefixes_restarts_and_scrambled_futures_of_real_candles(name: str) -> None:
    candles = TAPES[name]()
    whole = SmartMoney("15m").update(candles)
    random = np.random.default_rng(5)

    for cut in random.integers(1, len(candles), 12).tolist():
        known = whole[whole["known_bar"] < cut].tobytes()
        first, second = SmartMoney("15m"), SmartMoney("15m")
        scrambled = candles.copy()
        scrambled[cut:]["high"] *= 1.5
        scrambled[cut:]["low"] *= 0.5

        before = first.update(candles[:cut]).tobytes()
        second.load(first.save())

        assert before == known
        assert before + second.update(candles[cut:]).tobytes() == whole.tobytes()
        other = SmartMoney("15m").update(scrambled)
        assert other[other["known_bar"] < cut].tobytes() == known
