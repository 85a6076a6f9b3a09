"""Which account was in force at which input of a journal: the one that it began with, then that of each chapter."""

from bisect import bisect_left
from typing import NamedTuple

from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import begun_as
from papertape.daemon.journal.identity import Identity


class Lineage(NamedTuple):
    """
    The accounts of a journal, in order.

    begins    inputs that begin a chapter
    accounts  in force before the first of them, and from each on: one more
    """

    begins: tuple[int, ...]
    accounts: tuple[Identity, ...]

    def at(self, sequence: int) -> Identity:
        """Return the account after an input; 0: before the first."""
        return self.accounts[bisect_left(self.begins, sequence + 1)]


def lineage_of(journal: Journal) -> Lineage:
    """Return the accounts of a journal, or raise DataError where none has begun."""
    rows = journal.all("SELECT input, after FROM chapters ORDER BY input")
    decimals = journal.money_decimals
    return Lineage(
        tuple(int(row[0]) for row in rows),
        (begun_as(journal), *(Identity.from_json(row[1], decimals) for row in rows)),
    )
