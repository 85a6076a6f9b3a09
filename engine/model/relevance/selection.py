"""
Stability selection: of many inputs those that are chosen again and again, from half of the training part and then the other.

Rows lie in blocks of four horizons, or shorter ones where there would be fewer than ten. Half of the blocks are drawn, the others
are the second half of a pair, and a row whose label is known after its block takes part in neither, so that no label of one
half has seen a candle of a row of the other. From each half the groups of alike inputs are chosen that enter the path of least
angle regression first, and a group is kept that was chosen from SHARE of the halves; where none was, the one that was chosen most
(of several the first), and where no half chose any, all of them: nothing is known against any.

Of p groups the first q are taken, the most for which q² ÷ ((2 SHARE − 1) p) ≤ FALSE: so many are kept on average, at most, of those
that a half chooses no more often than chance would. That is proven of independent rows; blocks are as near to it as candles come.

Sources: N. Meinshausen and P. Bühlmann, Stability Selection (2010), theorem 1; R. Shah and R. Samworth, Variable Selection
with Error Control: Another Look at Stability Selection (2013), theorem 1, for complementary pairs; B. Efron, T. Hastie,
I. Johnstone, R. Tibshirani, Least Angle Regression (2004), section 2, for the path, whose first steps are those of the lasso.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.relevance.groups import Groups, alike, correlations
from papertape.engine.model.training.labels import BoolArray

ALL: Final = "all"
STABILITY: Final = "stability"
SELECTIONS: Final = (ALL, STABILITY)
SHARE: Final = 0.75  # of the halves that must choose a group
FALSE: Final = 1.0  # groups that may be kept for nothing, on average
PAIRS: Final = 50
_BLOCK_HORIZONS: Final = 4
_LEAST_BLOCKS: Final = 10
LEAST_ROWS: Final = 50
_RIDGE: Final = 1e-6  # of correlations, so that copies can be solved for


class Rows(NamedTuple):
    """
    What is chosen by: shapes (n_symbols, n, n_inputs) and (n_symbols, n).

    x  scaled; y: 0, 1 or one half; known: row at whose close the label is; mask: the rows that may be looked at
    """

    x: FloatArray
    y: FloatArray
    weights: FloatArray
    known: IntArray
    mask: BoolArray


class Selection(NamedTuple):
    """Places of the inputs that are kept, in order, and of every input the share of the halves that chose its group."""

    kept: tuple[int, ...]
    shares: FloatArray


def stable_inputs(rows: Rows, horizon_bars: int, seed: int) -> Selection:
    """Return what is chosen from the masked rows alone, or raise DataError where too few are left between blocks."""
    groups = alike(correlations(rows.x, rows.mask))
    sums = _block_sums(rows, horizon_bars)
    most = first_groups(len(groups))
    random = np.random.default_rng(seed)
    counts = np.zeros(len(groups))
    half = len(sums) // 2
    for _ in range(PAIRS):
        order = random.permutation(len(sums))
        for part in (order[:half], order[half : 2 * half]):
            is_in = np.bincount(part, minlength=len(sums)).astype(np.float64)
            half_sums = np.einsum("b,bij->ij", is_in, sums)  # without a copy of the half
            counts[_chosen(half_sums, groups, most)] += 1.0
    share = counts / (2 * PAIRS)
    is_kept = share >= SHARE
    if not is_kept.any():
        # A model has to read something: the one that was chosen most, and where no half chose any, all of them.
        is_kept = share == 0.0 if not share.any() else np.arange(len(share)) == share.argmax()
    kept = sorted(place for group, keep in zip(groups, is_kept, strict=True) if keep for place in group)
    shares = np.zeros(rows.x.shape[2])
    for group, value in zip(groups, share, strict=True):
        shares[list(group)] = value
    return Selection(tuple(kept), shares)


def first_groups(n_groups: int) -> int:
    """
    Return how many groups are chosen from a half of the rows.

    >>> first_groups(32), first_groups(2)
    (4, 1)
    """
    return max(int((FALSE * (2.0 * SHARE - 1.0) * n_groups) ** 0.5), 1)


def within_blocks(mask: BoolArray, known: IntArray, horizon_bars: int) -> tuple[BoolArray, int]:
    """Return the masked rows whose label is known within their block, and the closes of a block."""
    closes = np.flatnonzero(mask.any(axis=0))
    first, n = int(closes[0]), int(closes[-1]) + 1 - int(closes[0])
    length = max(min(_BLOCK_HORIZONS * horizon_bars, n // _LEAST_BLOCKS), 1)
    block = (np.arange(mask.shape[1]) - first) // length
    return mask & (known < first + (block + 1) * length), length


def _block_sums(rows: Rows, horizon_bars: int) -> FloatArray:
    """Return the weighted sums of products of (1, inputs, label) of each block, shape (n_blocks, n_inputs + 2, the same)."""
    closes = np.flatnonzero(rows.mask.any(axis=0))
    first, n = int(closes[0]), int(closes[-1]) + 1 - int(closes[0])
    free, length = within_blocks(rows.mask, rows.known, horizon_bars)
    if free.sum() < LEAST_ROWS:
        raise DataError(
            f"training: {int(free.sum())} rows have a label that is known within their block of {length}, fewer than the "
            f"{LEAST_ROWS} that inputs are selected by; give a longer window or a shorter horizon"
        )
    sums = np.empty((-(-n // length), rows.x.shape[2] + 2, rows.x.shape[2] + 2))
    for number in range(len(sums)):
        inside = slice(first + number * length, first + (number + 1) * length)
        chosen = free[:, inside]
        x, y, weights = (values[:, inside][chosen] for values in (rows.x, rows.y, rows.weights))
        values = np.column_stack([np.ones(len(y)), x, y])
        weighted = values * weights[:, None]
        sums[number] = np.einsum("ni,nj->ij", weighted, values, optimize=False)
    return sums


def _chosen(sums: FloatArray, groups: Groups, most: int) -> list[int]:
    """Return the groups that enter the path first, by number, from the sums of half of the rows."""
    total = sums[0, 0]
    if total <= 0.0:
        return []
    means = sums[0, 1:] / total
    covariance = sums[1:, 1:] / total - np.outer(means, means)
    scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    moves = scale > 1e-9
    scale = np.where(moves, scale, 1.0)
    correlation = covariance / np.outer(scale, scale) * np.outer(moves, moves)
    group_of = {place: number for number, group in enumerate(groups) for place in group}
    chosen: list[int] = []
    for place in entered(correlation[:-1, :-1], correlation[:-1, -1]):
        if group_of[place] not in chosen:
            chosen.append(group_of[place])
        if len(chosen) == most:
            break
    return chosen


def entered(correlation: FloatArray, with_label: FloatArray) -> Iterator[int]:
    """Yield inputs in the order in which they enter the path of least angle regression."""
    n = len(with_label)
    gram = correlation + _RIDGE * np.eye(n)
    left = with_label.copy()  # correlations with what is not explained yet
    active: list[int] = []
    while len(active) < n:
        rest = np.array([place for place in range(n) if place not in active])
        following = int(rest[np.abs(left[rest]).argmax()])
        highest = float(np.abs(left[following]))
        if highest < 1e-9:
            break
        active.append(following)
        yield following
        signs = np.sign(left[active])
        direction = np.linalg.solve(gram[np.ix_(active, active)], signs)
        falls = np.einsum("ij,j->i", gram[:, active], direction)  # of those that are in: their sign
        rest = rest[rest != following]
        if len(rest) == 0:
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.concatenate(
                [(highest - left[rest]) / (1.0 - falls[rest]), (highest + left[rest]) / (1.0 + falls[rest])]
            )
        steps = steps[np.isfinite(steps) & (steps > 1e-12)]
        left = left - float(steps.min(initial=highest)) * falls
