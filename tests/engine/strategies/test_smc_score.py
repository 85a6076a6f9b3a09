"""The Smart Money score: bounded, odd, worth its weights; the bracket lies beyond structure."""

import numpy as np
import pytest

from papertape.engine.features import evaluate
from papertape.engine.features.smc.columns import (
    BLOCK_BELOW,
    COLUMNS,
    DISPLACED,
    ENTRY,
    LEVEL_ABOVE,
    POOL_ABOVE,
    POSITION,
    REACTION,
    SHIFT_DOWN_BARS,
    SHIFT_UP_BARS,
    STOP_BELOW,
    SWEEP_DOWN_BARS,
    SWEEP_UP_BARS,
    TREND_HIGHER,
    TREND_INTERNAL,
    TREND_SWING,
    UNIT,
)
from papertape.engine.jit import FloatArray
from papertape.engine.strategies.smc_score import smc_score, structure_bracket
from tests.support.helpers import random_candles


def neutral() -> FloatArray:
    """Return one close at which nothing speaks for either side."""
    features: FloatArray = np.zeros((len(COLUMNS), 1))
    features[POSITION] = 0.5
    features[[SWEEP_UP_BARS, SWEEP_DOWN_BARS, SHIFT_UP_BARS, SHIFT_DOWN_BARS]] = 500.0
    features[[STOP_BELOW, LEVEL_ABOVE, POOL_ABOVE]] = 20.0
    features[UNIT] = 2.0
    return features


def with_values(values: dict[int, float]) -> FloatArray:
    features = neutral()
    for row, value in values.items():
        features[row] = value
    return features


@pytest.mark.parametrize(
    ("values", "score"),
    [
        ({}, 0.0),
        ({TREND_HIGHER: 1, TREND_SWING: 1, TREND_INTERNAL: 1}, 0.35),
        (
            {TREND_HIGHER: 1, TREND_SWING: -1, TREND_INTERNAL: -1},
            0.0,
        ),  # the higher one outweighs neither less nor more
        ({TREND_HIGHER: -1}, -0.175),
        ({REACTION: 1}, 0.15),
        ({REACTION: -1, ENTRY: -1}, -0.25),
        ({POSITION: 0.0}, 0.15),
        ({POSITION: 1.0}, -0.15),
        ({SWEEP_UP_BARS: 0, DISPLACED: 3.0}, 0.25),
        ({SWEEP_UP_BARS: 5, DISPLACED: 1.5}, 0.25 * 0.5 * 0.5),
        ({SWEEP_DOWN_BARS: 0, DISPLACED: -4.0}, -0.25),
        ({SWEEP_DOWN_BARS: 0, DISPLACED: 4.0}, 0.0),  # a displacement with the sweep is none against it
        ({SWEEP_UP_BARS: 4, SHIFT_UP_BARS: 2}, 0.25 * 0.5 * 0.6),
        ({SWEEP_UP_BARS: 2, SHIFT_UP_BARS: 4}, 0.0),  # the shift came before the sweep
    ],
)
def test_each_part_is_worth_its_weight(values: dict[int, float], score: float) -> None:
    assert smc_score(with_values(values), 0, 0) == pytest.approx(score, abs=1e-15)


def test_score_is_within_one_on_real_columns_and_nan_only_while_warming_up() -> None:
    features = evaluate("smc_10_3_50", random_candles(3_000, 91, "15m"), 900_000)
    shifted = np.vstack([np.zeros((2, features.shape[1])), features])

    scores = np.array([smc_score(features, k, 0) for k in range(features.shape[1])])

    assert np.isnan(scores[:200]).all()
    assert (abs(scores[200:]) <= 1.0).all()
    assert np.std(scores[200:]) > 0.1
    assert smc_score(shifted, 700, 2) == scores[700]


@pytest.mark.parametrize(
    ("values", "stop", "target"),
    [
        ({}, 0.0, 0.0),  # no block behind
        ({STOP_BELOW: 1.0}, 1.1 * 2.0, 0.0),  # a tenth of an ATR beyond, ATR 2
        ({STOP_BELOW: 0.1}, 0.5 * 2.0, 0.0),  # never closer than half an ATR
        ({STOP_BELOW: 6.0}, 0.0, 0.0),  # too far to be a stop
        ({STOP_BELOW: 1.0, POOL_ABOVE: 3.0, LEVEL_ABOVE: 2.0}, 2.2, 6.0),
        ({STOP_BELOW: 1.0, POOL_ABOVE: 0.5, LEVEL_ABOVE: 2.0}, 2.2, 4.0),  # the pool pays less than the risk
        ({STOP_BELOW: 1.0, POOL_ABOVE: 0.5, LEVEL_ABOVE: 0.4}, 2.2, 0.0),
    ],
)
def test_bracket_stops_beyond_the_zone_and_aims_at_liquidity(
    values: dict[int, float], stop: float, target: float
) -> None:
    assert structure_bracket(with_values(values), 0, 0, 1) == pytest.approx((stop, target))


def test_stop_is_below_the_block_that_a_long_relies_on() -> None:
    features = evaluate("smc_10_3_50", random_candles(3_000, 92, "15m"), 900_000)
    found = 0

    for k in range(200, features.shape[1]):
        stop, target = structure_bracket(features, k, 0, 1)
        if stop > 0.0:
            found += 1
            assert stop >= (features[BLOCK_BELOW, k] + 0.1) * features[UNIT, k] * (1 - 1e-12)
            assert target == 0.0 or target >= stop

    assert found > 500
