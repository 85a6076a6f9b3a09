# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call, arg-type, call-arg"
"""
What the compiler knows of a strategy's view: its methods, and words in place of numbers.

`order.tag == "part"` and `fill.reason == "stop"` compare numbers: the word is looked up when the strategy is compiled.
A text in a call is its number from then on, too, so no kernel handles text.
"""

import operator
from collections.abc import Callable
from functools import wraps
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import (
    intrinsic,
    lower_setattr,
    models,
    overload,
    overload_attribute,
    overload_method,
    register_model,
)
from numba.np.arrayobj import record_setattr

from papertape.engine.broker.working.orders import KIND_NAMES
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.jit.native import native
from papertape.engine.records import KEEP
from papertape.engine.strategies.compiled.meaning import moved, understand
from papertape.engine.strategies.compiled.records import HEAD, REASON_CODES, text_number
from papertape.engine.strategies.compiled.view import (
    bars_of_view,
    buy,
    call_order,
    cancel,
    check_move,
    exit_position,
    note,
    note_move,
    past_row,
    refuse_bars,
    sell,
    text_code,
)


class Word(types.Type):
    """A number that stands for a word."""

    def __init__(self, names: str) -> None:
        self.names = names
        super().__init__(f"Word({names})")

    def number(self, word: str) -> int:
        """Return the number of a word; raises ConfigError for one that is none of them."""
        if self.names in _NUMBERS:
            return _NUMBERS[self.names](word)
        known = _WORDS[self.names]
        if word not in known:
            raise ConfigError(f"{self.names} is never {word!r}{did_you_mean(word, known)}")
        return known[word]


_NUMBERS = {"tag": text_code, "text": text_number}
_WORDS = {"reason": REASON_CODES, "kind": {word: code for code, word in KIND_NAMES.items()}}


@register_model(Word)
class _WordModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, ir.IntType(64))


class SeenRecord(types.Record):
    """A record in which some numbers are words, and which says what it has not; in memory the same."""

    methods: tuple[str, ...] = ()

    def __init__(self, record: types.Record) -> None:
        self._dtype = record.dtype
        fields = [
            (name, {"type": _seen(name, field.type), "offset": field.offset})
            for name, field in record.fields.items()
        ]
        super().__init__(fields, record.size, record.aligned)

    def typeof(self, key: str) -> Any:
        """Return the type of a field; raises ConfigError for what is none."""
        if key not in self.fields:
            known = [*self.methods, *self.fields]
            raise ConfigError(f"it asks for {key!r}, which is not there{did_you_mean(key, known)}")
        return self.fields[key].type

    @property
    def dtype(self) -> Any:
        """Return the record as numpy knows it."""
        return self._dtype


class ViewRecord(SeenRecord):
    """A view: a record that has methods."""

    methods = ("buy", "sell", "exit", "cancel", "history", "orders")


def _seen(name: str, kind: Any) -> Any:
    """Return a field's type as a strategy sees it."""
    if name in ("reason", "kind", "tag"):
        return Word(name)
    if kind == types.uint64:
        return Word("text")
    return SeenRecord(kind) if name == "state" else kind


register_model(SeenRecord)(models.RecordModel)
register_model(ViewRecord)(models.RecordModel)


def _cast(kind: Callable[[types.Record], types.Record]) -> Any:
    """Return what lets a record be seen as one of these."""

    def typed(typing, record):
        return kind(record)(record), _unchanged

    return intrinsic(typed)


as_seen, as_view = _cast(SeenRecord), _cast(ViewRecord)


def _unchanged(context, builder, signature, args):
    return args[0]


def _borrowed(context, builder, signature, args):
    context.nrt.incref(builder, signature.return_type, args[0])
    return args[0]


@intrinsic
def _number(typing, word):
    return types.int64(word), _unchanged


def _compared(wanted: bool) -> Callable[..., Any]:
    """Return how words are compared for being equal, or for not being so."""

    def compare(left, right):
        if isinstance(left, Word) and isinstance(right, types.StringLiteral):
            number = left.number(right.literal_value)
            return lambda left, right: (_number(left) == number) == wanted
        if isinstance(left, Word) and isinstance(right, Word):
            return lambda left, right: (_number(left) == _number(right)) == wanted
        return None

    return compare


overload(operator.eq, prefer_literal=True)(_compared(True))
overload(operator.ne, prefer_literal=True)(_compared(False))


@overload(text_code, prefer_literal=True)
def _text_code(text):
    if isinstance(text, types.StringLiteral):
        code = text_code(text.literal_value)
        return lambda text: code
    if isinstance(text, Word):
        return lambda text: _number(text)
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


for _name, _function in (("buy", buy), ("sell", sell), ("exit", exit_position), ("cancel", cancel)):
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
    return array.copy(readonly=True)(array), _borrowed


@intrinsic
def _seen_rows(typing, array):
    return array.copy(dtype=SeenRecord(array.dtype), readonly=True)(array), _borrowed


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
    message = f"view.history({name!r}, …) looks back on less than one candle, or on more than history_bars = {most}"

    def look_back(view, column, bars):
        if not 0 < bars <= most:
            raise ValueError(message)
        end = view.n_past
        return _read_only(view.past[row, max(end - bars, 0) : end])

    return look_back


@overload_method(ViewRecord, "why")
def _why(view, condition, value, threshold=None):
    raise ConfigError("view.why is for strategies in Python; a kernel keeps no conditions")


def decision(
    target=KEEP, stop_distance=0.0, target_distance=0.0, stop_price=0.0, target_price=0.0,
    confidence=1.0, size_scale=1.0, score_model=0.0, score_smc=0.0, score_technical=0.0,
):  # fmt: skip
    """Return the fields of a Decision as floats: what `Decision` is in a strategy's kernel."""
    return (
        float(target), float(stop_distance), float(target_distance), float(stop_price),
        float(target_price), float(confidence), float(size_scale), float(score_model),
        float(score_smc), float(score_technical),
    )  # fmt: skip


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
