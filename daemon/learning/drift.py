"""
The watch on drift of a running daemon: it hosts the machine of `papertape.engine.model.drift.watch`, as a replay does.

What the policy asks for becomes commands and a retrain. Everything that a look depends on is in the journal: what models said,
the recent rows of the engine's snapshot, and the machine's state, which is written with the commands that follow from it. A
kill between any two steps leaves a watch that asks for the rest of them.
"""

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from papertape.daemon.feeds.candle_schedule import Act
from papertape.daemon.journal import Journal, Work, Writer
from papertape.daemon.journal.attempts import PENDING, AttemptRow
from papertape.daemon.learning.drift_training import TrainingWatch
from papertape.daemon.learning.outcomes import NOTHING, KnownOutcomes, Waiting, read_predictions
from papertape.daemon.learning.retraining import DRIFT, News, Retraining
from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.events import Action, Command
from papertape.engine.model.artefact import read_artefact
from papertape.engine.model.drift.monitor import Figures
from papertape.engine.model.drift.policy import DriftOptions, PolicyState
from papertape.engine.model.drift.watch import DriftMachine
from papertape.engine.report import Report
from papertape.replay.learning.settings import LearningSettings

if TYPE_CHECKING:
    from papertape.engine.core import Engine

STATE: Final = "drift"  # key of the journal's meta
KEPT_OUTCOMES: Final = 2_000


class DriftCheck(NamedTuple):
    """
    What is told of a look.

    version   of the model in force; 0: features alone, against the newest training window
    figures   None for a model that does not know what its training data were like
    outcomes  that have become known since the look before; recent: (probability, outcome) of the latest
    """

    time_ms: int
    version: int
    figures: Figures | None
    outcomes: KnownOutcomes
    recent: tuple[tuple[float, float], ...]


