"""Why a strategy did nothing, over a whole run: how often each condition was the first unmet one, and the newest."""

from collections import Counter as Counts
from collections import deque
from typing import Any, Final

from papertape.engine.records import Unmet

_NEWEST: Final = 20
_MOST: Final = 100  # different conditions that are told apart
_OTHERS: Final = "others"


class UnmetConditions:
    """A table of fixed size, whatever a strategy says."""

    def __init__(self) -> None:
        self._counts: Counts[str] = Counts()
        self._newest: deque[Unmet] = deque(maxlen=_NEWEST)

    def add(self, unmet: tuple[Unmet, ...]) -> None:
        """Take in what one step reported."""
        for one in unmet:
            is_new = one.condition not in self._counts and len(self._counts) >= _MOST
            self._counts[_OTHERS if is_new else one.condition] += 1
        self._newest.extend(unmet)

    def section(self) -> dict[str, Any]:
        """Return what result.json holds of it: counts, the most frequent first, and the newest rows, oldest first."""
        if not self._counts:
            return {}
        rows = [
            {**one._asdict(), "value": _plain(one.value), "threshold": _plain(one.threshold)}
            for one in self._newest
        ]
        return {"conditions": {"counts": dict(self._counts.most_common()), "newest": rows}}


def _plain(value: float) -> float | None:
    """Return a number as JSON has it; NaN is none."""
    return value if value == value else None
