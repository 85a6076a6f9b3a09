"""
(d) Purge and embargo, (e) look-ahead: the pipeline is clean, and the same check fires where a leak is planted.

A check that never fires proves nothing. So each row asks twice: of the pipeline as it is, where nothing may be found, and of the
pipeline with the leak, which must be.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray, Rows, copy_rows
from papertape.engine.model import artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.training import options, parts, prepare
from papertape.engine.model.training.labels import BoolArray
from papertape.replay.honesty import pipeline
from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow, RowTimer, Show
from papertape.replay.honesty.patched import swapped
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.settings import DAY_MS
from papertape.replay.research.lookahead import scramble
from papertape.replay.tapes.synthetic import synthesize

_HORIZON: Final = 12
_FIXED: Final = options.TrainingOptions(kind="logistic", label="direction", horizon_bars=_HORIZON)
# About as long on average; without an embargo, so that nothing but what is told of each end keeps the parts apart.
_BY_VARIANCE: Final = replace(_FIXED, label="variance", horizon_bars=2 * _HORIZON, embargo_bars=0)
_PART_ROWS: Final = 900  # of one try of the purge: three parts, each with enough rows
_STRIDE: Final = 60
_DEVIATIONS: Final = 3.0
_CUTS: Final = 6
_AHEAD: Final = 6  # closes from which the planted feature knows


def leaks(study: HonestyOptions, show: Show | None = None) -> Iterator[HonestyRow]:
    """Yield a row per leak."""
    clock = RowTimer()
    yield _purge(clock, study, _FIXED, f"purge and embargo, labels over {_HORIZON} candles", show)
    yield _purge(clock, study, _BY_VARIANCE, "purge alone, labels as long as the market makes them", show)
    yield _past_only(clock, study)
    yield _recomputed(clock, study, show)
    yield _too_good(clock, study, show)


class Hits(NamedTuple):
    """The share of right answers at each boundary between parts, together."""

    mean: float
    error: float

    @property
    def is_leak(self) -> bool:
        """Return whether they are better than chance allows."""
        return self.mean - _DEVIATIONS * self.error > 0.5


def _purge(
    clock: RowTimer, study: HonestyOptions, how: options.TrainingOptions, what: str, show: Show | None
) -> HonestyRow:
    """
    Return whether the parts that training makes are free of each other.

    The judge is the simplest that a leak can help: it says of the first rows of a part what the last label of the part
    before was. Labels over 12 candles of a random walk share nearly all of them with their neighbours, so without a purge it
    has seen most of the answer, and with one it is a coin.
    """
    n = _PART_ROWS + _STRIDE * (study.boundaries // 2)
    walk = pipeline.rows_of(
        copy_rows(synthesize("noise", n, "1h", study.seed + 3, symbol=pipeline.SYMBOL).candles)
    )
    clean, leaking = [], []
    for number in range(study.boundaries // 2):
        chosen = slice(number * _STRIDE, number * _STRIDE + _PART_ROWS)
        part = walk.between(*_edges(walk, chosen))
        try:
            ready = prepare.prepare(part, how)
            with swapped(prepare, "purged_parts", without_purge):
                touching = prepare.prepare(part, how)
        except DataError:
            continue  # a part that only rose or only fell: nothing is trained on it
        clean += _boundary_hits(ready)
        leaking += _boundary_hits(touching)
        if show is not None:
            show("purge", number + 1, study.boundaries // 2)
    kept, removed = _together(clean), _together(leaking)
    return clock.row(
        "d",
        what,
        "with: chance; without: noticed",
        f"with: {kept.mean:.1%} ± {kept.error:.1%}; without: {removed.mean:.1%} ± {removed.error:.1%}, "
        f"{'noticed' if removed.is_leak else 'not noticed'}",
        removed.is_leak and not kept.is_leak,
    )


def _edges(rows: Dataset, chosen: slice) -> tuple[int, int]:
    """Return the times between which some rows lie, as `between` takes them."""
    first = int(rows.time_ms[chosen.start])
    return first - 1, int(rows.time_ms[min(chosen.stop, len(rows.time_ms)) - 1])


def _boundary_hits(ready: prepare.Prepared) -> list[float]:
    """Return the judge's share of right answers behind each of the two boundaries."""
    found = []
    for before, after in ((ready.train, ready.validate), (ready.validate, ready.calibrate)):
        last = np.flatnonzero(before[0])[-1]
        asked = np.flatnonzero(after[0])[: _HORIZON // 2]
        found.append(float(np.mean(ready.y[0, asked] == ready.y[0, last])))
    return found


def _together(shares: Sequence[float]) -> Hits:
    """Return the mean over boundaries and its error; neighbouring windows share nothing but a boundary's sixty rows."""
    values = np.array(shares)
    return Hits(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)))


