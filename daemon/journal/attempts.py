"""Attempts to replace the model, in the journal: begun, ended, what is known of them at a start, and what their models came to."""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

from papertape.daemon.journal.journal import Journal, Work
from papertape.replay.learning.attempt import Attempt

PENDING: Final = "pending"
# An attempt that ended so did what it should, whatever came of it.
SUCCESSES: Final = ("promoted", "rejected", "demoted", "skipped")


class AttemptRow(NamedTuple):
    """One attempt as the journal has it; see the table."""

    id: int
    due_ms: int
    effective_ms: int
    cause: str
    outcome: str
    reason: str
    champion: int
    version: int
    gate: str
    started_ms: int
    ended_ms: int | None
    wall_s: float

    @classmethod
    def newest(cls, journal: Journal, condition: str = "1") -> Self | None:
        """Return the newest attempt of which a condition of ours holds."""
        row = journal.one(f"SELECT * FROM attempts WHERE {condition} ORDER BY id DESC LIMIT 1")  # noqa: S608
        return None if row is None else cls(*row)


def begin_attempt(due_ms: int, effective_ms: int, cause: str, champion: int, started_ms: int) -> Work[int]:
    """Return the work that writes an attempt down before it is made, and gives its number."""

    def work(journal: Journal) -> int:
        cursor = journal.connection.execute(
            "INSERT INTO attempts (due_ms, effective_ms, cause, outcome, reason, champion, version, gate, "
            "started_ms, wall_s) VALUES (?, ?, ?, ?, '', ?, 0, '{}', ?, 0.0)",
            (due_ms, effective_ms, cause, PENDING, champion, started_ms),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    return work


def end_attempt(number: int, attempt: Attempt, version: int, ended_ms: int) -> Work[Any]:
    """Return the work that writes down what came of an attempt; version: of its model in the store, 0 for none."""
    gate = json.dumps(attempt.gate, sort_keys=True)
    row = (attempt.outcome, attempt.reason, version, gate, ended_ms, attempt.wall_s, number)
    return lambda journal: journal.connection.execute(
        "UPDATE attempts SET outcome = ?, reason = ?, version = ?, gate = ?, ended_ms = ?, wall_s = ? "
        "WHERE id = ?",
        row,
    )


class ShadowRow(NamedTuple):
    """What a model would have earned, as the journal has it; see the table."""

    attempt: int
    version: int
    since_ms: int
    until_ms: int
    rows: int
    waiting: int
    trades: int
    net_return: float
    log_loss: float | None
    majority_log_loss: float | None
    is_settled: int
    curve: str


class ShadowTotal(NamedTuple):
    """
    What all models of a journal would have earned together.

    until_ms  the newest close; newest: the record of the newest model
    """

    models: int
    trades: int
    net_return: float
    until_ms: int
    newest: ShadowRow

    @classmethod
    def of(cls, journal: Journal) -> Self | None:
        """Return it; None before the first record."""
        models, trades, total, until_ms = journal.one(
            "SELECT count(*), sum(trades), total(net_return), max(until_ms) FROM shadows"
        )
        if not models:
            return None
        newest = journal.one("SELECT * FROM shadows ORDER BY attempt DESC LIMIT 1")
        return cls(models, trades, total, until_ms, ShadowRow(*newest))


def write_shadows(rows: Sequence[ShadowRow]) -> Work[ShadowTotal | None]:
    """Return the work that writes records in the place of what was there of their models, and gives them all together."""

    def work(journal: Journal) -> ShadowTotal | None:
        places = ", ".join("?" * len(ShadowRow._fields))
        journal.connection.executemany(
            f"INSERT OR REPLACE INTO shadows VALUES ({places})",  # noqa: S608 - of the record
            rows,
        )
        return ShadowTotal.of(journal)

    return work
