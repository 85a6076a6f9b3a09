"""
What protected an account and what it paid beside its trades, for the report's page: each with its time and its reason.

    closed   positions that a limit, a liquidation, a ruin, a command or a delisting ended
    locked   limits that were met
    refused  entries and orders that were not allowed, and orders that ended because of a limit
    funding  every settlement that a position paid or received
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.broker.working.orders import CANCELLED, CAUSE_NAMES, REFUSED
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.records import (
    LIMIT_NAMES,
    REASON_COMMAND,
    REASON_DAILY_LOSS,
    REASON_DELISTED,
    REASON_DRAWDOWN,
    REASON_LIQUIDATION,
    REASON_NAMES,
    REASON_RUIN,
    REFUSED_LOSSES,
    REFUSED_NAMES,
)
from papertape.replay.report.data import pack_floats, pack_integers, pack_steps
from papertape.replay.tapes.tables import Table

MOST_EVENTS: Final = 50_000  # the newest; what came before is counted
KINDS: Final = ("closed", "locked", "refused", "funding")
FORCED: Final = {
    REASON_NAMES[code]
    for code in (
        REASON_LIQUIDATION,
        REASON_DAILY_LOSS,
        REASON_DRAWDOWN,
        REASON_RUIN,
        REASON_DELISTED,
        REASON_COMMAND,
    )
}
_REFUSALS: Final = {**REFUSED_NAMES, **CAUSE_NAMES}
_NOBODY: Final = -1  # the account as a whole


class _Part(NamedTuple):
    """Happenings of one kind, in any order."""

    time_ms: IntArray
    symbol: IntArray
    reason: list[str]
    amount: FloatArray  # quote that the account got, NaN for none
    value: FloatArray  # a share, NaN for none


def pack_account_events(
    traded: Table,
    symbols: Sequence[str],
    decisions: Rows,
    orders: Rows,
    limits: Rows,
    payments: Rows,
    units_per_quote: float,
) -> dict[str, Any]:
    """
    Return what happened by column, oldest first, and how many of each kind came before that.

    traded  trades by column, with names and times as in trades.parquet
    """
    parts = (
        _closed(traded, symbols),
        _locked(limits),
        _refused(decisions, orders),
        _funding(payments, units_per_quote),
    )
    kind = np.repeat(np.arange(len(parts)), [len(part.time_ms) for part in parts])
    time_ms = np.concatenate([part.time_ms for part in parts])
    order = np.argsort(time_ms, kind="stable")
    dropped, order = order[:-MOST_EVENTS], order[-MOST_EVENTS:]
    names, reason = np.unique([text for part in parts for text in part.reason], return_inverse=True)
    amount, value = (
        np.concatenate([getattr(part, name) for part in parts])[order] for name in ("amount", "value")
    )
    return {
        "kinds": list(KINDS),
        "reasons": [str(name) for name in names],
        "symbols": list(symbols),
        "earlier": np.bincount(kind[dropped], minlength=len(KINDS)).tolist(),
        "time": pack_steps(time_ms[order] // 1000),
        "kind": pack_integers(kind[order]),
        "symbol": pack_integers(np.concatenate([part.symbol for part in parts])[order]),
        "reason": pack_integers(np.asarray(reason, np.int64)[order]),
        "amount": pack_floats(amount, 9),
        "value": pack_floats(value),
    }


def _closed(traded: Table, symbols: Sequence[str]) -> _Part:
    """Return positions that were ended by something else than their strategy, stop or target."""
    if not traded:
        return _part([], [], [], [])
    is_forced = np.isin(traded["exit_reason"], list(FORCED))
    place = {name: number for number, name in enumerate(symbols)}
    times = traded["exit_time"][is_forced].astype("datetime64[ms]").astype(np.int64)
    names, reasons = (traded[name][is_forced].tolist() for name in ("symbol", "exit_reason"))
    return _part(times, [place[name] for name in names], reasons, traded["pnl"][is_forced])


def _locked(limits: Rows) -> _Part:
    """Return limits that were met, with the share that was lost."""
    names = [LIMIT_NAMES[code] for code in limits["limit"].tolist()]
    is_share = limits["limit"] != REFUSED_LOSSES
    value = np.where(is_share, limits["value"], np.nan)
    nobody = np.full(len(limits), _NOBODY)
    return _part(limits["time_ms"], nobody, names, np.full(len(limits), np.nan), value)


def _refused(decisions: Rows, orders: Rows) -> _Part:
    """Return what was refused: decisions, orders when they were placed, and orders at their fill, for a limit."""
    entries = decisions[decisions["refused"] != 0]
    is_by_limit = (orders["status"] == CANCELLED) & np.isin(orders["cause"], list(REFUSED_NAMES)[1:])
    asked = orders[(orders["status"] == REFUSED) | is_by_limit]
    codes = np.concatenate([entries["refused"], asked["cause"]]).tolist()
    times, places = (np.concatenate([entries[name], asked[name]]) for name in ("time_ms", "symbol"))
    return _part(times, places, [_REFUSALS[code] for code in codes], np.full(len(codes), np.nan))


def _funding(payments: Rows, units_per_quote: float) -> _Part:
    """Return settlements: what was got, below zero where it was paid, and at which rate."""
    got = -payments["amount"] / units_per_quote
    reasons = np.where(got > 0.0, "received", "paid").tolist()
    return _part(payments["time_ms"], payments["symbol"], reasons, got, payments["rate"])


def _part(time_ms: Any, symbol: Any, reason: list[str], amount: Any, value: Any = None) -> _Part:
    whole: tuple[IntArray, IntArray] = np.asarray(time_ms, np.int64), np.asarray(symbol, np.int64)
    none = np.full(len(whole[0]), np.nan)
    return _Part(*whole, reason, np.asarray(amount, np.float64), none if value is None else value)
