"""
How often a recipe without merit ever passes, and how soon one with merit does, measured over years of retraining.

Predictions are made with a known accuracy in place of training models, so that a thousand histories take seconds. Everything that a
history goes through is that of a replay: the evidence of each month's model, and the state that it leads to. Noise:

    independent    labels are coins; probabilities are calibrated noise
    overlapping    labels are the sign of a random walk's next steps, so neighbours share almost all of them
    persistent     the same; probabilities wander as slowly as the labels do
    overconfident  the same, with log-odds four times too far out
    momentum       probabilities follow the last returns, each month's model in its own direction
    leaning        the market rises most of the time and every model says so
    wandering      the share of rises wanders over the months, and so do the probabilities, without each other
    copies         three symbols that are one market: persistent, and counted as three

The cases of an edge are those of `planted_edge`: the model knows all that can be known. `edge ends` goes on for as many months
again after what the model knows has stopped to mean anything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray
from papertape.engine.model.gate.bets import Unseen
from papertape.engine.model.gate.recipe import RecipeOptions, RecipeState, judge
from papertape.replay.research.gate_study import chance_of_more
from papertape.replay.research.planted import STEP, planted_edge, sigmoid, slow, sum_ahead

MONTH: Final = 720  # rows between two retrains: hours of thirty days
_WINDOW: Final = 3 * MONTH  # rows before the first retrain, which tell the base rate
_SURE: Final = 0.01
_LEAN: Final = 0.15  # drift of the market that leans, in steps
# log-odds, one deviation, of the base rate that wanders, and the same of what is said
_WANDER: Final = 0.2
_COPIES: Final = 3
MUSTS: Final = {0.53: 0.5, 0.55: 0.85, 0.6: 0.99}  # power that is asked for in a year at a horizon of 12

Random = np.random.Generator


class Simulated(NamedTuple):
    """Outcomes and probabilities of every row, shape (n,), of each of so many symbols that are all the same."""

    y: FloatArray
    p: FloatArray
    n_symbols: int = 1


class RecipeRow(NamedTuple):
    """
    One case of the study.

    accuracy  of the best judge; 0.5 for noise
    passed    histories in which the recipe had passed at any time; rate: their share
    months    median until the first passing, or of an edge that ends from its end until the recipe had faded
    fades     per year: how often what had passed was demoted; of an edge that lasts it should have stayed
    ended     share of the histories of an edge that ends in which the recipe had faded afterwards
    asked     power that an edge must have, 0 for none
    is_fine   noise: the rate is not surely above the level; an edge: not surely below what is asked
    """

    case: str
    accuracy: float
    years: float
    runs: int
    passed: int
    rate: float
    months: float | None
    fades: float
    ended: float
    asked: float
    is_fine: bool


@dataclass(frozen=True, slots=True)
class RecipeStudyOptions:
    """Histories per case, years of noise, months of an edge (at least 1), how far labels look, and which edges."""

    runs: int = 400
    years: float = 4.0
    months: int = 12
    horizon_bars: int = 12
    accuracies: tuple[float, ...] = (0.53, 0.55, 0.6)
    ends: tuple[float, ...] = (0.55, 0.6)
    seed: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.horizon_bars <= MONTH // 2:
            raise ConfigError(
                f"recipe-study: horizon {self.horizon_bars} is not between 1 and {MONTH // 2}, half of a month of hours"
            )


class RecipeHistory(NamedTuple):
    """Months until the recipe first passed, None if never; how often it faded; months after the end until it had, likewise."""

    passed: int | None
    fades: int
    faded: int | None = None


def recipe_study(
    options: RecipeStudyOptions | None = None,
    rules: RecipeOptions | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Iterator[RecipeRow]:
    """Yield a row per case as it is measured."""
    options, rules = options or RecipeStudyOptions(), rules or RecipeOptions()
    long = max(round(12 * options.years), 1)
    cases: list[tuple[str, float, int, Draw]] = [(name, 0.5, long, NOISES[name]) for name in NOISES]
    cases += [("edge", edge, options.months, _edge(edge)) for edge in options.accuracies]
    cases += [("edge ends", edge, 4 * options.months, _ending(edge)) for edge in options.ends]
    for place, (name, accuracy, months, draw) in enumerate(cases):
        histories = []
        for run in range(options.runs):
            random = np.random.default_rng((options.seed, place, run))
            drawn = draw(random, _WINDOW + MONTH * months, options.horizon_bars)
            ends = months // 2 if name == "edge ends" else None
            histories.append(follow(drawn, months, options.horizon_bars, rules, ends))
            if on_progress is not None:
                on_progress(f"recipe: {name}", run + 1, options.runs)
        is_asked = options.horizon_bars == 12 and options.months == 12 and name == "edge"
        asked = MUSTS.get(accuracy, 0.0) if is_asked else 0.0
        yield _row(name, accuracy, months, histories, rules, asked)


def follow(
    drawn: Simulated, months: int, horizon: int, rules: RecipeOptions, ends: int | None = None
) -> RecipeHistory:
    """Return what became of a recipe over so many retrains; ends: number of the month from which nothing can be known."""
    state, passed, faded, before = RecipeState(), None, None, 0
    for month in range(months):
        state, _ = judge(state, judged(drawn, month, horizon), rules)
        if state.passes and passed is None:
            passed = month + 1
        if ends is not None and month + 1 == ends:
            if not state.is_passed:  # there is nothing to demote
                return RecipeHistory(passed, state.fades)
            before = state.fades
        elif ends is not None and month >= ends and faded is None and state.fades > before:
            faded = month + 1 - ends
    return RecipeHistory(passed, state.fades, faded)


def judged(drawn: Simulated, month: int, horizon: int) -> Unseen:
    """Return the rows of one month, as its model saw them: a month before tells its middle, three the base rate."""
    since, end = _WINDOW + MONTH * month, _WINDOW + MONTH * (month + 1)
    first, n = since - _WINDOW, drawn.n_symbols
    said = drawn.p[first:end].copy()
    said[: _WINDOW - MONTH] = np.nan  # it has learnt from them
    return Unseen(
        np.repeat(np.arange(first, end), n),
        np.tile(np.arange(n), end - first),
        np.repeat(drawn.y[first:end], n),
        np.repeat(said, n),
        since,
        end - 1,
        horizon,
    )


def _row(
    name: str,
    accuracy: float,
    months: int,
    histories: list[RecipeHistory],
    rules: RecipeOptions,
    asked: float,
) -> RecipeRow:
    runs, passed = len(histories), [h.passed for h in histories if h.passed is not None]
    rate = len(passed) / runs
    is_ending = name == "edge ends"
    times = [h.faded for h in histories if h.faded is not None] if is_ending else passed
    if accuracy == 0.5:
        is_fine = chance_of_more(len(passed), runs, rules.alpha) >= _SURE
    else:
        missed = runs - len(passed)
        is_fine = asked == 0.0 or chance_of_more(missed, runs, 1.0 - asked) >= _SURE
    return RecipeRow(
        name,
        accuracy,
        months / 12.0,
        runs,
        len(passed),
        rate,
        float(np.median(times)) if times else None,
        12.0 * sum(h.fades for h in histories) / (months * runs),
        sum(h.faded is not None for h in histories) / runs,
        asked,
        is_fine,
    )


Draw = Callable[[Random, int, int], Simulated]


def _rises(random: Random, n: int, horizon: int, drift: float = 0.0) -> FloatArray:
    """Return whether a random walk's next steps rise, at each of n rows."""
    steps = random.normal(drift * STEP, STEP, n + horizon - 1)
    return (sum_ahead(steps, horizon) > 0.0).astype(np.float64)


