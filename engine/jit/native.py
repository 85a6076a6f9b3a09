# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call"
"""
What a kernel asks of the machine itself: to call machine code by its address, and to bring a record from memory ahead of time.

A call by address is how a kernel that is on disk reaches one that a user has just written. One that takes or closes over a
kernel is never found in the cache again; one that calls by address is: it knows what the callee takes, and where it is told.
Exceptions pass through as they do through any call.
"""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Without the compiler an address is a key of this.
PLAIN: Final[dict[int, Callable[..., Any]]] = {}


def native(compiled: Any, *arguments: np.dtype[Any]) -> int:
    """Return the address of the machine code of a kernel for these records or numbers, compiled now if it is not there yet."""
    kinds = tuple(numba.from_dtype(dtype) for dtype in arguments)
    compiled.compile(kinds)
    code = compiled.overloads[kinds]
    return code.library.get_pointer_to_function(code.fndesc.llvm_func_name)  # type: ignore[no-any-return]


def direct(compiled: Any, *arguments: Any) -> Callable[..., Any]:
    """
    Return what calls a kernel with values of exactly these types, without looking at types again.

    Of a call with twenty arrays that is four fifths of the time. Values of other types are read as if they were these.
    """
    config: Any = numba.config
    if config.DISABLE_JIT:
        return compiled  # type: ignore[no-any-return]
    kinds = tuple(numba.typeof(argument) for argument in arguments)
    compiled.compile(kinds)
    return compiled.overloads[kinds].entry_point  # type: ignore[no-any-return]


def _call_plain(address: int, own: Any, view: Any, told: Any) -> None:
    PLAIN[address](view, told)


def _ask_plain(address: int, *numbers: float) -> float:
    return PLAIN[address](*numbers)  # type: ignore[no-any-return]


def _prefetch_plain(row: Any) -> None:
    """Do nothing: whoever runs without the compiler waits for other things."""


def _calling(answer, kinds):
    """Return a call at an address, with arguments of these kinds, as numba takes it from an intrinsic."""

    def generate(context, builder, signature, args):
        convention = context.call_conv
        pointer = convention.get_function_type(answer, kinds).as_pointer()
        function = builder.inttoptr(args[0], pointer)
        status, found = convention.call_function(builder, function, answer, kinds, args[1:])
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value() if answer is types.none else found

    return answer(types.intp, *kinds), generate


@intrinsic
def _call_native(typing, address, own, view, told):
    return _calling(types.none, (own, view, told))


@intrinsic
def _ask_native(typing, address, first, second, third, fourth, fifth, sixth):
    return _calling(types.float64, (types.float64,) * 6)


@intrinsic
def _prefetch_native(typing, row):
    def generate(context, builder, signature, args):
        byte = ir.IntType(8).as_pointer()
        kinds = [byte, *[ir.IntType(32)] * 3]
        fetch = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), kinds), "llvm.prefetch.p0i8"
        )
        to_read, to_stay, of_data = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))
        first = builder.bitcast(args[0], byte)
        # A record may begin in one line of the cache and end in the next.
        for offset in (0, row.size - 1):
            place = builder.gep(first, [ir.Constant(ir.IntType(64), offset)])
            builder.call(fetch, [place, to_read, to_stay, of_data])
        return context.get_dummy_value()

    return types.none(row), generate


_config: Any = numba.config
# Call a kernel of three records at an address: what `self` is, the view, and what it is told.
call_at: Any = _call_plain if _config.DISABLE_JIT else _call_native
# Call a kernel of six numbers at an address, for one.
ask_at: Any = _ask_plain if _config.DISABLE_JIT else _ask_native
# Begin to bring a record of at most one line's length from memory, and go on at once; nothing that is computed depends on it.
prefetch: Any = _prefetch_plain if _config.DISABLE_JIT else _prefetch_native
