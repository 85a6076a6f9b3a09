"""
Double entry: every amount of money moves between two or more accounts, and all accounts add up to zero.

Amounts are int64 in units of 1e-9 quote, so a sum is exact. A product of price and quantity is a float64 and is
rounded once, half to even, when it becomes money; nothing is rounded afterwards. Debits are positive:

    capital    minus what was paid in            inventory  spot holdings at cost
    cash       settled money                     realised   minus the profit of closed positions
    fees       paid to the venue                 funding    paid (received: negative) on perpetuals
"""

from typing import Final

import numpy as np

from papertape.engine.errors import InvariantError
from papertape.engine.jit import Row, kernel

LEDGER_FIELDS: Final = ("capital", "cash", "inventory", "realised", "fees", "funding")

LARGEST_QUOTE: Final = 9.0e9  # an amount stays below it, as money units fit int64
_LARGEST_AMOUNT: Final = 9.0e18  # the same in units


@kernel
def money(amount: float) -> int:
    """Return an amount of quote as money units, rounded half to even."""
    units = amount * 1e9
    if not abs(units) < _LARGEST_AMOUNT:
        raise InvariantError("an amount is beyond the ledger's range of 9e9 quote")
    return np.int64(np.rint(units))  # type: ignore[return-value] # numpy's int64 is our int


@kernel
def post(
    ledger: Row, cash: int, inventory: int = 0, realised: int = 0, fees: int = 0, funding: int = 0
) -> None:
    """Book one transaction whose legs must add up to zero, and assert that the whole ledger still does."""
    if cash + inventory + realised + fees + funding != 0:
        raise InvariantError("a posting does not add up to zero")
    ledger.cash += cash
    ledger.inventory += inventory
    ledger.realised += realised
    ledger.fees += fees
    ledger.funding += funding
    total = ledger.capital + ledger.cash + ledger.inventory
    if total + ledger.realised + ledger.fees + ledger.funding != 0:
        raise InvariantError("the ledger does not balance")


@kernel
def open_ledger(ledger: Row, capital: int) -> None:
    """Pay in the starting capital."""
    ledger.capital = -capital
    ledger.cash = capital
