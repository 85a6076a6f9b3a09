"""What the gate said: each criterion as numbers and a sentence, and the whole as JSON for a model's record."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

Numbers = Mapping[str, float | None]


class Criterion(NamedTuple):
    """
    One thing that a challenger must show.

    value, lower  the estimate that should be above 0 and its lower bound; None where there is none
    told          the criterion in words, with its numbers, as far as it was met
    """

    name: str
    is_passed: bool
    value: float | None
    lower: float | None
    told: str

    @classmethod
    def loss(cls, rival: str, own: Numbers, other: Numbers, value: float, lower: float, alpha: float) -> Self:
        """Return whether the log-loss is below a rival's; `value` is by how much."""
        is_passed = lower > 0.0
        relation = "is below" if is_passed else "is not below"
        if not is_passed and value > 0.0:
            relation = "is not surely below"
        told = (
            f"log-loss {own['log_loss']:.4f} {relation} the {rival}'s {other['log_loss']:.4f} "
            f"(gain {value:+.4f}, lower bound {_signed(lower)} at {1.0 - alpha:.1%})"
        )
        return cls(f"log_loss_below_{rival}", is_passed, value, _finite(lower), told)

    @classmethod
    def profit(cls, value: float, lower: float, trades: int, alpha: float) -> Self:
        """Return whether the plain rule earns money after costs; `value` is the mean per trade, a fraction."""
        is_passed = lower > 0.0
        if trades == 0:
            told = "its probabilities never leave the middle far enough for a trade"
        else:
            relation = "is above 0" if is_passed else "is not above 0"
            if not is_passed and value > 0.0:
                relation = "is not surely above 0"
            told = (
                f"net return per trade {value:+.4%} after costs over {trades:,} overlapping trades {relation} "
                f"(lower bound {_signed(100.0 * lower)}% at {1.0 - alpha:.1%})"
            )
        return cls("net_return_above_0", is_passed, _finite(value), _finite(lower), told)

    @classmethod
    def earning(cls, own: Numbers, champion: Numbers) -> Self:
        """Return whether it earned no less per row than the champion; no bound, the estimates decide."""
        mine, its = own["net_per_row"] or 0.0, champion["net_per_row"] or 0.0
        is_passed = mine >= its
        relation = "is not below" if is_passed else "is below"
        told = f"net return per row {mine:+.5%} {relation} the champion's {its:+.5%}"
        return cls("net_return_not_below_champion", is_passed, mine - its, None, told)


class Verdict(NamedTuple):
    """
    The gate's answer.

    reason      one sentence: the first criterion that was not met, or all that were
    contenders  by name: scores, trades, net return per trade and per row
    told        rows, blocks and what the gate was set to
    """

    is_promoted: bool
    reason: str
    criteria: tuple[Criterion, ...]
    contenders: Mapping[str, Numbers]
    told: Mapping[str, Any]

    @classmethod
    def of(
        cls, criteria: tuple[Criterion, ...], contenders: Mapping[str, Numbers], told: Mapping[str, Any]
    ) -> Self:
        """Return the verdict that these criteria make: every one must be met."""
        failed = [criterion for criterion in criteria if not criterion.is_passed]
        if failed:
            others = f"; {len(failed) - 1} more of {len(criteria)} not met" if failed[1:] else ""
            return cls(False, f"refused: {failed[0].told}{others}", criteria, contenders, told)
        words = "; ".join(criterion.told for criterion in criteria)
        return cls(True, f"promoted: {words}", criteria, contenders, told)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values without NaN, for a record, a journal or a page."""
        return {
            "is_promoted": self.is_promoted,
            "reason": self.reason,
            "criteria": [criterion._asdict() for criterion in self.criteria],
            "contenders": {name: dict(numbers) for name, numbers in self.contenders.items()},
            **self.told,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _signed(value: float) -> str:
    return f"{value:+.4f}" if math.isfinite(value) else "none"
