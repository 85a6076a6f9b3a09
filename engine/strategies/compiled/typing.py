# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call, arg-type, call-arg"
"""
What the compiler takes a strategy's records for: some numbers are words, and a view has methods.

`order.tag == "part"` and `fill.reason == "stop"` compare numbers: the word is looked up when the strategy is compiled.
A text in a call is its number from then on, too, so no kernel handles text.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from papertape.engine.broker.working.orders import KIND_NAMES
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.strategies.compiled.records import REASON_CODES, text_number
from papertape.engine.strategies.compiled.view import text_code


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

    methods = ("buy", "sell", "exit", "hold", "cancel", "history", "orders", "why")


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
        return kind(record)(record), unchanged

    return intrinsic(typed)


as_seen, as_view = _cast(SeenRecord), _cast(ViewRecord)


def unchanged(context, builder, signature, args):
    return args[0]


def borrowed(context, builder, signature, args):
    context.nrt.incref(builder, signature.return_type, args[0])
    return args[0]


@intrinsic
def number_of(typing, word):
    return types.int64(word), unchanged


def _compared(wanted: bool) -> Callable[..., Any]:
    """Return how words are compared for being equal, or for not being so."""

    def compare(left, right):
        if isinstance(left, Word) and isinstance(right, types.StringLiteral):
            number = left.number(right.literal_value)
            return lambda left, right: (number_of(left) == number) == wanted
        if isinstance(left, Word) and isinstance(right, Word):
            return lambda left, right: (number_of(left) == number_of(right)) == wanted
        return None

    return compare


overload(operator.eq, prefer_literal=True)(_compared(True))
overload(operator.ne, prefer_literal=True)(_compared(False))
