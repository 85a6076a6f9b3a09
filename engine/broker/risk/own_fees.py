"""
A function of a user's for fees: what a table of rates cannot say.

    def my_fee(notional, price, size, is_maker, rate, volume):
        return min(notional * rate, 3.0 * size)

It is given plain numbers and returns the fee in quote, which then stands where the table's would, before the surcharge. Machine
code is made of it that kernels call by address (`papertape.engine.jit.native`), so nothing is slower where there is none. It is
asked of fills that may never be, too: of the largest that could be opened, and of the target where the stop is in the same candle.

An answer that no fee can be ends the run before anything of the fill is booked.
"""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, Final, NamedTuple

import numba
import numpy as np

from papertape.engine.broker.risk.fees import LARGEST
from papertape.engine.errors import ConfigError, StrategyError
from papertape.engine.features.own.base import number_of
from papertape.engine.jit.native import PLAIN, native
from papertape.engine.user_code.compiling import compiled, refused_by_compiler
from papertape.engine.user_code.definition import digest_of
from papertape.engine.user_code.raised import told

ARGUMENTS: Final = ("notional", "price", "size", "is_maker", "rate", "volume")
_NUMBERS: Final = (np.dtype("f8"),) * len(ARGUMENTS)
_NOISE: Final = 1e-9  # of an amount: a product in another order is the same


class FeeError(StrategyError):
    """What a function says of a fill is no fee. Machine code raises it, with numbers alone: the function's, its answer, …"""

    time_ms = 0  # open of the candle, where it is known

    def __str__(self) -> str:
        number, answer, is_failed, *asked, most = self.args
        when = f" at {np.datetime64(self.time_ms // 1000, 's')}Z" if self.time_ms else ""
        return _FUNCTIONS[int(number)].told(None if is_failed else answer, asked, most, when)


class FeeFunction:
    """
    A user's function for fees, compiled on first use.

    name    `module:name`; digest: of its code and of what that refers to
    times   its answers count so often, at rates that are so many times those that it is given
    """

    def __init__(self, function: Any, name: str = "", times: float = 1.0) -> None:
        """Take a function or a kernel, or raise ConfigError for what cannot be asked."""
        inner = getattr(function, "py_func", function)
        if not isinstance(inner, FunctionType):
            raise ConfigError(
                f"account.fee_function: {name or repr(function)[:60]} is not a function; write def my_fee({', '.join(ARGUMENTS)})"
            )
        self.function, self.times = inner, times
        self.name = name or f"{inner.__module__}:{inner.__qualname__}"
        try:
            inspect.signature(inner).bind(*ARGUMENTS)
        except TypeError:
            raise ConfigError(
                f"account.fee_function: {self.name} does not take {', '.join(ARGUMENTS)}, but {inspect.signature(inner)}"
            ) from None
        self.digest = digest_of(inner)

    def __repr__(self) -> str:
        return f"FeeFunction({self.name!r}, {self.digest}, {self.times:g})"

    @property
    def said(self) -> str:
        """Return the convention of a result, in a sentence."""
        return (
            f"Fees are what {self.name} says; buy and hold and the labels of models pay the markets' rates."
        )

    @property
    def doubled(self) -> "FeeFunction":
        """Return what charges twice as much."""
        return FeeFunction(self.function, self.name, 2.0 * self.times)

    @property
    def address(self) -> int:
        """Return where kernels call it, or raise ConfigError for what does not compile or returns no number."""
        key = _Key(self.name, self.digest, self.times)
        if key not in _MADE:
            number = len(_FUNCTIONS)
            entry = _entry(self._compiled(), number, self.times)
            _MADE[key] = _Made(_address(entry), entry)
            _FUNCTIONS.append(self)
        return _MADE[key].address

    def _compiled(self) -> Any:
        """Return what is asked, compiled for what it is asked with."""
        inner = compiled(self.function, self.digest)
        config: Any = numba.config
        if config.DISABLE_JIT:
            return inner
        number = numba.float64
        kinds = (number, number, number, numba.boolean, number, number)
        try:
            inner.compile(kinds)
        except Exception as error:  # the compiler raises what it will on a user's code
            raise ConfigError(
                f"account.fee_function: {self.name} cannot be compiled: {refused_by_compiler(error)}"
            ) from None
        answer = inner.overloads[kinds].signature.return_type
        if not isinstance(answer, numba.types.Float | numba.types.Integer):
            raise ConfigError(
                f"account.fee_function: {self.name} returns {answer}, not a number; return the fee in quote of every fill"
            )
        return inner

    def told(self, answer: float | None, asked: list[float], most: float, when: str) -> str:
        """Return what is wrong with an answer, in a sentence that names function, fill and value; None: it raised."""
        price, size, kind, rate, volume = asked
        is_maker = kind > 0.0
        which = "the largest fill that could be," if kind == LARGEST else "a fill of"
        notional, side = size * price, "maker" if is_maker else "taker"
        fill = f"{which} {size:.9g} at {price:.9g}{when} ({side}, notional {notional:.9g}, rate {rate:g}, volume {volume:.9g})"
        if answer is None:
            said = f"fails: {self._failure(notional, price, size, is_maker, rate, volume)}"
        elif not np.isfinite(answer):
            said = f"says {answer}, which is no amount"
        elif answer < 0.0:
            said = f"says {answer:.9g}, which is below {'rate × notional' if rate < 0.0 else '0, and the rate is no rebate'}"
        else:
            said = f"says {answer:.9g}, which is above {most:.9g}, the larger of notional and fee_minimum"
        return f"account.fee_function: of {fill} {self.name} {said}"

    def _failure(self, *asked: float) -> str:
        """Return what it raises or returns, asked once more without the compiler."""
        try:
            wrong = number_of(self.function(*asked))[1]
            return wrong or "it raises an exception once it is compiled"
        except Exception as error:  # the boundary to a user's code: no error of it is ours
            return told(error)


