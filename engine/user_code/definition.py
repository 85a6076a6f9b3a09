"""
A digest of what defines a function of a user: its code, what that refers to, its parameters.

Code is taken as Python has compiled it, so that comments and lines do not count and a file that was edited since it was
loaded does not mislead. Functions, kernels, classes and data of a user's modules that it names belong to it; those of
libraries and of Papertape stand for their names. Snapshots of another version of a feature are refused by this digest, and
machine code of another version of a kernel is compiled anew.
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np

_PLAIN: Final = (int, float, complex, str, bytes, bool, type(None), range, np.generic, np.dtype)
# Modules of which a value's text says all.
_SAID_WHOLLY: Final = ("datetime", "decimal", "fractions", "zoneinfo")
# Of a class: what says nothing of what it does, and what `copy` notes on it once it has copied one.
_NOT_WRITTEN: Final = ("__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__slotnames__")
_OURS: Final = ("papertape", "builtins", "numba", "numpy")


def digest_of(*parts: Any) -> str:
    """Return the digest of values with everything that they refer to."""
    written = _Definition()
    for part in parts:
        written.add(part)
    return written.digest()


class _Definition:
    """Everything in a definition, in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, Any] = {}  # keeps what it has seen, so that no number is used again

    def digest(self) -> str:
        return self._hash.hexdigest()[:16]

    def _write(self, *words: object) -> None:
        for word in words:
            self._hash.update(f"{type(word).__name__} {word!r}\n".encode())

    def add(self, value: Any) -> None:
        """Add one value with everything that it refers to."""
        if isinstance(value, _PLAIN) or type(value).__module__ in _SAID_WHOLLY:
            self._write(value)
            return
        if id(value) in self._seen:
            self._write("again")
            return
        self._seen[id(value)] = value
        function = _function_in(value)
        if isinstance(function, FunctionType):
            self._function(function)
        elif isinstance(value, CodeType):
            self._code(value)
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            self._write(value.dtype.str, value.shape, value.tobytes())
        elif isinstance(value, set | frozenset):
            self._write("set", *sorted(map(repr, value)))
        elif isinstance(value, Mapping):
            for name in value:
                self.add(name)
                self.add(value[name])
        elif isinstance(value, list | tuple):
            self._write(type(value).__name__, len(value))
            for one in value:
                self.add(one)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, partial):
            self.add((value.func, value.args, value.keywords))
        else:
            self._object(value)

    def _function(self, function: FunctionType) -> None:
        if not is_users(function.__module__):
            self._write(function.__module__, function.__qualname__)
            return
        self.add(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        names = _names_in(function.__code__)
        for cell in function.__closure__ or ():
            self._named_value(cell.cell_contents, names, set())
        for name in names:
            if name in function.__globals__:
                self._write(name)
                self._named_value(function.__globals__[name], names, set())

    def _named_value(self, value: Any, names: Sequence[str], asked: set[str]) -> None:
        """Add what code refers to; of a user's module, and those in it, what code with these names could ask of it."""
        if not isinstance(value, ModuleType):
            self.add(value)
            return
        self._write(value.__name__)
        if value.__name__ in asked or not is_users(value.__name__):
            return
        asked.add(value.__name__)
        known = vars(value)
        for name in names:
            if name in known and not _is_library_module(known[name]):
                self._write(name)
                self._named_value(known[name], names, asked)

    def _code(self, code: CodeType) -> None:
        self._write(code.co_code, code.co_argcount, code.co_kwonlyargcount, code.co_flags)
        self._write(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        for constant in code.co_consts:
            self.add(constant)

    def _class(self, kind: type) -> None:
        self._write(kind.__module__, kind.__qualname__)
        if not is_users(kind.__module__):
            return
        for base in kind.__bases__:
            self.add(base)
        for name, value in sorted(vars(kind).items()):
            if name in _NOT_WRITTEN:
                continue
            if isinstance(value, property):
                value = value.fget
            elif isinstance(value, classmethod | staticmethod):
                value = value.__func__
            elif isinstance(value, cached_property):
                value = value.func
            self._write(name)
            self.add(value)

    def _object(self, value: Any) -> None:
        """Add the class of an object, and of a user's what it holds."""
        self.add(type(value))
        if not is_users(type(value).__module__):
            return
        names = {n for kind in type(value).__mro__ for n in _slots_of(kind)}
        for name in sorted(names | set(getattr(value, "__dict__", ()))):
            if hasattr(value, name):
                self._write(name)
                self.add(getattr(value, name))


def _function_in(value: Any) -> Any:
    """Return the function of a kernel or a method, or the one that a library wraps; anything else as it is."""
    function = getattr(value, "py_func", value)
    if isinstance(function, MethodType):
        return function.__func__
    if isinstance(function, FunctionType | type) or is_users(type(function).__module__):
        return function
    return getattr(function, "__wrapped__", function)  # as of numba.vectorize and functools.cache


def _slots_of(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _names_in(code: CodeType) -> list[str]:
    """Return the names that code and the functions in it look up."""
    names = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names += _names_in(constant)
    return list(dict.fromkeys(names))


def _is_library_module(value: Any) -> bool:
    return isinstance(value, ModuleType) and not is_users(value.__name__)


def is_users(module: str | None) -> bool:
    """Return whether a module is neither ours nor Python's nor a library's."""
    top = (module or "").partition(".")[0]
    if top in _OURS or (top in sys.stdlib_module_names and top != "__main__"):
        return False
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return not is_library(file)


def is_library(file: str) -> bool:
    """Return whether a file was installed, and is nobody's to edit."""
    return "site-packages" in file or "dist-packages" in file
