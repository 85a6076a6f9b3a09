"""The value of a series, as a scrape would have it."""

from papertape.daemon.metrics import PREFIX, Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the value of a series that must be there."""
    found = metrics.registry.get_sample_value(PREFIX + name, labels)
    assert found is not None, f"{name} {labels}"
    return found
