"""
The recipe is judged, not the month: evidence of every model that a recipe has trained, added up as one bettor's capital.

    untried ── capital ≥ 1/α ──▶ passed: its newest model trades ── capital ≤ α · its highest since ──▶ untried, capital 1

A recipe is how models are made: kind, features, labels, window, cadence. Each of its models is judged on the rows until the next
one, which it had not seen, whether it trades or not, and the capital goes on from model to model (`bets` says what is bet).

Passing: while there is nothing to know the chance that the capital of a recipe ever reaches 1/α is at most α, however many years
and retrains it is looked at. The capital is the mean of several bettors' with fixed shares of it, each with a λ of his own.

Fading: where the bettor stakes no more than the truth would allow, 1/capital is itself fair or worse (the numeraire property: E. Platen,
2006), so a fall by 1/α from the highest is what an edge as large as it was bet on shows least often: a CUSUM of the same
bets the other way, as in J. Shin, A. Ramdas and A. Rinaldo, E-detectors, New England Journal of Statistics in Data Science 2
(2024). What has faded begins anew, and must pass again in full.

A passed recipe's newest model takes over unless it is surely worse than the one in force: its log-loss on the gate's rows
has a lower bound above the other's (`surely_worse`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

from papertape.engine.errors import ConfigError
from papertape.engine.model.gate.bets import BetOptions, Unseen, bet
from papertape.engine.model.gate.gate import CHALLENGER, CHAMPION, Evidence, GateOptions, gate

SHARES: Final = (0.85, 0.15)  # of the capital, in the order of `BetOptions.stakes`
_MOST_LOG: Final = 300.0  # nothing is surer than that, and numbers end at e^709


@dataclass(frozen=True, slots=True)
class RecipeOptions:
    """
    How sure one must be.

    alpha  chance that a recipe without merit ever passes; bets: how evidence is made
    """

    alpha: float = 0.05
    bets: BetOptions = field(default_factory=BetOptions)

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 0.5:
            raise ConfigError(f"recipe: alpha {self.alpha} is not between 0 and 0.5")

    @property
    def boundary(self) -> float:
        """Return the capital from which on a recipe has passed."""
        return 1.0 / self.alpha

    def fall(self, highest: float) -> float:
        """Return the factor by which capital must have fallen from its highest since the passing to have faded."""
        return self.boundary * max(math.log(highest) / math.log(self.boundary), 1.0)


class RecipeState(NamedTuple):
    """
    What a recipe has shown so far.

    logs       of each bettor's capital per unit of his share; highest: capital since it passed, or 1
    is_passed  whether its models may trade
    blocks, rows  that were bet on since the beginning; passes, fades: how often each has happened
    """

    logs: tuple[float, ...] = (0.0,) * len(SHARES)
    highest: float = 1.0
    is_passed: bool = False
    blocks: int = 0
    rows: int = 0
    passes: int = 0
    fades: int = 0

    @property
    def capital(self) -> float:
        """Return what a unit has become: the evidence, an e-value."""
        return _capital(self.logs)

    def after(self, rows: int, factors: tuple[float, ...], options: RecipeOptions) -> Self:
        """Return the state after one more block; its factors, one a bettor, are above 0."""
        pairs = zip(self.logs, factors, strict=True)
        logs = tuple(min(log + math.log(by), _MOST_LOG) for log, by in pairs)
        blocks, all_rows, passes, fades = self.blocks + 1, self.rows + rows, self.passes, self.fades
        is_passed, highest, capital = self.is_passed, self.highest, _capital(logs)
        if not is_passed and capital >= options.boundary:
            is_passed, highest, passes = True, capital, passes + 1
        elif is_passed and capital * options.fall(highest) <= highest:
            return type(self)(blocks=blocks, rows=all_rows, passes=passes, fades=fades + 1)
        elif is_passed:
            highest = max(highest, capital)
        return type(self)(logs, highest, is_passed, blocks, all_rows, passes, fades)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**self._asdict(), "logs": list(self.logs)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `to_json` gave; raises TypeError or KeyError for anything else."""
        found = cls(**{**values, "logs": tuple(float(log) for log in values["logs"])})
        if len(found.logs) != len(SHARES):
            raise KeyError("logs")
        return found


def _capital(logs: tuple[float, ...]) -> float:
    return math.fsum([share * math.exp(log) for share, log in zip(SHARES, logs, strict=True)])


class EvidencePoint(NamedTuple):
    """The capital after a block, the bar at which it was known, and whether the recipe had passed by then."""

    bar: int
    capital: float
    is_passed: bool


def judge(
    state: RecipeState, unseen: Unseen, options: RecipeOptions
) -> tuple[RecipeState, list[EvidencePoint]]:
    """Return the state after rows that one of the recipe's models had not seen, and the way there."""
    blocks = bet(unseen, options.bets)
    points = []
    for bar, rows, factors in zip(
        blocks.known_bar.tolist(), blocks.rows.tolist(), blocks.factors.tolist(), strict=True
    ):
        state = state.after(rows, tuple(factors), options)
        points.append(EvidencePoint(bar, state.capital, state.is_passed))
    return state, points


def surely_worse(evidence: Evidence, options: GateOptions) -> str:
    """Return why a challenger is surely worse than the champion on these rows, in words, or nothing."""
    said = evidence.probabilities
    if CHAMPION not in said:
        return ""
    turned = evidence._replace(probabilities={CHALLENGER: said[CHAMPION], CHAMPION: said[CHALLENGER]})
    verdict = gate(turned, options)
    for criterion in verdict.criteria:
        if criterion.name == f"log_loss_below_{CHAMPION}" and criterion.is_passed:
            own, other = (verdict.contenders[name]["log_loss"] for name in (CHAMPION, CHALLENGER))
            return (
                f"log-loss {own:.4f} is surely above the champion's {other:.4f} "
                f"(by {criterion.value:.4f}, lower bound {criterion.lower:.4f})"
            )
    return ""
