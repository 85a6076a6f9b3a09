# mypy: disable-error-code="no-untyped-call"
"""
A user's function as it is compiled for kernels that call it by address, with what it calls of the same package.

It is compiled with every index checked, and kept in memory only: what a function sees of its module could change without its file.
"""

import re
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final, NamedTuple

import numba

from papertape.engine.errors import ConfigError, did_you_mean

_NO_FIELD: Final = re.compile(r"Field '([^']*)' was not found in record with fields \(([^)]*)\)")


class Key(NamedTuple):
    """What is compiled once in a process: a function, in a version of it."""

    function: FunctionType
    version: str


_COMPILED: Final[dict[Key, Any]] = {}


def compiled(
    function: FunctionType,
    version: str = "",
    instead: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
) -> Any:
    """
    Return a user's function as it is compiled here, with what it calls; the same for every engine.

    version  another one is compiled anew, with what its module holds then
    instead  what stands in a kernel for something that it names
    """
    key = Key(function, version)
    if key not in _COMPILED:
        seen = dict(function.__globals__)
        copy = FunctionType(
            function.__code__, seen, function.__name__, function.__defaults__, function.__closure__
        )
        config: Any = numba.config
        is_plain = config.DISABLE_JIT
        _COMPILED[key] = (
            copy if is_plain else numba.njit(nogil=True, error_model="numpy", boundscheck=True)(copy)
        )
        # Afterwards: functions may call one another.
        for name in function.__code__.co_names:
            if name in seen:
                seen[name] = _replaced(seen[name], function, version, instead or {})
    return _COMPILED[key]


def _replaced(
    value: Any, reader: FunctionType, version: str, instead: Mapping[Callable[..., Any], Callable[..., Any]]
) -> Any:
    """Return what a name of a user's module means in a kernel: functions of the same package are compiled as well."""
    if isinstance(value, type) and value in instead:
        return instead[value]
    inner = getattr(value, "py_func", value)
    package = reader.__module__.partition(".")[0]
    if isinstance(inner, FunctionType) and inner.__module__.partition(".")[0] == package:
        return compiled(inner, version, instead)
    return value


def refused_by_compiler(error: Exception) -> str:
    """Return what the compiler says of a user's function, in a sentence."""
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