class _Key(NamedTuple):
    """What is compiled once in a process; a module's data may be another when it is named again."""

    name: str
    digest: str
    times: float


class _Made(NamedTuple):
    """Machine code, which lasts as long as somebody may call it."""

    address: int
    entry: Callable[..., float]


_MADE: Final[dict[_Key, _Made]] = {}
_FUNCTIONS: Final[list[FeeFunction]] = []  # by the number that machine code has


def as_fee_function(given: Any) -> FeeFunction | None:
    """Return a function for fees, whether it is one already or what a user wrote; None for none."""
    return given if given is None or isinstance(given, FeeFunction) else FeeFunction(given)


def _entry(inner: Any, number: int, times: float) -> Callable[..., float]:
    """Return what kernels call in place of a function: its answer, or FeeError."""

    def entry(price: float, size: float, kind: float, rate: float, volume: float, minimum: float) -> float:
        is_failed, answer, notional = 0, 0.0, size * price
        own_rate = rate / times if rate > 0.0 else rate  # of a rebate nothing is doubled
        try:
            answer = float(inner(notional, price, size, kind > 0.0, own_rate, volume))
        except Exception:
            is_failed = 1
        least, most = min(notional * rate, 0.0), max(notional, minimum)
        if is_failed != 0 or not least <= answer + _NOISE * abs(least) or answer > most:
            raise FeeError(number, answer, is_failed, price, size, kind, own_rate, volume, most)
        return answer * times if answer > 0.0 else answer

    return entry


def _address(entry: Callable[..., float]) -> int:
    config: Any = numba.config
    if config.DISABLE_JIT:
        address = max(PLAIN, default=0) + 1
        PLAIN[address] = entry
        return address
    njit: Any = numba.njit  # its stub does not know all that it takes
    return native(njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(entry), *_NUMBERS)
