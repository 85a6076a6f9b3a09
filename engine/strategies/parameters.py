"""
Parameters of a strategy, each declared once as a typed field of its class: `fast: int = parameter(12, low=2, high=200)`.

The declaration gives the default, the type, the range and the step; configuration, `--set`, `backtest(parameters=…)`,
result.json and `papertape config parameters` all read it, and what it does not allow is refused before anything runs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from inspect import Parameter, get_annotations, signature
from numbers import Integral, Real
from types import MappingProxyType, MemberDescriptorType
from typing import Any, Final, TypeVar

import numpy as np

from papertape.engine.errors import ConfigError, did_you_mean

T = TypeVar("T", int, float, bool, str)

# on the class, where dataclasses with slots keep it, too
_DECLARED: Final = "__declared_parameters__"
_WORDS: Final[dict[type, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
}
_CLASSES: Final = 64  # that are looked through once: a search makes thousands of one
_ON_GRID: Final = 1e-9  # of a step: how far a decimal fraction may be off by rounding


def parameter(
    default: T,
    *,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    choices: Sequence[T] = (),
    help: str = "",
) -> T:
    """
    Declare a parameter in the body of a class, a dataclass or a plain one; on an instance it is the value itself.

    low, high  both allowed; step: counted from low; choices: all that may be chosen; help: what it means, in a few words
    """
    return StrategyParameter(default, low, high, step, tuple(choices), help)  # type: ignore[return-value]


class StrategyParameter:
    """One declaration; a descriptor, so that dataclasses and plain classes check what is assigned in the same way."""

    def __init__(
        self,
        default: Any,
        low: float | None,
        high: float | None,
        step: float | None,
        choices: tuple[Any, ...],
        help: str,
    ) -> None:
        self.name = ""
        self.kind = next((k for k in _WORDS if type(default) is k), None)
        self.low, self.high, self.step, self.choices, self.help = low, high, step, choices, help
        self._refuse_nonsense(default)
        self.default = self.checked(default)

    def _refuse_nonsense(self, default: Any) -> None:
        """Raise ConfigError for a declaration that nothing could satisfy."""
        limits = [x for x in (self.low, self.high, self.step) if x is not None]
        rule = ""
        if self.kind is None:
            rule = f"{default!r} is neither a number nor text nor true or false"
        elif limits and (self.kind in (bool, str) or self.choices):
            rule = "low, high and step are for numbers without choices"
        elif any(isinstance(x, bool) or not isinstance(x, Real) for x in limits):
            rule = "low, high and step are numbers"
        elif not all(math.isfinite(x) for x in limits):
            rule = "low, high and step are finite"
        elif self.low is not None and self.high is not None and not self.low < self.high:
            rule = f"low {self.low!r} is not below high {self.high!r}"
        elif self.step is not None and (self.low is None or self.step <= 0):
            rule = "a step is above 0 and is counted from low: give low, too"
        if rule:
            raise ConfigError(f"parameter({default!r}): {rule}")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        declared = vars(owner).get(_DECLARED, {})
        setattr(owner, _DECLARED, {**declared, name: self})

    def annotate(self, said: str) -> None:
        """Take over the annotation; a whole default of a float becomes one. Raises ConfigError for another type."""
        if said == "float" and self.kind is int:
            self.kind, self.default = float, float(self.default)
        if self.kind is None or said != self.kind.__name__:
            raise ConfigError(
                f"strategy: {self.name}: {said} = parameter({self.default!r}) is not one type; a parameter is an int, a "
                "float, a bool or a str, and so is its default"
            )

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the value; on the class the default, where dataclasses look for it."""
        return self.default if instance is None else vars(instance).get(self.name, self.default)

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self.name] = self.checked(value)

    def checked(self, value: Any) -> Any:
        """Return a value as this parameter's type, or raise ConfigError with the rule and the nearest that is allowed."""
        kind = self.kind
        if kind is int and isinstance(value, Integral) and not isinstance(value, bool):
            value = int(value)
        elif kind is float and isinstance(value, Real) and not isinstance(value, bool):
            value = float(value)
        elif kind is bool and isinstance(value, bool | np.bool_):
            value = bool(value)
        elif not (kind is str and isinstance(value, str)):
            raise self._refused(value, f"is not {_WORDS[kind or str]}")
        if kind is float and not math.isfinite(value):
            raise self._refused(value, "is not a finite number")
        if self.choices and value not in self.choices:
            listed = ", ".join(map(repr, self.choices))
            raise self._refused(value, f"is none of {listed}{self._near_choice(value)}")
        if kind in (int, float):
            self._refuse_off_range(value)
        return value

    def _refuse_off_range(self, value: float) -> None:
        low, high, step = self.low, self.high, self.step
        if (low is not None and value < low) or (high is not None and value > high):
            nearest = low if low is not None and value < low else self._last()
            raise self._refused(value, f"is not {self.range}; the nearest is {_short(nearest)}")
        if step is None or low is None:
            return
        number = (value - low) / step
        if abs(number - round(number)) > _ON_GRID * max(1.0, abs(number)):
            below = low + math.floor(number) * step
            near = [x for x in (below, below + step) if high is None or x <= high]
            raise self._refused(value, f"is not {self.range}; the nearest: {' or '.join(map(_short, near))}")

    def _last(self) -> float | None:
        """Return the highest value on the grid."""
        if self.high is None or self.low is None or self.step is None:
            return self.high
        return self.low + math.floor((self.high - self.low) / self.step + _ON_GRID) * self.step

    @property
    def range(self) -> str:
        """Return what is allowed in words, empty for anything of the type."""
        if self.choices:
            return " | ".join(map(str, self.choices))
        if self.kind is bool:
            return "true | false"
        steps = f" in steps of {_short(self.step)}" if self.step is not None else ""
        if self.low is not None and self.high is not None:
            return f"between {_short(self.low)} and {_short(self.high)}{steps}"
        if self.low is not None:
            return f"at least {_short(self.low)}{steps}"
        return "" if self.high is None else f"at most {_short(self.high)}"

    def to_json(self) -> dict[str, Any]:
        """Return the declaration as plain values."""
        return {
            "name": self.name,
            "type": self.kind.__name__ if self.kind else "",
            "default": self.default,
            "low": self.low,
            "high": self.high,
            "step": self.step,
            "choices": list(self.choices),
            "help": self.help,
        }

    def _near_choice(self, value: Any) -> str:
        return did_you_mean(value, self.choices) if self.kind is str else ""

    def _refused(self, value: Any, rule: str) -> ConfigError:
        name = f"strategy.parameters.{self.name}" if self.name else f"parameter({value!r})"
        return ConfigError(f"{name}: {value!r:.80} {rule}")


