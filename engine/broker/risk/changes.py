"""
A market that becomes another while an account trades it: what cannot change, and what is reported of the rest.

Everything that is decided, priced, sized or paid later follows what holds then. What is there already keeps what it was made
with: orders that rest, stops and targets their prices and sizes, which venues go on matching off a new grid, and a position the
margin that it stands on. What must be maintained of that margin is as the venue asks from now on. What is held in part of a
new lot is closed as a whole, or as far as whole lots go.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import Row, Rows
from papertape.engine.records import CHANGE, MARKET_FIGURES

TABLES: Final = {"tier": "fee_tiers", "bracket": "brackets"}  # by how the names of their columns begin


class Changed(NamedTuple):
    """What changed of a market at a time, as people read it: "tick_size 0.5 → 1, brackets"."""

    time_ms: int
    symbol: str
    what: str


def refuse_other_market(symbol: str, before: Row, after: Row) -> None:
    """Raise DataError where one MARKET record cannot follow the other."""
    where = f"market change of {symbol}"
    kinds = ("spot", "a perpetual")
    if before.is_perpetual != after.is_perpetual:
        raise DataError(
            f"{where}: {kinds[before.is_perpetual]} cannot become {kinds[after.is_perpetual]}; that is another market"
        )
    if before.contract_value != after.contract_value:
        raise DataError(
            f"{where}: a contract of {before.contract_value:g} cannot become one of {after.contract_value:g}: what is held "
            "would be something else; that is another market"
        )
    if (before.leverage > 0.0) is not (after.leverage > 0.0):
        raise DataError(
            f"{where}: leverage {before.leverage:g} cannot become {after.leverage:g}: positions have margin from the start of a "
            "run, or never"
        )


def changes_of(account: Row, time_ms: int, symbol: int, before: Row, after: Row) -> Rows:
    """Return a CHANGE record for each figure in which two MARKET records differ, numbered on."""
    found = []
    has_tiers = max(before.n_tiers, after.n_tiers) > 1
    for figure, name in enumerate(MARKET_FIGURES):
        if name.startswith("tier_") and not has_tiers:
            continue  # one row, which is the rates themselves
        old, new = np.atleast_1d(before[name]), np.atleast_1d(after[name])
        found += [
            (0, time_ms, symbol, figure, place, old[place], new[place])
            for place in np.flatnonzero(old != new).tolist()
        ]
    changes = np.array(found, CHANGE)
    changes["sequence"] = account.sequence + np.arange(len(found))
    account.sequence += len(found)
    return changes


def told(changes: Rows, symbols: Sequence[str]) -> list[Changed]:
    """Return CHANGE records as people read them, one for each market and time; of a table its name alone."""
    found: dict[tuple[int, int], list[str]] = {}
    for row in changes:
        name = MARKET_FIGURES[row["figure"]]
        table = TABLES.get(name.partition("_")[0])
        said = table or f"{name} {float(row['before']):.9g} → {float(row['after']):.9g}"
        parts = found.setdefault((int(row["time_ms"]), int(row["symbol"])), [])
        if said not in parts:
            parts.append(said)
    return [Changed(time_ms, symbols[symbol], ", ".join(parts)) for (time_ms, symbol), parts in found.items()]
