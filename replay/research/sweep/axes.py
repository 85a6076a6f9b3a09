"""
What a sweep varies: `KEY=5:50:5` (both ends included), `KEY=1h,4h,1d`, `KEY=0.1:0.9` (only drawn from), or `KEY` alone.

A key is one of the configuration, as in `--set`; `strategy.parameters.NAME` and `strategy.symbols.SYMBOL.NAME` are held to
what the strategy declares of the parameter.
"""

import hashlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from inspect import signature
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.records import SERIES_NAMES
from papertape.engine.strategies import class_of
from papertape.engine.strategies.parameters import StrategyParameter, declared_parameters
from papertape.replay.config import Config, make_config
from papertape.replay.config.fields import key_parts
from papertape.replay.config.market_settings import MarketSettings
from papertape.replay.research.trials.identity import NOT_DECIDING

PARAMETERS_PREFIX: Final = "strategy.parameters."
SYMBOLS_PREFIX: Final = "strategy.symbols."
CODE_KEYS: Final = (
    "strategy.name",
    "signals.own_features",
    "account.fee_function",
)  # of which values are code
FILE_KEYS: Final = tuple(f"data.{name}" for name in SERIES_NAMES)  # of which values are files
_MOST_VALUES: Final = 100_000  # of one axis
_LEGIBLE: Final = 1e15  # a count above it is told by its size
_DIGITS: Final = 12  # that a step's sum keeps: 0.1 + 2 · 0.1 is 0.3


class Axis(NamedTuple):
    """
    One key and what it may be: values in their order, or anything between low and high.

    is_whole  between them are whole numbers only
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    is_whole: bool = False

    @property
    def name(self) -> str:
        """Return the key without what all parameters begin with."""
        return self.key.removeprefix(PARAMETERS_PREFIX)

    @property
    def is_ordered(self) -> bool:
        """Return whether neighbours on it are like each other: numbers are, words are not."""
        return all(type(value) in (int, float) for value in self.values)

    def to_json(self) -> dict[str, Any]:
        """Return the axis as plain values."""
        if self.values:
            return {"key": self.key, "values": list(self.values)}
        return {"key": self.key, "low": self.low, "high": self.high, "is_whole": self.is_whole}


def code_in(axes: Sequence[Axis]) -> list[str]:
    """Return the strategies, features and functions for fees that axes name, of users among them as module:Name."""
    named = [value for axis in axes if axis.key in CODE_KEYS for value in axis.values]
    return [name for one in named for name in ([one] if isinstance(one, str) else one or ())]


def files_in(config: Config, axes: Sequence[Axis]) -> dict[str, str]:
    """Return the digest of every file beside the candles that is named, by its path; nothing of one that is not there."""
    data = config.data.model_dump(mode="json")
    named = [data[key.removeprefix("data.")] for key in FILE_KEYS]
    named += [value for axis in axes if axis.key in FILE_KEYS for value in axis.values]
    paths = sorted({str(path) for one in named for path in one.values()})
    return {path: _digest_of(Path(path)) for path in paths}


def parameter_in(key: str) -> tuple[str, str] | None:
    """
    Return the symbol and the name of the parameter that a key means, None for another key.

    >>> parameter_in("strategy.parameters.fast"), parameter_in("strategy.symbols.ETHUSDT.fast")
    (('', 'fast'), ('ETHUSDT', 'fast'))
    """
    if key.startswith(PARAMETERS_PREFIX):
        return "", key.removeprefix(PARAMETERS_PREFIX)
    *symbol, name = key_parts(key.removeprefix(SYMBOLS_PREFIX))
    return (".".join(symbol), name) if key.startswith(SYMBOLS_PREFIX) and symbol else None


def with_changes(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return a configuration with values by key changed, checked as a whole; raises ConfigError."""
    # What is not changed was checked before: it is taken as it is, which is most of a configuration.
    changed = {key.partition(".")[0] for key in changes}
    values = {name: getattr(config, name) for name in Config.model_fields if name not in changed}
    values |= config.model_dump(mode="json", include=changed)
    for key, value in changes.items():
        *sections, last = key_parts(key)
        place = values
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    made = make_config(values, "sweep")
    if config.strategy.made_by is None or made.strategy is config.strategy:
        return made
    chosen = made.strategy.made_with(made.strategy.name, config.strategy.made_by)
    return made.model_copy(update={"strategy": chosen})


def parse_axis(text: str, config: Config) -> Axis:
    """Return what `KEY=VALUES` says, or raise ConfigError with one sentence."""
    key, separator, said = text.partition("=")
    key, said = key.strip(), said.strip()
    if not key:
        raise ConfigError(f"--grid {text!r}: write KEY=VALUES, such as strategy.parameters.fast=5:50:5")
    if not separator:
        return _whole_range(key, config)
    return make_axis(key, said, config)


def make_axis(key: str, given: object, config: Config) -> Axis:
    """Return an axis of values, or of text as `--grid` takes it; raises ConfigError for what the key cannot be."""
    kind = _kind(key, config)
    where = f"--grid {key}={given if isinstance(given, str) else '…'}"
    if isinstance(given, str):
        parts = given.split(":")
        if len(parts) in (2, 3) and all(_is_number(part) for part in parts):
            return _checked(_span(where, key, parts, kind), config)
        values: Sequence[Any] = [_plain(_value(part.strip())) for part in given.split(",") if part.strip()]
    elif isinstance(given, Sequence):
        values = [_plain(value) for value in given]
    else:
        raise ConfigError(f"{where}: {given!r} is neither text nor a list of values")
    if key == "data.tapes":
        values = [[value] if isinstance(value, str) else list(value) for value in values]
    if kind is float:
        values = [float(v) if type(v) is int else v for v in values]
    unlike = list(dict.fromkeys(map(repr, values)))
    if not values or len(unlike) != len(values):
        raise ConfigError(f"{where}: {'a value stands twice' if values else 'it holds no value'}")
    return _checked(Axis(key, tuple(values)), config)


