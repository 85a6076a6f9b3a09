"""Options with their meanings and bounds beside them: written once, for the engine's own check and for a configuration."""

import operator
from dataclasses import field, fields
from typing import Any, Final

from papertape.engine.errors import ConfigError

# A bound as a configuration calls it: what holds it, and how a sentence says it.
_BOUNDS: Final = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
}


def option(default: Any, description: str, **bounds: float) -> Any:
    """Return a field of a dataclass with what it means and between which bounds it lies."""
    return field(default=default, metadata={"description": description, **bounds})


def check_options(section: str, options: Any) -> None:
    """Raise ConfigError for the first option that is not within its bounds; NaN is within none."""
    for entry in fields(options):
        value = getattr(options, entry.name)
        for name in _BOUNDS.keys() & entry.metadata.keys():
            is_met, words = _BOUNDS[name]
            if not is_met(value, entry.metadata[name]):
                raise ConfigError(
                    f"{section}: {entry.name} {value} is not {words} {entry.metadata[name]:g}"
                )
