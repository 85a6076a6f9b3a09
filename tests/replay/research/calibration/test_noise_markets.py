"""Noise markets: on average a price is what it was, sizes are the tape's, and a planted drift is where it is said to be."""

import numpy as np
import pytest

from papertape.replay.importers.sample import sample_tape
from papertape.replay.research.calibration.markets import (
    HOURS,
    MARKETS,
    fair_moves,
    hourly_sizes,
    noise_market,
)
from papertape.replay.tapes.synthetic import HOURLY_VOLATILITY


def test_both_ways_of_a_coin_together_leave_the_price() -> None:
    sizes = np.array([0.0, 1e-9, 0.008, 0.4, 3.0, 800.0])
    up = fair_moves(sizes, np.ones(6, np.bool_))
    down = fair_moves(sizes, np.zeros(6, np.bool_))

    np.testing.assert_allclose((np.exp(up) + np.exp(down)) / 2.0, 1.0, rtol=1e-12)
    np.testing.assert_allclose(up - down, 2.0 * sizes, rtol=1e-12)


@pytest.mark.parametrize("kind", MARKETS)
def test_a_market_is_a_year_of_candles_that_follow_each_other(kind: str) -> None:
    tape = noise_market(kind, np.random.default_rng(3))
    again = noise_market(kind, np.random.default_rng(3))
    rows = tape.candles

    assert tape.sha256 == again.sha256
    assert len(rows) == HOURS
    assert (rows["open"][1:] == rows["close"][:-1]).all()
    assert (rows["high"] == np.maximum(rows["open"], rows["close"])).all()
    assert (rows["flag_bits"] != 0).all()
    assert "synthetic" in tape.source


def test_a_mirrored_market_has_the_sizes_of_the_tape_in_their_order() -> None:
    """Half the distance between up and down is the size: ±m less what keeps the price, which depends on m alone."""
    moves = np.diff(np.log(noise_market("mirrored", np.random.default_rng(4)).candles["close"]))
    closes = sample_tape().candles["close"]
    sizes = np.abs(np.diff(np.log(closes)))
    np.testing.assert_array_equal(sizes, hourly_sizes())

    starts = np.random.default_rng(4).integers(len(sizes) - HOURS + 1)
    own = sizes[starts : starts + HOURS][1:]
    np.testing.assert_allclose(np.abs(moves + np.log(np.cosh(own))), own, atol=1e-10)
    is_up = moves + np.log(np.cosh(own)) > 0.0
    assert abs(is_up.mean() - 0.5) < 4.0 * 0.5 / np.sqrt(HOURS)


def test_a_planted_drift_is_added_to_every_candle_and_lasts() -> None:
    fair = np.log(noise_market("garch", np.random.default_rng(5)).candles["close"])
    # The drift draws after the market has, so the sizes and their signs are the same.
    drifted = np.log(noise_market("garch", np.random.default_rng(5), 0.1).candles["close"])
    added = np.diff(drifted - fair)

    np.testing.assert_allclose(np.abs(added), 0.1 * HOURLY_VOLATILITY, rtol=1e-6)
    turns = np.count_nonzero(np.diff(np.sign(added)))
    assert 3 <= turns <= 25  # 12 on average
