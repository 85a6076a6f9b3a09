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
    NOTHING_KEPT,
    Found,
    NewCandles,
    OwnFeature,
    Runner,
    looked_at_twice,
    same_words,
)
from papertape.engine.jit import FloatArray, Row, kernel, record
from papertape.engine.user_code.raised import told

_COLUMNS: Final = 6
# candles of NaN on either side of those that a kernel may read, where it is tried
_AROUND: Final = 1_000
_WHERE: Final = ("Failed in", "-", "During", "File", "[")  # in the compiler that was


def kernel_feature(
    *, look_back: int, state: Any = (), parameters: Sequence[float] = (), name: str = ""
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

    def start(self, words: FloatArray) -> Runner:
        """Return what computes it, its kernel compiled; raises ConfigError for one that does not compile."""
        self._compile()
        return _KernelRunner(self, words)

    def _compile(self) -> None:
        """Compile the kernel for what it is called with, or find it on disk."""
        words = np.zeros(self.state_dtype.itemsize // 8)
        state, history = words.view(self.state_dtype)[0], np.zeros((_COLUMNS, 1))
        arguments = (history, 0, 0, 0, self.parameters, state, np.zeros(0))
        try:
            if hasattr(self.kernel, "compile"):
                kinds = tuple(typeof(each) for each in arguments)  # type: ignore[no-untyped-call] # numba's
                self.kernel.compile(kinds)
            else:  # without the compiler
                signature(self.kernel).bind(*arguments)
        except Exception as error:  # the compiler raises what it will on a user's code
            said = [line.strip() for line in str(error).splitlines() if line.strip()]
            said = [line for line in said if not line.startswith(_WHERE)] or ["for no stated reason"]
            raise ConfigError(
                f"feature {self.name!r}: its kernel does not compile for (history, first, last, count, p, state, out): "
                f"{type(error).__name__}: {said[0]}"
            ) from None


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

    def __init__(self, feature: KernelFeature, words: FloatArray) -> None:
        self._kernel, self._parameters = feature.kernel, feature.parameters
        self._look_back, self._dtype = feature.look_back, feature.state_dtype
        self._words, self._before = words, words.copy()
        self._state = words.view(feature.state_dtype)[0]

    def update(self, new: NewCandles, line: FloatArray) -> Found:
        """Write the values of new candles; some of them are looked at twice."""
        twice = looked_at_twice(new.number, len(line))
        return self._in_parts(new, line, twice) if twice else self._run(new, line)

    def _in_parts(self, new: NewCandles, line: FloatArray, twice: Sequence[int]) -> Found:
        """Compute those that are looked at twice by themselves, and what lies between them at once."""
        start, found = 0, []
        for place in (*twice, len(line)):
            if start < place:
                part = self._run(new.part(start, place), line[start:place])
                found += [(start + k, reason) for k, reason in part]
            if place < len(line):
                reason = self._try(new.part(place, place + 1), line[place : place + 1])
                found += [(place, reason)] if reason else []
            start = place + 1
        return found

    def _run(self, new: NewCandles, line: FloatArray) -> Found:
        """Compute some candles at once; where the kernel raises, one by one from the state before them."""
        self._before[:] = self._words
        # As in `_call`, which one call more would show: a built-in feature takes four nanoseconds a candle.
        try:
            self._kernel(*new, self._parameters, self._state, line)
        except (Exception, SystemExit) as error:  # the boundary to a user's code: no error of it is ours
            return self._one_by_one(new, line, told(error))
        return []

    def _one_by_one(self, new: NewCandles, line: FloatArray, reason: str) -> Found:
        line.fill(np.nan)
        if len(line) == 1:
            return [(0, reason)]
        self._words[:] = self._before
        found = []
        for place in range(len(line)):
            one = self._run(new.part(place, place + 1), line[place : place + 1])
            found += [(place, reason) for _, reason in one]
        return found

    def _try(self, new: NewCandles, line: FloatArray) -> str:
        """Compute one candle, and once more where only the candles that it may read are there; return what is wrong."""
        other, value = self._words.copy(), np.full(1, np.nan)
        told_alone = self._call(self._alone(new), other.view(self._dtype)[0], value)
        reason = self._call(new, self._state, line) or told_alone
        if not reason and not (same_words(value, line) and same_words(other, self._words)):
            bars = self._look_back
            reason = (
                f"it reads more than the {bars} candles of look_back = {bars}, this one included, or some before the first "
                "or after this one"
            )
        if reason:
            line[:] = np.nan
        return reason

    def _alone(self, new: NewCandles) -> NewCandles:
        """Return one candle with those before it that may be read, and NaN all around."""
        seen = min(new.number + 1, self._look_back)
        history = np.full((_COLUMNS, _AROUND + seen + _AROUND), np.nan)
        end = _AROUND + seen
        history[:, _AROUND:end] = new.history[:, new.last - seen : new.last]
        return NewCandles(history, end - 1, end, new.number)

    def _call(self, new: NewCandles, state: Row, line: FloatArray) -> str:
        """Call the kernel and return what it raises, empty for nothing."""
        try:
            self._kernel(*new, self._parameters, state, line)
        except (Exception, SystemExit) as error:  # the boundary to a user's code: no error of it is ours
            return told(error)
        return ""
