"""The trials of every window: each point of the space in sample, and the same point on the window's test, each an account of its own."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.replay.research.sweep.parts import moment, span
from papertape.replay.research.sweep.result import sign_of
from papertape.replay.research.sweep.space import Space
from papertape.replay.research.sweep.trial import TrialCall, TrialRow, TrialRunner
from papertape.replay.research.walkforward.windows import Window


class TrialPlace(NamedTuple):
    """Which trial of a walk-forward a number is."""

    window: int
    is_test: bool
    point: int


class Search:
    """Trials by number: window after window, first all points in sample, then all on its test."""

    def __init__(self, runner: TrialRunner, space: Space, windows: Sequence[Window]) -> None:
        self._runner, self.space, self.windows = runner, space, windows

    @property
    def size(self) -> int:
        """Return how many trials there are."""
        return 2 * len(self.windows) * self.space.size

    def place(self, number: int) -> TrialPlace:
        """Return which window, part and point a trial is."""
        part, point = divmod(number, self.space.size)
        return TrialPlace(part // 2, bool(part % 2), point)

    def number(self, window: int, is_test: bool, point: int) -> int:
        """Return the number of a trial."""
        return (2 * window + is_test) * self.space.size + point

    def changes(self, number: int) -> dict[str, Any]:
        """
        Return what a trial changes: its parameters, and the candles that it is given, of which none is later than its part.

        On a test nothing is decided before its start, so that features are warm there, as in the account.
        """
        place = self.place(number)
        window = self.windows[place.window]
        end_ms = window.end_ms if place.is_test else window.seen_ms
        found = self.space.changes(place.point) | span(window.train_ms, end_ms)
        if place.is_test:
            found["strategy.start"] = moment(window.test_ms)
        return found

    def call(self, number: int) -> TrialCall:
        """Return a trial as it is asked for; of one on a test only the test is measured."""
        place = self.place(number)
        start_ms = self.windows[place.window].test_ms if place.is_test else None
        return TrialCall(number, self.changes(number), start_ms)

    def run(self, number: int) -> TrialRow:
        """Return what comes of a trial."""
        return self._runner.run(*self.call(number))

    def values(self, rows: Iterable[TrialRow], metric: str) -> FloatArray:
        """Return a metric of every trial, more is better, NaN for one without; shape (n_windows, 2, space.size)."""
        found = np.full(self.size, np.nan)
        sign = sign_of(metric)
        for row in rows:
            value = row.metrics.get(metric)
            if value is not None:
                found[row.number] = sign * value
        return found.reshape(len(self.windows), 2, self.space.size)
