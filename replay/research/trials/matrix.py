"""The returns of many trials side by side, and what they say of the best of them."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.performance.overfitting import Overfitting, overfitting, superior
from papertape.engine.performance.resampling import block_length
from papertape.engine.performance.significance import LEAST_MOVES, has_moved_enough
from papertape.replay.research.trials.returns import block_returns

MOST_TRIALS: Final = 5_000  # of 256 blocks: 10 MB, and some seconds


class TrialVerdict(NamedTuple):
    """
    What the returns of all trials say together.

    trials       that could be compared: over the same days; left_out: those that could not, or were too many
    overfitting  None where there are too few trials, or days that do not hang together
    superior     how many of them have a Sharpe ratio above 0 by step-down; None where there are not two that moved on enough days
    """

    trials: int
    left_out: int
    overfitting: Overfitting | None
    superior: int | None

    @property
    def is_claim(self) -> bool:
        """Return whether there is an edge among them by all that their returns say."""
        return bool(self.superior)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        found = self.overfitting
        return {**self._asdict(), "overfitting": None if found is None else found._asdict()}

    def sentences(self) -> list[str]:
        """Return it in words."""
        return [self._of_overfitting(), *self._of_step_down()]

    def _of_overfitting(self) -> str:
        found = self.overfitting
        if found is None:
            return "Too few trials over the same days for a probability of backtest overfitting."
        apart = f", {self.left_out:,} left out" if self.left_out else ""
        return (
            f"Probability of backtest overfitting {found.probability:.0%} ({self.trials:,} trials{apart}, {found.splits} splits "
            f"into halves; 50 % is luck alone): so often the best of one half was not above the middle in the other; it lost "
            f"there in {found.loss:.0%}."
        )

    def _of_step_down(self) -> list[str]:
        if self.superior is not None:
            return [
                f"{self.superior or 'None'} of them earned more than nothing, by Romano–Wolf step-down at 5 %."
            ]
        few = f"Not enough independent days for a step-down: no two trials moved on {LEAST_MOVES}."
        return [few] if self.trials > 1 else []


def verdict(texts: Iterable[str], left_out: int = 0) -> TrialVerdict:
    """Return what trials say together; texts: their returns in the compact form; left_out: trials without theirs."""
    groups: dict[tuple[int, int, int], list[FloatArray]] = {}
    count = 0
    for text in texts:
        count += 1
        one = block_returns(text)
        group = groups.setdefault((one.first_day, one.days, len(one.returns)), [])
        if len(group) < MOST_TRIALS:
            group.append(one.returns)
    if not groups:
        return TrialVerdict(0, left_out, None, None)
    chosen = max(groups.values(), key=len)
    matrix = np.stack(chosen, axis=1)
    found = overfitting(matrix, block=median_block(matrix))
    is_enough = np.count_nonzero(has_moved_enough(matrix)) > 1
    n_superior = len(superior(matrix)) if is_enough else None
    return TrialVerdict(len(chosen), left_out + count - len(chosen), found, n_superior)


def median_block(matrix: FloatArray) -> float:
    """Return the median of the lengths that the trials' own returns ask for."""
    step = max(1, matrix.shape[1] // 200)
    return float(np.median([block_length(column) for column in matrix.T[::step]]))
