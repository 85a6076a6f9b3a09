"""
Placebo strategies: the same trades at random times, as what a strategy without any knowledge of time would have earned.

Every symbol's trades keep side, size relative to equity, candles held and costs; their order and the time between them are
drawn anew, so that each way of leaving the other candles free is as likely as any. A placebo enters and leaves at opens.
Trades are compared by their mean over its own spread, not by what they earned alone: a strategy that is only in the market
when it is wild earns and loses more than its placebos without knowing anything.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.performance.paths import PIECE


class PlacedTrades(NamedTuple):
    """
    The trades of one symbol, shape (n_trades,) each.

    opens   of every candle, shape (n,)
    held    candles from the open of the entry to that of the exit, at least 1
    weight  notional ÷ equity at the entry, below zero when short
    cost    fees, half spread and slippage ÷ equity at the entry
    own     what the trade earned ÷ equity at the entry, after costs, without funding
    """

    opens: FloatArray
    held: IntArray
    weight: FloatArray
    cost: FloatArray
    own: FloatArray


class Placebo(NamedTuple):
    """
    A strategy among its placebos.

    own          total return of its trades, one after the other; low, middle, high: 5 %, 50 % and 95 % of the placebos'
    percentile   share of placebos whose mean trade over its spread is below the strategy's
    probability  that a strategy without knowledge of time does as well: (1 + placebos that do) ÷ (1 + placebos)
    score        mean ÷ spread × √n of its trades, which is what is compared
    """

    draws: int
    trades: int
    own: float
    low: float
    middle: float
    high: float
    percentile: float
    probability: float
    score: float


def free_candles(one: PlacedTrades) -> int:
    """Return how many candles are left beside the trades; below zero where they do not fit one after the other."""
    return len(one.opens) - 1 - int(one.held.sum())


def placebo_returns(one: PlacedTrades, draws: int, generator: np.random.Generator) -> FloatArray:
    """Return what the trades of placebos earn, shape (draws, n_trades), each row in the order of its entries."""
    n = len(one.held)
    order = generator.permuted(np.broadcast_to(np.arange(n), (draws, n)), axis=1)
    held = one.held[order]
    # Sorted places among the free candles are the free time before each trade.
    waits = np.sort(generator.integers(0, free_candles(one) + 1, (draws, n)), axis=1)
    entries = waits + np.cumsum(held, axis=1) - held
    found: FloatArray = (
        one.weight[order] * (one.opens[entries + held] / one.opens[entries] - 1.0) - one.cost[order]
    )
    return found


class PlaceboDraws(NamedTuple):
    """What placebos came to, shape (draws,) each: total return, and mean trade ÷ its spread × √n."""

    totals: FloatArray
    scores: FloatArray


def drawn_placebos(legs: Sequence[PlacedTrades], draws: int, seed: int) -> PlaceboDraws | None:
    """Return what placebos of these trades come to; None below two trades, or where they do not fit one after the other."""
    n = sum(len(one.held) for one in legs)
    if n < 2 or any(free_candles(one) < 0 for one in legs):
        return None
    totals, scores = np.empty(draws), np.empty(draws)
    for piece, start in enumerate(range(0, draws, PIECE)):
        generator = np.random.default_rng([seed, piece])
        drawn = np.concatenate([placebo_returns(one, PIECE, generator) for one in legs], axis=1)
        count = min(PIECE, draws - start)
        totals[start : start + count] = _totals(drawn)[:count]
        scores[start : start + count] = _scores(drawn)[:count]
    return PlaceboDraws(totals, scores)


def placebo_test(legs: Sequence[PlacedTrades], draws: int, seed: int) -> Placebo | None:
    """Return how a strategy stands among its placebos; None where there are none (see `drawn_placebos`)."""
    drawn = drawn_placebos(legs, draws, seed)
    return None if drawn is None else placed_among(legs, drawn)


def placed_among(legs: Sequence[PlacedTrades], drawn: PlaceboDraws) -> Placebo:
    """Return how a strategy stands among placebos that are drawn already."""
    own = np.concatenate([one.own for one in legs])[None, :]
    scores = drawn.scores
    score = float(_scores(own)[0])
    low, middle, high = np.quantile(drawn.totals, [0.05, 0.5, 0.95]).tolist()
    draws, as_good = len(scores), int(np.count_nonzero(scores >= score))
    return Placebo(
        draws,
        own.shape[1],
        float(_totals(own)[0]),
        low,
        middle,
        high,
        float(np.mean(scores < score)),
        (1 + as_good) / (1 + draws),
        score,
    )


def _totals(returns: FloatArray) -> FloatArray:
    """Return the product of each row's growth − 1; nothing is left to lose below zero."""
    result: FloatArray = np.prod(np.maximum(1.0 + returns, 0.0), axis=1) - 1.0
    return result


def _scores(returns: FloatArray) -> FloatArray:
    """Return mean ÷ standard deviation × √n of each row, 0 for one without spread."""
    spread = returns.std(axis=1, ddof=1)
    result: FloatArray = np.divide(
        returns.mean(axis=1) * math.sqrt(returns.shape[1]),
        spread,
        out=np.zeros(len(returns)),
        where=spread > 0.0,
    )
    return result
