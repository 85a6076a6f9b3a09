"""What a metric definition is: plain data, from which code, documentation, dashboards and tests all read."""

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final

PREFIX: Final = "papertape_"


class MetricKind(StrEnum):
    """The kinds in use; summaries are not: their quantiles cannot be aggregated."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Scoped(StrEnum):
    """Label sets that come from the configuration: fields of `Scope`."""

    ACCOUNT = "accounts"
    CURRENCY = "currencies"
    SYMBOL = "symbols"
    BASE = "base_timeframes"
    STRATEGY = "strategy_timeframes"
    TIMEFRAME = "timeframes"
    FEED = "feeds"
    JOB = "jobs"
    WORKER = "workers"
    FEATURE = "features"
    ENDPOINT = "endpoints"  # pairs of method and route: not every method exists on every route


@dataclass(slots=True, frozen=True)
class Label:
    """
    One label, or several that vary together, and every value that it may have.

    name    several are joined by a comma
    values  a closed set, or where the configuration gives it; None: set once at the start, as `_info` families are
    """

    name: str
    values: tuple[str, ...] | Scoped | None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the label names."""
        return tuple(self.name.split(","))


@dataclass(slots=True, frozen=True)
class Definition:
    """One family: what `# HELP` and `# TYPE` say, its labels, and where it stands in the documentation."""

    name: str  # without the prefix; counters with their `_total`
    kind: MetricKind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    # a gauge whose series are there once something was measured: 0 would be a result
    is_measured: bool = False

    @property
    def full_name(self) -> str:
        """Return the name on the wire."""
        return PREFIX + self.name

    @property
    def label_names(self) -> tuple[str, ...]:
        """Return the names of all labels, in order."""
        return tuple(name for label in self.labels for name in label.names)

    @property
    def is_info(self) -> bool:
        """Return whether its label values are only known at the start."""
        return any(label.values is None for label in self.labels)


@dataclass(slots=True, frozen=True)
class Scope:
    """What the configuration says that labels need."""

    symbols: tuple[str, ...]  # as the engine has them, in its order
    base_timeframe: str
    timeframe: str
    currency: str
    feeds: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()
    workers: tuple[str, ...] = ()
    endpoints: tuple[tuple[str, str], ...] = ()
    features: tuple[str, ...] = ()  # the model's columns, as many as the budget of a family allows
    account: str = "paper"

    def values(self, scoped: Scoped) -> tuple[tuple[str, ...], ...]:
        """Return a label set; each value is a tuple, of one label nearly always."""
        if scoped is Scoped.ENDPOINT:
            return (*self.endpoints, ("other", "other"))
        frames = dict.fromkeys((self.base_timeframe, self.timeframe))
        sets = {
            Scoped.ACCOUNT: (self.account,),
            Scoped.CURRENCY: (self.currency,),
            Scoped.SYMBOL: self.symbols,
            Scoped.BASE: (self.base_timeframe,),
            Scoped.STRATEGY: (self.timeframe,),
            Scoped.TIMEFRAME: tuple(frames),
            Scoped.FEED: self.feeds,
            Scoped.JOB: self.jobs,
            Scoped.WORKER: self.workers,
            Scoped.FEATURE: self.features,
        }
        return tuple((value,) for value in sets[scoped])

    def combinations(self, definition: Definition) -> list[tuple[str, ...]]:
        """Return every combination of label values of a family, in label order; none for an info family."""
        if definition.is_info:
            return []
        choices = []
        for label in definition.labels:
            assert label.values is not None
            if isinstance(label.values, Scoped):
                choices.append(self.values(label.values))
            else:
                choices.append(tuple((value,) for value in label.values))
        return [tuple(part for group in row for part in group) for row in product(*choices)]


def counter(name: str, text: str, *labels: Label) -> Definition:
    """Return the definition of something that only grows."""
    return Definition(name, MetricKind.COUNTER, text, labels)


def gauge(name: str, text: str, *labels: Label) -> Definition:
    """Return the definition of something that goes up and down, or of the time of an event."""
    return Definition(name, MetricKind.GAUGE, text, labels)


def measured(name: str, text: str, *labels: Label) -> Definition:
    """Return the definition of a gauge that is absent until it was measured."""
    return Definition(name, MetricKind.GAUGE, text, labels, is_measured=True)


def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: Label) -> Definition:
    """Return the definition of a distribution over fixed buckets; +Inf is understood."""
    return Definition(name, MetricKind.HISTOGRAM, text, labels, buckets)