def _short(value: float | None) -> str:
    """Return a number without the digits of its rounding."""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def declared_parameters(kind: Any) -> Mapping[str, StrategyParameter]:
    """
    Return what a class declares, its bases' first, in order; nothing for what is no class.

    Raises ConfigError for a field whose annotation is not the type of its default.
    """
    return _declared_by(kind) if isinstance(kind, type) else {}


@lru_cache(_CLASSES)
def _declared_by(kind: type) -> Mapping[str, StrategyParameter]:
    found: dict[str, StrategyParameter] = {}
    for owner in reversed(kind.__mro__):
        own = vars(owner)
        declared = own.get(_DECLARED, {})
        # A plain value in a derived class is a constant there.
        for name in [n for n in found if n in own and n not in declared]:
            if not isinstance(own[name], MemberDescriptorType):
                del found[name]
        for name, one in declared.items():
            said = get_annotations(owner).get(name, one.kind)
            one.annotate(said if isinstance(said, str) else getattr(said, "__name__", str(said)))
            found[name] = one
    return MappingProxyType(found)


def arguments_of(kind: Callable[..., Any]) -> Mapping[str, Parameter]:
    """Return the arguments that a strategy is made with, by name."""
    return _arguments_of(kind) if isinstance(kind, type) else signature(kind).parameters


@lru_cache(_CLASSES)
def _arguments_of(kind: type) -> Mapping[str, Parameter]:
    return signature(kind).parameters


def parameters_of(strategy: Any) -> dict[str, Any]:
    """Return the values of what a strategy's class declares, checked; raises ConfigError."""
    return {
        name: one.checked(getattr(strategy, name))
        for name, one in declared_parameters(type(strategy)).items()
    }


def with_parameters(kind: Any, given: Mapping[str, Any], taken: Mapping[str, Any]) -> Any:
    """
    Return an instance made with these parameters, or raise ConfigError.

    taken  the arguments that the class takes; parameters that it only declares stand before its `__init__` runs
    """
    declared = declared_parameters(kind)
    values, faults = dict(given), []
    for name in given:
        if name in declared:
            try:
                values[name] = declared[name].checked(given[name])
            except ConfigError as error:
                faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    ahead = {name: one for name, one in declared.items() if name not in taken}
    if not ahead:
        return kind(**values)
    made = kind.__new__(kind)
    for name, one in ahead.items():
        setattr(made, name, values.pop(name, one.default))
    made.__init__(**values)
    return made


def values_as_text(strategy: Any) -> list[str]:
    """Return a strategy's plain parameters, as text."""
    names = getattr(strategy, "__slots__", None) or vars(strategy)
    kinds = (int, float, str, bool, tuple)
    found = {name: getattr(strategy, name, None) for name in names} | parameters_of(strategy)
    return [f"{name}={value!r}" for name, value in sorted(found.items()) if isinstance(value, kinds)]
