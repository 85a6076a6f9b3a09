"""
The watch on the champion while a walk goes on: looks at set closes, each on what was known by then.

At a close the outcomes of all predictions one horizon ago are known; they are resolved, and the recent rows are compared with
the training data. What the policy answers becomes commands for the replay, or an attempt ahead of its time.
"""

from typing import Any, NamedTuple

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.events import Action
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.drift import DriftMonitor
from papertape.engine.model.drift_policy import LEVELS, DriftOptions, PolicyState
from papertape.engine.model.recent import RECENT
from papertape.replay.learning.challenge import Champion
from papertape.replay.learning.evidence import Outcomes, opinions
from papertape.replay.learning.settings import LearningSettings

Command = tuple[int, str, float, str]  # time in ms, action, value, reason


class Look(NamedTuple):
    """A look at which the level changed or a training became due."""

    time_ms: int
    version: int
    level: str
    is_retrain_due: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return self._asdict()


class Watch:
    """
    One champion from the time it takes over.

    rows, followed  everything there is; only what was known at a look takes part in it
    policy          carried over from the champion before
    """

    def __init__(
        self,
        champion: Champion,
        effective_ms: int,
        rows: Dataset,
        followed: Outcomes,
        settings: LearningSettings,
        policy: PolicyState,
    ) -> None:
        self._champion, self._rows, self._followed = champion, rows, followed
        self._settings = settings
        self._options = DriftOptions(**settings.drift)
        record = champion.artefact.record
        self._monitor = DriftMonitor(
            record.reference, settings.horizon_bars, self._options, policy=policy
        )
        self._columns = [rows.columns.index(name) for name in self._monitor.inputs]
        self._said = opinions(champion.artefact, rows, effective_ms)
        self._bars = rows.time_ms // timeframe_ms(rows.timeframe)
        self._first = int(np.searchsorted(rows.time_ms, effective_ms, "right"))
        self._next = self._first + settings.check_bars - 1  # row of the next look
        self._resolved = self._first
        self.commands: list[Command] = []
        self.looks: list[Look] = []

    @property
    def policy(self) -> PolicyState:
        """Return where the policy stands."""
        return self._monitor.policy

    def until(self, end_ms: int) -> int | None:
        """Look on up to a time; return the first close at which a training became due before it, None without one."""
        while self._next < len(self._rows.time_ms) and self._rows.time_ms[self._next] < end_ms:
            row, self._next = self._next, self._next + self._settings.check_bars
            if self._look(row):
                return int(self._rows.time_ms[row])
        return None

    def ended(self, time_ms: int, is_promoted: bool) -> None:
        """Take note of an attempt, whoever wanted it."""
        before = self.policy
        bar = time_ms // timeframe_ms(self._rows.timeframe)
        self._monitor.retrained(int(bar), is_promoted)
        self._act(time_ms, before, "a model was trained")

    def _look(self, row: int) -> bool:
        """Look at a close; return whether a training became due."""
        self._resolve(row)
        before = self.policy
        since = slice(max(self._first, row + 1 - RECENT), row + 1)
        symbols = self._rows.symbols
        figures = self._monitor.check(
            {name: self._rows.x[i, since][:, self._columns] for i, name in enumerate(symbols)},
            {name: self._said[i, since] for i, name in enumerate(symbols)},
            int(self._bars[row]),
        )
        is_due = self.policy.is_retrain_due and not before.is_retrain_due
        if self.policy.level != before.level or is_due:
            self._act(int(self._rows.time_ms[row]), before, figures.reason, is_due)
        return is_due

    def _resolve(self, row: int) -> None:
        """Give the monitor the predictions whose outcome is known at a close by the longest way."""
        end = max(row + 1 - self._settings.horizon_bars, self._resolved)
        chosen = slice(self._resolved, end)
        self._resolved = end
        n_symbols = len(self._rows.symbols)
        self._monitor.resolve(
            np.repeat(self._bars[chosen], n_symbols),
            self._said[:, chosen].T.reshape(-1),
            self._followed.y[:, chosen].T.reshape(-1),
        )

    def _act(self, time_ms: int, before: PolicyState, reason: str, is_due: bool = False) -> None:
        """Note a change of the policy and ask for what follows from it."""
        after = self.policy
        level = LEVELS[after.level]
        if after.level != before.level or is_due:
            self.looks.append(Look(time_ms, self._champion.version, level, is_due, reason))
        said = f"drift {level}: {reason}"
        sizes = [state.size_factor(self._options) for state in (before, after)]
        if sizes[0] != sizes[1]:
            self.commands.append((time_ms, Action.SCALE.value, sizes[1], said))
        if after.is_paused != before.is_paused:
            action = Action.PAUSE if after.is_paused else Action.RESUME
            self.commands.append((time_ms, action.value, 1.0, said))
