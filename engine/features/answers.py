"""
What strategies in kernels answered at the closes of a reading, for the engines after them that ask the same.

Such a strategy looks at no account: its answers are a function of its parameters and of the candles up to each close, and
so is what it keeps. Engines that differ in nothing but their account have the same, and only what an account makes of
them is each one's own.
"""

from collections.abc import Hashable
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import Rows

MOST_BYTES: Final = (
    1 << 27
)  # of the answers that are kept at a time; those to later closes are then given anew


class Answered(NamedTuple):
    """
    The answers of some closes.

    wishes  DECISION, shape (n_symbols, n_closes); state: what the strategy keeps after them, shape (n_symbols,)
    """

    wishes: Rows
    state: Rows


class Answers:
    """
    The answers to one question at the closes of some instants.

    is_kept  somebody has asked twice: what was asked once may never be asked again, and keeping it costs time
    """

    def __init__(self) -> None:
        self.is_kept = False
        self._kept: dict[tuple[int, int], Answered] = {}
        self._bytes = 0

    def find(self, first: int, n: int) -> Answered | None:
        """Return what was answered at the closes of `n` instants from `first` on, None where nobody kept it."""
        return self._kept.get((first, n))

    def keep(self, first: int, n: int, wishes: Rows, state: Rows) -> None:
        """Keep copies of what was answered, if there is room."""
        if self.is_kept and self._bytes + wishes.nbytes <= MOST_BYTES:
            self._kept[first, n] = Answered(_copied(wishes), state.copy())
            self._bytes += wishes.nbytes


class NewestAnswers:
    """The answers to the question that was asked last."""

    def __init__(self) -> None:
        self._asked: Hashable = None
        self._answers = Answers()

    def to(self, asked: Hashable) -> Answers:
        """Return the answers to a question, for whoever is about to ask it."""
        if asked == self._asked:
            self._answers.is_kept = True
        else:
            self._asked, self._answers = asked, Answers()
        return self._answers


def _copied(rows: Rows) -> Rows:
    """Return rows of a larger table by themselves; bytes are copied, not fields."""
    return np.ascontiguousarray(rows).view(np.uint8).copy().view(rows.dtype)
