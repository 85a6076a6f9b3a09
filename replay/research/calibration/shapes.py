"""
Profit and loss whose truth is known: trials of one search, side by side, without skill but for what is planted in the first.

Half of the variance of every trial is the market's that all of them share. Each shape has a long-run deviation of 1 % a day, so an
edge is told in standard errors of the mean and is as hard to find in each.

    independent    normal days
    fat tails      Student's t of three degrees
    autocorrelated each day keeps 0.3 of the one before
    overlapping    every day the mean of five trades, one begun each day
    few trades     one day in six: one in three wins two, the others lose one
    regimes        the deviation is four times as large in half of the time, in stretches of thirty days
    garch          the deviation follows the market's own shocks, 0.15 and 0.8
    real tape      positions of five days on average, either way by a coin, on the embedded candles
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray

Random = np.random.Generator
Shape = Callable[[Random, int, int], FloatArray]
SCALE: Final = 0.01  # long-run deviation of a day
_KEPT: Final = 0.3
_OVERLAP: Final = 5
_EVERY: Final = 6
_STRETCH: Final = 30
_SHOCK, _PERSISTENCE = 0.15, 0.8
_HELD: Final = 5
_WARM_UP: Final = 100


def history(shape: str, random: Random, n_days: int, n_trials: int, edge: float = 0.0) -> FloatArray:
    """Return daily returns, shape (n_days, n_trials); edge: of the first trial, in standard errors of its mean."""
    drawn = SHAPES[shape](random, n_days, n_trials)
    # Where nothing is held an edge earns nothing either; the others earn the more.
    is_active = drawn[:, 0] != 0.0
    share = max(np.count_nonzero(is_active) / n_days, 1.0 / n_days)
    drawn[is_active, 0] += edge / math.sqrt(n_days) / share
    return SCALE * drawn


def _shared(own: FloatArray, common: FloatArray) -> FloatArray:
    return math.sqrt(0.5) * (own + common)


def _independent(random: Random, n_days: int, n_trials: int) -> FloatArray:
    return _shared(random.normal(size=(n_days, n_trials)), random.normal(size=(n_days, 1)))


def _fat_tails(random: Random, n_days: int, n_trials: int) -> FloatArray:
    drawn = _shared(random.standard_t(3, (n_days, n_trials)), random.standard_t(3, (n_days, 1)))
    return drawn / math.sqrt(3.0)


def _autocorrelated(random: Random, n_days: int, n_trials: int) -> FloatArray:
    values = _independent(random, n_days + _WARM_UP, n_trials)
    for day in range(1, len(values)):
        values[day] += _KEPT * values[day - 1]
    return (1.0 - _KEPT) * values[_WARM_UP:]


def _overlapping(random: Random, n_days: int, n_trials: int) -> FloatArray:
    begun = _independent(random, n_days + _OVERLAP, n_trials)
    total = np.cumsum(begun, axis=0)
    return (total[_OVERLAP:] - total[:-_OVERLAP]) / _OVERLAP


def _few_trades(random: Random, n_days: int, n_trials: int) -> FloatArray:
    is_traded = random.random((n_days, n_trials)) < 1.0 / _EVERY
    # Trials share the market's luck: half of their trades win or lose with it.
    is_common = random.random((n_days, n_trials)) < 0.5
    wins = np.where(is_common, random.random((n_days, 1)), random.random((n_days, n_trials)))
    outcome = np.where(wins < 1.0 / 3.0, 2.0, -1.0)
    return np.where(is_traded, outcome, 0.0) * math.sqrt(_EVERY / 2.0)


def _regimes(random: Random, n_days: int, n_trials: int) -> FloatArray:
    is_wild = (np.cumsum(random.random(n_days) < 1.0 / _STRETCH) + random.integers(2)) % 2 == 1
    deviation = np.where(is_wild, 2.0, 0.5)[:, None] / math.sqrt((4.0 + 0.25) / 2.0)
    return deviation * _independent(random, n_days, n_trials)


def _garch(random: Random, n_days: int, n_trials: int) -> FloatArray:
    common = random.normal(size=(n_days + _WARM_UP, 1))
    deviation = np.empty_like(common)
    variance = 1.0
    for day in range(len(common)):
        deviation[day] = math.sqrt(variance)
        shock = variance * float(common[day, 0]) ** 2
        variance = (1.0 - _SHOCK - _PERSISTENCE) + _SHOCK * shock + _PERSISTENCE * variance
    own = random.normal(size=(n_days, n_trials))
    return deviation[_WARM_UP:] * _shared(own, common[_WARM_UP:])


def _real_tape(random: Random, n_days: int, n_trials: int) -> FloatArray:
    moves = daily_moves()
    start = int(random.integers(len(moves) - n_days + 1))
    chosen = moves[start : start + n_days, None]
    is_switched = random.random((n_days, n_trials)) < 1.0 / _HELD
    is_switched[0] = True
    # A coin at each switch, and what it said until the next.
    last = np.maximum.accumulate(np.where(is_switched, np.arange(n_days)[:, None], 0), axis=0)
    sides = np.where(random.random((n_days, n_trials)) < 0.5, 1.0, -1.0)
    held: FloatArray = np.take_along_axis(sides, last, axis=0) * chosen / float(chosen.std())
    return held


@cache
def daily_moves() -> FloatArray:
    """Return the daily log returns of the embedded tape."""
    from papertape.replay.importers.sample import sample_tape

    candles = sample_tape().candles
    closes = candles["close"][23::24].astype(np.float64)
    found: FloatArray = np.diff(np.log(closes))
    return found


SHAPES: Final[dict[str, Shape]] = {
    "independent": _independent,
    "fat tails": _fat_tails,
    "autocorrelated": _autocorrelated,
    "overlapping": _overlapping,
    "few trades": _few_trades,
    "regimes": _regimes,
    "garch": _garch,
    "real tape": _real_tape,
}
