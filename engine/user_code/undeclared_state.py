"""
Whether code of a user keeps something where no snapshot finds it: on itself, on its class, or in its module.

What lasts from one candle to the next belongs in `state_fields`. Anything else would be lost when a daemon starts again,
shared by runs that must not know of one another, and mixed up between symbols; so a change is noticed at the candle that
makes it, and refused there. Looked at are the attributes of a strategy or feature, the data of its classes, and those
variables of its module that its methods name; of a function its attributes, defaults and closure, too.
`functools.cached_property` may fill itself.

What cannot be seen: closures of methods, files, and what libraries keep in machine code.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cached_property, partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

import numpy as np


class Fixed:
    """Base of what never changes after it was made, and so need not be looked into."""


_PLAIN: Final = (int, float, complex, str, bytes, type(None), np.generic)
_FIXED: Final = (*_PLAIN, type, FunctionType, BuiltinFunctionType, ModuleType, np.dtype, range, Fixed)
_DATA: Final = (*_PLAIN, tuple, frozenset, list, dict, set, deque, bytearray, np.ndarray)
_OURS: Final = ("builtins", "abc", "typing", "papertape")
_LARGE: Final = 1_000  # plain values: what holds more is compared as a whole only at …
_WHOLE_EVERY: Final = 256  # … one candle of these, and by its length at the others
_MISSING: Final = object()
_EMPTY: Final = CellType()  # of a variable that has no value yet


class _Picture:
    """
    Everything in a value, in order: what it is compared by.

    size  about how many plain values that are; -1 when it cannot be looked into
    """

    def __init__(self, value: Any) -> None:
        self.leaves: list[Any] = []
        self.size = 0
        self._seen: dict[int, tuple[int, Any]] = {}  # keeps what it has seen, so that no number is used again
        try:
            self._add(value)
        except Exception:  # whatever a user's class raises when it is asked what it is made of
            self.leaves, self.size = [], -1

    def _add(self, value: Any) -> None:
        if isinstance(value, _PLAIN):
            self._leaf(value, 1)
        elif isinstance(value, _FIXED):
            self._leaf(id(value), 1)
        elif id(value) in self._seen:
            self._leaf(self._seen[id(value)][0], 1)
        else:
            self._seen[id(value)] = (len(self._seen), value)
            self._leaf(type(value), 1)
            self._open(value)

    def _open(self, value: Any) -> None:
        """Add what a container or an object holds."""
        if isinstance(value, set | frozenset):
            self._leaf(frozenset(value), len(value))
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            self._leaf((value.dtype.str, value.shape, value.tobytes()), value.size)
        elif isinstance(value, bytearray):
            self._leaf(bytes(value), len(value))
        elif isinstance(value, dict):
            self._each(value.keys())
            self._each(value.values())
        elif isinstance(value, list | tuple | deque):
            self._each(value)
        else:
            self._object(value)

    def _object(self, value: Any) -> None:
        """Add what an object says that it could be made again from; one that says nothing stands for itself."""
        try:
            parts = value.__reduce_ex__(4)
        except TypeError:  # a lock, a generator, an open file
            self._leaf(id(value), 1)
            return
        for part in parts if isinstance(parts, tuple) else ():
            if isinstance(part, Iterator):
                self._each(part)
            else:
                self._add(part)

    def _each(self, values: Iterable[Any]) -> None:
        count = 0
        for value in values:
            self._add(value)
            count += 1
        self._leaf(count, 0)

    def _leaf(self, value: Any, size: int) -> None:
        self.leaves.append(value)
        self.size += size


class _Kept(NamedTuple):
    """One value as it was: whose, its name, where it is read; its picture and length if it can change in place."""

    label: str
    name: str
    values: Mapping[str, Any]
    was: Any
    picture: _Picture | None
    length: int

    def is_changed(self, is_whole: bool) -> bool:
        """Return whether the name has another value, or the value another content."""
        now = self.values.get(self.name, _MISSING)
        if now is not self.was:
            is_same = type(now) is type(self.was) and isinstance(now, _PLAIN) and now == self.was
            return not is_same
        if self.picture is None:
            return False
        if self.picture.size > _LARGE and not is_whole:
            return _length(now) != self.length
        return _Picture(now).leaves != self.picture.leaves


class StateWatch:
    """
    Watches one strategy or feature for what a snapshot would not find.

    declared  attributes that it may change, since they are saved
    """

    def __init__(self, strategy: Any, declared: Sequence[str] = ()) -> None:
        kind = type(strategy)
        self._own = vars(strategy) if hasattr(strategy, "__dict__") else _Slots(strategy)
        self._n_own = len(self._own)
        self._lazy = {n for c in kind.__mro__ for n, v in vars(c).items() if isinstance(v, cached_property)}
        self._lazy |= set(declared)
        is_function = isinstance(strategy, FunctionType)
        self._label = strategy.__name__ if is_function else "self"
        self._kept = [_kept(self._label, name, self._own) for name in self._own if name not in declared]
        # What outlives the instance, how to put it back, and a copy of what it held.
        self._lasting: list[tuple[Callable[[Any], None], Any, Any]] = []
        for label, name, values, put in _of_function(strategy) if is_function else _shared(kind):
            self._kept.append(_kept(label, name, values))
            self._lasting.append((put, values[name], _copy(values[name])))

    def change(self, time_ms: int, length_ms: int) -> str:
        """
        Return the name of what the strategy has changed since it was made, empty for nothing.

        Which candle looks how closely goes by its time, so that no batching makes a difference.
        """
        is_whole = time_ms // length_ms % _WHOLE_EVERY == 0
        if len(self._own) != self._n_own:
            known = {kept.name for kept in self._kept if kept.values is self._own}
            for name in self._own:
                if name not in known and name not in self._lazy:
                    return f"{self._label}.{name}"
        for kept in self._kept:
            # Looked at here first: this runs at every candle, and nearly all that is kept is plain.
            is_same = kept.picture is None and kept.values.get(kept.name, _MISSING) is kept.was
            if not is_same and kept.is_changed(is_whole):
                return f"{kept.label}.{kept.name}"
        return ""

    def put_back(self) -> None:
        """
        Give classes and modules what they had; the instance is for its engine to replace.

        They are given the very object, with its content, for others may watch it as well.
        """
        for put, value, copy in self._lasting:
            _fill(value, _copy(copy))
            put(value)


class _Slots(Mapping[str, Any]):
    """The attributes of an instance without a dictionary."""

    def __init__(self, strategy: Any) -> None:
        kinds = type(strategy).__mro__
        listed = (vars(kind).get("__slots__", ()) for kind in kinds)
        self._strategy = strategy
        self._names = [n for slots in listed for n in ((slots,) if isinstance(slots, str) else slots)]

    def __getitem__(self, name: str) -> Any:
        return getattr(self._strategy, name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._names if hasattr(self._strategy, name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute; Mapping's own method knows no AttributeError."""
        return getattr(self._strategy, name, default)


