"""Options with their meanings and bounds beside them: written once, for the engine's own check and for a configuration."""

import operator
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from numbers import Real
from typing import Any, Final

from papertape.engine.errors import ConfigError

# A bound as a configuration calls it: what holds it, and how a sentence says it.
_BOUNDS: Final = {
    "gt": (operator.gt, "above"),
    "ge": (operator.ge, "at least"),
    "lt": (operator.lt, "below"),
    "le": (operator.le, "at most"),
}

_INFINITE: Final = float("inf")


def option(default: Any, description: str, **bounds: float) -> Any:
    """Return a field of a dataclass with what it means and between which bounds it lies; MISSING: it has to be given."""
    return field(default=default, metadata={"description": description, **bounds})


def check_options(section: str, options: Any) -> None:
    """Raise ConfigError for the first option with bounds that is no finite number within them."""
    for entry in fields(options):
        value = getattr(options, entry.name)
        bounds = [name for name in _BOUNDS if name in entry.metadata]
        fault = bounds and _fault(value, entry.metadata, bounds)
        if fault:
            way_out = "" if entry.default is MISSING else f"; left out it is {entry.default:g}"
            raise ConfigError(f"{section}: {entry.name} {value} {fault}{way_out}")


def _fault(value: Any, metadata: Mapping[str, Any], bounds: list[str]) -> str:
    """Return what is wrong with a value, nothing where it is a finite number within its bounds."""
    if not isinstance(value, Real):
        return "is no number"
    for name in bounds:
        is_met, words = _BOUNDS[name]
        if not is_met(value, metadata[name]):
            return f"is not {words} {metadata[name]:g}"
    return "" if -_INFINITE < value < _INFINITE else "is not finite"  # type: ignore[operator] # numpy's are Real, too
