"""
Features while no model is in force: against the newest training window, whatever the gate said of what was trained on it.

It measures and asks for nothing: what has no model has nothing to be made smaller or trained anew for.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.attempts import AttemptRow
from papertape.engine.errors import DataError
from papertape.engine.model.artefact import Artefact, read_artefact
from papertape.engine.model.drift.monitor import DriftMonitor, Figures
from papertape.engine.model.drift.policy import DriftOptions
from papertape.engine.model.inference.recent import RECENT

if TYPE_CHECKING:
    from papertape.engine.core import Engine


class TrainingWindow(NamedTuple):
    """The training window that is watched: its reference, and where it ends; what closed later it has not seen."""

    monitor: DriftMonitor
    end_ms: int


class TrainingWatch:
    """
    The watch on features without a model in force.

    every_ms  between two looks; options: marks of the index
    """

    def __init__(self, engine: "Engine", horizon_bars: int, every_ms: int, options: DriftOptions) -> None:
        self._engine, self._horizon_bars = engine, horizon_bars
        self._every_ms, self._options = every_ms, options
        self._looked_ms = 0
        self.window: TrainingWindow | None = None

    def recall(self, journal: Journal, read: Callable[[int], bytes]) -> None:
        """Take up the newest model that was trained; read: a version's artefact out of the store, DataError without one."""
        newest = AttemptRow.newest(journal, "version > 0")
        if newest is not None:
            with contextlib.suppress(DataError):  # an operator may have taken it away: the next one will do
                self.learnt(read_artefact(read(newest.version)), newest.effective_ms)

    def learnt(self, artefact: Artefact, time_ms: int) -> None:
        """Watch the window that a model has learnt from, from a time on."""
        inputs = artefact.record.reference.get("inputs", {})
        if set(inputs) - set(self._engine.model.columns) or not inputs:
            return
        reference: Mapping[str, Any] = {"inputs": inputs}
        monitor = DriftMonitor(reference, self._horizon_bars, self._options)
        self.window = TrainingWindow(monitor, artefact.record.end_ms)
        self._looked_ms = max(self._looked_ms, time_ms - time_ms % self._engine.length_ms)

    @property
    def next_ms(self) -> int | None:
        """Return the close of the next look, None without a window."""
        return None if self.window is None else self._looked_ms + self._every_ms

    def look(self, time_ms: int) -> Figures:
        """Return how far the newest rows have left the window."""
        assert self.window is not None
        self._looked_ms = time_ms
        model, (monitor, end_ms) = self._engine.model, self.window
        n = min(max((time_ms - end_ms) // self._engine.length_ms, 1), RECENT)
        columns = [model.columns.index(name) for name in monitor.inputs]
        rows = {
            self._engine.symbols[index]: model.recent(index).rows[-n:][:, columns]
            for index in self._engine.traded
        }
        nobody = {symbol: np.full(len(part), np.nan) for symbol, part in rows.items()}
        return monitor.check(rows, nobody, time_ms // self._engine.length_ms)
