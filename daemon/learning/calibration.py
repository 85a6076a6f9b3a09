"""
What the models in force said against what came, from the journal: reliability with counts, and scores by model.

Every prediction that is in the journal with its candle is judged by the labels that models are trained on, once its whole horizon
has passed: as the drift watch and a replay's report judge them. The newest ones are read, which bounds it.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.learning.outcomes import KnownOutcomes, Waiting, read_predictions
from papertape.engine.model.buckets import confidence_buckets
from papertape.engine.model.scores import scores
from papertape.engine.model.training.labels import SIGNAL
from papertape.replay.learning.settings import LearningSettings

MOST_BARS: Final = 20_000  # back from the newest: two weeks of minutes, two years of hours
MOST_ROWS: Final = 200_000  # of all symbols
MOST_VERSIONS: Final = 20


class Calibration(NamedTuple):
    """
    What was said against what came.

    waiting   predictions whose horizon has not passed
    unknown   whose outcome cannot be told: a missing candle or input, or a trade that neither level ended
    buckets   as of `confidence_buckets`; versions: scores of each model, newest first
    since_ms  of the oldest prediction that was judged; none: none was
    """

    waiting: int
    unknown: int
    since_ms: int | None
    buckets: list[dict[str, Any]]
    versions: list[dict[str, Any]]
    reason: str = ""


def calibration_of(
    journal: Journal, symbols: tuple[str, ...], length_ms: int, settings: LearningSettings
) -> Calibration:
    """
    Return how well the models in force were calibrated.

    symbols    in the engine's order
    length_ms  of the strategy's timeframe
    """
    if settings.asks == SIGNAL:
        return Calibration(
            0,
            0,
            None,
            [],
            [],
            "these models answer whether a signal pays, and a prediction does not say the signal",
        )
    newest_ms = journal.one("SELECT max(time_ms) FROM predictions")[0]
    if newest_ms is None:
        return Calibration(0, 0, None, [], [], "no model has said anything yet")
    bars = min(MOST_BARS, MOST_ROWS // len(symbols))
    rows = read_predictions(journal, symbols, newest_ms - bars * length_ms)
    waiting = Waiting(len(symbols), length_ms, settings)
    waiting.add(rows)
    found = waiting.resolve(newest_ms)
    is_known = np.isfinite(found.y) & np.isfinite(found.p)
    n_known = int(is_known.sum())
    if not n_known:
        return Calibration(len(rows) - len(found.y), len(found.y), None, [], [], "no outcome is known yet")
    return Calibration(
        waiting=len(rows) - len(found.y),
        unknown=len(found.y) - n_known,
        since_ms=int(found.time_ms[is_known].min()),
        buckets=confidence_buckets(found.y[is_known], found.p[is_known]),
        versions=_versions(found, is_known),
    )


def _versions(found: KnownOutcomes, is_known: Any) -> list[dict[str, Any]]:
    """Return the scores of each model on what it said itself."""
    told = []
    for version in sorted({*found.version[is_known].tolist()}, reverse=True)[:MOST_VERSIONS]:
        chosen = is_known & (found.version == version)
        told.append({"version": version, **scores(found.y[chosen], found.p[chosen])._asdict()})
    return told
