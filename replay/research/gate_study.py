"""
How often the gate errs, measured: promotions of challengers that know nothing, and of challengers that know something.

Every case draws rows afresh for each run and asks the gate. The cases of noise:

    independent    labels are coins; the challenger's probabilities are calibrated noise
    overlapping    labels are the sign of a random walk's next `horizon` steps, so neighbours share almost all of them
    persistent     the same labels; the challenger's probabilities wander as slowly as the labels do
    overconfident  the same, with log-odds four times too far out
    identical      the challenger is the champion, whatever that knows
    bad champion   champion and logistic baseline are far worse than chance; the challenger is noise
    mirrored       the majority leans one way and the challenger exactly as far the other way, without costs: every criterion
                   sits on its boundary and all are one and the same question, so the gate's error is that of one test.
                   No noise is harder to refuse; here the rate should be near the level, not far below it.

The cases of an edge: a signal of known strength tells the drift of the steps, and the challenger knows the signal's exact
meaning. `accuracy` is that of the best possible judge, 1/2 + atan(ratio)/π with ratio the spread of what it knows to the
spread of what it does not.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.gate.gate import Evidence, GateOptions, gate
from papertape.replay.research.planted import STEP, planted_edge, sigmoid, slow, walk_ahead

_COST: Final = 0.001
_SURE: Final = 0.01  # a rate is called above its level when chance gives it less often than this

Draw = Callable[[np.random.Generator, int, int], Evidence]


class GateRow(NamedTuple):
    """
    One case of the study.

    accuracy   of the best judge of an edge; 0.5 for noise
    rate       share of runs that ended in a promotion
    is_fine    noise: the rate is not surely above the level; an edge: always true, the rate is the gate's power
    """

    case: str
    accuracy: float
    rows: int
    horizon_bars: int
    runs: int
    promotions: int
    rate: float
    is_fine: bool


@dataclass(frozen=True, slots=True)
class GateStudyOptions:
    """Runs per case, rows per run (hours of thirty days), and how far labels look."""

    runs: int = 400
    rows: int = 720
    horizon_bars: int = 12
    accuracies: tuple[float, ...] = (0.55, 0.6, 0.65)
    seed: int = 1


def gate_study(
    options: GateStudyOptions | None = None,
    gate_options: GateOptions | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[GateRow]:
    """Yield a row per case as it is measured."""
    options, rules = options or GateStudyOptions(), gate_options or GateOptions()
    cases: list[tuple[str, float, Draw]] = [(name, 0.5, draw) for name, draw in NOISES.items()]
    cases += [("edge", accuracy, _edge(accuracy)) for accuracy in options.accuracies]
    for place, (name, accuracy, draw) in enumerate(cases):
        promotions = 0
        for run in range(options.runs):
            random = np.random.default_rng((options.seed, place, run))
            promotions += gate(draw(random, options.rows, options.horizon_bars), rules).is_promoted
            if on_progress is not None:
                on_progress(f"gate: {name}", run + 1, options.runs)
        is_noise = accuracy == 0.5
        yield GateRow(
            name,
            accuracy,
            options.rows,
            options.horizon_bars,
            options.runs,
            promotions,
            promotions / options.runs,
            not is_noise or chance_of_more(promotions, options.runs, rules.alpha) >= _SURE,
        )


def chance_of_more(count: int, runs: int, rate: float) -> float:
    """Return the chance of `count` or more successes in `runs` tries at a rate: the binomial upper tail."""
    if count <= 0:
        return 1.0
    logs = [
        math.lgamma(runs + 1)
        - math.lgamma(k + 1)
        - math.lgamma(runs - k + 1)
        + k * math.log(rate)
        + (runs - k) * math.log1p(-rate)
        for k in range(count, runs + 1)
    ]
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def _evidence(
    returns: FloatArray,
    challenger: FloatArray,
    logistic: FloatArray,
    horizon: int,
    *,
    majority: float = 0.5,
    champion: FloatArray | None = None,
    cost: float = _COST,
) -> Evidence:
    probabilities = {"challenger": challenger, "logistic": logistic}
    if champion is not None:
        probabilities["champion"] = champion
    return Evidence(
        bar=np.arange(len(returns)),
        y=(returns > 0.0).astype(np.float64),
        long_return=returns,
        short_return=-returns,
        probabilities=probabilities,
        majority=majority,
        cost=cost,
        horizon_bars=horizon,
    )


def _independent(random: np.random.Generator, n: int, horizon: int) -> Evidence:
    returns = random.normal(0.0, STEP, n)
    mine, other = sigmoid(random.normal(0.0, 0.2, (2, n)))
    return _evidence(returns, mine, other, 1)


def _overlapping(random: np.random.Generator, n: int, horizon: int) -> Evidence:
    mine, other = sigmoid(random.normal(0.0, 0.2, (2, n)))
    return _evidence(walk_ahead(random, n, horizon), mine, other, horizon)


def _persistent(random: np.random.Generator, n: int, horizon: int) -> Evidence:
    mine, other = (sigmoid(0.2 * slow(random, n, horizon)) for _ in range(2))
    return _evidence(walk_ahead(random, n, horizon), mine, other, horizon)


def _overconfident(random: np.random.Generator, n: int, horizon: int) -> Evidence:
    mine, other = (sigmoid(0.8 * slow(random, n, horizon)) for _ in range(2))
    return _evidence(walk_ahead(random, n, horizon), mine, other, horizon)


def _identical(random: np.random.Generator, n: int, horizon: int) -> Evidence:
    known = _known(random, n, horizon, 0.65)
    return known._replace(
        probabilities={**known.probabilities, "champion": known.probabilities["challenger"]}
    )


def _bad_champion(random: np.random.Generator, n: int, horizon: int) -> Evidence:
    returns = walk_ahead(random, n, horizon)
    wrong = sigmoid(-1.0 * np.sign(returns) + random.normal(0.0, 0.5, n))
    mine = sigmoid(0.2 * slow(random, n, horizon))
    return _evidence(returns, mine, wrong, horizon, champion=wrong)


def _mirrored(random: np.random.Generator, n: int, horizon: int) -> Evidence:
    lean = 0.05
    majority, mine = 0.5 + lean, np.full(n, 0.5 - lean)
    return _evidence(
        walk_ahead(random, n, horizon), mine, np.full(n, majority), horizon, majority=majority, cost=0.0
    )


NOISES: Final[dict[str, Draw]] = {
    "independent": _independent,
    "overlapping": _overlapping,
    "persistent": _persistent,
    "overconfident": _overconfident,
    "identical": _identical,
    "bad champion": _bad_champion,
    "mirrored": _mirrored,
}


def _edge(accuracy: float) -> Draw:
    return lambda random, n, horizon: _known(random, n, horizon, accuracy)


def _known(random: np.random.Generator, n: int, horizon: int, accuracy: float) -> Evidence:
    """Return rows whose challenger knows all that can be known."""
    found = planted_edge(random, n, horizon, accuracy)
    mine, other = found.probability, sigmoid(random.normal(0.0, 0.2, n))
    return _evidence(found.returns, mine, other, horizon)
