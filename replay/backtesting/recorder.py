"""Sinks: what keeps the reports of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from papertape.engine.broker.working.orders import ORDER_EVENT
from papertape.engine.errors import StrategyError
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import IntArray, Rows, join_rows
from papertape.engine.performance.curve import Collector, CurveColumns, rows_of
from papertape.engine.records import (
    CHANGE,
    DECISION,
    FILL,
    LIMIT_EVENT,
    PAYMENT,
    PREDICTION,
    SWAP,
    TRADE,
    UNITS_PER_QUOTE,
)
from papertape.engine.report import Report, StrategyFault
from papertape.replay.backtesting.conditions import Notes, UnmetConditions
from papertape.replay.report.features import FeatureLines
from papertape.replay.report.steps import StepLines

_KINDS = (
    "decisions",
    "fills",
    "trades",
    "payments",
    "swaps",
    "events",
    "predictions",
    "orders",
    "limits",
    "changes",
)


def refuse_faults(report: Report) -> None:
    """Raise StrategyError at a fault of a user's strategy: what came of it is no result."""
    if report.faults:
        end_at(report.faults[0])


def end_at(fault: StrategyFault) -> None:
    """Raise StrategyError for a fault, so that no other candle is asked about."""
    raise StrategyError(str(fault))


@dataclass(slots=True)
class Recorder:
    """
    Keep everything that was reported, for a result.

    event_kinds  the only EVENT records that are kept; None: all
    expected     how many marks will come, when that is known
    conditions   what a strategy said was unmet; notes: what it noted
    features     what it named, for drawing; lines: what was said at its closes; None: not kept
    units_per_quote  money units in one quote, of the account
    """

    candles: int = 0
    unheeded: int = 0
    event_kinds: Sequence[int] | None = None
    expected: int = 0
    conditions: UnmetConditions = field(default_factory=UnmetConditions)
    notes: Notes = field(default_factory=Notes)
    features: FeatureLines | None = None
    lines: StepLines | None = None
    units_per_quote: float = UNITS_PER_QUOTE
    _parts: dict[str, list[Rows]] = field(default_factory=lambda: {name: [] for name in _KINDS})
    _marks: Collector = field(init=False)

    def __post_init__(self) -> None:
        self._marks = Collector(expected=self.expected)

    def __call__(self, report: Report) -> None:
        """Take in one report."""
        self.candles += report.candles
        self.unheeded += report.unheeded
        if report.unmet:
            self.conditions.add(report.unmet)
        if self.lines is not None:
            self.lines.said(report.unmet)
            self.lines.predictions.add(report.predictions)
        if report.notes:
            self.notes.add(report.notes)
        self._marks.add(report.marks)
        for name, parts in self._parts.items():
            rows = getattr(report, name)
            if not len(rows):
                continue
            if name == "events" and self.event_kinds is not None:
                rows = rows[np.isin(rows["kind"], self.event_kinds)]
            if len(rows):
                parts.append(rows)

    def end(self, still_open: Rows) -> None:
        """Take in the TRADE records of what is open at the end; joined elsewhere, all trades would be held twice."""
        self._parts["trades"].append(still_open)

    def _joined(self, name: str, dtype: np.dtype[np.void]) -> Rows:
        parts = self._parts[name]
        if not parts:
            return np.zeros(0, dtype)
        self._parts[name] = [join_rows(parts)]
        return self._parts[name][0]

    @property
    def decisions(self) -> Rows:
        """Return every DECISION record."""
        return self._joined("decisions", DECISION)

    @property
    def fills(self) -> Rows:
        """Return every FILL record."""
        return self._joined("fills", FILL)

    @property
    def trades(self) -> Rows:
        """Return every TRADE record that closed, and after the end those that are still open."""
        return self._joined("trades", TRADE)

    @property
    def curve(self) -> CurveColumns:
        """Return the MARK records by column."""
        return CurveColumns(units_per_quote=self.units_per_quote, **self._marks.columns())

    @property
    def marks(self) -> Rows:
        """Return the MARK record of every instant."""
        return rows_of(self.curve)

    @property
    def payments(self) -> Rows:
        """Return every PAYMENT record: funding paid and received."""
        return self._joined("payments", PAYMENT)

    @property
    def swaps(self) -> Rows:
        """Return the SWAP record of every model that took over."""
        return self._joined("swaps", SWAP)

    @property
    def events(self) -> Rows:
        """Return every EVENT record of market structure, if the engine was asked for them."""
        return self._joined("events", EVENT)

    @property
    def orders(self) -> Rows:
        """Return every ORDER_EVENT record: what happened to working orders."""
        return self._joined("orders", ORDER_EVENT)

    @property
    def changes(self) -> Rows:
        """Return every CHANGE record: figures of markets that changed."""
        return self._joined("changes", CHANGE)

    @property
    def limits(self) -> Rows:
        """Return every LIMIT_EVENT record: limits of the account that were met."""
        return self._joined("limits", LIMIT_EVENT)

    @property
    def predictions(self) -> Rows:
        """Return every PREDICTION record: what the models in force said at each close."""
        return self._joined("predictions", PREDICTION)


@dataclass(slots=True)
class Ending:
    """Keep trades and equity alone, of as many marks as are expected: all that is asked of a run beside another."""

    expected: int
    units_per_quote: float
    _trades: list[Rows] = field(default_factory=list)
    _equity: Collector = field(init=False)

    def __post_init__(self) -> None:
        self._equity = Collector(["equity"], self.expected)

    def __call__(self, report: Report) -> None:
        """Take in one report."""
        if len(report.trades):
            self._trades.append(report.trades)
        self._equity.add(report.marks)

    def take(self, still_open: Rows, time_ms: IntArray) -> tuple[Rows, CurveColumns]:
        """
        Return every TRADE record, those that are still open last, and the equity; a sink lives as long as its engine,
        so nothing is kept.

        time_ms  of the marks, which are those of the run beside it
        """
        trades, equity = [*self._trades, still_open], self._equity
        self._trades, self._equity = [], Collector(["equity"])
        columns = equity.columns()
        curve = CurveColumns(units_per_quote=self.units_per_quote, time_ms=time_ms, **columns)
        return join_rows(trades), curve


@dataclass(slots=True)
class Counter:
    """Count and keep nothing: for measuring, and for runs whose digest is all that matters."""

    candles: int = 0
    fills: int = 0
    trades: int = 0
    last_mark: Rows | None = None

    def __call__(self, report: Report) -> None:
        """Take in one report."""
        self.candles += report.candles
        self.fills += len(report.fills)
        self.trades += len(report.trades)
        if len(report.marks):
            self.last_mark = report.marks[-1:]