def _kept(label: str, name: str, values: Mapping[str, Any]) -> _Kept:
    """Return a value as it is now."""
    value = values[name]
    if _is_fixed(value):
        return _Kept(label, name, values, value, None, 0)
    return _Kept(label, name, values, value, _Picture(value), _length(value))


def _is_fixed(value: Any) -> bool:
    """Return whether a value cannot change in place."""
    if isinstance(value, tuple | frozenset):
        return all(_is_fixed(item) for item in value)
    return isinstance(value, _FIXED)


def _length(value: Any) -> int:
    return len(value) if hasattr(value, "__len__") else 0


def _copy(value: Any) -> Any:
    """Return a copy that later changes do not reach, or the value where none can be made."""
    try:
        return deepcopy(value)
    except Exception:  # as above: a user's class may refuse in any way
        return value


def _fill(value: Any, held: Any) -> None:
    """Let a container hold again what a copy of it holds."""
    if isinstance(value, (dict, set)):
        value.clear()
        value.update(held)
    elif isinstance(value, deque):
        value.clear()
        value.extend(held)
    elif isinstance(value, list | bytearray):
        value[:] = held
    elif isinstance(value, np.ndarray) and value.shape == held.shape and value.flags.writeable:
        value[...] = held
    elif isinstance(value, tuple):
        for inner, was in zip(value, held, strict=True):
            _fill(inner, was)


def _shared(kind: type) -> Iterator[tuple[str, str, Mapping[str, Any], Callable[[Any], None]]]:
    """Yield the data that outlives an instance: label, name, where it is read, and what puts a value there."""
    for owner in kind.__mro__:
        if owner.__module__.partition(".")[0] in _OURS:
            continue
        for name, value in vars(owner).items():
            if not name.startswith("__") and isinstance(value, _DATA):
                yield owner.__name__, name, vars(owner), _setter(owner, name)
        functions = [value for value in vars(owner).values() if isinstance(value, FunctionType)]
        if functions:
            yield from _of_module(owner.__module__, functions)


def _of_module(
    label: str, functions: list[FunctionType]
) -> Iterator[tuple[str, str, Mapping[str, Any], Callable[[Any], None]]]:
    """Yield the data of their module that functions name."""
    found = functions[0].__globals__
    for name in sorted(_named(functions, found)):
        yield label, name, found, _item_setter(found, name)


def _of_function(
    function: FunctionType,
) -> Iterator[tuple[str, str, Mapping[str, Any], Callable[[Any], None]]]:
    """Yield what outlives a call: the module's data that it names, its defaults, its closure."""
    yield from _of_module(function.__module__, [function])
    held = _Held(function)
    for name in held:
        yield function.__name__, name, held, partial(held.put, name)


class _Held(Mapping[str, Any]):
    """The defaults of a function and what its closure holds, by name."""

    def __init__(self, function: FunctionType) -> None:
        self._function = function
        self._cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def __getitem__(self, name: str) -> Any:
        if name in self._cells:
            return self._cells[name].cell_contents
        return getattr(self._function, name)

    def __iter__(self) -> Iterator[str]:
        yield from ("__defaults__", "__kwdefaults__")
        yield from (name for name, cell in self._cells.items() if cell != _EMPTY)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def put(self, name: str, value: Any) -> None:
        """Give back what was held."""
        if name in self._cells:
            self._cells[name].cell_contents = value
        else:
            setattr(self._function, name, value)


def _setter(owner: type, name: str) -> Callable[[Any], None]:
    return lambda value: setattr(owner, name, value)


def _item_setter(values: dict[str, Any], name: str) -> Callable[[Any], None]:
    return lambda value: values.__setitem__(name, value)


def _named(functions: list[FunctionType], found: Mapping[str, Any]) -> set[str]:
    """Return the module's data that functions name, themselves or through other functions of the module."""
    names: set[str] = set()
    seen: set[CodeType] = set()
    waiting = [function.__code__ for function in functions]
    while waiting:
        code = waiting.pop()
        if code in seen:
            continue
        seen.add(code)
        waiting += [const for const in code.co_consts if isinstance(const, CodeType)]
        for name in code.co_names:
            value = found.get(name, _MISSING)
            if isinstance(value, FunctionType) and value.__globals__ is found:
                waiting.append(value.__code__)
            elif isinstance(value, _DATA) and not name.startswith("__"):
                names.add(name)
    return names
