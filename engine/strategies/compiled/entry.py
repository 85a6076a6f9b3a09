# mypy: disable-error-code="no-untyped-call"
"""
A strategy's methods as machine code that the engine's loop calls by address.

What the user put `kernel` over is compiled once more, with every index checked and with `Decision` as a tuple, and
so is every function of the same package that it calls. That is kept in memory only: it takes about a second at a start, and
what a function sees of its module could change without its file.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from types import FunctionType, MemberDescriptorType
from typing import Any, Final, NamedTuple
from weakref import finalize

import numba
import numpy as np
from numba.core.errors import NumbaError, UnsupportedBytecodeError

from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.jit import IntArray, Rows, record
from papertape.engine.jit.native import PLAIN, native
from papertape.engine.strategies.compiled.methods import decision, take
from papertape.engine.strategies.compiled.records import TEXT, text_number
from papertape.engine.strategies.compiled.typing import as_seen, as_view
from papertape.engine.strategies.parameters import parameters_of
from papertape.engine.strategies.protocol import Decision


class _Key(NamedTuple):
    """What is compiled once in a process."""

    function: FunctionType
    what: str


_COMPILED: Final[dict[_Key, Any]] = {}
_NO_FIELD: Final = re.compile(r"Field '([^']*)' was not found in record with fields \(([^)]*)\)")


def function_of(strategy: Any, name: str) -> FunctionType | None:
    """Return a method that the strategy's class has as a kernel, None when it is none."""
    found = inspect.getattr_static(type(strategy), name, None)
    function = getattr(found, "py_func", None)
    return function if isinstance(function, FunctionType) else None


def is_compiled(strategy: Any) -> bool:
    """Return whether a strategy is asked as a kernel, close by close: its `decide` is one."""
    return function_of(strategy, "decide") is not None


