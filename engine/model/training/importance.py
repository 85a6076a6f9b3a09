"""
Importance by permutation: how much the log-loss rises when one input is told from another time.

Blocks are moved rather than rows: inputs and labels hang together from close to close, and a recurrent model would notice
a shuffle of single rows as noise it never saw, whatever the input is worth.
Source: A. Fisher, C. Rudin, F. Dominici, All Models are Wrong, but Many are Useful (2019); L. Breiman (2001).
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.training.labels import BoolArray

_MOST_ROWS: Final = (
    1_000  # the newest of the part, per symbol: more would take longer and not say more
)
_BURN_IN: Final = 128


def moved_blocks(n: int, block: int, random: np.random.Generator) -> np.ndarray:
    """Return the places 0 … n - 1 with whole blocks in another order; the last block may be shorter."""
    starts = np.arange(0, n, block)
    order = random.permutation(len(starts))
    return np.concatenate([np.arange(starts[k], min(starts[k] + block, n)) for k in order])


def importance(
    probabilities: Callable[[int, FloatArray], FloatArray],
    x: FloatArray,
    y: FloatArray,
    mask: BoolArray,
    block: int,
    seed: int,
    n_repeats: int = 2,
) -> FloatArray:
    """
    Return the mean rise of the log-loss over the masked rows per input, shape (n_inputs,); below 0 it is luck.

    probabilities  of rows (n, n_inputs) of a symbol from a zero state
    x, y, mask     shapes (n_symbols, n, n_inputs), (n_symbols, n), (n_symbols, n); block: rows moved together
    """
    n_inputs = x.shape[2]
    random = np.random.default_rng([seed, n_inputs])
    rises = np.zeros(n_inputs)
    n_judged = 0
    for symbol in range(len(x)):
        judged = np.flatnonzero(mask[symbol])[-_MOST_ROWS:]
        if len(judged) == 0:
            continue
        begin = max(int(judged[0]) - _BURN_IN, 0)
        rows = x[symbol, begin : int(judged[-1]) + 1].copy()
        place, outcome = judged - begin, y[symbol, judged]
        part = np.arange(int(place[0]), len(rows))
        whole = part[np.isfinite(rows[part]).all(axis=1)]
        before = _total_loss(probabilities(symbol, rows)[place], outcome)
        n_judged += len(judged)
        for number in range(n_inputs):
            kept = rows[whole, number].copy()
            for _ in range(n_repeats):
                rows[whole, number] = kept[moved_blocks(len(whole), block, random)]
                after = _total_loss(probabilities(symbol, rows)[place], outcome)
                rises[number] += (after - before) / n_repeats
            rows[whole, number] = kept
    return rises / n_judged


def _total_loss(p: FloatArray, y: FloatArray) -> float:
    return float(-np.sum(np.log(np.where(y == 1.0, p, 1.0 - p).clip(1e-15, None))))
