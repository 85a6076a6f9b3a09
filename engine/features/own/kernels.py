"""
A feature in a kernel, in the form that the built-in ones have: one call for all new candles of a symbol and timeframe.

    @kernel_feature(look_back=2, state=[("gain", "f8")], parameters=(14,))
    def my_feature(history, first, last, count, p, state, out):
        for i in range(first, last):
            t = count + i - first        # number of the candle
            out[i - first] = …           # NaN while there is no value

`history` has the rows OPEN_MS, OPEN, HIGH, LOW, CLOSE, VOLUME of `papertape.engine.features.history`; of the columns
before `first` those of `look_back - 1` candles may be read, as far as there were so many.
"""

from collections.abc import Callable, Sequence
from inspect import signature
from types import FunctionType
from typing import Any, Final

import numpy as np
from numba import typeof

from papertape.engine.errors import ConfigError
from papertape.engine.features.own.base import (
    LONGEST,
    NOTHING_KEPT,
    Found,
    NewCandles,
    OwnFeature,
    Runner,
    looked_at_twice,
    same_words,
)
from papertape.engine.jit import FloatArray, kernel, record
from papertape.engine.user_code.raised import told

_COLUMNS: Final = 6
_WHERE: Final = ("Failed in", "-", "During", "File", "[")  # in the compiler that was


def kernel_feature(
    *,
    look_back: int,
    state: Any = (),
    parameters: Sequence[float] = (),
    name: str = "",
) -> Callable[[Any], "KernelFeature"]:
    """
    Declare a feature in a kernel; the function may be a `@kernel` already, and then serve several features.

    look_back   candles that it reads, the newest included
    state       fields of its record, `[("gain", "f8"), ("ring", "f8", (20,))]`, or a record type; 0 at the first candle
    parameters  numbers that it is handed as `p`; name: of its column, by itself that of the function
    """

    def declare(function: Any) -> KernelFeature:
        own = name or getattr(function, "__name__", "")
        return KernelFeature(own, function, look_back, state, parameters)

    return declare


class KernelFeature(OwnFeature):
    """The declaration of a feature in a kernel."""

    def __init__(
        self, name: str, function: Any, look_back: int, state: Any, parameters: Sequence[float]
    ) -> None:
        super().__init__(name, look_back, function)
        if look_back < 1:
            raise ConfigError(f"feature {name!r}: look_back {look_back} is not at least 1 candle")
        self.kernel = kernel(function) if isinstance(function, FunctionType) else function
        if not callable(self.kernel):
            raise ConfigError(f"feature {name!r}: {function!r} is not a function")
        self.state_dtype = _state_of(name, state)
        try:
            self.parameters: FloatArray = np.array(parameters, np.float64).reshape(len(parameters))
        except (TypeError, ValueError):
            raise ConfigError(
                f"feature {name!r}: parameters {parameters!r} are not numbers; write (14,)"
            ) from None

    @property
    def parts(self) -> Sequence[Any]:
        """Return everything beside its name that defines it."""
        return (*super().parts, self.state_dtype, self.parameters)

    def start(self) -> Runner:
        """Return what computes it, its kernel compiled; raises ConfigError for one that does not compile."""
        runner = _KernelRunner(self)
        runner.compile()
        return runner


def _state_of(name: str, state: Any) -> np.dtype[Any]:
    """Return the record of a state, or raise ConfigError."""
    if not isinstance(state, np.dtype) and not state:
        return NOTHING_KEPT
    rule = '[("gain", "f8"), ("ring", "f8", (20,))]: floats f8 and whole numbers i8'
    try:
        dtype = state if isinstance(state, np.dtype) else record(*state)
        fields = [dtype[field].base for field in dtype.names or ()]
    except (TypeError, ValueError, AssertionError):
        raise ConfigError(f"feature {name!r}: state {state!r} is not of the form {rule}") from None
    if not fields or any(field not in (np.float64, np.int64) for field in fields):
        raise ConfigError(f"feature {name!r}: state {state!r} is not of the form {rule}")
    return np.dtype((np.record, dtype))


