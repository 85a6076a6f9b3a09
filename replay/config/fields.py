"""Fields that a section of the configuration and a dataclass have in common: written once, carried over by name; times."""

import contextlib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar

from pydantic import BaseModel, Field, create_model

from papertape.engine.errors import ConfigError

IN_QUOTES: Final = 'a symbol with a dot in it stands in quotes, as in markets."BRK.B".tick_size'

Section = TypeVar("Section", bound=BaseModel)


def key_parts(key: str) -> list[str]:
    """
    Return the parts of a key; one with dots of its own stands in quotes, as in TOML. Raises ConfigError.

    >>> key_parts("account.capital"), key_parts('markets."BRK.B".tick_size')
    (['account', 'capital'], ['markets', 'BRK.B', 'tick_size'])
    """
    if not {'"', "'"} & set(key):
        return key.split(".")
    try:
        rest: Any = tomllib.loads(f"{key} = 0")
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{key}: {IN_QUOTES}; write the others without") from error
    parts: list[str] = []
    while isinstance(rest, dict):
        part, rest = rest.popitem()
        parts.append(part)
    return parts


def key_part(name: str) -> str:
    """Return a name as a part of a key: in quotes where it has a dot."""
    return f'"{name}"' if "." in name else name


def keys_of(options: type[Any]) -> Callable[[type[Section]], type[Section]]:
    """
    Return what adds the fields of a dataclass to a section, after its own, with their meanings and bounds.

    A field that the section has by itself stays as it is there.
    """
    entries = fields(options)

    def with_keys(section: type[Section]) -> type[Section]:
        about, module = section.__doc__, section.__module__
        own = section.model_fields
        keys: dict[str, Any] = {e.name: (e.type, e) for e in entries if e.name not in own}
        name = section.__name__
        return create_model(name, __base__=section, __doc__=about, __module__=module, **keys)

    return with_keys


def unsaid(options: type[Any], name: str) -> Any:
    """Return a key that may be left out, with the meaning and the bounds that a field of a dataclass has."""
    (entry,) = (entry for entry in fields(options) if entry.name == name)
    return Field(None, **entry.metadata)


def shared(source: object, target: type[Any]) -> dict[str, Any]:
    """Return the values of a dataclass that another object has under the same names."""
    names = [entry.name for entry in fields(target)]
    return {name: getattr(source, name) for name in names if hasattr(source, name)}


def truths_for_numbers(given: Any, made: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every number that was given as true or false, which count as 1 and 0: `risk_fraction = true`."""
    if isinstance(given, bool):
        if isinstance(made, int | float) and not isinstance(made, bool):
            yield path
    elif isinstance(given, Mapping):
        for key, value in given.items():
            part = made.get(key) if isinstance(made, Mapping) else getattr(made, str(key), None)
            yield from truths_for_numbers(value, part, f"{path}.{key}" if path else str(key))
    elif isinstance(given, list | tuple) and isinstance(made, list | tuple):
        for place, (value, part) in enumerate(zip(given, made, strict=False)):
            yield from truths_for_numbers(value, part, f"{path}.{place}")


@contextlib.contextmanager
def about_symbol(symbol: str) -> Iterator[None]:
    """Let faults of a strategy's parameters be told of those of a symbol."""
    where, of_all = f"strategy.symbols.{symbol}", "strategy.parameters."
    try:
        yield
    except ConfigError as error:
        lines = [
            f"{where}.{line.removeprefix(of_all)}" if line.startswith(of_all) else f"{where}: {line}"
            for line in str(error).splitlines()
        ]
        raise ConfigError("\n".join(lines)) from error


def utc_time(value: Any, *, is_end: bool) -> datetime:
    """Return a date or time as a UTC time; ValueError for anything else, numbers above all."""
    if isinstance(value, str):
        text = value.strip().replace("Z", "+00:00")
        for parse in (date.fromisoformat, datetime.fromisoformat):
            with contextlib.suppress(ValueError):
                value = parse(text)
                break
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        clock = (23, 59, 59, 999_000) if is_end else (0, 0, 0, 0)
        return datetime(value.year, value.month, value.day, *clock, tzinfo=UTC)
    what = "a bare number, which could be anything" if isinstance(value, int | float) else "no date"
    raise ValueError(f'{value!r} is {what}; write a day or a time like "2023-01-30" or "2023-01-30T13:00"')
