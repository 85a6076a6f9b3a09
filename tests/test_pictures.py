"""The figures of the one-picture argument, and that the picture is drawn."""

from pathlib import Path

import numpy as np
import pytest

from tests.oracles.smc_package import recorded_candles
from tests.support.helpers import needs_shared
from tests.support.pictures import draw, profit_factor, profit_factors


def test_profit_factor_by_hand() -> None:
    close = np.array([10.0, 12.0, 11.0, 14.0])
    rows = np.arange(4)

    # Low, low, high: long from 10 to 12 (+2), long from 12 to 11 (-1).
    assert profit_factor(close, rows[:3], np.array([-1, -1, 1])) == 2.0 / 1.0
    # Low, high, high, low: +2, then short from 12 to 11 (+1), then short from 11 to 14 (-3).
    assert profit_factor(close, rows, np.array([-1, 1, 1, -1])) == (2.0 + 1.0) / 3.0


@needs_shared
def test_figures_are_those_of_the_reference_and_the_picture_is_drawn(tmp_path: Path) -> None:
    candles = recorded_candles("EURUSD_15M")

    factors = draw(candles, tmp_path / "swings.svg", "EURUSD")

    # Reference section 7: 85.3 at the stamped row, 0.99 when confirmed.
    assert round(factors.stamped, 1) == 85.3
    assert round(factors.confirmed, 2) == 0.99
    assert factors.live < factors.confirmed
    drawn = (tmp_path / "swings.svg").read_text(encoding="utf-8")
    assert "<svg" in drawn
    draw(candles[:2_000], tmp_path / "swings.png", "EURUSD")
    assert (tmp_path / "swings.png").read_bytes()[:4] == b"\x89PNG"


@needs_shared
@pytest.mark.slow
def test_figures_on_the_perpetual_are_those_of_the_reference() -> None:
    from tests.bench.rewrites import markets

    factors = profit_factors(markets()["BTC perpetual 15m"])

    assert (round(factors.stamped), round(factors.confirmed, 2)) == (123, 1.15)