class _KernelRunner:
    """Calls one kernel for one symbol on one timeframe."""

    def __init__(self, feature: KernelFeature) -> None:
        self._feature = feature

    def compile(self) -> None:
        """Compile the kernel for what it is called with."""
        words = np.zeros(self._feature.state_dtype.itemsize // 8)
        nothing = NewCandles(np.full((_COLUMNS, 1), np.nan), 0, 0, 0)
        arguments = self._arguments(nothing, words, np.zeros(0))
        try:
            if hasattr(self._feature.kernel, "compile"):
                kinds = tuple(typeof(each) for each in arguments)  # type: ignore[no-untyped-call] # numba's
                self._feature.kernel.compile(kinds)
            else:  # without the compiler
                signature(self._feature.kernel).bind(*arguments)
        except Exception as error:  # the compiler raises what it will on a user's code
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            said = [line for line in said if not line.startswith(_WHERE)] or [
                "for no stated reason"
            ]
            raise ConfigError(
                f"feature {self._feature.name!r}: its kernel does not compile for (history, first, last, count, p, state, "
                f"out): {type(error).__name__}: {said[0]}"
            ) from None

    def update(self, new: NewCandles, words: FloatArray, line: FloatArray) -> Found:
        """Write the values of new candles; some of them are looked at twice."""
        n = new.last - new.first
        line[:n] = np.nan
        start, found = 0, []
        for place in (*looked_at_twice(new.number, n), n):
            if start < place:
                found += self._run(new, start, place, words, line)
            if place < n:
                found += self._try(new, place, words, line)
            start = place + 1
        return found

    def _run(
        self, new: NewCandles, start: int, stop: int, words: FloatArray, line: FloatArray
    ) -> Found:
        """Compute some candles at once; where the kernel raises, one by one from the state before them."""
        before = words.copy()
        try:
            self._call(new.part(start, stop), words, line[start:stop])
        except (
            Exception,
            SystemExit,
        ) as error:  # the boundary to a user's code: no error of it is ours
            line[start:stop] = np.nan
            if stop - start == 1:
                return [(start, told(error))]
        else:
            return []
        words[:] = before
        found = []
        for place in range(start, stop):
            found += self._run(new, place, place + 1, words, line)
        return found

    def _try(self, new: NewCandles, place: int, words: FloatArray, line: FloatArray) -> Found:
        """Compute one candle, and once more where only the candles that it may read are there."""
        alone = self._alone(new.part(place, place + 1))
        other, value = words.copy(), np.full(1, np.nan)
        told_alone = self._run(alone, 0, 1, other, value)
        found = self._run(new, place, place + 1, words, line)
        if found or told_alone:
            return found or [(place, text) for _, text in told_alone]
        if same_words(value, line[place : place + 1]) and same_words(other, words):
            return []
        line[place] = np.nan
        look_back = self._feature.look_back
        return [
            (
                place,
                f"it reads more than the {look_back} candles of look_back = {look_back}, this one included, or some before "
                "the first or after this one",
            )
        ]

    def _alone(self, new: NewCandles) -> NewCandles:
        """Return one candle with those before it that may be read, and NaN all around."""
        seen = min(new.number + 1, self._feature.look_back)
        history = np.full((_COLUMNS, LONGEST + seen + LONGEST), np.nan)
        end = LONGEST + seen
        history[:, LONGEST:end] = new.history[:, new.last - seen : new.last]
        return NewCandles(history, end - 1, end, new.number)

    def _call(self, new: NewCandles, words: FloatArray, line: FloatArray) -> None:
        self._feature.kernel(*self._arguments(new, words, line))

    def _arguments(self, new: NewCandles, words: FloatArray, line: FloatArray) -> tuple[Any, ...]:
        """Return what a kernel is called with."""
        state = words.view(self._feature.state_dtype)[0]
        return (*new, self._feature.parameters, state, line)
