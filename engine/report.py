"""What a step says. Sinks read it; nothing reaches back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from papertape.engine.broker.working.orders import ORDER_EVENT
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import Rows, join_rows
from papertape.engine.records import CHANGE, LIMIT_EVENT, PREDICTION, Note, Unmet

_NO_ORDERS: Final = np.zeros(0, ORDER_EVENT)  # of every step without working orders
_NO_LIMITS: Final = np.zeros(0, LIMIT_EVENT)  # of every step without one that was met
_NO_CHANGES: Final = np.zeros(0, CHANGE)  # of every step in which no market changed
_NO_PREDICTIONS: Final = np.zeros(0, PREDICTION)  # of every step without a model


class StrategyFault(NamedTuple):
    """What a user's strategy did at one close that no decision can be made of; entries are paused from there on."""

    strategy: str
    symbol: str
    time_ms: int
    reason: str

    def __str__(self) -> str:
        stamp = np.datetime64(self.time_ms // 1000, "s")
        return f"strategy {self.strategy}: {self.symbol}, candle closed {stamp}Z: {self.reason}"


@dataclass(slots=True)
class Report:
    """
    Everything that happened in one step, in order.

    candles      how many rows the step took
    decisions    DECISION records: what strategies asked for, and what was refused
    fills        FILL records
    trades       TRADE records of trades that closed
    marks        MARK records, the account at the close of every instant
    payments     PAYMENT records: funding of open positions
    swaps        SWAP records: models that took over
    events       EVENT records of market structure, if the engine was asked for them
    predictions  PREDICTION records: what the model in force said, by close and symbol
    faults       what a user's strategy did that no decision can be made of; each has a record among the decisions
    orders       ORDER_EVENT records: what happened to working orders
    unheeded     answers that asked for the side that is held or ordered with another stop, target or size
    limits       LIMIT_EVENT records: limits of the account that were met
    unmet        the first condition of each candle that a strategy found unmet, if it says why it does nothing
    notes        what a strategy noted in its own words
    changes      CHANGE records: figures of markets that changed
    """

    candles: int
    decisions: Rows
    fills: Rows
    trades: Rows
    marks: Rows
    payments: Rows
    swaps: Rows
    events: Rows = field(default_factory=lambda: np.zeros(0, EVENT))
    predictions: Rows = field(default_factory=lambda: _NO_PREDICTIONS)
    faults: tuple[StrategyFault, ...] = ()
    unheeded: int = 0
    orders: Rows = field(default_factory=lambda: _NO_ORDERS)
    unmet: tuple[Unmet, ...] = ()
    limits: Rows = field(default_factory=lambda: _NO_LIMITS)
    notes: tuple[Note, ...] = ()
    changes: Rows = field(default_factory=lambda: _NO_CHANGES)


class Sink(Protocol):
    """Something that reads reports."""

    def __call__(self, report: Report) -> None:
        """Take in one report."""


def joined(reports: Sequence[Report]) -> Report:
    """Return the reports of several blocks as one; payments and swaps come between blocks, never in one."""
    first = reports[0]
    if len(reports) == 1:
        return first
    values: dict[str, Any] = {
        name: join_rows([getattr(report, name) for report in reports])
        for name in ("decisions", "fills", "trades", "marks", "events", "predictions", "orders", "limits")
    }
    for name in ("faults", "unmet", "notes"):
        values[name] = tuple(one for report in reports for one in getattr(report, name))
    unheeded = sum(report.unheeded for report in reports)
    return replace(first, candles=0, unheeded=unheeded, **values)
