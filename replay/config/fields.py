"""Fields that a section of the configuration and a dataclass have in common: written once, carried over by name."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import BaseModel, create_model

Section = TypeVar("Section", bound=BaseModel)


def keys_of(options: type[Any]) -> Callable[[type[Section]], type[Section]]:
    """Return what adds the fields of a dataclass to a section, after its own, with their meanings and bounds."""
    keys: dict[str, Any] = {entry.name: (entry.type, entry) for entry in fields(options)}

    def with_keys(section: type[Section]) -> type[Section]:
        about, module = section.__doc__, section.__module__
        name = section.__name__
        return create_model(name, __base__=section, __doc__=about, __module__=module, **keys)

    return with_keys


def shared(source: object, target: type[Any]) -> dict[str, Any]:
    """Return the values of a dataclass that another object has under the same names."""
    names = [entry.name for entry in fields(target)]
    return {name: getattr(source, name) for name in names if hasattr(source, name)}
