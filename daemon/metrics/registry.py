"""
The live series: one object per combination of label values, all made at the start and kept.

A label value outside its closed set is a KeyError here, never a new series. Every series starts at zero because
`increase()` cannot see the first sample of a series: a counter that appears with value 1 raises no alarm. Gauges of something
measured are the exception: where 0 would be a perfect result, a series is absent until there is one.
"""

import math
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.samples import Sample

from papertape.daemon.metrics.definitions import Definition, MetricKind, Scope, Scoped

Key: TypeAlias = tuple[str, ...]
Client = TypeVar("Client", Counter, Gauge, Histogram)


class Series:
    """Every family of a catalogue on a registry of its own, with the library's process metrics."""

    def __init__(self, catalogue: Iterable[Definition], scope: Scope) -> None:
        # `_created` series would be nearly a third of all, and nobody asks for them.
        disable_created_metrics()  # type: ignore[no-untyped-call] # has no annotations
        self.scope = scope
        self.symbols = set(scope.symbols)  # those that still have series
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._definitions = {definition.name: definition for definition in catalogue}
        self._families: dict[str, Counter | Gauge | Histogram] = {}
        self._children: dict[str, dict[Key, Counter | Gauge | Histogram]] = {}
        self._allowed: dict[str, set[Key]] = {}  # of what is measured: its series to be
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        for name, definition in self._definitions.items():
            family = _make(definition, self.registry)
            self._families[name] = family
            if definition.is_measured:
                self._allowed[name] = set(scope.combinations(definition))
                self._children[name] = {}
                if not definition.labels:  # one that has no labels is there as long as it is registered
                    self.registry.unregister(family)
                continue
            self._children[name] = {
                key: family.labels(*key) if key else family for key in scope.combinations(definition)
            }

    def counters(self, name: str) -> dict[Key, Counter]:
        """Return a counter family's series by their label values, in label order."""
        return self._of(name, Counter)

    def gauges(self, name: str) -> dict[Key, Gauge]:
        """Return a gauge family's series by their label values, in label order."""
        return self._of(name, Gauge)

    def histograms(self, name: str) -> dict[Key, Histogram]:
        """Return a histogram family's series by their label values, in label order."""
        return self._of(name, Histogram)

    def measure(self, name: str, value: float | None, *key: str) -> None:
        """Set the series of something measured; None or what is no finite number: it was not measured, and is absent."""
        assert key in self._allowed[name], (name, key)
        family, children = self._families[name], self._children[name]
        assert isinstance(family, Gauge)
        if value is not None and math.isfinite(value):
            child = children.get(key) or self._shown(family, key)
            assert isinstance(child, Gauge)
            children[key] = child
            child.set(value)
        elif children.pop(key, None) is not None:
            if key:
                family.remove(*key)
            else:
                self.registry.unregister(family)

    def _shown(self, family: Gauge, key: Key) -> Gauge:
        """Return the series of something that is measured for the first time."""
        if key:
            return family.labels(*key)
        self.registry.register(family)
        return family

    def forget(self, name: str) -> None:
        """Take back everything that was measured of a family."""
        for key in list(self._children[name]):
            self.measure(name, None, *key)

    def _of(self, name: str, kind: type[Client]) -> dict[Key, Client]:
        assert isinstance(self._families[name], kind)
        return self._children[name]  # type: ignore[return-value] # children are of their family's kind

    def info(self, name: str, **values: str) -> None:
        """Set an info family's one series to 1."""
        definition, family = self._definitions[name], self._families[name]
        assert definition.is_info
        assert isinstance(family, Gauge)
        family.clear()
        family.labels(**values).set(1.0)

    def watch(self, name: str, read: Callable[[], float], *key: str) -> None:
        """Let a gauge be read anew at every scrape, for example the depth of a queue."""
        self._watched.append((self.gauges(name)[key], read))

    def refresh(self) -> None:
        """Read what is watched."""
        for child, read in self._watched:
            child.set(read())

    def remove(self, symbol: str) -> None:
        """Delete every series of a symbol that is no longer traded; its timestamps would alarm for ever."""
        self.symbols.discard(symbol)
        for name, definition in self._definitions.items():
            for index, label in enumerate(definition.labels):
                if label.values is not Scoped.SYMBOL:
                    continue
                if definition.is_measured:
                    kept = {key for key in self._allowed[name] if key[index] != symbol}
                    self._allowed[name] = kept
                gone = [key for key in self._children[name] if key[index] == symbol]
                for key in gone:
                    self._families[name].remove(*key)
                    del self._children[name][key]


def _make(definition: Definition, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    """Register one family with the client library."""
    name, text, labels = definition.full_name, definition.help, definition.label_names
    if definition.kind is MetricKind.COUNTER:
        return Counter(name, text, labels, registry=registry)
    if definition.kind is MetricKind.GAUGE:
        return Gauge(name, text, labels, registry=registry)
    kind = SignedHistogram if definition.buckets[0] < 0.0 else Histogram
    return kind(name, text, labels, registry=registry, buckets=definition.buckets)


class SignedHistogram(Histogram):
    """
    A histogram of what may be negative: its sum may fall, so OpenMetrics has none, and no count without a sum.

    How many there are is the bucket up to +Inf.
    """

    def _child_samples(self) -> Iterable[Sample]:
        return tuple(sample for sample in super()._child_samples() if sample.name != "_count")