def _independent(random: Random, n: int, horizon: int) -> Simulated:
    coins = random.integers(0, 2, n).astype(np.float64)
    return Simulated(coins, sigmoid(random.normal(0.0, 0.2, n)))


def _overlapping(random: Random, n: int, horizon: int) -> Simulated:
    return Simulated(_rises(random, n, horizon), sigmoid(random.normal(0.0, 0.2, n)))


def _persistent(random: Random, n: int, horizon: int) -> Simulated:
    return Simulated(_rises(random, n, horizon), sigmoid(0.2 * slow(random, n, horizon)))


def _overconfident(random: Random, n: int, horizon: int) -> Simulated:
    return Simulated(_rises(random, n, horizon), sigmoid(0.8 * slow(random, n, horizon)))


def _momentum(random: Random, n: int, horizon: int) -> Simulated:
    steps = random.normal(0.0, STEP, n + 2 * horizon - 1)
    sums = sum_ahead(steps, horizon)  # the sum behind a row, and one horizon on the one ahead of it
    behind, ahead = sums[:n], sums[horizon : horizon + n]
    own = np.repeat(random.normal(0.0, 0.3, n // MONTH + 1), MONTH)[:n]
    tilt = own * behind / (STEP * np.sqrt(horizon))
    return Simulated((ahead > 0.0).astype(np.float64), sigmoid(tilt))


def _leaning(random: Random, n: int, horizon: int) -> Simulated:
    said = sigmoid(0.2 + 0.05 * slow(random, n, horizon))
    return Simulated(_rises(random, n, horizon, _LEAN / np.sqrt(horizon)), said)


def _wandering(random: Random, n: int, horizon: int) -> Simulated:
    rate = sigmoid(_WANDER * slow(random, n, 2.0 * MONTH))
    return Simulated(
        (random.random(n) < rate).astype(np.float64), sigmoid(_WANDER * slow(random, n, 2.0 * MONTH))
    )


def _copies(random: Random, n: int, horizon: int) -> Simulated:
    return _persistent(random, n, horizon)._replace(n_symbols=_COPIES)


NOISES: Final[dict[str, Draw]] = {
    "independent": _independent,
    "overlapping": _overlapping,
    "persistent": _persistent,
    "overconfident": _overconfident,
    "momentum": _momentum,
    "leaning": _leaning,
    "wandering": _wandering,
    "copies": _copies,
}


def _edge(accuracy: float) -> Draw:
    def draw(random: Random, n: int, horizon: int) -> Simulated:
        found = planted_edge(random, n, horizon, accuracy)
        return Simulated(found.outcomes, found.probability)

    return draw


def _ending(accuracy: float) -> Draw:
    def draw(random: Random, n: int, horizon: int) -> Simulated:
        found = _edge(accuracy)(random, n, horizon)
        # Labels of the last rows before the end lie beyond it.
        last = _WINDOW + (n - _WINDOW) // 2 - horizon
        found.y[last:] = _rises(random, n - last, horizon)
        return found

    return draw
