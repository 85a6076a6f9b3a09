"""
What a model's inputs are worth on rows that it has not seen, inputs that say the same thing together.

A group's values are told from another time, in blocks no shorter than labels overlap, and by how much the log-loss rises
is what the group was worth; see `papertape.engine.model.relevance.importance`. The limits are of the mean over these rows,
resampled in blocks as everywhere, and say nothing of how another model of the same recipe would read them.
"""

from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.artefact import Artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.relevance.groups import alike, correlations, named
from papertape.engine.model.relevance.importance import LEAST_BLOCKS, newest, rises
from papertape.replay.learning.evidence import RowOutcomes
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.learning.unseen.comparison import Intervals

ORDERS: Final = 3  # in which the blocks of a group are told
_DIGITS: Final = 4


def worth_of(
    artefact: Artefact, known: Dataset, followed: RowOutcomes, settings: LearningSettings
) -> dict[str, Any]:
    """
    Return what each group of inputs is worth on the newest rows after those of training, the most first.

    A symbol with fewer than eight blocks of them has no limits worth the name and is left out, and where all have, nothing is told.

    known     with the rows of training, in which it is seen what says the same thing; followed: what followed each row
    """
    record = artefact.record
    rows = known.between(record.start_ms, int(known.time_ms[-1]))
    x, y = rows.inputs(record.inputs), followed.y[:, len(known.time_ms) - len(rows.time_ms) :]
    is_whole = np.asarray(np.isfinite(x).all(axis=2))
    is_learnt = rows.time_ms <= record.end_ms
    judged = newest(is_whole & np.isfinite(y) & ~is_learnt, settings.horizon_bars)
    for own, whole in zip(judged, is_whole, strict=True):
        places = np.flatnonzero(own)
        # Every whole row between them is moved.
        moved = whole[places[0] : places[-1] + 1].sum() if len(places) else 0
        if moved < LEAST_BLOCKS * settings.horizon_bars:
            own[:] = False
    if not judged.any():
        return {}
    groups = alike(correlations(x, is_whole & is_learnt))

    def read(symbol: int, values: FloatArray) -> FloatArray:
        return read_rows(artefact, rows.symbols[symbol], values)[0]

    found = rises(read, x, y, judged, groups, settings.horizon_bars, settings.seed, ORDERS)
    seen = np.isfinite(found[0]).T  # rows by time: symbols of one close stay together
    intervals = Intervals(np.nonzero(seen)[0], settings.horizon_bars, settings.seed)
    told: list[dict[str, Any]] = [
        {"inputs": inputs, **_plain(intervals.of(values.T[seen])._asdict())}
        for inputs, values in zip(named(groups, record.inputs), found, strict=True)
    ]
    told.sort(key=lambda group: -group["value"])
    return {"rows": int(seen.sum()), "orders": ORDERS, "groups": told}


def _plain(values: dict[str, float]) -> dict[str, float | None]:
    """Return numbers of a few digits, as JSON can say them: a limit that nothing is known of is none."""
    return {n: float(f"{v:.{_DIGITS}g}") + 0.0 if np.isfinite(v) else None for n, v in values.items()}
