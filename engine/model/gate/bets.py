"""
Bets on what a model says of rows that it has not seen: what a unit of capital becomes, block by block.

A bettor meets odds that are fair when nothing beyond the base rate q can be known: a stake s on a rise pays s(1 − q)/(q(1 − q)) and
on a fall costs s·q/(q(1 − q)). He stakes in proportion to how far the model's probability p leaves its own middle c:

    capital × (1 + Σ λ (p − c)(y − q)/(q(1 − q)))        over the rows of a block, known together when its last label is

With λ = 1, c = q and one row that is p(y)/q(y): the log of the capital is the gain in log-loss over the base rate, of the model
shrunk towards it by λ. While nothing can be known, every stake is fair, so is the product, and capital above 1/α at any time has
a chance of at most α (Ville). Nothing is assumed of how rows depend on each other.

    base rate and middle  each symbol's own, of what was known before: a market that only leans pays nobody, nor does a model
                          that leans for months, as its middle follows within `middle_horizons`
    blocks                of `block_horizons` horizons; the next one begins when the last label is known, and rows between
                          stay out: labels that overlap count in one block, and no stake sees a part of its own outcome
    limit                 the stakes of a block together lose at most `most` of the capital: later rows get less, or nothing
    unit                  λ = 1/(overlap of the labels · likeness of the symbols): what a stake would be if the model were right

Sources: G. Shafer, Testing by Betting, JRSS A 184 (2021); I. Waudby-Smith and A. Ramdas, Estimating Means of Bounded Random
Variables by Betting, JRSS B 86 (2024); for labels that overlap S. Arnold, A. Henzi and J. F. Ziegel, Sequentially Valid Tests for
Forecast Calibration, Annals of Applied Statistics 17 (2023), whose average over lags is replaced by the gap.
"""

import math
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray, kernel
from papertape.engine.model.scores import NEITHER

_FAR: Final = 0.25  # from its middle a probability counts as no further
_RATES: Final = 0.2  # and 1 − that: a base rate outside makes odds that one row can ruin
_PRIOR: Final = 20.0  # rows at one half that the base rate begins with


class Unseen(NamedTuple):
    """
    Rows of one model in the order of time, n of them; symbols share a bar.

    bar        number of the close, never falling; symbol: from 0 on, each once a bar
    y          1, 0, one half where neither side pays, or NaN where there is no outcome
    p          what the model said, NaN where it says nothing or has seen the row
    since_bar  of the first row that counts; those before tell the base rate and the middle
    end_bar    newest close: what is known later is not looked at
    """

    bar: IntArray
    symbol: IntArray
    y: FloatArray
    p: FloatArray
    since_bar: int
    end_bar: int
    horizon_bars: int


class BetOptions(NamedTuple):
    """
    How bets are made: length of a block and of what a model's middle remembers in horizons, the most of the capital that a block
    may lose, and every λ in units.
    """

    block_horizons: float = 4.0
    middle_horizons: float = 20.0
    most: float = 0.8
    stakes: tuple[float, ...] = (1.1, 0.3)


class Blocks(NamedTuple):
    """
    What became of the capital.

    known_bar  at which each block was known, shape (n,); rows: with a stake or an outcome in it
    factors    that the capital of each λ was multiplied by, shape (n, n_stakes)
    """

    known_bar: IntArray
    rows: IntArray
    factors: FloatArray


def bet(unseen: Unseen, options: BetOptions | None = None) -> Blocks:
    """
    Return what bets on every block of rows came to; none where the rows hold no whole horizon.

    Raises DataError when the rows do not fit together.
    """
    options = options or BetOptions()
    _check(unseen)
    block = max(round(options.block_horizons * unseen.horizon_bars), 1)
    span = max(unseen.end_bar - unseen.since_bar + 1, 0)
    n_most = span // (block + unseen.horizon_bars - 1) + 1
    n_symbols = int(unseen.symbol.max()) + 1 if len(unseen.symbol) else 1
    stakes = np.array(options.stakes) * unit_stake(unseen.horizon_bars, n_symbols)
    known = np.zeros(n_most, np.int64)
    rows = np.zeros(n_most, np.int64)
    factors = np.ones((n_most, len(stakes)))
    n = play(
        unseen.bar,
        unseen.symbol,
        unseen.y,
        unseen.p,
        np.array([unseen.since_bar, unseen.end_bar, unseen.horizon_bars, block]),
        stakes,
        options.most,
        options.middle_horizons * unseen.horizon_bars,
        np.zeros((4, n_symbols)),
        np.zeros(len(stakes)),
        known,
        rows,
        factors,
    )
    return Blocks(known[:n], rows[:n], factors[:n])