def without_purge(
    known: IntArray, is_usable: BoolArray, shares: Sequence[float], embargo_bars: int = 0
) -> tuple[BoolArray, ...]:
    """Return parts that touch: what is often written when a series is split."""
    at_once = np.where(is_usable, np.arange(known.shape[-1]), known)
    return parts.purged_parts(at_once, is_usable, shares, 0)


def _past_only(clock: RowTimer, study: HonestyOptions) -> HonestyRow:
    """Return whether scaling and weights come from the training part alone, and nothing of the gate's rows enters a model."""
    known = pipeline.market("garch", 1, study.seed + 5)
    # Every direction label is known after the horizon, whatever the candles do, so that the parts end where they did.
    how = pipeline.settings("logistic", study, label="direction")
    learnt = known.rows.between(0, int(known.rows.time_ms[0]) + pipeline.WINDOW_DAYS * DAY_MS)
    trained = options.TrainingOptions(
        kind="logistic", features=how.features, label="direction", horizon_bars=how.horizon_bars
    )
    ready = prepare.prepare(learnt, trained)
    cut = int(np.flatnonzero(ready.train[0])[-1]) + how.horizon_bars + 1
    wild = np.random.default_rng(study.seed)
    later = pipeline.rows_of(scramble(known.candles, cut, wild)).until(int(learnt.time_ms[-1]))
    first, second = (train_model(rows, how, "logistic", None, None, None) for rows in (learnt, later))
    one, two = (artefact.read_artefact(data).tensors for data in (first, second))
    fitted = ("mean", "scale", "coefficients", "intercept")
    changed = [name for name in fitted if not np.array_equal(one[name], two[name])]
    # Its record measures the later parts, so the artefact has to differ: otherwise nothing was exchanged.
    is_other = first != second
    return clock.row(
        "e",
        "later candles exchanged, same model",
        "scaling and weights unchanged",
        f"changed: {', '.join(changed) or 'none'}; scores of later parts {'differ' if is_other else 'do not differ'}",
        is_other and not changed,
    )


def _recomputed(clock: RowTimer, study: HonestyOptions, show: Show | None) -> HonestyRow:
    """Return whether every input is the same on a tape that ends there, and whether a planted look-ahead is not."""
    known = pipeline.market("jumps", 1, study.seed + 9)
    own = first_difference(known.candles, pipeline.rows_of, study.seed, show)
    planted = first_difference(
        known.candles, lambda candles: look_ahead(pipeline.rows_of(candles)), study.seed
    )
    return clock.row(
        "e",
        "inputs computed again on cut tapes",
        "same bits; planted look-ahead noticed",
        f"pipeline: {own or 'same bits'}; planted: {planted or 'not noticed'}",
        not own and bool(planted),
    )


def first_difference(
    candles: Rows, make: Callable[[Rows], Dataset], seed: int, show: Show | None = None
) -> str:
    """Return the first input whose value changes when later candles are not there, or nothing."""
    whole = make(candles)
    cuts = np.sort(np.random.default_rng(seed).integers(len(candles) // 4, len(candles), _CUTS))
    for number, cut in enumerate(cuts.tolist()):
        part = make(copy_rows(candles[:cut]))
        n = len(part.time_ms)
        same = (part.x == whole.x[:, :n]) | (np.isnan(part.x) & np.isnan(whole.x[:, :n]))
        if not same.all():
            _, row, column = np.argwhere(~same)[0]
            return f"{whole.columns[column]} differs {n - row} closes before a cut"
        if show is not None:
            show("cut tapes", number + 1, len(cuts))
    return ""


def look_ahead(rows: Dataset) -> Dataset:
    """Return the rows with a planted look-ahead: the first input is centred, as a rolling mean without a lag is."""
    close = rows.close
    later = np.full_like(close, np.nan)
    later[:, :-_AHEAD] = np.log(close[:, _AHEAD:] / close[:, :-_AHEAD])
    x: FloatArray = rows.x.copy()
    x[..., 0] += np.where(np.isnan(later), 0.0, later)
    return rows._replace(x=x)


def _too_good(clock: RowTimer, study: HonestyOptions, show: Show | None) -> HonestyRow:
    """Return whether a look-ahead that nobody proved shows in the scores: noise cannot be known."""
    known = pipeline.market("noise", study.attempts, study.seed + 13)
    how = pipeline.settings("logistic", study)
    rows = look_ahead(known.rows)
    made = pipeline.attempts(rows, how, study.attempts, show, "look-ahead planted")
    found = pipeline.out_of_sample(rows, made, how)
    numbers = found.contenders["challenger"]
    reported = found.is_promoted
    return clock.row(
        "e",
        "look-ahead planted in noise, logistic",
        "an edge where none can be: noticed",
        f"accuracy {numbers['accuracy']:.1%}, {'an edge: noticed' if reported else 'no edge: not noticed'}",
        reported,
    )
