"""Two models on the same rows, which neither has learnt from: their scores, and how sure the difference is."""

from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray
from papertape.engine.model.artefact import Artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.gate.bootstrap import draw_blocks, lower_bound
from papertape.engine.model.scores import losses, scores
from papertape.engine.model.training.labels import SIGNAL
from papertape.replay.learning.evidence import opinions, outcomes
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.tapes.timestamps import utc_text

_LEAST_ROWS = 50
ALPHA: Final = 0.05  # on each side: intervals are of 90 %
_RESAMPLES: Final = 2_000
_BLOCK_HORIZONS: Final = 2


class Interval(NamedTuple):
    """An estimate and the limits between which the true value lies in nine of ten histories."""

    value: float
    lower: float
    upper: float


class Intervals:
    """
    Intervals of means over the same rows, all on the same resampled histories.

    bars  number of the close of each row, never falling; horizon_bars: over which labels overlap
    """

    def __init__(self, bars: IntArray, horizon_bars: int, seed: int) -> None:
        self._place = bars - bars[0]
        n = self._n = int(self._place[-1]) + 1
        wanted = max(_BLOCK_HORIZONS * horizon_bars, round(n ** (1 / 3)))
        self._block = min(wanted, max(n // 2, 1))
        self._draws = draw_blocks(n, self._block, _RESAMPLES, np.random.default_rng(seed))
        self._counts: FloatArray = np.bincount(self._place, minlength=n).astype(np.float64)

    def of(self, values: FloatArray) -> Interval:
        """Return the mean of one value per row with its limits."""
        sums: FloatArray = np.bincount(self._place, values, self._n).astype(np.float64)
        low = lower_bound(sums, self._counts, self._block, self._draws, ALPHA)
        high = lower_bound(-sums, self._counts, self._block, self._draws, ALPHA)
        return Interval(low.value, low.lower, -high.lower)


class Comparison(NamedTuple):
    """
    What two models said of the same rows.

    scores      of the first, the second and of always saying the share of rises among these very rows, which nobody knew
    difference  of log-loss, the second minus the first: above 0 the first is better
    """

    start_ms: int
    end_ms: int
    scores: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
    difference: Interval


def settings_for(artefact: Artefact, settings: LearningSettings) -> LearningSettings:
    """
    Return the settings with the label that a model was trained for.

    Raises DataError for a model about signals of another strategy than that of the settings, which makes the rows.
    """
    label = artefact.record.label
    if artefact.record.asks == SIGNAL and label["signals_of"] != settings.signals_of:
        here = settings.signals_of or "asked about none"
        raise DataError(
            f"compare: the model says whether signals of {label['signals_of']} pay, and the configuration's strategy is {here}; "
            "set signals.model_asks, signals.model_use and the strategy as they were when it was trained"
        )
    names = ("horizon_bars", "stop_atr", "target_atr", "variance_share", "cost")
    changes = {n: label[n] for n in names if n in label}
    kind, no_trade = label.get("kind", "direction"), label.get("no_trade", False)
    return replace(settings, label=kind, asks=artefact.record.asks, no_trade=no_trade, **changes)


def compare_models(
    first: Artefact, second: Artefact, rows: Dataset, settings: LearningSettings
) -> Comparison:
    """
    Return how two models do on the rows after the newest that either has learnt from.

    settings  say what is right: the label of the first model, see `settings_for`

    Raises DataError when the models foresee different things or too few rows are left.
    """
    labels = [model.record.label or {"kind": "direction"} for model in (first, second)]
    if labels[0] != labels[1]:
        raise DataError(
            f"compare: one foresees {labels[0]}, the other {labels[1]}; nothing is right for both"
        )
    seen_ms = max(first.record.end_ms, second.record.end_ms)
    said = [opinions(model, rows, seen_ms) for model in (first, second)]
    y = outcomes(rows, settings).y
    chosen = np.isfinite(y) & np.isfinite(said[0]) & np.isfinite(said[1])
    if chosen.sum() < _LEAST_ROWS:
        raise DataError(
            f"compare: {int(chosen.sum())} rows after {utc_text(seen_ms)}, the newest that one of them has learnt from, are "
            f"fewer than {_LEAST_ROWS}; give a tape that goes on longer"
        )
    # Symbols of one close stay together: rows by time.
    stacked = chosen.T
    judged, p, q = y.T[stacked], said[0].T[stacked], said[1].T[stacked]
    bars = np.broadcast_to(np.arange(y.shape[1])[:, None], stacked.shape)[stacked]
    base = np.full(len(judged), judged.mean())
    interval = Intervals(bars, settings.horizon_bars, settings.seed)
    times = rows.time_ms[[bars[0], bars[-1]]]
    found = [dict(scores(judged, values)._asdict()) for values in (p, q, base)]
    return Comparison(
        int(times[0]),
        int(times[1]),
        (found[0], found[1], found[2]),
        interval.of(losses(judged, q) - losses(judged, p)),
    )