def _whole_range(key: str, config: Config) -> Axis:
    """Return all that a strategy declares of a parameter."""
    one = _declared(key, config)
    rule = f"--grid {key}: "
    if one is None:
        raise ConfigError(f"{rule}nothing declares its range; write {key}=LOW:HIGH:STEP")
    if one.choices or one.kind is bool:
        return Axis(key, one.choices or (False, True))
    if one.low is None or one.high is None:
        raise ConfigError(f"{rule}the strategy declares no range for it; write {key}=LOW:HIGH:STEP")
    if one.step is not None or one.kind is int:
        step = one.step if one.step is not None else 1
        return Axis(key, _steps(rule, one.low, one.high, step, one.kind is int))
    return Axis(key, (), float(one.low), float(one.high))


def _span(where: str, key: str, parts: Sequence[str], kind: type | None) -> Axis:
    """Return `low:high` or `low:high:step`."""
    whole = all(part.strip().lstrip("+-").isdigit() for part in parts) and kind is not float
    if not all(math.isfinite(float(part)) for part in parts):
        raise ConfigError(f"{where}: low, high and step are finite numbers")
    numbers: list[float] = [int(part) if whole else float(part) for part in parts]
    low, high = numbers[:2]
    if low > high:
        raise ConfigError(f"{where}: it holds no value, for {low:g} is above {high:g}")
    if len(numbers) == 2:
        return Axis(key, (), low, high, whole)
    if numbers[2] <= 0:
        raise ConfigError(f"{where}: the step {numbers[2]:g} is not above 0")
    return Axis(key, _steps(f"{where}: ", low, high, numbers[2], whole))


def _steps(where: str, low: float, high: float, step: float, whole: bool) -> tuple[Any, ...]:
    room = (float(high) - float(low)) / step + 1e-9
    if room >= _MOST_VALUES:
        told = f"{math.floor(room) + 1:,}" if room < _LEGIBLE else f"{room:.3g}"
        raise ConfigError(f"{where}{told} values are more than {_MOST_VALUES:,}; take a larger step")
    if whole:  # of whole numbers, exact beyond 2^53 too
        return tuple(range(int(low), int(high) + 1, int(step)))
    count = math.floor(room) + 1
    return tuple(round(float(low + i * step), _DIGITS) for i in range(count))


def _checked(axis: Axis, config: Config) -> Axis:
    """Return an axis of which every value is one that its key can have by itself, and another; raises ConfigError."""
    one = _declared(axis.key, config)
    meant: dict[str, Any] = {}
    for value in axis.values or (axis.low, axis.high):
        if one is not None:
            one.checked(value)
        elif parameter_in(axis.key) is None:
            known = _meant(with_changes(config, {axis.key: value}), axis.key)
            if axis.values and (other := meant.setdefault(known, value)) is not value:
                raise ConfigError(f"--grid {axis.key}: {other!r} and {value!r} are the same value")
    return axis


def _meant(config: Config, key: str) -> str:
    """Return what a configuration has for a key, as text: `True` and `true`, a day and its first minute are one."""
    found: Any = config
    for name in key_parts(key):
        found = found[name] if isinstance(found, Mapping) else getattr(found, name)
    return repr(found)


def _declared(key: str, config: Config) -> StrategyParameter | None:
    """Return what the strategy declares of a parameter, None for what is none or is only an argument."""
    found = parameter_in(key)
    if found is None:
        return None
    made_by = config.strategy.made_by or class_of(config.strategy.name)
    name, declared = found[1], declared_parameters(made_by)
    taken = [n for n in signature(made_by).parameters if n not in ("args", "kwargs")]
    if name not in declared and name not in taken:
        known = declared or taken
        hint = did_you_mean(name, known) if known else f"; {config.strategy.name} has none"
        raise ConfigError(f"{key}: unknown{hint}")
    return declared.get(name)


def _kind(key: str, config: Config) -> type | None:
    """Return the type that a key has, None where it can be several; raises ConfigError for an unknown key."""
    if key == "data.store":
        raise ConfigError("data.store: trials share one store; vary data.tapes, whose values may be files")
    if parameter_in(key) is not None:
        one = _declared(key, config)
        return one.kind if one is not None else None
    parts = key_parts(key)
    model: type[BaseModel] = Config
    annotation: Any = None
    for place, part in enumerate(parts):
        if model is Config and place == 1 and parts[0] == "markets":
            model = MarketSettings
            continue
        if part not in model.model_fields:
            known = [".".join([*parts[:place], name]) for name in model.model_fields]
            raise ConfigError(f"{key}: unknown key{did_you_mean('.'.join(parts[: place + 1]), known)}")
        annotation = model.model_fields[part].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        keys = ", ".join(f"{key}.{name}" for name in list(annotation.model_fields)[:3])
        raise ConfigError(f"{key}: it is a section; vary one of its keys, such as {keys}")
    if parts[0] in NOT_DECIDING:
        raise ConfigError(
            f"{key}: [{parts[0]}] decides nothing, so all trials would be one; vary what an account does"
        )
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType] or [annotation]
    kinds = [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]
    return kinds[0] if len(kinds) == 1 and isinstance(kinds[0], type) else None


def _digest_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # who reads it says so
        return ""


def _plain(value: Any) -> Any:
    """Return a number of numpy as Python's own, and a day or a time as text, which trials are written down as."""
    value = value.item() if hasattr(value, "item") else value
    return value.isoformat() if isinstance(value, date) else value


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
