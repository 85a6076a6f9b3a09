"""
(b) An edge of known size: found, not overstated, promoted, and worth money after costs. (c) Its labels shuffled: chance.

Two edges. In `edge` the last return tells the next one's sign, which the logistic model can learn; the best judge is right
with probability 1/2 + asin(φ)/π. In `pattern` only the signs of the last two returns together tell, which takes a model with a
memory; the best judge is right with probability (1 + φ)/2. Labels look one candle ahead, so that these are the truth about them.

Where rows that do not pay are a class of their own, the truth is a formula as well: the next return is normal around φ times the last
one, so the chances of a rise and of a fall that pay are known at every close, and a model is held against them.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model import read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.scores import NEITHER
from papertape.replay.honesty import pipeline
from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow, RowTimer, Show
from papertape.replay.learning.evidence import opinions, outcomes
from papertape.replay.research.gate_study import chance_of_more

_THRESHOLD = 0.06  # of the trading rule: about where an edge of these markets pays its costs
_DEVIATIONS = 3.0
_LONG_DAYS = 360  # what a network needs for a product of two signs
_LONG_ATTEMPTS = 2
_SURE = 0.01
_DEAR = 0.003  # a round trip that three moves of ten do not pay
_OFF = 0.08  # 2 to 5 % of chance; moves that do not pay, taken for falls, are 11 to 14


def edges(options: HonestyOptions, show: Show | None = None) -> Iterator[HonestyRow]:
    """Yield a row per planted edge and model, and the shuffled one."""
    clock = RowTimer()
    known = pipeline.market("edge", options.attempts, options.seed + 7, options.edge)
    best = 0.5 + math.asin(options.edge) / math.pi
    case = Case(known, best, pipeline.WINDOW_DAYS, options.attempts, is_only_known=True)
    yield _recovered(clock, "logistic", case, options, show)
    yield _neither(clock, known, options, show)
    for model in options.networks[:1]:
        longer = pipeline.market("edge", _LONG_ATTEMPTS, options.seed + 17, options.edge, _LONG_DAYS)
        case = Case(longer, best, _LONG_DAYS, _LONG_ATTEMPTS, is_only_known=False)
        yield _recovered(clock, model, case, options, show)
    for model in options.networks:
        seed = options.seed + 11
        patterned = pipeline.market("pattern", _LONG_ATTEMPTS, seed, options.pattern, _LONG_DAYS)
        best = 0.5 * (1.0 + options.pattern)
        case = Case(patterned, best, _LONG_DAYS, _LONG_ATTEMPTS, is_only_known=True)
        yield _recovered(clock, model, case, options, show)
    yield _shuffled(clock, known, options, show)


class Case(NamedTuple):
    """
    A market with an edge.

    best           accuracy of the best judge
    is_only_known  the model in question is the only contender that can learn it; otherwise the logistic one can, and the
                   gate has to refuse a network that is no better
    """

    known: pipeline.KnownMarket
    best: float
    window_days: int
    n_attempts: int
    is_only_known: bool


def _recovered(
    clock: RowTimer, model: str, case: Case, options: HonestyOptions, show: Show | None
) -> HonestyRow:
    """Return whether a model found an edge, no less and no more than there is."""
    best, rows = case.best, case.known.rows
    how = pipeline.settings(model, options, label="direction", horizon_bars=1, window_days=case.window_days)
    name = f"{'edge' if model == 'logistic' or not case.is_only_known else 'pattern'} of {best:.1%}, {model}"
    made = pipeline.attempts(rows, how, case.n_attempts, show, name)
    promoted = sum(attempt.is_promoted for attempt in made)
    numbers = pipeline.out_of_sample(rows, made, how).contenders["challenger"]
    accuracy, n = numbers.get("accuracy") or 0.0, numbers["rows"] or 0.0
    chance = _DEVIATIONS * math.sqrt(best * (1.0 - best) / max(n, 1.0))
    low, high = best - options.margin - chance, best + chance
    found = f"accuracy {accuracy:.1%} on {n:,.0f} rows not seen; {promoted} of {len(made)} promoted"
    is_found = low <= accuracy <= high
    if not case.is_only_known:
        is_refused = chance_of_more(promoted, len(made), how.gate_alpha) >= _SURE
        expected = f"{low:.1%} … {high:.1%}; refused beside a logistic model as good"
        return clock.row("b", name, expected, found, is_found and is_refused)
    money = pipeline.traded(case.known.candles, made, _THRESHOLD)
    # A champion may only be followed by a better one: one promotion is what an edge that stays the same deserves.
    return clock.row(
        "b",
        name,
        f"{low:.1%} … {high:.1%}, promoted, profit",
        f"{found}; {money.net_return:+.0%} after costs in {money.n_trades:,} trades",
        is_found and promoted >= 1 and money.net_return > 0.0,
    )


def _neither(
    clock: RowTimer, known: pipeline.KnownMarket, options: HonestyOptions, show: Show | None
) -> HonestyRow:
    """Return whether a model says what is true of an edge where moves that do not pay are neither up nor down."""
    how = pipeline.settings("logistic", options, label="direction", horizon_bars=1)
    how = replace(how, no_trade=True, cost=_DEAR)
    name = "edge in moves that pay, logistic"
    rows = known.rows
    made = pipeline.attempts(rows, how, options.attempts, show, name)
    last, after = made[-1], rows.time_ms > made[-1].due_ms
    off = np.nan
    if last.artefact:
        said = opinions(read_artefact(last.artefact), rows, last.due_ms)[0]
        off = float(np.nanmean(np.abs(said - best_judge(rows, options.edge, _DEAR))[after]))
    share = np.mean(outcomes(rows, how).y == NEITHER)
    return clock.row(
        "b",
        name,
        f"off the best judge by {_OFF:.0%} at most",
        f"{share:.0%} of moves do not pay {_DEAR:.1%}; off the best judge by {off:.1%} on {int(after.sum()):,} rows not seen",
        off <= _OFF,
    )


def best_judge(rows: Dataset, edge: float, cost: float) -> FloatArray:
    """Return P(rise pays) + ½ P(neither pays) of the candle after each row of `edge`, shape (n,), from how it is made."""
    moves = np.log(rows.close[0] / rows.open[0])
    normal = NormalDist(0.0, float(moves.std()) * math.sqrt(1.0 - edge * edge))
    up, down = math.log1p(cost), math.log1p(-cost)
    return np.array(
        [0.5 * (1.0 - normal.cdf(up - edge * r) + 1.0 - normal.cdf(down - edge * r)) for r in moves.tolist()]
    )


def _shuffled(
    clock: RowTimer, known: pipeline.KnownMarket, options: HonestyOptions, show: Show | None
) -> HonestyRow:
    """Return whether the same pipeline finds nothing once labels and inputs no longer belong together."""
    how = pipeline.settings("logistic", options, label="direction", horizon_bars=1)
    name = "the same edge, labels shuffled, logistic"
    rows = shuffled(known.rows, options.seed)
    made = pipeline.attempts(rows, how, options.attempts, show, name)
    promoted = sum(attempt.is_promoted for attempt in made)
    found = pipeline.out_of_sample(rows, made, how)
    numbers, is_edge = found.contenders["challenger"], found.is_promoted
    return clock.row(
        "c",
        name,
        "chance, refused",
        f"accuracy {numbers['accuracy']:.1%}, {'an edge' if is_edge else 'no edge'}; {promoted} of {len(made)} promoted",
        chance_of_more(promoted, len(made), how.gate_alpha) >= _SURE and not is_edge,
    )


def shuffled(rows: Dataset, seed: int) -> Dataset:
    """Return the rows with whole inputs exchanged between closes; the prices, which make the labels, stay."""
    order = np.random.default_rng(seed).permutation(len(rows.time_ms))
    return rows._replace(x=rows.x[:, order])
