"""
The one way to compile: `@kernel`, `@inlined_kernel` for the parts of a long one, `@expanded_kernel` for what makes bundles.

    dispatch   only what Python calls becomes machine code; what kernels call is linked into it
    cache      a folder of compiled kernels for each state of the sources that they see
    native     machine code by its address, for kernels that call a user's, and memory ahead of time

Kernels are plain functions over structured arrays that numba compiles. No fast maths and no contraction: the same source gives the
same bits with and without the compiler (`NUMBA_DISABLE_JIT=1`), in any batching, on any number of threads.
"""

import contextlib
from collections.abc import Callable, Sequence
from functools import update_wrapper
from pathlib import Path
from types import FunctionType
from typing import Any, Literal, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from papertape.engine.jit.cache import cache_directory, can_store, is_plain, numba_keeps_in
from papertape.engine.jit.cache import source_digest as source_digest  # where many look for it
from papertape.engine.user_code.definition import is_users

F = TypeVar("F", bound=Callable[..., Any])

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FlagArray = npt.NDArray[np.int8]  # 0 or 1, of many rows
Rows = npt.NDArray[Any]  # a structured array, one record per row
Row = Any  # one record of a structured array: fields are attributes, in kernels and in Python


def record(*fields: tuple[Any, ...]) -> np.dtype[Any]:
    """
    Return a record type whose rows have their fields as attributes with and without the compiler.

    Every field is `f8` or `i8`, or a fixed array of them, so there is no padding and the bytes can be hashed.
    """
    dtype = np.dtype((np.record, list(fields)))
    assert dtype.itemsize % 8 == 0
    return dtype


def locked_rows(rows: Rows) -> Rows:
    """
    Return the same memory, not to be written through.

    Kernels are compiled once more for what could be written; tapes cannot, so whoever takes candles asks for this first.
    """
    locked = rows.view()
    locked.setflags(write=False)
    return locked


def copy_rows(rows: Rows) -> Rows:
    """Return a copy of contiguous records; numpy would copy them field by field, thirty times slower."""
    words = rows.view(np.uint8).copy()
    return words.view(rows.dtype)


def join_rows(parts: Sequence[Rows]) -> Rows:
    """Return contiguous records of one type, at least one part, as one array; bytes are joined, not fields."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part.view(np.uint8) for part in parts]).view(parts[0].dtype)


def is_stored(compiled: Any) -> bool:
    """Return whether machine code of a kernel is on disk, or nothing would be gained by putting it there."""
    config: Any = numba.config
    if config.DISABLE_JIT or not can_store():
        return True
    return Path(compiled._cache._cache_file._index_path).is_file()


def kernel(function: F) -> F:
    """Compile `function` on first use, with an on-disk cache keyed by the sources."""
    return _compiled(function)


def inlined_kernel(function: F) -> F:
    """
    Compile as `kernel` does, but put the code into each kernel that calls this one.

    It is for the parts of a long loop: to hand dozens of arrays on costs more than most parts do. With several callers
    a part is compiled as often.
    """
    return _compiled(function, is_inlined=True)


def expanded_kernel(function: F) -> F:
    """
    Put the text of a function into each kernel that calls it, before it is compiled.

    So it may return what kernels can be given and cannot give back: a tuple of records.
    """
    return _compiled(function, is_expanded=True)


def _compiled(function: F, is_inlined: bool = False, is_expanded: bool = False) -> F:
    config: Any = numba.config
    if config.DISABLE_JIT:
        return _plain(function)
    compiled = _dispatcher(function, is_inlined, is_expanded)
    if can_store() and _is_known_when_edited(function.__module__ or ""):
        # numba reads its folder when it decorates; a function without a file, typed at a prompt, is kept nowhere.
        with numba_keeps_in(str(cache_directory())), contextlib.suppress(RuntimeError):
            compiled.enable_caching()
    return cast(F, compiled)


def _is_known_when_edited(module: str) -> bool:
    """Return whether machine code of a module's kernels on disk counts only while all that they call is as it was."""
    if module.startswith("papertape.engine."):
        return True
    # numba by itself looks at a kernel's own file alone, and of a library nobody looks at what its kernels call in others.
    return not is_plain() and (module.startswith("papertape.") or is_users(module))


def _plain(function: F) -> F:
    """Return a function that is one of ours without the compiler, too; what it was made of stays as it was."""
    made: Any = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.py_func = function
    return cast(F, update_wrapper(made, function))


def _with_any_value(compiled: Any) -> Any:
    """
    Return what numba compiles, typed once for each type that a kernel calls it with.

    By itself numba types it again for every constant, which takes a third of all. A version that asks elsewhere goes its own way.
    """
    asked: Any = getattr(compiled, "get_call_template", None)
    any_value: Any = numba.types.unliteral
    compiled.get_call_template = lambda args, kws: asked(tuple(map(any_value, args)), kws)
    return compiled


def _dispatcher(function: Callable[..., Any], is_inlined: bool, is_expanded: bool) -> Any:
    """Return what compiles a function when it is called."""
    text: Literal["always", "never"] = "always" if is_expanded else "never"
    if is_plain():
        compiled = numba.njit(nogil=True, error_model="numpy", forceinline=is_inlined, inline=text)(function)
        return _with_any_value(compiled)
    # Imported here: with the switch a start needs nothing of numba that another version may have moved.
    from papertape.engine.jit.dispatch import Kernel

    return Kernel(function, is_inlined=is_inlined, inline=text)
