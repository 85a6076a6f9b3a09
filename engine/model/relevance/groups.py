"""
Groups of inputs that say the same thing: what is asked of one of them, alone, is answered by the others.

Two inputs are alike whose correlation in the rows of training is at least ALIKE either way, so that half of what the one
does is in the other; a group is everything that is alike by way of its members. What is right plays no part in it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.training.labels import BoolArray

ALIKE: Final = 0.7

Groups = tuple[tuple[int, ...], ...]


def correlations(x: FloatArray, mask: BoolArray) -> FloatArray:
    """
    Return the correlations of inputs over masked rows, shape (n_inputs, n_inputs); 0 with an input that never moves.

    x, mask  shapes (n_symbols, n, n_inputs) and (n_symbols, n); each symbol is measured from its own mean, in its own scale
    """
    n_inputs = x.shape[2]
    total = np.zeros((n_inputs, n_inputs))
    n = 0
    for rows, chosen in zip(x, mask, strict=True):
        values = rows[chosen]
        if len(values) < 2:
            continue
        scale = values.std(axis=0)
        z = values - values.mean(axis=0)
        moves = scale > 1e-12 * np.abs(values).max(axis=0)
        z = np.where(moves, z / np.where(moves, scale, 1.0), 0.0)
        total += np.einsum("ni,nj->ij", z, z, optimize=False)
        n += len(values)
    return total / max(n, 1)


def alike(correlation: FloatArray) -> Groups:
    """
    Return the groups of inputs by place, each in order, the one with the first input first.

    >>> alike(np.array([[1.0, 0.1, -0.8], [0.1, 1.0, 0.0], [-0.8, 0.0, 1.0]]))
    ((0, 2), (1,))
    """
    is_alike = np.abs(correlation) >= ALIKE
    group = list(range(len(correlation)))
    for i, j in np.argwhere(is_alike).tolist():
        if group[i] != group[j]:
            group = [min(group[i], group[j]) if g in (group[i], group[j]) else g for g in group]
    return tuple(tuple(i for i, g in enumerate(group) if g == first) for first in dict.fromkeys(group))


def named(groups: Groups, names: Sequence[str]) -> list[list[str]]:
    """Return the names of the inputs of each group."""
    return [[names[place] for place in group] for group in groups]
