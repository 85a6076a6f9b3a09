"""
Leverage by size: brackets of notional, each with its highest leverage and the share that must be maintained of it.

What must be maintained is progressive, as with taxes: of the part of a notional that lies within a bracket its own rate. So
it is N × m - a for the rate m of the bracket that N ends in, where a is what the lower ones are cheaper by: a of a bracket =
a of the one before + where it begins × (its rate - the rate before), which Binance calls the maintenance amount. How large a
position may be at its leverage is one number for a market, known before it is traded (`largest_notional`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any

import numpy as np

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray
from papertape.engine.options import check_options, option
from papertape.engine.records import MOST_BRACKETS


@dataclass(frozen=True, slots=True)
class Bracket:
    """
    One row of a table of leverage: what holds up to a notional, from where the row before ends.

    up_to             notional, quote; the last row's is the largest that the venue takes
    leverage          highest of a position of that size
    maintenance_rate  of the notional within this row, which the margin must still be worth
    """

    up_to: float = option(MISSING, "notional, quote", gt=0.0)
    leverage: float = option(MISSING, "highest of a position of that size", gt=0.0, le=1_000.0)
    maintenance_rate: float = option(MISSING, "of the notional within this row", ge=0.0, lt=1.0)


def as_brackets(rows: Sequence[Any]) -> tuple[Bracket, ...]:
    """Return rows as brackets, whether they are that already, mappings of the same names, or values in their order."""
    return tuple(
        row if isinstance(row, Bracket) else Bracket(**row) if isinstance(row, Mapping) else Bracket(*row)
        for row in rows
    )


def check_brackets(where: str, brackets: Sequence[Bracket]) -> None:
    """Raise ConfigError for a table that no venue can mean; `where` begins the sentence."""
    if len(brackets) > MOST_BRACKETS:
        raise ConfigError(f"{where}: {len(brackets)} rows are more than {MOST_BRACKETS}")
    before = Bracket(0.0, float("inf"), 0.0)
    for number, row in enumerate(brackets, 1):
        place = f"{where}: row {number}"
        check_options(place, row)
        if not before.up_to < row.up_to:
            raise ConfigError(f"{place}: up_to {row.up_to:g} is not above {before.up_to:g}, where it begins")
        if not 0.0 < row.leverage <= before.leverage:
            raise ConfigError(
                f"{place}: leverage {row.leverage:g} is not above 0 and at most {before.leverage:g}, that of smaller ones"
            )
        if not before.maintenance_rate <= row.maintenance_rate < 1.0:
            raise ConfigError(
                f"{place}: maintenance_rate {row.maintenance_rate:g} is below {before.maintenance_rate:g}, that of smaller "
                "ones, or not below 1"
            )
        if row.maintenance_rate * row.leverage >= 1.0:
            raise ConfigError(
                f"{place}: at leverage {row.leverage:g} a margin is {1.0 / row.leverage:.3%}, and {row.maintenance_rate:.3%} "
                "must be maintained: a position would be liquidated where it is opened"
            )
        before = row


def check_leverage(where: str, market: Any) -> None:
    """Raise ConfigError for a table or a leverage that a market cannot have; `where` begins the sentence."""
    if market.brackets:
        _check_table(where, market)
    if not market.leverage:
        return
    about, share = f"{where}: leverage {market.leverage:g}", 1.0 / market.leverage
    if not market.is_perpetual:
        raise ConfigError(f"{about}: a spot market has no margin; leave it out")
    if 0.0 < market.maximum_leverage < market.leverage:
        raise ConfigError(f"{about} is above the market's {market.maximum_leverage:g}")
    if share <= market.maintenance_rate:
        raise ConfigError(
            f"{about} leaves a margin of {share:.3%}, and {market.maintenance_rate:.3%} must be maintained: a "
            "position would be liquidated where it is opened; take less"
        )
    if share < market.initial_rate * (1.0 - 1e-9):
        raise ConfigError(
            f"{about} is above the {1.0 / market.initial_rate:g} that initial_rate {market.initial_rate:g} leaves; take less"
        )


def _check_table(where: str, market: Any) -> None:
    """Refuse a table that cannot be, one beside rates that it would hide, and a leverage above all of it."""
    check_brackets(f"{where}: brackets", market.brackets)
    if not market.is_perpetual:
        raise ConfigError(f"{where}: brackets: a spot market has no margin; leave them out")
    for name in ("maintenance_rate", "maintenance_slope", "initial_rate", "initial_slope"):
        if getattr(market, name):
            raise ConfigError(f"{where}: brackets: they say what {name} says as well; leave one out")
    highest = market.brackets[0].leverage
    if market.leverage > highest:
        raise ConfigError(
            f"{where}: leverage {market.leverage:g} is above {highest:g}, that of its smallest bracket"
        )


def amounts_of(brackets: Sequence[Bracket]) -> FloatArray:
    """
    Return rows of where a bracket begins, its rate, and what the lower ones are cheaper by; quote.

    >>> rows = [Bracket(50_000, 125, 0.004), Bracket(250_000, 100, 0.005), Bracket(1_000_000, 50, 0.01)]
    >>> [round(float(amount), 6) for _, _, amount in amounts_of(rows)]  # as Binance publishes them
    [0.0, 50.0, 1300.0]
    """
    found = np.zeros((len(brackets), 3))
    start, rate, amount = 0.0, 0.0, 0.0
    for number, row in enumerate(brackets):
        amount += start * (row.maintenance_rate - rate)
        found[number] = (start, row.maintenance_rate, amount)
        start, rate = row.up_to, row.maintenance_rate
    return found


def largest_notional(
    leverage: float,
    brackets: Sequence[Bracket],
    initial_rate: float,
    initial_slope: float,
    start: float,
    most: float,
) -> float:
    """
    Return the largest notional of a position at a leverage, quote; 0: any.

    leverage       0: none is chosen, and the table's highest rows hold
    initial_rate, initial_slope   share of notional that is asked for, and what it grows by per quote beyond `start`
    most           that the venue takes at all; 0: any

    >>> largest_notional(50.0, (), 0.005, 2.5e-8, 100_000.0, 5e6)  # 0.5 % + 2.5e-8 × 600,000 = 2 % = 1 ÷ 50
    700000.0
    """
    found = [most] if most > 0.0 else []
    if brackets:
        found.append(max((row.up_to for row in brackets if row.leverage >= leverage), default=0.0))
    if leverage > 0.0 and initial_slope > 0.0:
        found.append(round(start + (1.0 / leverage - initial_rate) / initial_slope, 6))
    return min(found, default=0.0)
