"""
The watch on drift in a walk: it brings the machine what was known at each close, and keeps what came of it.

At a close the outcomes of all predictions one horizon ago are known; they are resolved, and the recent rows are compared with
the training data. What the policy answers becomes commands for the replay, or an attempt ahead of its time.
"""

from typing import Any, NamedTuple

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.drift.policy import LEVELS, DriftOptions
from papertape.engine.model.drift.watch import DriftMachine
from papertape.replay.learning.challenge import Champion
from papertape.replay.learning.evidence import RowOutcomes, opinions
from papertape.replay.learning.settings import LearningSettings

Command = tuple[int, str, float, str]  # time in ms, action, value, reason


class DriftChange(NamedTuple):
    """A look at which the level changed or a training became due."""

    time_ms: int
    version: int
    level: str
    is_retrain_due: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return self._asdict()


class WalkDrift:
    """
    The machine over the rows of a walk.

    rows, followed  everything there is; only what was known at a look takes part in it
    """

    def __init__(self, rows: Dataset, followed: RowOutcomes, settings: LearningSettings) -> None:
        assert settings.check_bars
        self._rows, self._followed, self._settings = rows, followed, settings
        length_ms = timeframe_ms(rows.timeframe)
        options = DriftOptions(**settings.drift)
        self._machine = DriftMachine(length_ms, settings.horizon_bars, settings.check_bars, options)
        self._bars: IntArray = rows.time_ms // length_ms
        self._said: FloatArray = np.zeros((0, 0))
        self._columns: list[int] = []
        self._first = self._resolved = 0  # rows: of the model in force; whose outcomes are not known yet
        self.commands: list[Command] = []
        self.looks: list[DriftChange] = []

    def took_over(self, champion: Champion, effective_ms: int) -> None:
        """Watch a champion from its first prediction on."""
        before = self._level
        record = champion.artefact.record
        self._machine.took_over(champion.version, effective_ms, record.reference)
        if self._machine.monitor is not None:
            inputs = self._machine.monitor.inputs
            self._columns = [self._rows.columns.index(name) for name in inputs]
        self._said = opinions(champion.artefact, self._rows, effective_ms)
        self._first = self._resolved = int(np.searchsorted(self._rows.time_ms, effective_ms, "right"))
        self._act(effective_ms, before, "a model was trained")

    def retired(self, effective_ms: int) -> None:
        """Take note that no model is in force from a time on."""
        before = self._level
        self._machine.took_over(0, effective_ms, {})
        self._act(effective_ms, before, "the model was demoted")

    def refused(self, effective_ms: int) -> None:
        """Take note of an attempt that has left the champion in place."""
        before = self._level
        self._machine.refused(effective_ms)
        self._act(effective_ms, before, "a model was trained")

    @property
    def next_ms(self) -> int | None:
        """Return the close of the next look, None when the rows hold none."""
        row = self._next_row()
        return None if row is None else int(self._rows.time_ms[row])

    def _next_row(self) -> int | None:
        due_ms = self._machine.next_ms
        if due_ms is None:
            return None
        row = int(np.searchsorted(self._rows.time_ms, due_ms, "left"))
        return row if row < len(self._rows.time_ms) else None

    def look(self) -> bool:
        """Look at the next close and return whether a training is wanted."""
        row = self._next_row()
        assert row is not None
        before, time_ms = self._level, int(self._rows.time_ms[row])
        since = slice(max(self._first, row + 1 - self._machine.rows_at(time_ms)), row + 1)
        symbols = self._rows.symbols
        figures = self._machine.look(
            time_ms,
            self._known_at(row),
            {name: self._rows.x[i, since][:, self._columns] for i, name in enumerate(symbols)},
            {name: self._said[i, since] for i, name in enumerate(symbols)},
        )
        is_wanted = self._machine.take_wish()
        if figures is not None:
            self._act(time_ms, before, figures.reason, is_wanted)
        return is_wanted

    @property
    def _level(self) -> int:
        return self._machine.policy.level

    def _known_at(self, row: int) -> tuple[IntArray, FloatArray, FloatArray]:
        """Return the predictions whose outcome has become known at a close by the longest way."""
        end = max(row + 1 - self._settings.horizon_bars, self._resolved)
        chosen = slice(self._resolved, end)
        self._resolved = end
        return (
            np.repeat(self._bars[chosen], len(self._rows.symbols)),
            self._said[:, chosen].T.reshape(-1),
            self._followed.y[:, chosen].T.reshape(-1),
        )

    def _act(self, time_ms: int, before: int, reason: str, is_due: bool = False) -> None:
        """Note a change of the level, and what the engine is to be told."""
        level = LEVELS[self._level]
        if self._level != before or is_due:
            self.looks.append(DriftChange(time_ms, self._machine.version, level, is_due, reason))
        while (order := self._machine.next_order()) is not None:
            told = f"drift {level}: {reason}"
            self.commands.append((time_ms, order.action.value, order.value, told))
