"""
Columns of the journal as readers get them: names for codes, quote for units of money, text for tags, null for NaN.

What a column holds follows from the record that its table keeps (`papertape.daemon.journal.tables`); only codes have to
be told here.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from papertape.daemon.journal.tables import MONEY, ReportTable
from papertape.engine.broker.working.orders import CAUSE_NAMES, LEVEL_NAMES, STATUS_NAMES, tag_text
from papertape.engine.broker.working.orders import KIND_NAMES as ORDER_NAMES
from papertape.engine.features.smc.events import KIND_NAMES, SCALE_NAMES
from papertape.engine.records import LIMIT_NAMES, REASON_NAMES, REFUSED_NAMES, UNTIL_RESUMED

MOST_DETAIL: Final = 32_768  # characters of JSON that one row may bring

TARGETS: Final = {-1: "short", 0: "flat", 1: "long", 2: "keep"}
_SIDES: Final = {-1: "sell", 0: "", 1: "buy"}
_POSITIONS: Final = {-1: "short", 1: "long"}
# Codes of a table's columns and what they mean.
_NAMES: Final[Mapping[str, Mapping[str, Mapping[int, str]]]] = {
    "decisions": {"target": TARGETS, "refused": REFUSED_NAMES},
    "fills": {"reason": REASON_NAMES, "side": _SIDES},
    "trades": {"exit_reason": REASON_NAMES, "side": _POSITIONS},
    "orders": {
        "status": STATUS_NAMES,
        "cause": {**REFUSED_NAMES, **CAUSE_NAMES},
        "kind": {0: "move", **ORDER_NAMES, **LEVEL_NAMES},
        "side": _SIDES,
    },
    "limits": {"limit": LIMIT_NAMES},
    "events": {"kind": KIND_NAMES, "scale": SCALE_NAMES},
}


class Column(NamedTuple):
    """A column of a table: its name, the type that readers get, how a stored value becomes one, and whether it is money."""

    name: str
    kind: Any
    shown: Callable[[Any], Any] | None = None
    is_money: bool = False


def report_columns(table: ReportTable) -> tuple[Column, ...]:
    """Return the columns of a table that keeps a stream of reports."""
    names = _NAMES.get(table.name, {})
    return (Column("input", int), *(_column(table, name, names) for name in table.fields))


def _column(table: ReportTable, name: str, names: Mapping[str, Mapping[int, str]]) -> Column:
    if name in names:
        meanings = names[name]
        return Column(name, str, lambda code: meanings.get(code, str(code)))
    kind = table.record[name]
    if kind.shape:
        return Column(name, str, lambda value: bytes(value).hex())
    if name == "symbol":
        return Column(name, str)
    if name == "tag" and table.name != "events":
        return Column(name, str, tag_text)
    if kind.kind == "f":
        return Column(name, float | None)
    if name in MONEY:
        return Column(name, float, is_money=True)
    if name == "until_ms":
        return Column(name, int | None, lambda value: None if value == UNTIL_RESUMED else value)
    return Column(name, int)


def detail(text: str) -> Any:
    """Return what a column of JSON holds, or how long it is where it is too long for a list."""
    if len(text) > MOST_DETAIL:
        return {"left_out_characters": len(text)}
    try:
        return json.loads(text)
    except ValueError:
        return {"text": text}
