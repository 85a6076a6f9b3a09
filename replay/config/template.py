"""A configuration to begin with: every section and key, with its default and what it means, all of it optional."""

import json
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from papertape.replay.config import Config

_HEAD: Final = """# Papertape: one file for `papertape replay FILE` and `papertape run FILE`.
# What is commented out stands at its default. `papertape config check FILE` finds every fault at once.
"""


def config_template() -> str:
    """Return TOML that means the defaults, with every key as a comment."""
    parts = [_HEAD]
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            parts.append(_section(name, section))
        else:
            value = next(
                arg for arg in get_args(section) if isinstance(arg, type) and issubclass(arg, BaseModel)
            )
            parts.append("# " + _section(f"{name}.BTCUSDT", value).replace("\n[", "\n# ["))
    return "\n".join(parts)


def _section(name: str, section: type[BaseModel]) -> str:
    """Return one table with its keys."""
    about = (section.__doc__ or "").strip().splitlines()[0]
    lines = [f"[{name}]  # {about}"]
    lines += [_line(key, field) for key, field in section.model_fields.items()]
    return "\n".join(lines) + "\n"


def _line(name: str, field: FieldInfo) -> str:
    """Return a key with its default and its meaning, commented out."""
    value = _toml(field.get_default(call_default_factory=True))
    about = _about(field)
    return f"# {name} = {value}".rstrip() + (f"  # {about}" if about else "")


def _about(field: FieldInfo) -> str:
    """Return what a key means, and what may stand there when that is a short list."""
    listed = " | ".join(_choices(field.annotation))
    return "; ".join(text for text in (field.description, listed) if text)


def _choices(annotation: Any) -> list[str]:
    """Return the words of a Literal, or of one that may be left out."""
    arguments = get_args(annotation)
    if arguments and all(isinstance(each, str) for each in arguments):
        return list(arguments)
    is_optional = type(None) in arguments
    return [word for each in arguments for word in _choices(each)] if is_optional else []


def _toml(value: Any) -> str:
    """Return a default as TOML; what has none is left empty, which only a comment may be."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return json.dumps(value.value)
    if isinstance(value, str | PurePath):
        return json.dumps(str(value))
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, dict):
        return (
            f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}" if value else "{}"
        )
    return str(value)
