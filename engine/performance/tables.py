"""
Trades broken down by a label: one row per label, the same columns in every table.

    name  trades  pnl_quote  win_rate  profit_factor  expectancy_quote  average_duration_s

A row without trades, or a profit factor without a loss, has None.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.performance.attribution import COMPONENTS, attribution
from papertape.engine.performance.metrics import quotient
from papertape.engine.performance.regimes import REGIME_NAMES
from papertape.engine.performance.trading import durations_s, total_quote
from papertape.engine.records import REASON_NAMES, UNITS_PER_QUOTE

TableRow = dict[str, str | int | float | None]

CONFIDENCE_EDGES: Final = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CONFIDENCE_NAMES: Final = tuple(f"{low:g} to {high:g}" for low, high in pairwise(CONFIDENCE_EDGES))
_SIDES: Final = ("long", "short")


def breakdown(
    trades: Rows, labels: npt.ArrayLike, order: Sequence[str] = (), units_per_quote: float = UNITS_PER_QUOTE
) -> list[TableRow]:
    """
    Return one row per label.

    labels  one per trade
    order   labels that have a row in any case, in this order; others follow by name
    """
    keys = np.asarray(labels, dtype=np.str_)
    assert len(keys) == len(trades)
    names = [*order, *sorted(set(keys.tolist()).difference(order))]
    lengths = durations_s(trades)
    return [_row(name, trades["pnl"][keys == name], lengths[keys == name], units_per_quote) for name in names]


def breakdowns(
    trades: Rows,
    symbols: Sequence[str],
    regime_codes: IntArray | None = None,
    units_per_quote: float = UNITS_PER_QUOTE,
) -> dict[str, list[TableRow]]:
    """Return every table of a result by what its rows are; regimes only where their codes are given."""
    found = {
        "component": by_component(trades, units_per_quote),
        "confidence": by_confidence(trades, units_per_quote),
        "side": by_side(trades, units_per_quote),
        "exit_reason": by_exit_reason(trades, units_per_quote),
        "symbol": by_symbol(trades, symbols, units_per_quote),
    }
    if regime_codes is None:
        return found
    return {**found, "regime": by_regime(trades, regime_codes, units_per_quote)}


def by_component(trades: Rows, units_per_quote: float = UNITS_PER_QUOTE) -> list[TableRow]:
    """Return the profit by component of the score; a trade is in the row of every component that has a part of it."""
    lengths = durations_s(trades)
    columns = attribution(trades)
    return [
        _row(c, columns[c][columns[c] != 0], lengths[columns[c] != 0], units_per_quote) for c in COMPONENTS
    ]


def by_confidence(trades: Rows, units_per_quote: float = UNITS_PER_QUOTE) -> list[TableRow]:
    """Return trades by the decision's confidence; a bucket holds its lower edge, the last one both."""
    bucket = np.searchsorted(CONFIDENCE_EDGES[1:-1], trades["confidence"], side="right")
    labels = np.array(CONFIDENCE_NAMES)[bucket]
    return breakdown(trades, labels, CONFIDENCE_NAMES, units_per_quote)


def by_side(trades: Rows, units_per_quote: float = UNITS_PER_QUOTE) -> list[TableRow]:
    """Return long and short trades."""
    labels = np.where(trades["side"] < 0, "short", "long")
    return breakdown(trades, labels, _SIDES, units_per_quote)


def by_exit_reason(trades: Rows, units_per_quote: float = UNITS_PER_QUOTE) -> list[TableRow]:
    """Return trades by why they ended, in the order of the reasons' numbers."""
    return _by_code(trades, trades["exit_reason"], REASON_NAMES, units_per_quote)


def by_symbol(
    trades: Rows, symbols: Sequence[str], units_per_quote: float = UNITS_PER_QUOTE
) -> list[TableRow]:
    """Return trades by symbol; every symbol has a row."""
    return breakdown(trades, np.array(symbols)[trades["symbol"]], symbols, units_per_quote)


def by_regime(trades: Rows, codes: IntArray, units_per_quote: float = UNITS_PER_QUOTE) -> list[TableRow]:
    """Return trades by the regime in which they were decided, one code of REGIME_NAMES per trade."""
    return _by_code(trades, codes, REGIME_NAMES, units_per_quote)


def _by_code(
    trades: Rows, codes: IntArray, names: Mapping[int, str], units_per_quote: float
) -> list[TableRow]:
    """Return one row for every code that occurs, in the order of the names."""
    found, places = np.unique(codes, return_inverse=True)
    labels = [names[code] for code in found.tolist()]
    order = [name for name in names.values() if name in labels]
    return breakdown(trades, np.array(labels, np.str_)[places], order, units_per_quote)


def _row(name: str, pnl: IntArray, lengths: FloatArray, units_per_quote: float) -> TableRow:
    """Return one row of a table from profits in money units and durations in seconds."""
    n = len(pnl)
    total = total_quote(pnl, units_per_quote)
    return {
        "name": name,
        "trades": n,
        "pnl_quote": total,
        "win_rate": quotient(int((pnl > 0).sum()), n),
        "profit_factor": quotient(
            total_quote(pnl[pnl > 0], units_per_quote), -total_quote(pnl[pnl < 0], units_per_quote)
        ),
        "expectancy_quote": quotient(total, n),
        "average_duration_s": float(lengths.mean()) if n else None,
    }
