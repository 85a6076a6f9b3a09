"""One recipe on one tape under every policy: the models are trained once, and each policy has an account of its own."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from papertape.engine.errors import ConfigError, PapertapeError
from papertape.replay.config import Config
from papertape.replay.learning.feasible import check_learning
from papertape.replay.learning.settings import DAY_MS
from papertape.replay.research.learn_study.lesson import lesson_of
from papertape.replay.research.learn_study.walks import Walks
from papertape.replay.research.learn_study.windows import fitted_windows
from papertape.replay.research.sweep.axes import with_changes
from papertape.replay.research.sweep.trial import TrialRow, TrialRunner

POLICY: Final = "learning.policy"
_BARE: Final = {"signals.retrain_every": "never", POLICY: "model"}
_SHOWN: Final = ("total_return", "trades")


class Cell(NamedTuple):
    """One trial of a study: its number, and what it changes."""

    number: int
    changes: Mapping[str, Any]


class CellRunner:
    """
    Runs cells; tapes are read once.

    fits_windows  window, gate and cadence go by the length of the tape, where no axis has them
    """

    def __init__(self, config: Config, *, fits_windows: bool) -> None:
        self._walks = Walks()
        self._fits_windows = fits_windows
        self.trials = TrialRunner(config, [], walk=self._walks)

    def run(self, cells: Sequence[Cell]) -> list[TrialRow]:
        """Return what comes of cells that differ in their policy alone."""
        self._walks.forget()
        bare: dict[str, Any] | None = None
        rows = []
        for cell in cells:
            try:
                changes = self._meant(cell.changes)
            except PapertapeError as error:
                rows.append(TrialRow(cell.number, cell.changes, "refused", str(error)))
                continue
            self._walks.newest = None
            row = self.trials.run(cell.number, changes)
            if row.outcome == "done":
                if bare is None:
                    bare = self._bare(changes)
                fitted = {key: changes[key] for key in changes if key not in cell.changes}
                lesson = {**lesson_of(self._walks.newest), "bare": bare, "fitted": fitted}
                row = row._replace(lesson=lesson)
            rows.append(row._replace(changes=cell.changes))
        return rows

    def _meant(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a cell changes; raises ConfigError where its recipe can never be trained or judged."""
        config = with_changes(self.trials.config, changes)
        tapes = self.trials.tapes_of(config)
        timeframe = config.data.timeframe or tapes[0].timeframe
        meant = dict(changes)
        if self._fits_windows:
            spans = [int(t.candles["open_ms"][-1] - t.candles["open_ms"][0]) for t in tapes]
            fitted = fitted_windows(config.learning, timeframe, max(spans) / DAY_MS, len(tapes))
            meant = {**fitted, **meant}
            config = with_changes(self.trials.config, meant)
        try:
            check_learning(config, "recipe", timeframe)
        except ConfigError as error:
            raise ConfigError(str(error).replace("\n", "; ")) from error
        return meant

    def _bare(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the account comes to without any model."""
        row = self.trials.run(0, {**changes, **_BARE})
        return {name: row.metrics.get(name) for name in _SHOWN}
