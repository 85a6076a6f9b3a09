# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call, arg-type, call-arg"
"""
What a strategy's view can do once it is compiled: place orders, look back, and take what `decide` returned.

Most methods are the functions of `papertape.engine.strategies.compiled.view`, compiled into the strategy's kernel; what
they come to is decided by a kernel of the engine's that is machine code already.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_setattr, overload, overload_attribute, overload_method
from numba.np.arrayobj import record_setattr

from papertape.engine.errors import ConfigError
from papertape.engine.jit.native import native
from papertape.engine.records import KEEP
from papertape.engine.strategies.compiled.meaning import moved, understand
from papertape.engine.strategies.compiled.records import HEAD, text_number
from papertape.engine.strategies.compiled.typing import SeenRecord, ViewRecord, Word, borrowed, number_of
from papertape.engine.strategies.compiled.view import (
    bars_of_view,
    buy,
    call_order,
    cancel,
    check_move,
    comparison_of,
    exit_position,
    hold,
    is_so,
    keep_first,
    note,
    note_move,
    past_row,
    refuse_bars,
    refuse_note,
    sell,
    text_code,
)


@overload(text_code, prefer_literal=True)
def _text_code(text):
    if isinstance(text, types.StringLiteral):
        code = text_code(text.literal_value)
        return lambda text: code
    if isinstance(text, Word):
        return lambda text: number_of(text)
    return None if isinstance(text, types.UnicodeType) else (lambda text: text)


@overload(call_order)
@wraps(call_order)
def _call_order(*args, **options):
    return call_order


def _method(name: str, function: Callable[..., Any]) -> None:
    """Make a function a method of views."""

    @wraps(function)
    def typed(view, *args, **options):
        return function

    overload_method(ViewRecord, name, prefer_literal=True)(typed)


_METHODS = {"buy": buy, "sell": sell, "exit": exit_position, "hold": hold, "cancel": cancel}
for _name, _function in _METHODS.items():
    _method(_name, _function)


def _ours(function: Callable[..., int]) -> Any:
    """Return how a kernel of the engine's is called: as machine code that is there already; every view begins with a head."""

    def typed(typing, view):
        def generate(context, builder, signature, args):
            convention, kinds = context.call_conv, signature.args
            address = context.get_constant(types.intp, native(function, HEAD))
            pointer = convention.get_function_type(types.int64, kinds).as_pointer()
            status, answer = convention.call_function(
                builder, builder.inttoptr(address, pointer), types.int64, kinds, args
            )
            with cgutils.if_unlikely(builder, status.is_error):
                convention.return_status_propagate(builder, status)
            return answer

        return types.int64(view), generate

    return intrinsic(typed)


_note, _note_move = _ours(understand), _ours(moved)


@overload(note)
def _typed_note(view):
    return lambda view: _note(view)


@overload(note_move)
def _typed_note_move(view):
    return lambda view: _note_move(view)


@overload(check_move)
def _typed_check_move(view):
    return check_move


def _assigned(name: str) -> None:
    """Let an assignment to this attribute of a view be an instruction."""

    def assign(context, builder, signature, args):
        record_setattr(context, builder, signature, args, name)
        context.compile_internal(builder, check_move, types.none(signature.args[0]), args[:1])

    lower_setattr(ViewRecord, name)(assign)


for _name in ("stop", "target"):
    _assigned(_name)


@overload_attribute(ViewRecord, "orders")
def _orders(view):
    return lambda view: _seen_rows(view.order_rows[: view.n_orders])


@intrinsic
def _read_only(typing, array):
    return array.copy(readonly=True)(array), borrowed


@intrinsic
def _seen_rows(typing, array):
    return array.copy(dtype=SeenRecord(array.dtype), readonly=True)(array), borrowed


@overload(bool)
def _any_orders(rows):
    """`if view.orders` asks whether there are any, as it does of the tuple that it is in Python."""
    if isinstance(rows, types.Array) and isinstance(rows.dtype, SeenRecord):
        return lambda rows: len(rows) > 0
    return None


@overload_method(ViewRecord, "history", prefer_literal=True)
def _history(view, column, bars):
    if not isinstance(column, types.StringLiteral):
        return None
    name, most = column.literal_value, bars_of_view(view.fields["past"].type.shape)
    row = past_row(tuple(view.fields), name)
    refuse_bars(name, getattr(bars, "literal_value", most or 1), most)
    message = (
        f"view.history({name!r}, …) looks back on less than one candle, or on more than history_bars = {most}"
    )

    def look_back(view, column, bars):
        if not 0 < bars <= most:
            raise ValueError(message)
        end = view.n_past
        return _read_only(view.past[row, max(end - bars, 0) : end])

    return look_back


@overload(keep_first)
@wraps(keep_first)
def _keep_first(*args):
    return keep_first


@overload_method(ViewRecord, "why", prefer_literal=True)
def _why(view, condition, value, threshold=None):
    if not isinstance(condition, types.StringLiteral):
        raise ConfigError('view.why: what a condition of a kernel says is a literal, as "rsi below 30"')
    text = condition.literal_value
    has_threshold = not isinstance(threshold, types.NoneType | types.Omitted) and threshold is not None
    compare = comparison_of(text, isinstance(value, types.Boolean | types.BooleanLiteral), has_threshold)
    number = text_number(text)

    def why(view, condition, value, threshold=None):
        if compare(value, threshold):
            return False
        keep_first(view, number, value, threshold)
        return True

    return why


@overload(is_so)
@wraps(is_so)
def _is_so(*args):
    return is_so


@overload_method(ViewRecord, "note")
def _no_note(view, text):
    return refuse_note(view, text)


def decision(
    target=KEEP,
    stop_distance=0.0,
    target_distance=0.0,
    stop_price=0.0,
    target_price=0.0,
    confidence=1.0,
    size_scale=1.0,
    score_model=0.0,
    score_smc=0.0,
    score_technical=0.0,
):
    """Return the fields of a Decision as floats: what `Decision` is in a strategy's kernel."""
    return (
        float(target),
        float(stop_distance),
        float(target_distance),
        float(stop_price),
        float(target_price),
        float(confidence),
        float(size_scale),
        float(score_model),
        float(score_smc),
        float(score_technical),
    )


@overload(decision)
@wraps(decision)
def _decision(*args, **options):
    return decision


@intrinsic
def _present(typing, answer):
    def generate(context, builder, signature, args):
        return context.cast(builder, args[0], signature.args[0], signature.return_type)

    return answer.type(answer), generate


def take(view, answer):
    """Keep what `decide` returned."""
    if answer is not None:
        for field in range(len(answer)):
            view.wishes[field] = answer[field]


@overload(take)
def _take(view, answer):
    if isinstance(answer, types.NoneType):
        return lambda view, answer: None
    if isinstance(answer, types.Optional):

        def take_some(view, answer):
            if answer is not None:
                take(view, _present(answer))

        return take_some
    return take if isinstance(answer, types.UniTuple) and answer.count == 10 else None
