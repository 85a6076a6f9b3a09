"""What a strategy said of itself over a whole run: conditions that were the first unmet ones, and notes."""

from collections import Counter as Counts
from collections import deque
from typing import Any, Final

from papertape.engine.records import Note, Unmet

_NEWEST: Final = 20
_NEWEST_NOTES: Final = 100
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


class Notes:
    """The newest notes, and how many there were."""

    def __init__(self) -> None:
        self._count = 0
        self._newest: deque[Note] = deque(maxlen=_NEWEST_NOTES)

    def add(self, notes: tuple[Note, ...]) -> None:
        """Take in what one step reported."""
        self._count += len(notes)
        self._newest.extend(notes)

    def section(self) -> dict[str, Any]:
        """Return what result.json holds of them: the number, and the newest, oldest first."""
        if not self._count:
            return {}
        rows = [one._asdict() for one in self._newest]
        return {"strategy_notes": {"count": self._count, "newest": rows}}


def _plain(value: float) -> float | None:
    """Return a number as JSON has it; NaN is none."""
    return value if value == value else None
