"""
The account's statement as pages, newest first: every amount in double entry (`papertape.engine.performance.statement`).

A running balance needs all that came before, so the whole statement is made and kept until there is another fill or payment;
the pages of one reading are cut from one and the same.
"""

from typing import Final

from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import journal_statement
from papertape.daemon.monitoring.api.answers import MOST_ROWS, StatementPage
from papertape.daemon.monitoring.api.listings import MOST_BYTES
from papertape.daemon.monitoring.api.queries import StatementQuery
from papertape.daemon.monitoring.api.reader import Kept
from papertape.engine.performance.statement import Booked
from papertape.replay.tapes.tables import statement_columns

_NEWEST: Final = (
    "SELECT (SELECT max(sequence) FROM fills), (SELECT max(sequence) FROM payments), "
    "(SELECT max(time_ms) FROM equity)"
)
_ROW_BYTES: Final = 480  # of one row at most: eight numbers and four short words
assert _ROW_BYTES * MOST_ROWS < MOST_BYTES


class StatementPages:
    """The statement of one journal; used by the reading thread alone."""

    def __init__(self) -> None:
        self._kept: Kept[Booked] = Kept(_NEWEST)

    def page(self, journal: Journal, asked: StatementQuery) -> StatementPage:
        """
        Return a page, the newest amount first.

        Raises InvariantError where the statement does not balance.
        """
        unreported = journal.unreported  # first: the daemon goes on meanwhile
        booked = self._kept.answer(journal, lambda: journal_statement(journal))
        total = len(booked.postings)
        end = total if asked.cursor is None else min(asked.cursor, total)
        first = max(0, end - asked.limit)
        difference = None if booked.curve_cash is None else booked.curve_cash - booked.cash
        columns = statement_columns(booked.postings[first:end], booked.symbols, booked.units_per_quote)
        columns["time_ms"] = columns.pop("time").astype("i8")
        names = tuple(columns)
        rows = zip(*(columns[name].tolist() for name in names), strict=True)
        return StatementPage(
            rows=[dict(zip(names, row, strict=True)) for row in rows][::-1],
            next=first or None,
            amounts=total,
            transactions=booked.transactions,
            cash=booked.cash / booked.units_per_quote,
            compared_with=booked.curve,
            difference=None if difference is None else difference / booked.units_per_quote,
            inputs_missing=unreported,
        )
