"""Lanes have the bits of the runs that they replace: one shift after the other, every candle of the tape."""

import numpy as np
import pytest

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.lanes import busy_candles, lane_products


def one_run(weights: FloatArray, moves: FloatArray, charge: FloatArray, shift: int) -> float:
    """Return the product of one shift in plain arithmetic, candle by candle, the flat ones included."""
    n, product = len(charge), 1.0
    for candle in range(n):
        factor = 1.0 - float(charge[candle])
        for weight, move in zip(weights, moves, strict=True):
            factor += float(weight[candle]) * float(move[(shift + candle) % n])
        product *= max(factor, 0.0)
    return product


def positions(n_symbols: int, n: int, seed: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights, moves and costs of positions that are held for stretches of candles."""
    random = np.random.default_rng(seed)
    weights, charge = np.zeros((n_symbols, n)), np.zeros(n)
    for symbol in range(n_symbols):
        for start in range(symbol, n, 37):
            weights[symbol, start : start + 15] = random.choice([-1.0, 1.0]) * random.random()
            charge[start] += 6e-4
    return weights, random.normal(0.0, 0.01, (n_symbols, n)), charge


@pytest.mark.parametrize("n_symbols", [1, 3])
@pytest.mark.parametrize("draws", [1, 8, 21])
def test_a_lane_has_the_bits_of_a_run(n_symbols: int, draws: int) -> None:
    weights, moves, charge = positions(n_symbols, 500, seed=n_symbols)
    shifts: IntArray = np.random.default_rng(5).integers(0, 500, draws)

    found = lane_products(busy_candles(weights, charge), np.tile(moves, 2), shifts)

    assert found.tolist() == [one_run(weights, moves, charge, int(s)) for s in shifts]


def test_what_is_lost_stays_lost_and_nothing_held_is_nothing_won() -> None:
    moves = np.array([[0.0, -1.5, 3.0, 0.1]])
    held = np.array([[0.0, 1.0, 1.0, 0.0]])

    # From the second candle: 1 − 1.5 is below zero. Shifted by one: (1 + 3) × (1 + 0.1).
    for shares, shifts, expected in ((held, [0, 1], [0.0, 4.0 * 1.1]), (0.0 * held, [2], [1.0])):
        lanes = busy_candles(shares, np.zeros(4))
        assert lane_products(lanes, np.tile(moves, 2), np.array(shifts)).tolist() == expected
