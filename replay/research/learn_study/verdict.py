"""
What all cells of a study say together, corrected for how many were looked at.

The evidence of a recipe on a tape is what a unit of capital has become that was bet on it; while nothing can be known, the
chance that it ever reaches x is at most 1/x (Ville), so 1 ÷ the highest is a p-value at any time. Of N that were looked at,
those stand whose p-values pass Holm's step-down (S. Holm, Scandinavian Journal of Statistics 6, 1979), whatever they have in
common: the chance that even one of them is luck is at most α. Cells that differ in their policy alone share their models,
and count once.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from papertape.replay.tapes.quality import counted


class CellEvidence(NamedTuple):
    """One recipe on one tape: what it is called, its evidence, and by how much its models beat the base rate, with limits."""

    name: str
    evidence: float
    gain: Sequence[float] | None


class StudyVerdict(NamedTuple):
    """
    What the cells say together.

    tried      recipes on tapes that were judged; passed: of each for itself; by_luck: as many pass by luck at most on average
    standing   names of those that pass among all that were tried
    needed     evidence that one alone would need among them
    best       the cell with the most evidence, None of no cells
    better, worse  cells whose gain is surely above 0, surely below it, each in 90 % for itself; measured: that have a gain
    """

    alpha: float
    tried: int
    passed: int
    by_luck: float
    standing: Sequence[str]
    needed: float
    best: CellEvidence | None
    better: int
    worse: int
    measured: int

    def sentences(self) -> list[str]:
        """Return it in words."""
        if self.best is None:
            return ["No recipe has trained a model on any tape, so nothing was judged."]
        passes = f"{self.passed or 'None'} of {counted(self.tried, 'recipe')} on tapes passed for itself"
        luck = f"where none has merit, up to {self.by_luck:.3g} would by luck at a level of {self.alpha:.0%}"
        told = f"{len(self.standing)} pass: {', '.join(self.standing)}" if self.standing else "none passes"
        return [
            f"{passes}; {luck}.",
            f"Among all {self.tried:,} that were tried {told} (Holm, which asks {self.needed:,.0f} of the best); the most evidence "
            f"is {self.best.evidence:.3g}, of {self.best.name}.",
            f"Log-loss surely below the base rate's: {self.better} of {self.measured:,}, surely above it {self.worse}; each interval "
            f"is of 90 % for itself, so up to {0.05 * self.measured:.3g} lie above 0 by luck.",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        best = self.best
        return {**self._asdict(), "best": None if best is None else best._asdict()}


def verdict_of(cells: Sequence[CellEvidence], alpha: float) -> StudyVerdict:
    """Return what cells say together at a level."""
    ranked = sorted(cells, key=lambda cell: -cell.evidence)
    n = len(ranked)
    standing = []
    for place, cell in enumerate(ranked):
        if cell.evidence < (n - place) / alpha:
            break
        standing.append(cell.name)
    gains = [cell.gain for cell in cells if cell.gain is not None]
    return StudyVerdict(
        alpha,
        n,
        sum(cell.evidence >= 1.0 / alpha for cell in cells),
        alpha * n,
        standing,
        n / alpha,
        ranked[0] if ranked else None,
        sum(gain[1] > 0.0 for gain in gains),
        sum(gain[2] < 0.0 for gain in gains),
        len(gains),
    )


def evidence_in(name: str, lesson: Mapping[str, Any]) -> CellEvidence | None:
    """Return the evidence of a cell, None where no model was trained."""
    if not lesson.get("models"):
        return None
    return CellEvidence(name, lesson["evidence"], lesson["gain"])
