"""
Faults of a user's strategy while the daemon runs: journalled and told, once until they are others.

The engine has paused entries by then; what is held keeps its stop and target, and the daemon goes on. It would do the
same of the same inputs again, so a fault is no difference between two runs.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from papertape.daemon.journal import Writer
from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.report import Report, StrategyFault

if TYPE_CHECKING:
    from papertape.engine.core import Engine


class StrategyFaults:
    """A sink that tells of faults."""

    def __init__(self, engine: "Engine", writer: Writer, on_fault: Callable[[StrategyFault], None]) -> None:
        self._engine, self._writer, self._on_fault = engine, writer, on_fault
        self._told: dict[str, str] = {}

    @property
    def is_halting(self) -> bool:
        """Return whether entries are paused by a fault, of this process's time or before it."""
        return bool(self._engine.account[0].is_paused & PAUSED_BY_FAULT)

    def __call__(self, report: Report) -> None:
        """Take in one report."""
        if not report.faults:
            if not self._engine.account[0].is_paused:
                self._told.clear()  # somebody let entries in again: the same fault is news the next time
            return
        for fault in report.faults:
            if self._told.get(fault.symbol) != fault.reason:
                self._told[fault.symbol] = fault.reason
                self._tell(fault)

    def _tell(self, fault: StrategyFault) -> None:
        row = (fault.time_ms, fault.symbol, str(fault))
        self._writer.post(
            lambda journal: journal.connection.execute(
                "INSERT INTO notices (time_ms, kind, symbol, open_ms, value, detail) VALUES (?, 'strategy', ?, 0, 0.0, ?)",
                row,
            )
        )
        self._on_fault(fault)
