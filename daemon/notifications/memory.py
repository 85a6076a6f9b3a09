"""
What was told already: a small table in the journal's meta, so that a restart tells nothing twice.

It is written before a message is on its way. A kill in between loses the message; none comes twice.
"""

import json
from pathlib import Path
from typing import Final

from papertape.daemon.journal import Journal, Writer

KEY: Final = "notified"
MOST_KEPT: Final = 2_000


class ToldMemory:
    """Marks by name, each a text; the oldest are forgotten beyond MOST_KEPT."""

    def __init__(self, writer: Writer, marks: dict[str, str]) -> None:
        self._writer, self._marks = writer, marks

    def get(self, name: str) -> str:
        """Return a mark, empty when there is none."""
        return self._marks.get(name, "")

    def set(self, name: str, mark: str) -> bool:
        """Set a mark and keep it; return whether it was another one."""
        if self._marks.get(name, "") == mark:
            return False
        self._marks.pop(name, None)  # it is the newest now
        if mark:
            self._marks[name] = mark
        while len(self._marks) > MOST_KEPT:
            del self._marks[next(iter(self._marks))]
        text = json.dumps(self._marks)
        self._writer.post(lambda journal: journal.set_meta(**{KEY: text}))
        return True


def remembered(state: Path) -> tuple[dict[str, str], float]:
    """Return what was told before, and the highest equity so far in quote, 0 before the first."""
    with Journal.read(state) as journal:
        text = journal.meta(KEY)
        peak = journal.one("SELECT max(equity) FROM equity")[0] or 0
        units = journal.units_per_quote
    return (json.loads(text) if text else {}), peak / units
