"""Keys of commands in the journal: whoever asks again with the same key gets the same answer, also after a restart."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from papertape.daemon.journal import Journal, Work

KEPT: Final = 1_000  # newest keys; an older one is as good as new


class KeptAnswer(NamedTuple):
    """
    What was answered to a key.

    request  SHA-256 of what was asked with it
    answer   JSON
    """

    request: str
    answer: str


def kept_answer(journal: Journal, key: str) -> KeptAnswer | None:
    """Return what was answered to a key, None where it is new or forgotten."""
    row = journal.one("SELECT request, answer FROM command_keys WHERE key = ?", key)
    return None if row is None else KeptAnswer(*row)


def keep_answer(key: str, request: str, answer: Callable[[Journal], str], time_ms: int) -> Work[Any]:
    """Return the work that keeps an answer, made when everything before it is in the journal, and forgets the oldest."""

    def work(journal: Journal) -> None:
        journal.connection.execute(
            "INSERT INTO command_keys (key, request, answer, time_ms) VALUES (?, ?, ?, ?)",
            (key, request, answer(journal), time_ms),
        )
        journal.connection.execute(
            "DELETE FROM command_keys WHERE id <= (SELECT max(id) FROM command_keys) - ?", (KEPT,)
        )

    return work
