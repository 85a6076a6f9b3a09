"""
A feature as an object: `update(candle)` is called at every closed candle and returns its value.

    class Efficiency:
        name = "efficiency"
        state_fields = ("last", "path", ("ring", 20))   # floats, and lists of floats of a fixed length

        def update(self, candle):
            …
            return self.path

Every symbol and timeframe has a copy of its own. What it names in `state_fields` are attributes that begin as they are on
the instance, 0 by themselves, and that are saved after every candle as floats; whatever else it changes is refused.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.features.own.base import Found, NewCandles, OwnFeature, Runner, number_of
from papertape.engine.jit import FloatArray, Rows, record
from papertape.engine.user_code.raised import told
from papertape.engine.user_code.undeclared_state import StateWatch

_LONGEST_LIST: Final = 10_000  # numbers; a longer one is a mistake more often than a wish


class ClosedCandle(NamedTuple):
    """What `update` is shown: prices in quote, volume in base units; an absent candle stands flat with volume 0."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class ObjectFeature(OwnFeature):
    """The declaration of a feature that is an object."""

    def __init__(self, instance: Any) -> None:
        kind = type(instance).__name__
        name = getattr(instance, "name", None)
        if not isinstance(name, str):
            raise ConfigError(f'feature {kind}: it has no name; write name = "{kind.lower()}" in the class')
        super().__init__(name, 0, instance)
        self.lengths = _fields_of(name, getattr(instance, "state_fields", ()))
        if self.lengths:
            self.state_dtype = record(*((n, "f8", (k,)) if k else (n, "f8") for n, k in self.lengths.items()))
        self._initial = self._read(self.copy())

    @property
    def parts(self) -> Sequence[Any]:
        """Return everything beside its name that defines it."""
        return (*super().parts, self.state_dtype)

    def copy(self) -> Any:
        """Return an instance for one symbol and timeframe, with everything that it declares."""
        try:
            made = deepcopy(self.subject)
            for name, length in self.lengths.items():
                value = getattr(made, name, np.zeros(length) if length else 0.0)
                setattr(made, name, np.array(value, np.float64) if length else float(value))
        except Exception as error:  # a user's class: whatever copying it raises
            raise ConfigError(
                f"feature {self.name!r}: every symbol and timeframe needs an instance of its own, and this one cannot be "
                f"copied and given its state_fields ({error})"
            ) from error
        return made

    def _read(self, made: Any) -> Rows:
        state = np.zeros(1, self.state_dtype)
        for name, length in self.lengths.items():
            value = getattr(made, name)
            if length and value.shape != (length,):
                raise ConfigError(
                    f"feature {self.name!r}: {name} has the shape {value.shape}, not {length} numbers as in state_fields"
                )
            state[name] = value
        return state

    def initial_state(self) -> Rows:
        """Return what the instance holds in its fields."""
        return self._initial.copy()

    def start(self, words: FloatArray) -> Runner:
        """Return what asks a copy of the instance."""
        return _ObjectRunner(self, words.view(self.state_dtype))


def _fields_of(feature: str, fields: Any) -> dict[str, int]:
    """Return the fields of a state with the length of each, 0 for a number, or raise ConfigError."""
    if isinstance(fields, str):
        raise ConfigError(
            f"feature {feature!r}: state_fields = {fields!r} is one string; write ({fields!r},)"
        )
    found: dict[str, int] = {}
    for field in fields:
        name, length = field if isinstance(field, tuple) and len(field) == 2 else (field, 0)
        is_list = isinstance(field, tuple)
        is_good = isinstance(name, str) and name.isidentifier() and name not in found
        if not is_good or (is_list and not _is_length(length)):
            raise ConfigError(
                f'feature {feature!r}: state_fields {field!r} is neither a name nor ("name", how many numbers, up to '
                f"{_LONGEST_LIST:,}), each once"
            )
        found[name] = length
    return found


def _is_length(length: Any) -> bool:
    return type(length) is int and 1 <= length <= _LONGEST_LIST


class _ObjectRunner:
    """Asks one instance about one symbol on one timeframe."""

    def __init__(self, feature: ObjectFeature, state: Rows) -> None:
        self._feature, self._state = feature, state
        self._views = {name: state[name][0] for name, length in feature.lengths.items() if length}
        self._numbers = [name for name, length in feature.lengths.items() if not length]
        self._renew()

    def _renew(self) -> None:
        """Take a new instance: what the last one kept by itself would be lost at the next start anyway."""
        self._own = self._feature.copy()
        self._watch = StateWatch(self._own, tuple(self._feature.lengths))

    def update(self, new: NewCandles, line: FloatArray) -> Found:
        """Ask about one candle after the other."""
        self._load()
        found = []
        rows = new.history[:, new.first : new.last].T.tolist()
        for place, (open_ms, *prices) in enumerate(rows):
            line[place], reason = self._ask(ClosedCandle(int(open_ms), *prices))
            changed = self._watch.change(new.number + place, 1)
            if changed:
                reason = reason or (
                    f"it changed {changed}, which no snapshot finds; what lasts from candle to candle belongs in state_fields: write "
                    'state_fields = ("total", ("ring", 20)) in the class and self.total += 1 in update'
                )
                line[place] = np.nan
                self._store()
                self._watch.put_back()
                self._renew()
                self._load()
            if reason:
                found.append((place, reason))
        self._store()
        return found

    def _ask(self, candle: ClosedCandle) -> tuple[float, str]:
        """Return the value at one candle and what is wrong with it or with the state after it."""
        value = np.nan
        try:
            value, reason = number_of(self._own.update(candle))
        except (Exception, SystemExit) as error:  # the boundary to a user's code: no error of it is ours
            reason = told(error)
        wrong = self._settle() if self._feature.lengths else ""
        return (np.nan, reason or wrong) if wrong else (value, reason)

    def _settle(self) -> str:
        """Make floats of what was kept, and return what cannot be one."""
        own = self._own
        for name in self._numbers:
            value = getattr(own, name, None)
            if type(value) is not float:
                try:
                    setattr(own, name, float(value))  # type: ignore[arg-type]
                except (TypeError, ValueError, OverflowError):
                    setattr(own, name, np.nan)
                    return f"it keeps {value!r:.60} in {name}, which is no number"
        for name, kept in self._views.items():
            value = getattr(own, name, None)
            if value is kept:
                continue
            try:
                kept[:] = value
            except (TypeError, ValueError):
                return f"it keeps {value!r:.60} in {name}, which is not {len(kept)} numbers"
            finally:
                setattr(own, name, kept)
        return ""

    def _load(self) -> None:
        """Give the instance what was saved; lists are views of it."""
        for name, view in self._views.items():
            setattr(self._own, name, view)
        for name in self._numbers:
            setattr(self._own, name, float(self._state[name][0]))

    def _store(self) -> None:
        for name in self._numbers:
            self._state[name] = getattr(self._own, name)
