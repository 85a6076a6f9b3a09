"""
What a strategy says of itself: why it did nothing, and notes.

`view.why("rsi below 30", rsi, 30)` is whether it is not so, and keeps the first that was not.

The words decide: `below`, `above`, `at least` or `at most`, once in the text, compare the value with the threshold; without
a threshold the value is the answer. NaN is never met, so what warms up stands in the table, too. Nothing is kept but the
first unmet condition of each candle, for the report of the step, and every note; no decision depends on them.
"""

import operator
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.records import Note, Unmet

_WORDS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    " below ": operator.lt,
    " above ": operator.gt,
    " at least ": operator.ge,
    " at most ": operator.le,
}


LONGEST_NOTE: Final = 200


class Conditions:
    """What was unmet and what was noted in the batch in hand, in the order of saying."""

    def __init__(self) -> None:
        # Plain tuples, which the garbage collector need not look into.
        self._found: list[tuple[str, int, str, float, float]] = []
        self._symbol, self._time_ms = "", 0  # of the newest
        self._notes: list[tuple[str, int, str]] = []

    def is_unmet(self, symbol: str, time_ms: int, text: str, value: Any, threshold: float | None) -> bool:
        """Return whether a condition does not hold, and keep it if it is the first of its candle."""
        if threshold is None:
            if not isinstance(value, bool | np.bool_):
                raise ConfigError(
                    f"view.why({text!r}, {value!r}): give a threshold, too, or say whether it holds"
                )
            if value:
                return False
            value, threshold = 0.0, 1.0
        elif comparison(text)(value, threshold):
            return False
        if time_ms != self._time_ms or symbol != self._symbol:
            self._symbol, self._time_ms = symbol, time_ms
            self._found.append((symbol, time_ms, text, float(value), float(threshold)))
        return True

    def note(self, symbol: str, time_ms: int, text: str) -> None:
        """Keep a note; raises ConfigError for what is none."""
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST_NOTE:
            raise ConfigError(f"view.note({text!r:.80}): a note is a text of 1 to {LONGEST_NOTE} characters")
        self._notes.append((symbol, time_ms, text))

    def take(self) -> tuple[tuple[Unmet, ...], tuple[Note, ...]]:
        """Return what was kept since the last call."""
        found, self._found = self._found, []
        notes, self._notes = self._notes, []
        self._symbol, self._time_ms = "", 0
        return tuple(map(Unmet._make, found)), tuple(map(Note._make, notes))


@lru_cache(1024)
def comparison(text: str) -> Callable[[Any, Any], Any]:
    """Return what a text compares by, or raise ConfigError."""
    found = [compare for word, compare in _WORDS.items() if word in f" {text} "]
    if len(found) != 1:
        raise ConfigError(
            f"view.why({text!r}, …): say once below, above, at least or at most, or leave the threshold out and give "
            "true or false"
        )
    return found[0]