def _check(unseen: Unseen) -> None:
    """Raise DataError unless every column has the same rows and every number is in its range."""
    n = len(unseen.bar)
    for name in ("symbol", "y", "p"):
        if getattr(unseen, name).shape != (n,):
            raise DataError(f"evidence: {name} of shape {getattr(unseen, name).shape} does not fit {n} rows")
    later, other = np.diff(unseen.bar), np.diff(unseen.symbol)
    if (later < 0).any() or ((later == 0) & (other <= 0)).any():
        raise DataError("evidence: the rows are not in the order of close and symbol, or one is there twice")
    if not np.isin(unseen.y[~np.isnan(unseen.y)], (0.0, NEITHER, 1.0)).all():
        raise DataError("evidence: an outcome is neither 0, 1, one half nor unknown")
    if ((unseen.p < 0.0) | (unseen.p > 1.0)).any():
        raise DataError("evidence: a probability is not between 0 and 1")


def unit_stake(horizon_bars: int, n_symbols: int) -> float:
    """
    Return the λ that suits a model that is right about its probabilities.

    Two labels k bars apart share h − k of their h steps, and signs of sums that share a part r of their variance correlate by
    (2/π)·asin(r); what is said of them is taken to fade in two horizons, exp(−k/2h). The sum over k is by how much the rows
    of one symbol count too often. Symbols are taken to be half alike.
    """
    alike = (
        2.0 / math.pi * math.asin(1.0 - k / horizon_bars) * math.exp(-0.5 * k / horizon_bars)
        for k in range(1, horizon_bars)
    )
    overlap = 1.0 + 2.0 * math.fsum(alike)
    return 1.0 / (overlap * (1.0 + 0.5 * (n_symbols - 1)))


@kernel
def play(
    bar: IntArray, symbol: IntArray, y: FloatArray, p: FloatArray, span: IntArray, stakes: FloatArray, most: float,
    memory: float, about: FloatArray, risked: FloatArray, known: IntArray, rows: IntArray, factors: FloatArray,
) -> int:  # fmt: skip
    """
    Bet on every block and return how many there were; what came of them is written into the last three.

    span   first bar that counts, newest close, bars of a horizon and of a block; memory: of the middle, rows
    about  scratch of zeros, (4, n_symbols): rises, outcomes, the middle, how many rows it is of; risked: (n_stakes,)
    """
    start, end, horizon, block = span[0], span[1], span[2], span[3]
    n_blocks, heard, at, n = 0, 0, 0, len(bar)
    while start + horizon <= end:
        stop = min(start + block, end - horizon + 1)
        while heard < n and bar[heard] + horizon <= start:  # what is known when the block begins
            if np.isfinite(y[heard]):
                about[0, symbol[heard]] += y[heard]
                about[1, symbol[heard]] += 1.0
            heard += 1
        risked[:] = 0.0
        while at < n and bar[at] < stop:
            of, said = symbol[at], p[at]
            rate = (about[0, of] + 0.5 * _PRIOR) / (about[1, of] + _PRIOR)
            rate = min(max(rate, _RATES), 1.0 - _RATES)
            odds = 1.0 / (rate * (1.0 - rate))
            if np.isfinite(said):
                middle = about[2, of] if about[3, of] > 0.0 else said
                if bar[at] >= start:
                    tilt = min(max(said - middle, -_FAR), _FAR)
                    paid = tilt * (y[at] - rate) * odds if np.isfinite(y[at]) else 0.0
                    rows[n_blocks] += 1
                    for j in range(len(stakes)):
                        stake = stakes[j]
                        worst = abs(tilt) * max(rate, 1.0 - rate) * odds
                        if risked[j] + stake * worst > most:
                            stake = max(most - risked[j], 0.0) / worst
                        risked[j] += stake * worst
                        factors[n_blocks, j] += stake * paid
                about[3, of] = min(about[3, of] + 1.0, memory)
                about[2, of] = middle + (said - middle) / about[3, of]
            at += 1
        known[n_blocks] = stop - 1 + horizon
        n_blocks += 1
        start = stop - 1 + horizon
    return n_blocks
