"""
A trial that is judged on windows of its candles: one account, measured in each of them, and given up where it falls behind.

What it is worth after a window is the mean of one metric over the windows so far. It is given up as optuna's MedianPruner has it:
where the best that it was worth after any window is below the median of what all finished trials before it were worth there.
Which trials those are is fixed before it begins, so whoever runs it, and whenever, decides the same.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray
from papertape.replay.backtesting.summary import Run
from papertape.replay.config import Config
from papertape.replay.config.spec import make_spec
from papertape.replay.research.sweep.parts import performance_between
from papertape.replay.tapes.store import Tape

LEAST_FINISHED: Final = 5  # trials before the first is given up, as optuna has it


class Judging(NamedTuple):
    """
    How a trial is judged.

    metric, sign  of which the mean counts; 1 where more of it is better
    bounds_ms     where the windows begin and end, one more than there are
    floors        what has to be reached after each window but the last, more is better; None: nothing
    """

    metric: str
    sign: int
    bounds_ms: Sequence[int]
    floors: Sequence[float | None] = ()

    @property
    def windows(self) -> int:
        """Return how many windows there are."""
        return len(self.bounds_ms) - 1

    def is_behind(self, values: Sequence[float | None]) -> bool:
        """Return whether a trial is given up that had these values in its first windows."""
        floor = self.floors[len(values) - 1] if len(values) <= len(self.floors) else None
        if floor is None:
            return False
        means = means_of(self.sign, values)
        return len(means) < len(values) or max(means) < floor

    @classmethod
    def of_json(cls, values: Sequence[Any] | None) -> Self | None:
        """Return what was written as plain values."""
        return None if values is None else cls(*values)


class WindowWatch:
    """What a trial had in each window so far."""

    def __init__(self, config: Config, judging: Judging) -> None:
        self._config, self._judging = config, judging
        self.values: list[float | None] = []
        self.is_given_up = False

    @property
    def stops_ms(self) -> Sequence[int]:
        """Return the ends of all windows but the last."""
        return self._judging.bounds_ms[1:-1]

    @property
    def end_ms(self) -> int:
        """Return the end of the newest window that was measured."""
        return self._judging.bounds_ms[len(self.values)]

    def goes_on(self, run: Run, closes: FloatArray) -> bool:
        """Measure the next window of a run, and return whether the trial is worth going on with."""
        start_ms, end_ms = self._judging.bounds_ms[len(self.values) :][:2]
        found = None
        if _is_alive(run, start_ms):
            found = performance_between(self._config, run, start_ms, end_ms, closes).metrics.get(
                self._judging.metric
            )
        self.values.append(found if found is not None and np.isfinite(found) else None)
        self.is_given_up = self._judging.is_behind(self.values)
        return not self.is_given_up

    def begin_again(self) -> None:
        """Forget what was measured, for a run that is to be had in another way."""
        self.values.clear()

    def reason(self) -> str:
        """Return why it was given up."""
        judging, after = self._judging, len(self.values)
        means, floor = means_of(judging.sign, self.values), judging.floors[after - 1]
        assert floor is not None
        had = f"{judging.sign * max(means):.4g}" if len(means) == after else "not in every window"
        return (
            f"after window {after} of {judging.windows}: {judging.metric} {had}, and half of those before had "
            f"{judging.sign * floor:.4g}"
        )


def means_of(sign: int, values: Sequence[float | None]) -> list[float]:
    """Return the mean after each window, more is better, up to the first without a value."""
    known = [sign * value for value in values[: _first_missing(values)] if value is not None]
    return [sum(known[:n]) / n for n in range(1, len(known) + 1)]


def floors_of(finished: Sequence[Sequence[float]], windows: int) -> list[float | None]:
    """Return what has to be reached after each window but the last; finished: the means of every finished trial."""
    if len(finished) < LEAST_FINISHED:
        return [None] * (windows - 1)
    return [float(np.median([means[place] for means in finished])) for place in range(windows - 1)]


def windows_over(config: Config, tapes: Sequence[Tape], windows: int) -> tuple[int, ...]:
    """Return the bounds of so many windows, alike to a candle, over what is traded; ConfigError for too many or too few."""
    spec = make_spec(config, tapes)
    data, base_ms = config.data, timeframe_ms(spec.base_timeframe)
    cuts = [tape.between(data.start, data.end) for tape in tapes if tape.symbol in spec.traded]
    first_ms = min(int(cut.candles["open_ms"][0]) for cut in cuts)
    end_ms = max(int(cut.candles["open_ms"][-1]) + cut.length_ms for cut in cuts)
    candles = (end_ms - first_ms) // base_ms
    if not 2 <= windows <= candles:
        raise ConfigError(f"--windows {windows}: between 2 and {candles:,}, one for each candle")
    return tuple(first_ms + base_ms * (candles * k // windows) for k in range(windows + 1))


def _first_missing(values: Sequence[float | None]) -> int:
    return next((place for place, value in enumerate(values) if value is None), len(values))


def _is_alive(run: Run, start_ms: int) -> bool:
    """Return whether an account had anything when a window began."""
    before = int(np.searchsorted(run.marks["time_ms"], start_ms, "right"))
    return not before or bool(run.marks["equity"][before - 1] > 0)
