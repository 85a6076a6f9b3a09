"""Every family that the daemon exposes, and the table of them for the documentation."""

from collections.abc import Sequence
from typing import Final

from papertape.daemon.metrics.definitions import PREFIX, Definition, Label, MetricKind, Scoped
from papertape.daemon.metrics.drift_families import DRIFT_FAMILIES
from papertape.daemon.metrics.model_families import MODEL_FAMILIES
from papertape.daemon.metrics.operation_families import FEED_FAMILIES, PARITY_FAMILIES, RUNTIME_FAMILIES
from papertape.daemon.metrics.trading_families import ACCOUNT_FAMILIES, DECISION_FAMILIES

AREAS: Final[dict[str, tuple[Definition, ...]]] = {
    "Account, positions and trades": ACCOUNT_FAMILIES,
    "Signals, decisions, execution and risk": DECISION_FAMILIES,
    "Model, calibration and retraining": MODEL_FAMILIES,
    "Drift": DRIFT_FAMILIES,
    "Feed and candles": FEED_FAMILIES,
    "Parity with the backtest engine": PARITY_FAMILIES,
    "Runtime, storage, jobs and API": RUNTIME_FAMILIES,
}
CATALOGUE: Final[tuple[Definition, ...]] = tuple(
    definition for families in AREAS.values() for definition in families
)

FAMILY_BUDGET: Final = 150


def exposed_features(columns: Sequence[str], n_symbols: int) -> tuple[str, ...]:
    """Return the columns that become label values: the first ones, as many as the budget of a family allows."""
    return tuple(columns[: FAMILY_BUDGET // n_symbols])


def markdown() -> str:
    """Return the catalogue as Markdown tables, one per area, for the documentation."""
    lines: list[str] = []
    for area, families in AREAS.items():
        lines += [f"### {area}", "", "| Name | Type | Labels | Meaning |", "|---|---|---|---|"]
        lines += [_row(definition) for definition in families]
        lines.append("")
    return "\n".join(lines)


def _row(definition: Definition) -> str:
    """Return one line of the table; a closed set is written out."""
    kind = definition.kind.value
    if definition.kind is MetricKind.HISTOGRAM:
        first, last = definition.buckets[0], definition.buckets[-1]
        kind = f"histogram, {len(definition.buckets)} buckets from {first:g} to {last:g}"
    labels = "; ".join(_label(label) for label in definition.labels) or "–"
    return f"| `{PREFIX}{definition.name}` | {kind} | {labels} | {definition.help} |"


def _label(label: Label) -> str:
    """Return a label and its values."""
    names = ", ".join(f"`{name}`" for name in label.names)
    if label.values is None or isinstance(label.values, Scoped):
        return names
    return f"{names}: {', '.join(label.values)}"
