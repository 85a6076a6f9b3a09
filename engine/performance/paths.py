"""
Accounts that could have been: paths of an account from returns that are drawn again, and what each of them went through.

Paths are drawn in pieces of a fixed size, each from the seed and its own place, so whoever draws which piece changes nothing.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, kernel
from papertape.engine.performance.resampling import stationary_indices

PIECE: Final = 256  # paths
CURVE_POINTS: Final = 120  # of a curve that is kept, at most
Draw = Callable[[np.random.Generator, int], FloatArray]


class Paths(NamedTuple):
    """
    What every path went through, shape (n_paths,) each.

    total       return over all of it; drawdown: the deepest fall from a peak, 0 or below
    underwater  longest time below a peak, in returns; ruined: 1 where the account once was below what is called ruin
    """

    total: FloatArray
    drawdown: FloatArray
    underwater: FloatArray
    ruined: FloatArray


class Curves(NamedTuple):
    """
    The account of every path on its way.

    places  after how many returns, shape (n_points,), from 0 to all of them
    equity  ÷ capital, shape (n_paths, n_points)
    """

    places: IntArray
    equity: FloatArray

    @classmethod
    def over(cls, count: int, n_returns: int) -> "Curves":
        """Return room for the curves of `count` paths of so many returns."""
        points = min(n_returns + 1, CURVE_POINTS)
        places = np.linspace(0, n_returns, points).round().astype(np.int64)
        return cls(places, np.ones((count, points)))


def drawn_paths(
    draw: Draw, count: int, ruin: float, seed: int, kind: int, curves: Curves | None = None
) -> Paths:
    """
    Return what `count` paths went through.

    draw  (generator, paths) to returns, shape (paths, n_returns)
    ruin  loss of the starting capital, a fraction; kind: tells paths of another kind and the same seed apart
    curves  is filled with the way of each
    """
    out = np.empty((count, len(Paths._fields)))
    for piece, start in enumerate(range(0, count, PIECE)):
        generator = np.random.default_rng([seed, kind, piece])
        # A whole piece is drawn, so that the first paths are the same however many follow.
        returns = draw(generator, PIECE)
        n = min(PIECE, count - start)
        chosen = np.ascontiguousarray(returns[:n])
        walk(chosen, 1.0 - ruin, out[start : start + n])
        if curves is not None:
            equity_at(chosen, curves.places, curves.equity[start : start + n])
    return Paths(*np.ascontiguousarray(out.T))


@kernel
def walk(returns: FloatArray, ruin: float, out: FloatArray) -> None:
    """Write total return, drawdown, longest time under water and ruin of every row of returns; what is lost stays lost."""
    for path in range(returns.shape[0]):
        equity = 1.0
        peak = 1.0
        deepest = 0.0
        since = 0
        longest = 0
        ruined = 0.0
        for k in range(returns.shape[1]):
            equity *= 1.0 + returns[path, k]
            if equity < 0.0:
                equity = 0.0
            if equity >= peak:
                peak = equity
                since = 0
            else:
                since += 1
                if since > longest:
                    longest = since
                fall = equity / peak - 1.0
                if fall < deepest:
                    deepest = fall
            if equity <= ruin:
                ruined = 1.0
        out[path, 0] = equity - 1.0
        out[path, 1] = deepest
        out[path, 2] = float(longest)
        out[path, 3] = ruined


@kernel
def equity_at(returns: FloatArray, places: IntArray, out: FloatArray) -> None:
    """Write the equity of every row of returns after so many of them; what is lost stays lost."""
    for path in range(returns.shape[0]):
        equity = 1.0
        k = 0
        for point in range(len(places)):
            while k < places[point]:
                equity = max(equity * (1.0 + returns[path, k]), 0.0)
                k += 1
            out[path, point] = equity


def in_another_order(returns: FloatArray) -> Draw:
    """Return what draws the same returns in another order."""

    def draw(generator: np.random.Generator, paths: int) -> FloatArray:
        return generator.permuted(np.broadcast_to(returns, (paths, len(returns))), axis=1)

    return draw


def some_skipped(returns: FloatArray, share: float) -> Draw:
    """Return what leaves each return out with a probability."""

    def draw(generator: np.random.Generator, paths: int) -> FloatArray:
        is_kept: FloatArray = (generator.random((paths, len(returns))) >= share).astype(np.float64)
        return is_kept * returns

    return draw


def worse_costs(returns: FloatArray, costs: FloatArray, most: float) -> Draw:
    """Return what charges every return up to `most` times its costs once more, each path another multiple."""

    def draw(generator: np.random.Generator, paths: int) -> FloatArray:
        found: FloatArray = returns - generator.uniform(0.0, most, (paths, 1)) * costs
        return found

    return draw


def in_blocks(returns: FloatArray, block: float) -> Draw:
    """Return what draws as many returns by the stationary bootstrap, in blocks of this mean length."""
    n = len(returns)

    def draw(generator: np.random.Generator, paths: int) -> FloatArray:
        # One long row of places; a block that ends beyond its row begins the next one, as any other would.
        places = stationary_indices(n, paths * n, block, generator)
        found: FloatArray = returns[places].reshape(paths, n)
        return found

    return draw
