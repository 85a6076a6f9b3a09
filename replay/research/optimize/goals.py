"""What a search wants, a metric or a function of all of them, and what must hold for a trial to count."""

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from papertape.engine.errors import ConfigError, did_you_mean
from papertape.engine.performance import METRIC_NAMES
from papertape.replay.research.sweep.result import sign_of

Metrics = Mapping[str, float | None]
Measure = Callable[[Metrics], float | None]
# how far a trial without a value is from what must hold: farther than any that has one
MISSING: Final = 1e6


class Goal(NamedTuple):
    """
    One thing that is wanted.

    sign     1 where more of it is better, -1 where less is
    measure  None: the metric of that name; else a function of all metrics, of which more is better
    """

    name: str
    sign: int = 1
    measure: Measure | None = None

    def value(self, metrics: Metrics) -> float | None:
        """Return what a trial has of it, None for one without a finite value."""
        value = self.measure(metrics) if self.measure is not None else metrics.get(self.name)
        return float(value) if value is not None and math.isfinite(value) else None

    def to_json(self) -> dict[str, Any]:
        """Return what makes it another than any other; of a function its text."""
        if self.measure is None:
            return {"metric": self.name}
        return {"function": self.name, "text": _digest_of(self.measure)}


class Constraint(NamedTuple):
    """What must hold of a metric for a trial to count."""

    metric: str
    value: float
    is_least: bool

    def excess(self, metrics: Metrics) -> float:
        """Return by how much a trial misses it, as a share of it; 0 or less where it holds."""
        value = metrics.get(self.metric)
        if value is None:
            return MISSING
        apart = self.value - value if self.is_least else value - self.value
        return apart / (abs(self.value) or 1.0)

    def __str__(self) -> str:
        """Return it as somebody would write it."""
        return f"{self.metric} {'≥' if self.is_least else '≤'} {self.value:g}"


def make_goals(by: str | Measure | Sequence[str | Measure]) -> tuple[Goal, ...]:
    """Return what is wanted, by name of a metric or as a function; raises ConfigError for what is no goal."""
    asked = [by] if isinstance(by, str) or callable(by) else list(by)
    if not asked:
        raise ConfigError("optimize: nothing is wanted; name a metric with --by")
    found = [
        Goal(one, sign_of(one))
        if isinstance(one, str)
        else Goal(getattr(one, "__name__", type(one).__name__), 1, one)
        for one in asked
    ]
    names = [goal.name for goal in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--by {name}: it stands twice")
    return tuple(found)


def make_bounds(values: Mapping[str, float], is_least: bool) -> list[Constraint]:
    """Return what must hold of each metric; raises ConfigError for a metric or number that does not exist."""
    option = "--least" if is_least else "--most"
    for name, value in values.items():
        if name not in METRIC_NAMES:
            raise ConfigError(f"{option} {name}: no such metric{did_you_mean(name, METRIC_NAMES)}")
        if not math.isfinite(value):
            raise ConfigError(f"{option} {name}={value}: it is not a finite number")
    return [Constraint(name, float(value), is_least) for name, value in values.items()]


def parse_bounds(texts: Sequence[str], is_least: bool) -> list[Constraint]:
    """Return what `METRIC=NUMBER` says, as often as it is given; raises ConfigError for anything else."""
    option = "--least" if is_least else "--most"
    values: dict[str, float] = {}
    for text in texts:
        name, _, said = text.partition("=")
        try:
            value = float(said)
        except ValueError:
            raise ConfigError(
                f"{option} {text}: write METRIC=NUMBER, such as trades=30 or max_drawdown=-0.2"
            ) from None
        if name.strip() in values:
            raise ConfigError(f"{option} {name.strip()}: it stands twice")
        values[name.strip()] = value
    return make_bounds(values, is_least)


def _digest_of(measure: Measure) -> str:
    """Return a digest of a function's text, or of its name where it has none."""
    try:
        text = inspect.getsource(measure)
    except (OSError, TypeError):
        text = getattr(measure, "__qualname__", type(measure).__qualname__)
    return hashlib.sha256(text.encode()).hexdigest()
