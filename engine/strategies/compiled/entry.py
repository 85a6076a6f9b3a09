# mypy: disable-error-code="no-untyped-call"
"""
A strategy's methods as machine code that the engine's loop calls by address.

What the user put `kernel` over is compiled once more (`papertape.engine.user_code.compiling`), with `Decision` as a tuple. That
takes about a second at a start.
"""

import inspect
from collections.abc import Callable, Sequence
from types import FunctionType, MemberDescriptorType
from typing import Any, Final
from weakref import finalize

import numba
import numpy as np
from numba.core.errors import NumbaError, UnsupportedBytecodeError

from papertape.engine.errors import ConfigError
from papertape.engine.jit import IntArray, Rows, record
from papertape.engine.jit.native import PLAIN, native
from papertape.engine.strategies.compiled.methods import decision, take
from papertape.engine.strategies.compiled.records import TEXT, text_number
from papertape.engine.strategies.compiled.typing import as_seen, as_view
from papertape.engine.strategies.parameters import parameters_of
from papertape.engine.strategies.protocol import Decision
from papertape.engine.user_code.compiling import compiled, refused_by_compiler

_ENTRIES: Final[dict[FunctionType, Any]] = {}


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
    slots = {n: getattr(strategy, n, None) for n, x in plain.items() if isinstance(x, MemberDescriptorType)}
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


def _kind_of(value: Any) -> str:
    """Return the type of a field that holds a value."""
    if isinstance(value, str):
        return TEXT
    return "f8" if isinstance(value, float | np.floating) else "i8"


class Entry:
    """One method of a strategy as a kernel of three records: what `self` is, the view, and what it is told."""

    def __init__(self, strategies: Sequence[Any], method: str, arguments: tuple[Rows, Rows, Rows]) -> None:
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
                f"strategy {kind}: {method} cannot be compiled: {refused_by_compiler(error)}"
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
    if function not in _ENTRIES:
        config: Any = numba.config
        if config.DISABLE_JIT:
            return plain_entry(compiled(function), has_answer)
        inner = compiled(function, instead={Decision: decision})

        def decide(own: Any, view: Any, told: Any) -> None:
            seen = as_view(view)
            take(seen, inner(as_seen(own), seen))

        def hook(own: Any, view: Any, told: Any) -> None:
            inner(as_seen(own), as_view(view), as_seen(told))

        entry = decide if has_answer else hook
        njit: Any = numba.njit  # its stub does not know all that it takes
        _ENTRIES[function] = njit(nogil=True, error_model="numpy", no_cfunc_wrapper=True)(entry)
    return _ENTRIES[function]


def plain_entry(inner: Any, has_answer: bool) -> Callable[..., None]:
    """Return the same without the compiler."""

    def entry(own: Any, view: Any, told: Any) -> None:
        if has_answer:
            take(view, inner(own, view))
        else:
            inner(own, view, told)

    return entry
