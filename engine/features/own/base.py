"""
What every feature of somebody's own has: a name, a look-back, a state of fixed size that is part of the snapshot.

Its declaration never changes. What computes it is a runner, one for each symbol and timeframe, which keeps nothing of its
own either: all that lasts lies in the words that it is handed. So a run may be cut anywhere, and continued elsewhere.

Some candles are looked at twice, those with the numbers 0, 1, 2, 4, 8 …: there a feature is tried on just the candles
that it says it needs, and refused when that makes a difference. They are counted from a symbol's first candle, so that
the same candles are looked at in any batching.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray, Rows, record
from papertape.engine.user_code.undeclared_state import Fixed

LONGEST: Final = 5_000  # bars; as the longest window of a built-in feature
NOTHING_KEPT: Final = record(("unused", "f8"))
Found = list[tuple[int, str]]  # which of the new candles, and what is wrong there


class NewCandles(NamedTuple):
    """
    Candles that a feature has not seen: columns `first` … `last - 1` of a history of shape (6, capacity).

    number  of the first of them, counted from the first candle ever seen
    """

    history: FloatArray
    first: int
    last: int
    number: int

    def part(self, start: int, stop: int) -> "NewCandles":
        """Return some of them."""
        return NewCandles(self.history, self.first + start, self.first + stop, self.number + start)


class Runner(Protocol):
    """What computes one feature of one symbol on one timeframe."""

    def update(self, new: NewCandles, line: FloatArray) -> Found:
        """
        Write the values of new candles, and return what was wrong at which of them.

        line  shape (last - first,), NaN, and left so where there is no value
        """


class OwnFeature(Fixed):
    """
    The declaration of a feature.

    look_back  candles that a value is made of, the newest included; 0: none beside it, all else is state
    subject    what a user wrote: an instance or a function
    """

    state_dtype: np.dtype[Any] = NOTHING_KEPT

    def __init__(self, name: str, look_back: int, subject: Any) -> None:
        if isinstance(look_back, bool) or not isinstance(look_back, int):
            raise ConfigError(f"feature {name!r}: look_back {look_back!r} is not a whole number")
        if not 0 <= look_back <= LONGEST:
            raise ConfigError(
                f"feature {name!r}: look_back {look_back} is not between 1 and {LONGEST:,} candles"
            )
        self.name, self.look_back, self.subject = name, look_back, subject

    def __reduce__(self) -> str:
        """Stand for itself in copies: nothing of it ever changes."""
        return self.name

    @property
    def kept_bars(self) -> int:
        """Return how many candles before the newest must be kept for it."""
        return max(self.look_back - 1, 0)

    @property
    def parts(self) -> Sequence[Any]:
        """Return everything beside its name that defines it."""
        return (self.look_back, self.subject)

    def initial_state(self) -> Rows:
        """Return the state before the first candle, shape (1,)."""
        return np.zeros(1, self.state_dtype)

    def start(self, words: FloatArray) -> Runner:
        """Return what computes it for one symbol on one timeframe and keeps its state in these words, or raise ConfigError."""
        raise NotImplementedError


def looked_at_twice(count: int, n: int) -> list[int]:
    """
    Return which of `n` candles from number `count` on have a number of 0, 1, 2, 4, 8 …

    >>> looked_at_twice(3, 10)
    [1, 5]
    """
    if count and count.bit_length() == (count + n - 1).bit_length() and count & (count - 1):
        return []
    places = [0] if count == 0 and n else []
    number = 1 << max(count - 1, 0).bit_length()
    while number < count + n:
        places.append(number - count)
        number *= 2
    return places


def same_words(a: FloatArray, b: FloatArray) -> bool:
    """Return whether two arrays hold the same bits."""
    return a.tobytes() == b.tobytes()


def number_of(value: Any) -> tuple[float, str]:
    """Return a user's value as a float, and what is wrong with it, empty for nothing; NaN means that there is none."""
    if type(value) is not float:
        if not isinstance(value, int | float | np.integer | np.floating | np.bool_):
            way = "; return float('nan') where there is no value" if value is None else ""
            said = f"{value!r:.60}"
            return np.nan, f"it returned {said}, which is no number{way}"
        try:
            value = float(value)
        except OverflowError:
            return np.nan, "it returned a number that no float can hold"
    if value in (np.inf, -np.inf):
        return np.nan, infinite(value)
    return value, ""


def infinite(value: float) -> str:
    """Return what is wrong with an infinite value."""
    return f"its value is {value}; a division by zero, perhaps: return NaN where there is no value"
