"""
Noise markets: candles with the sizes of real ones, up or down by a coin, so that no position earns anything on average.

A close is the one before it times exp(±m) ÷ cosh(m), m the size of its logarithmic move and the sign a fair coin: the mean of both
outcomes is exactly the price before, whatever is known by then. Opens are the closes before, where decisions are filled, so an
account without costs keeps its equity on average under any strategy that trades at opens. What is left of a real market is how
wild it is when, and that is what the kinds differ in:

    mirrored   a year of the embedded tape, its moves in their own order
    resampled  single moves of the tape, in any order
    blocks     stretches of the tape of ten days on average
    fat tails, regimes, garch  as in `shapes`, an hour for a day

A planted edge is a drift either way that lasts for some weeks, which who follows trends can find.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

import numpy as np

from papertape.engine.candles import FLAG_SYNTHETIC, empty_candles
from papertape.engine.jit import FloatArray
from papertape.replay.importers.sample import sample_tape
from papertape.replay.research.calibration.shapes import SCALE, Random, history
from papertape.replay.research.montecarlo.markets import BoolArray
from papertape.replay.tapes.synthetic import HOURLY_VOLATILITY
from papertape.replay.tapes.tape import Tape

HOURS: Final = 365 * 24
DRIFT: Final = 0.1  # of an hour's deviation: what a planted edge moves the price by
_DIRECTION_HOURS: Final = 30 * 24  # that it lasts on average
_BLOCK_HOURS: Final = 10 * 24


def noise_market(kind: str, random: Random, drift: float = 0.0) -> Tape:
    """Return a year of hourly candles that never were; drift: of a planted edge, in deviations of an hour."""
    sizes = MARKETS[kind](random)
    moves = fair_moves(sizes, random.random(len(sizes)) < 0.5)
    if drift:
        is_turned = np.cumsum(random.random(len(sizes)) < 1.0 / _DIRECTION_HOURS)
        moves += np.where((is_turned + random.integers(2)) % 2, drift, -drift) * HOURLY_VOLATILITY
    source = sample_tape()
    first = float(source.candles["open"][0])
    closes = first * np.exp(np.cumsum(moves))
    candles = empty_candles(len(moves))
    candles["open_ms"] = source.candles["open_ms"][0] + source.length_ms * np.arange(len(moves))
    candles["open"] = np.append(first, closes[:-1])
    candles["close"] = closes
    candles["high"] = np.maximum(candles["open"], closes)
    candles["low"] = np.minimum(candles["open"], closes)
    candles["volume"] = random.choice(source.candles["volume"], len(moves))
    candles["flag_bits"] = FLAG_SYNTHETIC
    said = f"synthetic: noise, {kind}; never traded"
    return replace(source, candles=candles, source=said, notes=(said,), quality={})


def fair_moves(sizes: FloatArray, is_up: BoolArray) -> FloatArray:
    """
    Return logarithmic moves of these sizes after which the price is on average what it was.

    >>> up, down = fair_moves(np.array([0.5, 0.5]), np.array([True, False]))
    >>> round((math.exp(up) + math.exp(down)) / 2.0, 12)
    1.0
    """
    # log cosh m, without the overflow of cosh
    shift = np.logaddexp(sizes, -sizes) - math.log(2.0)
    moves: FloatArray = np.where(is_up, sizes, -sizes) - shift
    return moves


def _mirrored(random: Random) -> FloatArray:
    sizes = hourly_sizes()
    start = int(random.integers(len(sizes) - HOURS + 1))
    return sizes[start : start + HOURS]


def _resampled(random: Random) -> FloatArray:
    return random.choice(hourly_sizes(), HOURS)


def _blocks(random: Random) -> FloatArray:
    """Return stretches of geometric lengths, each from anywhere and around the end of the tape."""
    sizes = hourly_sizes()
    begins = random.random(HOURS) < 1.0 / _BLOCK_HOURS
    begins[0] = True
    begun = np.flatnonzero(begins)
    first = random.integers(len(sizes), size=len(begun))
    lengths = np.diff(np.append(begun, HOURS))
    return sizes[(np.repeat(first - begun, lengths) + np.arange(HOURS)) % len(sizes)]


def _of_shape(shape: str) -> Callable[[Random], FloatArray]:
    return lambda random: np.abs(history(shape, random, HOURS, 1)[:, 0]) * HOURLY_VOLATILITY / SCALE


@cache
def hourly_sizes() -> FloatArray:
    """Return the sizes of the embedded tape's logarithmic moves."""
    closes = sample_tape().candles["close"].astype(np.float64)
    found: FloatArray = np.abs(np.diff(np.log(closes)))
    return found


MARKETS: Final[dict[str, Callable[[Random], FloatArray]]] = {
    "mirrored": _mirrored,
    "resampled": _resampled,
    "blocks": _blocks,
    "fat tails": _of_shape("fat tails"),
    "regimes": _of_shape("regimes"),
    "garch": _of_shape("garch"),
}
