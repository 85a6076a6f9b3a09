"""
The watch on drift as one state machine: what is looked at and when, what a look leads to, and what an attempt's end changes.

    took_over ──── look ──── look ──── … ──── took_over          a look every `check_bars` closes from the take-over on
                    │          │
                    │          └─ a training is wanted: `take_wish`
                    └─ the policy's level changes: `next_order`

A replay and a daemon host the same machine, so what it decides depends on the closes and on what was known at them alone. An
attempt takes effect when its model takes over or would have, not when it was due: before, nobody can know how it ends. Until
then the model in force is watched as before. The host brings rows and outcomes, and carries out what comes back.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from papertape.engine.events import OF_PAUSES, Action
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.drift.monitor import DriftMonitor, Figures
from papertape.engine.model.drift.policy import DriftOptions, PolicyState, retrained
from papertape.engine.model.inference.recent import RECENT


class DriftOrder(NamedTuple):
    """What the engine is to be told: SCALE with the factor on new entries, PAUSE or RESUME."""

    action: Action
    value: float = 1.0


class DriftMachine:
    """
    The watch on whatever model is in force; nothing is looked at before the first one.

    length_ms     of the strategy's timeframe; horizon_bars: of the labels
    check_bars    closes between two looks, above 0
    """

    def __init__(self, length_ms: int, horizon_bars: int, check_bars: int, options: DriftOptions) -> None:
        assert check_bars > 0
        self.options = options
        self._length_ms, self._horizon_bars = length_ms, horizon_bars
        self._every_ms = check_bars * length_ms
        self._policy = PolicyState()
        self.monitor: DriftMonitor | None = None
        self.version = 0
        self.since_ms = self.looked_ms = 0  # the model's first instant; the newest look
        self._asked = (1.0, False)  # size factor and pause that the engine was told
        self.is_asking = False  # for a training that has not begun

    @property
    def policy(self) -> PolicyState:
        """Return where the policy stands."""
        return self.monitor.policy if self.monitor is not None else self._policy

    def took_over(self, version: int, time_ms: int, reference: Mapping[str, Any]) -> None:
        """
        Watch another model from a time on; the policy is carried over.

        reference  of its record; empty for a model that does not know what its training data were like: no figures then
        """
        before = self.policy
        if self.version:
            before = retrained(before, time_ms // self._length_ms, is_promoted=True)
        self._policy, self.version = before, version
        self.since_ms = self.looked_ms = time_ms - time_ms % self._length_ms
        self._watch(reference)

    def _watch(self, reference: Mapping[str, Any]) -> None:
        self.monitor = None
        if reference:
            self.monitor = DriftMonitor(reference, self._horizon_bars, self.options, policy=self._policy)

    def refused(self, time_ms: int) -> None:
        """Take note of an attempt that has left the model in place: when its own would have taken over."""
        bar = time_ms // self._length_ms
        if self.monitor is not None:
            self.monitor.retrained(bar, is_promoted=False)
        else:
            self._policy = retrained(self._policy, bar, is_promoted=False)

    @property
    def next_ms(self) -> int | None:
        """Return the close of the next look, None before the first model."""
        return self.looked_ms + self._every_ms if self.version else None

    @property
    def has_looked(self) -> bool:
        """Return whether the model in force was compared with its training data."""
        return self.monitor is not None and self.looked_ms > self.since_ms

    def is_due(self, time_ms: int) -> bool:
        """Return whether there is to be a look at a close."""
        return bool(self.version) and time_ms >= self.looked_ms + self._every_ms

    def rows_at(self, time_ms: int) -> int:
        """Return how many of the newest closes a look at a close takes in: those since the take-over."""
        return min((time_ms - self.since_ms) // self._length_ms, RECENT)

    def look(
        self,
        time_ms: int,
        resolved: tuple[IntArray, FloatArray, FloatArray],
        rows: Mapping[str, FloatArray],
        probabilities: Mapping[str, FloatArray],
    ) -> Figures | None:
        """
        Look at a close and return every figure, None for a model without a reference.

        resolved       numbers of the closes, probabilities and outcomes of this model's predictions that have become known
                       since the look before
        rows           by symbol, (n, n_inputs) with the columns of `monitor.inputs`; probabilities: by symbol, (n,)
        """
        self.looked_ms = time_ms
        if self.monitor is None:
            return None
        was_due = self.policy.is_retrain_due
        self.monitor.resolve(*resolved)
        figures = self.monitor.check(rows, probabilities, time_ms // self._length_ms)
        self.is_asking = self.is_asking or (self.policy.is_retrain_due and not was_due)
        return figures

    def take_wish(self) -> bool:
        """Return whether a training is wanted that has not begun, and take it that one begins."""
        is_wanted, self.is_asking = self.is_asking, False
        return is_wanted

    @property
    def has_order(self) -> bool:
        """Return whether the policy wants something that the engine was not told yet."""
        return self._wanted() != self._asked

    def next_order(self) -> DriftOrder | None:
        """Return what the engine is to be told next and take it as told; None when it is as the policy wants."""
        factor, is_paused = self._wanted()
        if factor != self._asked[0]:
            self._asked = (factor, self._asked[1])
            return DriftOrder(Action.SCALE, factor)
        if is_paused != self._asked[1]:
            self._asked = (factor, is_paused)
            if is_paused:
                return DriftOrder(Action.PAUSE)
            return DriftOrder(Action.RESUME, OF_PAUSES)
        return None

    def _wanted(self) -> tuple[float, bool]:
        """Return the size factor and the pause that the policy asks for."""
        return self.policy.size_factor(self.options), self.policy.is_paused

    def save(self) -> dict[str, Any]:
        """Return the state as plain JSON."""
        return {
            "version": self.version,
            "since_ms": self.since_ms,
            "looked_ms": self.looked_ms,
            "asked": list(self._asked),
            "policy": list(self.policy),
            "is_asking": self.is_asking,
            "monitor": None if self.monitor is None else self.monitor.save(),
        }

    def load(self, saved: Mapping[str, Any], reference: Mapping[str, Any]) -> None:
        """Take over what `save` returned; reference: of the model in force."""
        self.version, self.since_ms = saved["version"], saved["since_ms"]
        self.looked_ms = saved["looked_ms"]
        self._asked = (saved["asked"][0], saved["asked"][1])
        self._policy = PolicyState(*saved["policy"])
        self.is_asking = bool(saved["is_asking"])
        self._watch(reference)
        if self.monitor is not None and saved["monitor"] is not None:
            self.monitor.load(saved["monitor"])
