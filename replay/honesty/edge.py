"""
(b) An edge of known size: found, not overstated, promoted, and worth money after costs. (c) Its labels shuffled: chance.

Two edges. In `edge` the last return tells the next one's sign, which the logistic model can learn; the best judge is right
with probability 1/2 + asin(φ)/π. In `pattern` only the signs of the last two returns together tell, which takes a model with a
memory; the best judge is right with probability (1 + φ)/2. Labels look one candle ahead, so that these are the truth about them.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from engine.model.artefact import Artefact
from engine.model.dataset import Dataset
from replay.honesty import lab
from replay.honesty.experiment import Clock, HonestyOptions, HonestyRow, Show
from replay.learning.challenge import OnEpoch
from replay.learning.settings import LearningSettings
from replay.learning.trainer import train_model

_THRESHOLD = 0.06  # of the trading rule: about where an edge of these markets pays its costs
_DEVIATIONS = 3.0


def edges(options: HonestyOptions, show: Show | None = None) -> Iterator[HonestyRow]:
    """Yield a row per planted edge, and the shuffled one."""
    clock = Clock()
    known = lab.market("edge", options.attempts, options.seed + 7, options.edge)
    best = 0.5 + math.asin(options.edge) / math.pi
    yield _recovered(clock, "logistic", known, best, options, show)
    for model in options.networks:
        patterned = lab.market("pattern", options.attempts, options.seed + 11, options.pattern)
        best = 0.5 * (1.0 + options.pattern)
        yield _recovered(clock, model, patterned, best, options, show)
    yield _shuffled(clock, known, options, show)


def _recovered(
    clock: Clock,
    model: str,
    known: lab.Known,
    best: float,
    options: HonestyOptions,
    show: Show | None,
) -> HonestyRow:
    """Return whether a model found an edge, no less and no more than there is."""
    how = lab.settings(model, options, label="direction", horizon_bars=1)
    name = f"edge of {best:.1%}, {model}"
    made = lab.attempts(known.rows, how, options.attempts, show, name)
    promoted = sum(attempt.is_promoted for attempt in made)
    numbers = lab.out_of_sample(known.rows, made, how).contenders["challenger"]
    accuracy, rows = numbers.get("accuracy") or 0.0, numbers["rows"] or 0.0
    chance = _DEVIATIONS * math.sqrt(best * (1.0 - best) / max(rows, 1.0))
    money = lab.traded(known.candles, made, _THRESHOLD)
    # A champion may only be followed by a better one: one promotion is what an edge that stays the same deserves.
    is_fine = (
        best - options.margin - chance <= accuracy <= best + chance
        and promoted >= 1
        and money.net_return > 0.0
    )
    return clock.row(
        "b",
        name,
        f"{best - options.margin - chance:.1%} … {best + chance:.1%}, promoted, profit",
        f"accuracy {accuracy:.1%} on {rows:,.0f} rows not seen; {promoted} of {len(made)} promoted; "
        f"{money.net_return:+.1%} after costs in {money.n_trades:,} trades",
        is_fine,
    )


def _shuffled(
    clock: Clock, known: lab.Known, options: HonestyOptions, show: Show | None
) -> HonestyRow:
    """Return whether a model that learnt from shuffled labels is as good as chance."""
    how = lab.settings("logistic", options, label="direction", horizon_bars=1)
    name = "shuffled labels, logistic"
    made = lab.attempts(known.rows, how, options.attempts, show, name, train_shuffled)
    promoted = sum(attempt.is_promoted for attempt in made)
    found = lab.out_of_sample(known.rows, made, how)
    numbers = found.contenders["challenger"]
    reported = found.is_promoted
    return clock.row(
        "c",
        name,
        "chance, refused",
        f"accuracy {numbers['accuracy']:.1%}, {'an edge' if reported else 'no edge'}; {promoted} of {len(made)} promoted",
        promoted == 0 and not reported,
    )


def train_shuffled(
    rows: Dataset,
    settings: LearningSettings,
    kind: str,
    parent: Artefact | None,
    on_epoch: OnEpoch | None,
    checkpoint: Path | None,
) -> bytes:
    """Return a model that learnt from the inputs of other closes: labels and inputs no longer belong together."""
    return train_model(shuffled(rows, settings.seed), settings, kind, parent, on_epoch, checkpoint)


def shuffled(rows: Dataset, seed: int) -> Dataset:
    """Return the rows with whole inputs exchanged between closes; the prices, which make the labels, stay."""
    order = np.random.default_rng(seed).permutation(len(rows.time_ms))
    return rows._replace(x=rows.x[:, order])
