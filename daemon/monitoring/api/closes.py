"""
What a strategy saw and answered at each close, and the first condition that it found unmet: why, and why not.

The journal keeps what changed; what was looked at and left nothing behind is kept here, of the newest MOST_CLOSES of every
symbol since this process began. The engine shows it on the way (`watch`, `watch_answers`) and nothing depends on it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np

from papertape.daemon.monitoring.api.answers import (
    CloseAnswer,
    CloseView,
    FeatureValue,
    UnmetCondition,
)
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.records import Unmet
from papertape.engine.report import Report

MOST_CLOSES: Final = 2_000  # of one symbol: with 60 features half a megabyte
_TARGETS: Final = {-1: "short", 0: "flat", 1: "long", 2: "keep"}

T = TypeVar("T")


class Closes:
    """
    Keeps them by symbol and close time.

    columns  names of the features, in the order of the engine's matrix
    """

    def __init__(self, symbols: Sequence[str], columns: Sequence[str], timeframe_ms: int) -> None:
        self._symbols, self._columns, self._timeframe_ms = (
            tuple(symbols),
            tuple(columns),
            timeframe_ms,
        )
        self._features: dict[str, OrderedDict[int, Any]] = {s: OrderedDict() for s in symbols}
        self._answers: dict[str, OrderedDict[int, CloseAnswer]] = {
            s: OrderedDict() for s in symbols
        }
        self._unmet: dict[str, OrderedDict[int, Unmet]] = {s: OrderedDict() for s in symbols}

    def watch(self, symbol: int, matrix: FloatArray, bars: Rows) -> None:
        """Take in one symbol's features at these closes, of which the matrix has a column each."""
        kept = self._features[self._symbols[symbol]]
        first = max(0, len(bars) - MOST_CLOSES)
        values = matrix[: len(self._columns), first : len(bars)].astype(np.float32)
        for place, open_ms in enumerate(bars["open_ms"][first:].tolist()):
            _keep(kept, open_ms + self._timeframe_ms, values[:, place].copy())

    def watch_answers(self, symbol: int, answers: Rows, bars: Rows) -> None:
        """Take in what the strategy answered at these closes."""
        kept = self._answers[self._symbols[symbol]]
        first = max(0, len(bars) - MOST_CLOSES)
        times = bars["open_ms"][first:].tolist()
        for open_ms, row in zip(times, answers[first : len(bars)], strict=True):
            answer = CloseAnswer(
                target=_TARGETS[int(row["target"])],
                confidence=float(row["confidence"]),
                score_model=float(row["score_model"]),
                score_smc=float(row["score_smc"]),
                score_technical=float(row["score_technical"]),
            )
            _keep(kept, open_ms + self._timeframe_ms, answer)

    def on_report(self, report: Report) -> None:
        """Take in the conditions that were not met."""
        for unmet in report.unmet:
            _keep(self._unmet[unmet.symbol], unmet.time_ms, unmet)

    def at(self, symbol: str, time_ms: int) -> CloseView:
        """Return what is known of a close."""
        values, unmet = self._features[symbol].get(time_ms), self._unmet[symbol].get(time_ms)
        features = [] if values is None else zip(self._columns, values.tolist(), strict=True)
        return CloseView(
            symbol=symbol,
            time_ms=time_ms,
            is_kept=values is not None,
            features=tuple(FeatureValue(name=n, value=_number(v)) for n, v in features),
            answer=self._answers[symbol].get(time_ms),
            unmet=None if unmet is None else _condition(unmet),
        )


def _keep(kept: OrderedDict[int, T], time_ms: int, value: T) -> None:
    kept[time_ms] = value
    if len(kept) > MOST_CLOSES:
        kept.popitem(last=False)


def _number(value: float) -> float | None:
    """Return a value to the digits that it was kept with; None for what is not a number."""
    return float(f"{value:.7g}") if np.isfinite(value) else None


def _condition(unmet: Unmet) -> UnmetCondition:
    value, threshold = _number(unmet.value), _number(unmet.threshold)
    distance = None if value is None or threshold is None else value - threshold
    return UnmetCondition(
        condition=unmet.condition, value=value, threshold=threshold, distance=distance
    )
