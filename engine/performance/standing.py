"""How a run stands among all that was tried on its candles: its deflated Sharpe ratio, and the sentence about it."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from papertape.engine.performance.metrics import MINIMUM_DAYS
from papertape.engine.performance.ratios import DAYS_PER_YEAR
from papertape.engine.performance.significance import expected_best_sharpe, probability_above


class Standing(NamedTuple):
    """
    What a trial ledger knew when a result was made.

    trials     distinct trials on these candles, this one included; None: no ledger could be read
    deviation  of their daily Sharpe ratios, whatever their days; None below two of them, and where `spread_trials` is known
    problem    why nothing is known, or why this result is not on record; empty when all is well
    ledger, sequence, head  which ledger, and its newest row then: nothing before that can be taken out unnoticed
    spread     of their Sharpe ratios over one day (`sharpe_spread`), None below two that have one over enough days
    spread_trials  whose that is; None: of a result that was made before days were counted, which stays as it was
    """

    trials: int | None
    deviation: float | None = None
    problem: str = ""
    ledger: str = ""
    sequence: int = 0
    head: str = ""
    spread: float | None = None
    spread_trials: int | None = 0

    @classmethod
    def of_json(cls, values: Any) -> "Standing":
        """Return what `section` gave; raises TypeError, KeyError or ValueError for anything else."""
        given = [name for name in cls._fields if name not in _ADDED or name in values]
        found = cls(**{**dict.fromkeys(_ADDED), **{name: values[name] for name in given}})
        for value, kinds in zip(found, _KINDS, strict=True):
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise ValueError(f"{value!r} is none of its values")
        return found

    def section(self, metrics: Mapping[str, float | None]) -> dict[str, Any]:
        """Return it as plain values, with the deflated Sharpe ratio of a run."""
        plain = {**self._asdict(), "deviation": self.deviation_over(metrics.get("days"))}
        if self.spread_trials is None:
            plain = {name: value for name, value in plain.items() if name not in _ADDED}
        return {**plain, "deflated_sharpe": self.deflated(metrics)}

    def deviation_over(self, days: float | None) -> float | None:
        """Return the deviation of daily Sharpe ratios of trials without skill over so many days, None where it is not known."""
        if self.spread_trials is None:
            return self.deviation
        return self.spread / math.sqrt(days) if self.spread is not None and days else None

    def threshold(self, error: float, days: float) -> float | None:
        """
        Return the annual Sharpe ratio that the best of so many worthless trials would show over so many days, None for one alone.

        error  of this one's annual Sharpe ratio, which is the spread of trials without skill where theirs is not known
        """
        if self.trials is None or self.trials < 2:
            return None
        daily = self.deviation_over(days)
        deviation = error if daily is None else daily * math.sqrt(DAYS_PER_YEAR)
        return expected_best_sharpe(self.trials, deviation)

    def deflated(self, metrics: Mapping[str, float | None]) -> float | None:
        """Return the deflated Sharpe ratio of a run: the probability that it is above that threshold."""
        sharpe, error = metrics.get("sharpe"), metrics.get("sharpe_standard_error")
        days = metrics.get("days")
        if sharpe is None or error is None or days is None:
            return None
        threshold = self.threshold(error, days)
        return None if threshold is None else probability_above(sharpe, threshold, error, int(days))

    def sentences(self, metrics: Mapping[str, float | None]) -> list[str]:
        """Return what a reader must know of the trials before this one."""
        said = [f"Not on record: {self.problem}."] if self.problem else []
        if self.trials is None:
            said.append("How many trials came before is not known, so the Sharpe ratio is not deflated.")
            return said
        if self.trials < 2:
            said.append("No other trial is on record for these candles; the Sharpe ratio is not deflated.")
            return said
        others = "1 other trial" if self.trials == 2 else f"{self.trials - 1:,} other trials"
        told = f"{others} on record for these candles"
        dsr, error, days = (self.deflated(metrics), metrics.get("sharpe_standard_error"), metrics.get("days"))
        threshold = self.threshold(error, days) if error is not None and days is not None else None
        if dsr is None or threshold is None:
            why = (
                "there is no Sharpe ratio" if metrics.get("sharpe") is None else "not enough independent days"
            )
            return [*said, f"{told}; {why}, so nothing is deflated."]
        return [
            *said,
            f"{told}: the best of {self.trials:,} without any skill would show a Sharpe ratio of {threshold:.2f}, this one "
            f"shows {metrics['sharpe']:.2f}; that there is more to it has a probability of {dsr:.0%} (deflated Sharpe ratio).",
            *self._of_spread(),
        ]

    def _of_spread(self) -> list[str]:
        """Return whose spread that is, where it is not that of all."""
        if self.spread_trials is None or self.spread_trials == self.trials:
            return []
        if self.spread is None:
            return [
                f"Fewer than two of them have a Sharpe ratio over at least {MINIMUM_DAYS} days, so their spread is taken to be "
                "this one's own error."
            ]
        return [
            f"The spread behind that is of {self.spread_trials:,} of them, those with a Sharpe ratio over at least {MINIMUM_DAYS} days."
        ]


_KINDS: tuple[Any, ...] = (int | None, float | int | None, str, str, int, str, float | int | None, int | None)
# What results do not have that were made before days were counted.
_ADDED = ("spread", "spread_trials")