def own_of_all(strategies: Sequence[Any]) -> tuple[Rows, IntArray]:
    """
    Return what `self` is in a kernel for each symbol, shape (n + 1,), and the same memory as words.

    One row and one word more than needed, so that the parts never lie side by side: one loop for any number of symbols.
    Raises ConfigError where their fields are of other kinds.
    """
    rows = [own_rows(strategy) for strategy in strategies]
    dtype = rows[0].dtype
    for strategy, row in zip(strategies, rows, strict=True):
        if row.dtype != dtype:
            raise ConfigError(
                f"strategy {type(strategy).__name__}: what it keeps of its parameters is of another kind for one symbol than "
                "for another; make whole numbers and fractions the same for all"
            )
    words: IntArray = np.zeros((len(rows) + 1, dtype.itemsize // 8 + 1), np.int64)
    own: Rows = np.ndarray((len(words),), dtype, words, 0, words.strides[:1])
    for place, row in enumerate(rows):
        own[place] = row[0]
    return own, words


def own_rows(strategy: Any) -> Rows:
    """Return what `self` is in a kernel: a record of the strategy's numbers and texts, parameters and constants alike."""
    kinds = [kind for kind in reversed(type(strategy).__mro__) if kind is not object]
    names = {name for kind in kinds for name in vars(kind)} | set(getattr(strategy, "__dict__", ()))
    plain = {name: inspect.getattr_static(strategy, name, None) for name in sorted(names)}
    slots = {n: getattr(strategy, n, None) for n, x in plain.items() if _is_slot(x)}
    values = {
        name: value
        for name, value in (plain | slots | parameters_of(strategy)).items()
        if isinstance(value, bool | int | float | str | np.number) and not name.startswith("__")
    }
    fields = [(name, _kind_of(value)) for name, value in values.items()]
    rows = np.zeros(1, record(*(fields or [("unused", "i8")])))
    for name, value in values.items():
        rows[name] = text_number(value) if isinstance(value, str) else value
    return rows


def _is_slot(value: Any) -> bool:
    return isinstance(value, MemberDescriptorType)


def _kind_of(value: Any) -> str:
    """Return the type of a field that holds a value."""
    if isinstance(value, str):
        return TEXT
    return "f8" if isinstance(value, float | np.floating) else "i8"


class Entry:
    """One method of a strategy as a kernel of three records: what `self` is, the view, and what it is told."""

    def __init__(
        self, strategies: Sequence[Any], method: str, arguments: tuple[Rows, Rows, Rows]
    ) -> None:
        """
        Compile it for these records, or raise ConfigError with what the compiler says.

        strategies  of each symbol, of one class
        """
        kind, function = type(strategies[0]).__name__, function_of(strategies[0], method)
        if function is None:
            raise ConfigError(
                f"strategy {kind}: {method} is not a kernel, as decide is; put kernel over it, too"
            )
        n, n_wanted = len(inspect.signature(function).parameters), 2 if method == "decide" else 3
        if n != n_wanted:
            raise ConfigError(f"strategy {kind}: {method} takes {n} arguments, not {n_wanted}")
        made = entry_of(function, n == 2)
        config: Any = numba.config
        if config.DISABLE_JIT:
            self.address = _register(made, strategies, arguments[1])
            finalize(self, PLAIN.pop, self.address)
            return
        try:
            self.address = native(made, *(rows.dtype for rows in arguments))
        except (NumbaError, UnsupportedBytecodeError, ConfigError) as error:
            raise ConfigError(
                f"strategy {kind}: {method} cannot be compiled: {_said(error)}"
            ) from None


def _register(made: Callable[..., Any], strategies: Sequence[Any], views: Rows) -> int:
    """Let a method be called by a number, without the compiler: there `self` is the strategy."""
    address = max(PLAIN, default=0) + 1
    PLAIN[address] = lambda view, told: made(
        strategies[int(view.symbol_index)], views[int(view.symbol_index)], told
    )
    return address


def entry_of(function: FunctionType, has_answer: bool) -> Any:
    """Return what the loop calls in place of a method, the same for every engine."""
    key = _Key(function, "entry")
    if key not in _COMPILED:
        inner = compiled(function)
        config: Any = numba.config
        if config.DISABLE_JIT:
            return plain_entry(inner, has_answer)

        def decide(own: Any, view: Any, told: Any) -> None:
            seen = as_view(view)
            take(seen, inner(as_seen(own), seen))

        def hook(own: Any, view: Any, told: Any) -> None:
            inner(as_seen(own), as_view(view), as_seen(told))

        entry = decide if has_answer else hook
        njit: Any = numba.njit  # its stub does not know all that it takes
        _COMPILED[key] = njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(entry)
    return _COMPILED[key]


def plain_entry(inner: Any, has_answer: bool) -> Callable[..., None]:
    """Return the same without the compiler."""

    def entry(own: Any, view: Any, told: Any) -> None:
        if has_answer:
            take(view, inner(own, view))
        else:
            inner(own, view, told)

    return entry


def compiled(function: FunctionType) -> Any:
    """Return a user's function as it is compiled here, with what it calls; the same for every engine."""
    key = _Key(function, "checked")
    if key not in _COMPILED:
        seen = dict(function.__globals__)
        copy = FunctionType(
            function.__code__, seen, function.__name__, function.__defaults__, function.__closure__
        )
        config: Any = numba.config
        is_plain = config.DISABLE_JIT
        _COMPILED[key] = (
            copy
            if is_plain
            else numba.njit(nogil=True, error_model="numpy", boundscheck=True)(copy)
        )
        # Afterwards: functions may call one another.
        for name in function.__code__.co_names:
            if name in seen:
                seen[name] = _replaced(seen[name], function)
    return _COMPILED[key]


def _replaced(value: Any, reader: FunctionType) -> Any:
    """Return what a name of a user's module means in a kernel: functions of the same package are compiled as well."""
    config: Any = numba.config
    if value is Decision and not config.DISABLE_JIT:
        return decision
    inner = getattr(value, "py_func", value)
    package = reader.__module__.partition(".")[0]
    if isinstance(inner, FunctionType) and inner.__module__.partition(".")[0] == package:
        return compiled(inner)
    return value


def _said(error: Exception) -> str:
    """Return what the compiler says, in a sentence."""
    text = str(error)
    if isinstance(error, ConfigError):
        return text
    missing = _NO_FIELD.search(text)
    if missing:
        known = re.findall(r"'([^']*)'", missing[2])
        return f"it asks for {missing[1]!r}, which is not there{did_you_mean(missing[1], known)}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    place = re.search(r'File "([^"]*)", line (\d+)', text)
    where = f" ({place[1].rpartition('/')[2]}, line {place[2]})" if place else ""
    return f"{' '.join(lines[1:3])[:300]}{where}"
