"""
Double entry: every amount of money moves between two or more accounts, and all accounts add up to zero.

Amounts are int64 in the account's smallest unit, 1e-9 quote unless it counts coarser ones (`unit_decimals`), so a sum is
exact. A product of price and quantity is a float64 and is rounded once, half to even, when it becomes money; nothing is
rounded afterwards. An amount or a sum beyond the range of the unit stops the engine. Debits are positive:

    capital    minus what was paid in            inventory  spot holdings at cost
    cash       settled money                     realised   minus the profit of closed positions
    fees       paid to the venue                 funding    paid (received: negative) on perpetuals
"""

from typing import Final

import numpy as np

from papertape.engine.errors import ConfigError, InvariantError
from papertape.engine.jit import Row, kernel

LEDGER_FIELDS: Final = ("capital", "cash", "inventory", "realised", "fees", "funding")

DECIMALS: Final = 9  # of quote that are counted, unless an account says otherwise
# units; an amount stays below it, so that it fits int64: 9e9 quote at nine decimals
LARGEST_AMOUNT: Final = 9.0e18
UNITS_PER_VOLUME: Final = 1_000  # money units in one of volume, so that a month's fits
_LARGEST: Final = 9_000_000_000_000_000_000
_SHOWN: Final = 2  # decimals of an amount, where its currency is not listed below
_ROOM: Final = 9  # times the capital that amounts may grow to
# Decimals of money in circulation, of currencies in which accounts have many digits. Source: ISO 4217, list one, minor units.
CURRENCY_DECIMALS: Final = {
    "ARS": 2, "CLP": 0, "COP": 2, "HUF": 2, "IDR": 2, "INR": 2, "IRR": 2, "JPY": 0, "KRW": 0, "LAK": 2, "LBP": 2,
    "MMK": 2, "NGN": 2, "PKR": 2, "PYG": 0, "TZS": 2, "UGX": 0, "UZS": 2, "VND": 0,
}  # fmt: skip
# Decimals shown: of coins of which one is worth much, as venues show them, and of those above.
_SHOWN_OF: Final = {"BTC": 8, "XBT": 8, "ETH": 8, "BNB": 8} | CURRENCY_DECIMALS


def unit_decimals(capital: float, currency: str, decimals: int | None = None) -> int:
    """
    Return how many decimals of quote an account counts: as it says, else nine, else those of its currency.

    capital  starting cash, quote; where nine decimals leave it room, as below 1e9, they are taken in every currency

    >>> unit_decimals(5e8, "IDR"), unit_decimals(1e15, "IDR"), unit_decimals(1e12, "VND"), unit_decimals(1e4, "USDT", 2)
    (9, 2, 0, 2)
    """
    if decimals is not None:
        return decimals
    is_small = not capital >= largest_capital(DECIMALS)
    return DECIMALS if is_small else CURRENCY_DECIMALS.get(currency.upper(), DECIMALS)


def largest_capital(decimals: int) -> float:
    """Return which capital is too large for a unit, quote; what it may grow to still fits."""
    return LARGEST_AMOUNT / _ROOM / units_per_quote(decimals)


def units_per_quote(decimals: int) -> float:
    """Return how many money units one quote is; divide by it: 10^12 units × 1e-9 are 1000.0000000000001 quote."""
    return float(10**decimals)


def decimals_of(units_per_quote: float) -> int:
    """Return how many decimals of quote are counted, of how many money units one quote is."""
    return len(str(int(units_per_quote))) - 1


def shown_decimals(decimals: int, currency: str) -> int:
    """
    Return with how many decimals amounts are shown: those of coins, and never more than are counted.

    >>> shown_decimals(9, "USDT"), shown_decimals(9, "JPY"), shown_decimals(1, "USDT"), shown_decimals(0, "IDR")
    (2, 0, 1, 0)
    >>> shown_decimals(9, "BTC")
    8
    """
    return min(decimals, _SHOWN_OF.get(currency.upper(), _SHOWN))


def unit_convention(decimals: int, currency: str) -> tuple[str, ...]:
    """Return the sentence that says in which unit an account counts, none for the usual one."""
    if decimals == DECIMALS:
        return ()
    unit = f"1e-{decimals}" if decimals else "1"
    return (f"Amounts are counted in units of {unit} {currency}, and each is rounded to one.",)


def refuse_capital(capital: float, decimals: int, currency: str = "quote") -> None:
    """Raise ConfigError for a unit that is none, and for a capital that is beyond the range of its unit."""
    if type(decimals) is not int or not 0 <= decimals <= DECIMALS:
        raise ConfigError(
            f"money_decimals: {decimals} is no whole number from 0 to {DECIMALS}; left out it follows the currency"
        )
    most, unit = largest_capital(decimals), f"1e-{decimals}" if decimals else "1"
    if not 0.0 < capital < most:
        fitting = _decimals_for(capital) if capital >= most else None
        wider = "" if fitting is None else f"; money_decimals = {fitting} counts coarser ones"
        raise ConfigError(
            f"capital: {capital:g} is not between 0 and {most:g} {currency}, the range of amounts in units of {unit} {currency}{wider}"
        )


def _decimals_for(capital: float) -> int | None:
    """Return the most decimals whose range a capital lies in, None where none is wide enough."""
    return next((d for d in range(DECIMALS, -1, -1) if capital < largest_capital(d)), None)


@kernel
def money(amount: float, units_per_quote: float) -> int:
    """Return an amount of quote as money units, rounded half to even."""
    units = amount * units_per_quote
    if not abs(units) < LARGEST_AMOUNT:
        raise InvariantError(
            "an amount is beyond the ledger's range of 9e18 of its smallest units, which is 9e9 quote at nine decimals; an "
            "account with fewer account.money_decimals reaches further"
        )
    return np.int64(np.rint(units))  # type: ignore[return-value] # numpy's int64 is our int


@kernel
def added(total: int, amount: int) -> int:
    """Return the sum of two amounts, each within the ledger's range; so is the sum, or the engine stops."""
    is_above = amount > 0 and total > _LARGEST - amount
    if is_above or (amount < 0 and total < -_LARGEST - amount):
        raise InvariantError(
            "a sum of amounts is beyond the ledger's range of 9e18 of its smallest units, which is 9e9 quote at nine decimals; "
            "an account with fewer account.money_decimals reaches further"
        )
    return total + amount


@kernel
def post(
    ledger: Row, cash: int, inventory: int = 0, realised: int = 0, fees: int = 0, funding: int = 0
) -> None:
    """Book one transaction whose legs must add up to zero, and assert that the whole ledger still does."""
    if cash + inventory + realised + fees + funding != 0:
        raise InvariantError("a posting does not add up to zero")
    ledger.cash = added(ledger.cash, cash)
    ledger.inventory = added(ledger.inventory, inventory)
    ledger.realised = added(ledger.realised, realised)
    ledger.fees = added(ledger.fees, fees)
    ledger.funding = added(ledger.funding, funding)
    total = ledger.capital + ledger.cash + ledger.inventory
    if total + ledger.realised + ledger.fees + ledger.funding != 0:
        raise InvariantError("the ledger does not balance")


@kernel
def open_ledger(ledger: Row, capital: int) -> None:
    """Pay in the starting capital."""
    ledger.capital = -capital
    ledger.cash = capital