class DriftWatch:
    """
    The watch on whatever model is in force: a sink that keeps predictions, and an interlude that looks.

    settings    `check_bars` is above 0
    is_warming  whether history is still coming in: nothing is looked at then
    """

    def __init__(
        self,
        journal: Journal,
        engine: "Engine",
        writer: Writer,
        retraining: Retraining,
        settings: LearningSettings,
        is_warming: Callable[[], bool],
        now_ms: Callable[[], int],
        on_look: Callable[[DriftCheck], None] = lambda _: None,
    ) -> None:
        self._engine, self._writer, self._retraining = engine, writer, retraining
        self._settings, self._is_warming = settings, is_warming
        self._now_ms, self._on_look = now_ms, on_look
        self._length_ms = engine.length_ms
        self._machine = DriftMachine(
            engine.length_ms, settings.horizon_bars, settings.check_bars, DriftOptions(**settings.drift)
        )
        every_ms = settings.check_bars * engine.length_ms
        self._training = TrainingWatch(
            engine, settings.horizon_bars, every_ms, DriftOptions(**settings.drift)
        )
        self._waiting = Waiting(len(engine.symbols), self._length_ms, settings)
        self._recent: deque[tuple[float, float]] = deque(maxlen=KEPT_OUTCOMES)
        # an operator has paused as well: what drift began, drift must not end
        self._is_held = False
        self._recall(journal)

    def _recall(self, journal: Journal) -> None:
        """Take up where the journal says that the watch was."""
        kept = json.loads(journal.meta(STATE) or "{}")
        resolved_ms = 0
        if kept:
            resolved_ms = kept["resolved_ms"]
            self._machine.load(kept, self._reference)
        self._resolved_ms = resolved_ms
        self._seen = int(kept.get("seen", 0))
        self._is_held = bool(kept.get("is_held"))
        version = int(self._engine.account[0].model_version)
        if version != self._machine.version:
            swapped = journal.one("SELECT time_ms FROM models ORDER BY sequence DESC LIMIT 1")
            self._follow(version, int(swapped[0]))
        if not self._machine.version:
            self._training.recall(journal, lambda version: self._retraining.read(version))
        newest = AttemptRow.newest(journal, f"outcome <> '{PENDING}'")
        if newest is not None:
            self._ended(newest.id, newest.outcome, newest.effective_ms)
        self._read_predictions(journal)
        latest = AttemptRow.newest(journal)
        has_begun = latest is not None and latest.due_ms >= self._machine.looked_ms
        if self._machine.is_asking and has_begun:
            self._machine.take_wish()
        elif self._machine.is_asking:
            self._retraining.ask_soon(DRIFT)

    def _read_predictions(self, journal: Journal) -> None:
        """Read what waits for its outcome, and the latest that have theirs."""
        n_symbols = len(self._engine.symbols)
        back_ms = (KEPT_OUTCOMES // n_symbols + 1) * self._length_ms
        rows = read_predictions(journal, self._engine.symbols, self._resolved_ms - back_ms)
        self._waiting.add(rows)
        horizon_ms = self._settings.horizon_bars * self._length_ms
        self._keep(self._waiting.resolve(self._resolved_ms + horizon_ms))

    @property
    def policy(self) -> PolicyState:
        """Return where the policy stands."""
        return self._machine.policy

    @property
    def level(self) -> int | None:
        """Return the policy's level, None until the model in force was looked at."""
        return self._machine.policy.level if self._machine.has_looked else None

    @property
    def training_end_ms(self) -> int | None:
        """Return where the training window ends that is watched without a model, None where none is."""
        window = self._training.window
        return None if window is None or self._machine.version else window.end_ms

    @property
    def _reference(self) -> Mapping[str, Any]:
        """Return what the training data of the model in force were like, empty without one."""
        artefact = self._engine.model.artefact
        return artefact.record.reference if artefact is not None else {}

    def __call__(self, report: Report) -> None:
        """Take in what a step reported: predictions, and models that took over."""
        self._waiting.add(report.predictions)
        for swap in report.swaps:
            self._follow(int(swap["version"]), int(swap["time_ms"]))
            self._writer.post(self._save())

    def _follow(self, version: int, time_ms: int) -> None:
        """Watch another model from now on; the policy is carried over."""
        self._machine.took_over(version, time_ms, self._reference)

    def on_retrain(self, news: News) -> None:
        """Take note of an attempt that begins or has ended, whoever wanted it."""
        if news.attempt is None:
            self._machine.take_wish()
        else:
            self._ended(news.number, news.attempt.outcome, news.attempt.effective_ms)
            if news.attempt.artefact and not self._machine.version:
                artefact = read_artefact(news.attempt.artefact)
                self._training.learnt(artefact, news.attempt.effective_ms)
        self._writer.post(self._save())

    def _ended(self, number: int, outcome: str, effective_ms: int) -> None:
        """Tell the machine of an attempt that left the champion in place; a promoted one comes with a model."""
        if number <= self._seen:
            return
        self._seen = number
        if outcome not in ("promoted", "demoted", "skipped"):
            self._machine.refused(effective_ms)

    def on_operator(self, action: Action) -> None:
        """Take note of an operator's action, before it is carried out: a pause of theirs is theirs to end."""
        if action in (Action.PAUSE, Action.KILL, Action.RESUME):
            self._is_held = action is not Action.RESUME
            self._writer.post(self._save())

    def stop(self) -> None:
        """Nothing is waited for."""

    def next_ms(self, reached_ms: int) -> int | None:
        """Return the close of the next look, or now, when the policy wants what was not asked for yet."""
        if self._is_warming():
            return None
        if self._machine.has_order:
            return reached_ms
        return self._machine.next_ms if self._machine.version else self._training.next_ms

    async def at(self, time_ms: int, *, may_wait: bool) -> AsyncIterator[Act]:
        """Look, if it is time, and ask for what follows."""
        if self._machine.is_due(time_ms):
            self._look(time_ms)
        elif not self._machine.version and self._training.window is not None:
            figures = self._training.look(time_ms)
            self._on_look(DriftCheck(time_ms, 0, figures, NOTHING, ()))
        for act in self._acts():
            yield act

    def _acts(self) -> list[Act]:
        """
        Return the commands that bring the engine to what the policy asks for, each with the state that it leaves.

        A pause that an operator asked for, or that a strategy's fault made, is not the policy's to end.
        """
        acts = []
        while (order := self._machine.next_order()) is not None:
            is_theirs = self._is_held or self._engine.account[0].is_paused & PAUSED_BY_FAULT
            if order.action is Action.RESUME and is_theirs:
                self._writer.post(self._save())
            else:
                acts.append(Act(Command(order.action, order.value), self._save()))
        return acts

    def _look(self, time_ms: int) -> None:
        """Resolve what is known by now, compare the recent rows with the training data, and write down what was found."""
        outcomes = self._waiting.resolve(time_ms)
        self._resolved_ms = time_ms - self._settings.horizon_bars * self._length_ms
        self._keep(outcomes)
        figures = self._figures(outcomes, time_ms)
        if self._machine.is_asking and not self._retraining.ask_soon(DRIFT):
            self._machine.take_wish()  # another one is under way: as whatever is due then, it is passed over
        self._writer.post(self._written(time_ms, figures))
        version = self._machine.version
        self._on_look(DriftCheck(time_ms, version, figures, outcomes, tuple(self._recent)))

    def _figures(self, outcomes: KnownOutcomes, time_ms: int) -> Figures | None:
        """Return what the machine makes of what has become known, and of the rows since the model took over."""
        machine, model = self._machine, self._engine.model
        mine = (outcomes.time_ms > machine.since_ms) & (outcomes.version == machine.version)
        bars = outcomes.time_ms[mine] // self._length_ms
        n = machine.rows_at(time_ms)
        inputs = machine.monitor.inputs if machine.monitor is not None else ()
        columns = [model.columns.index(name) for name in inputs]
        seen = {self._engine.symbols[i]: model.recent(i) for i in self._engine.traded}
        return machine.look(
            time_ms,
            (bars, outcomes.p[mine], outcomes.y[mine]),
            {name: found.rows[-n:][:, columns] for name, found in seen.items()},
            {name: found.probabilities[-n:] for name, found in seen.items()},
        )

    def _keep(self, outcomes: KnownOutcomes) -> None:
        """Keep the latest outcomes, for scores over a window."""
        is_known = ~(np.isnan(outcomes.p) | np.isnan(outcomes.y))
        self._recent.extend(zip(outcomes.p[is_known].tolist(), outcomes.y[is_known].tolist(), strict=True))

    def _written(self, time_ms: int, figures: Figures | None) -> Work[Any]:
        """Return the work that writes a look down."""
        detail = json.dumps(figures.to_json() if figures else {}, sort_keys=True)
        row = (time_ms, self._machine.version, self.policy.level, detail, self._now_ms())
        save = self._save()

        def work(journal: Journal) -> None:
            journal.connection.execute("INSERT OR REPLACE INTO drift_checks VALUES (?, ?, ?, ?, ?)", row)
            save(journal)

        return work

    def _save(self) -> Work[None]:
        """Return the work that writes the state as it is now."""
        state = {
            **self._machine.save(),
            "resolved_ms": self._resolved_ms,
            "seen": self._seen,
            "is_held": self._is_held,
        }
        text = json.dumps(state, sort_keys=True)
        return lambda journal: journal.set_meta(**{STATE: text})
