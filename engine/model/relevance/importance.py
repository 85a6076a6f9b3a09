"""
Importance by permutation: how much the log-loss rises when inputs are told from another time.

Inputs that say the same thing are moved together: alone, each would seem worth little, for the others still say it.
Blocks are moved rather than rows: inputs and labels hang together from close to close, and a recurrent model would notice
a shuffle of single rows as noise it never saw, whatever the input is worth.
Source: A. Fisher, C. Rudin, F. Dominici, All Models are Wrong, but Many are Useful (2019); L. Breiman (2001).
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.relevance.groups import Groups
from papertape.engine.model.scores import losses
from papertape.engine.model.training.labels import BoolArray

LEAST_BLOCKS: Final = 8  # four of two horizons, in which limits are resampled
_MOST_ROWS: Final = 1_000  # more would take longer and not say more, if they are blocks enough
_BURN_IN: Final = 128

Said = Callable[[int, FloatArray], FloatArray]


def moved_blocks(n: int, block: int, random: np.random.Generator) -> np.ndarray:
    """
    Return for each of the places 0 … n - 1 the one that it is told from, a whole number of blocks away.

    All blocks make one round, so none stays where it is, unless there is but one; what is left over goes with the last.
    """
    numbers = np.arange(max(n // block, 1))
    order, source = random.permutation(len(numbers)), numbers.copy()
    source[order] = np.roll(order, 1)
    places = np.arange(n)
    moves = block * (source - numbers)
    return np.asarray(places + moves[np.minimum(places // block, numbers[-1])])


def newest(mask: BoolArray, block: int) -> BoolArray:
    """Return the masked rows that are judged, of each symbol the newest 1,000, or eight blocks where those are more."""
    since = np.cumsum(mask[:, ::-1], axis=1)[:, ::-1]
    judged: BoolArray = mask & (since <= max(_MOST_ROWS, LEAST_BLOCKS * block))
    return judged


def importance(
    probabilities: Said,
    x: FloatArray,
    y: FloatArray,
    mask: BoolArray,
    block: int,
    seed: int,
    n_repeats: int = 2,
) -> FloatArray:
    """Return the mean rise of the log-loss over the newest masked rows per input, each moved alone, shape (n_inputs,); see `rises`."""
    alone = tuple((place,) for place in range(x.shape[2]))
    found = rises(probabilities, x, y, mask, alone, block, seed, n_repeats)
    means: FloatArray = np.nanmean(found.reshape(len(alone), -1), axis=1)
    return means


def rises(
    probabilities: Said,
    x: FloatArray,
    y: FloatArray,
    mask: BoolArray,
    groups: Groups,
    block: int,
    seed: int,
    n_repeats: int,
) -> FloatArray:
    """
    Return the rise of the log-loss of each of the newest rows when a group is moved, the mean of some orders; below 0 it is luck.

    probabilities  of rows (n, n_inputs) of a symbol from a zero state
    x, y, mask     shapes (n_symbols, n, n_inputs), (n_symbols, n), (n_symbols, n); block: rows moved together

    The shape is (n_groups, n_symbols, n), NaN in rows that are not judged; see `newest`.
    """
    random = np.random.default_rng([seed, x.shape[2]])
    found, is_judged = np.full((len(groups), *y.shape), np.nan), newest(mask, block)
    for symbol in range(len(x)):
        judged = np.flatnonzero(is_judged[symbol])
        if len(judged) == 0:
            continue
        begin = max(int(judged[0]) - _BURN_IN, 0)
        rows = x[symbol, begin : int(judged[-1]) + 1].copy()
        place, outcome = judged - begin, y[symbol, judged]
        part = np.arange(int(place[0]), len(rows))
        whole = part[np.isfinite(rows[part]).all(axis=1)]
        before = losses(outcome, probabilities(symbol, rows)[place])
        for number, group in enumerate(groups):
            moved = np.ix_(whole, np.array(group))
            kept, total = rows[moved], np.zeros(len(judged))
            for repeat in range(n_repeats):
                order = moved_blocks(len(whole), block, random)
                if repeat and not total.any():
                    continue  # the model does not read them
                rows[moved] = kept[order]
                total += losses(outcome, probabilities(symbol, rows)[place]) - before
            rows[moved] = kept
            found[number, symbol, judged] = total / n_repeats
    return found
