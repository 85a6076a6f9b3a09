"""
The statement of an account: every amount between two or more accounts, in double entry, from what a run reported.

Debits are positive, and every transaction adds up to zero:

    capital    minus what was paid in              cash       settled money that is free
    inventory  spot holdings at cost               margin     what open positions with leverage stand on, isolated
    result     minus the profit of what was closed, before what its prices cost
    liquidation  what liquidated positions lost    fees       paid to the venue (a rebate: negative)
    spread, slippage, grid   what prices cost: half the spread, slippage, and rounding to the tick
    funding    paid on perpetuals (received: negative)

What prices cost is part of what was paid or got, so it stands against `result`. Cash and margin together are the ledger's
cash (`papertape.engine.broker.ledger`); result, liquidation and the three costs are what it calls realised. A market that changes on
the way has at each fill the figures that held then.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.broker.ledger import LARGEST_AMOUNT, decimals_of
from papertape.engine.errors import InvariantError
from papertape.engine.jit import FloatArray, IntArray, Rows, record
from papertape.engine.records import CHANGE, MARKET_FIGURES, REASON_LIQUIDATION, UNITS_PER_QUOTE

ACCOUNTS: Final = (
    "capital",
    "cash",
    "inventory",
    "margin",
    "result",
    "liquidation",
    "fees",
    "spread",
    "slippage",
    "grid",
    "funding",
)
PAID_IN: Final = -1  # of a posting: the capital
FUNDED: Final = -2  # a settlement; above zero: the reason of a fill
NO_CHANGES: Final = np.zeros(0, CHANGE)

POSTING: Final = record(
    ("sequence", "i8"),  # of the fill or payment; PAID_IN for the capital
    ("time_ms", "i8"),  # open of the candle of a fill, the settlement's time
    ("symbol", "i8"),  # -1: of none
    ("trade", "i8"),
    ("reason", "i8"),  # of the fill, PAID_IN or FUNDED
    ("account", "i8"),  # index into ACCOUNTS
    ("amount", "i8"),  # money units, a debit above zero
    ("balance", "i8"),  # of this account, after it
)


class Booked(NamedTuple):
    """
    A statement, and what it was compared with.

    cash        that it ends with, margin included, money units
    curve       what says how much there is at the end, and `curve_cash` how much; None: nothing reaches that far
    changes     CHANGE records: what changed of the markets on the way
    units_per_quote  money units in one quote
    """

    postings: Rows
    symbols: Sequence[str]
    transactions: int
    cash: int
    curve: str | None = None
    curve_cash: int | None = None
    changes: Rows = NO_CHANGES
    units_per_quote: float = UNITS_PER_QUOTE

    @property
    def decimals(self) -> int:
        """Return how many decimals of quote are counted."""
        return decimals_of(self.units_per_quote)

    @property
    def changes_since(self) -> Rows:
        """Return the changes that came after the capital; with what is dated before that the account began."""
        later: Rows = self.changes[self.changes["time_ms"] >= self.postings["time_ms"][0]]
        return later

    def beside(self, cash: int, name: str) -> "Booked":
        """Return the same compared with a cash in money units, and where that stands."""
        return self._replace(curve=name, curve_cash=cash)


def booked_as(
    fills: Rows,
    payments: Rows,
    markets: Rows,
    symbols: Sequence[str],
    capital: int,
    changes: Rows = NO_CHANGES,
    begins_ms: int = 0,
) -> Booked:
    """Return the statement of a run with its symbols, as `statement` makes it."""
    rows = statement(fills, payments, markets, capital, changes, begins_ms)
    is_cash = np.isin(rows["account"], [ACCOUNTS.index("cash"), ACCOUNTS.index("margin")])
    cash = int(rows["amount"][is_cash].sum())
    return Booked(
        rows,
        symbols,
        1 + len(fills) + len(payments),
        cash,
        changes=changes,
        units_per_quote=_units_of(markets),
    )


def statement(
    fills: Rows, payments: Rows, markets: Rows, capital: int, changes: Rows = NO_CHANGES, begins_ms: int = 0
) -> Rows:
    """
    Return the POSTING rows of a run, in the order in which it happened.

    fills, payments  FILL and PAYMENT records of the whole run
    markets          MARKET records of its symbols, as it began; changes: CHANGE records of what became of them
    capital          money units
    begins_ms        time of the first mark, when the capital was there; 0: not known, that of the first fill or payment

    Raises InvariantError for a transaction that does not balance, or leaves another cash than the ledger had after it.
    """
    n = 1 + len(fills) + len(payments)
    heads = np.zeros(n, POSTING)
    amounts = np.zeros((n, len(ACCOUNTS)), np.int64)
    of = {name: amounts[:, column] for column, name in enumerate(ACCOUNTS)}
    heads[0]["sequence"] = heads[0]["reason"] = PAID_IN
    heads[0]["symbol"] = heads[0]["trade"] = -1
    of["capital"][0], of["cash"][0] = -capital, capital
    last = 1 + len(fills)
    for name in ("sequence", "symbol", "trade", "reason"):
        heads[name][1:last] = fills[name]
    heads["time_ms"][1:last] = fills["candle_ms"]
    for name in ("sequence", "symbol", "trade", "time_ms"):
        heads[name][last:] = payments[name]
    heads["reason"][last:] = FUNDED
    if begins_ms:
        heads["time_ms"][0] = heads["time_ms"][1:].min(initial=begins_ms)
    elif len(heads) > 1:
        heads["time_ms"][0] = heads["time_ms"][1:].min()
    _book_fills({name: column[1:last] for name, column in of.items()}, fills, markets, changes)
    of["funding"][last:], of["cash"][last:] = payments["amount"], -payments["amount"]
    order = np.argsort(heads["sequence"], kind="stable")
    ledger = np.concatenate([[capital], fills["cash"], payments["cash"]])[order]
    held = np.cumsum((of["cash"] + of["margin"])[order])
    wrong = np.flatnonzero(held != ledger)
    if len(wrong):
        row, units = wrong[0], _units_of(markets)
        raise InvariantError(
            f"transaction {heads['sequence'][order][row]} of the statement leaves {held[row] / units:.9f} of cash and "
            f"margin, and the ledger had {ledger[row] / units:.9f}"
        )
    return _rows(heads[order], amounts[order])


def _book_fills(of: dict[str, IntArray], fills: Rows, markets: Rows, changes: Rows) -> None:
    """Write what each fill moves between the accounts."""
    symbols = fills["symbol"]
    is_perpetual = markets["is_perpetual"][symbols] != 0
    opens = fills["side"] * fills["position"] > 0.0
    realised, fee, notional = fills["realised"], fills["fee"], fills["notional"]
    grid = _grid(fills, markets, changes)
    costs = fills["spread"] + fills["slippage"]
    of["spread"][:], of["grid"][:] = fills["spread"], grid
    of["slippage"][:] = fills["slippage"] - grid
    of["fees"][:] = fee
    is_liquidation = fills["reason"] == REASON_LIQUIDATION
    of["liquidation"][:] = np.where(is_liquidation, -realised, 0)
    of["result"][:] = np.where(is_liquidation, 0, -realised) - costs
    # What a position cost goes with its parts: a long part got notional for cost + profit, a short one the other way round.
    cost = np.where(opens, notional, -(notional + fills["side"] * realised))
    of["inventory"][:] = np.where(is_perpetual, 0, cost)
    of["margin"][:] = _margins(cost, fills, markets, changes)
    got = np.where(is_perpetual, realised, -cost + realised)
    of["cash"][:] = got - fee - of["margin"]


def _units_of(markets: Rows) -> float:
    """Return how many money units one quote is, which all markets of an account have in common."""
    return float(markets["units_per_quote"][0])


def _in_force(name: str, fills: Rows, markets: Rows, changes: Rows) -> FloatArray:
    """Return a figure of each fill's market as it was then."""
    values = np.asarray(markets[name][fills["symbol"]], np.float64)
    for change in changes[changes["figure"] == MARKET_FIGURES.index(name)]:
        is_later = (fills["symbol"] == change.symbol) & (fills["sequence"] > change.sequence)
        values[is_later] = change.after
    return values


def _grid(fills: Rows, markets: Rows, changes: Rows) -> IntArray:
    """Return how much of each fill's slippage was rounding to the tick: what slippage by its rate does not explain."""
    rates = _in_force("slippage_rate", fills, markets, changes)
    has_tick = _in_force("tick_size", fills, markets, changes) > 0.0
    units = _units_of(markets)
    lost = (fills["spread"] + fills["slippage"]) / units
    reference = fills["price"] * fills["quantity"] - fills["side"] * lost
    by_rate = np.rint(reference * rates * units).astype(np.int64)
    grid = fills["slippage"] - np.minimum(fills["slippage"], by_rate)
    return np.where(has_tick, grid, 0)


def _margins(cost: IntArray, fills: Rows, markets: Rows, changes: Rows) -> IntArray:
    """Return what goes to margin at each fill: the change of notional at entry ÷ leverage, rounded once."""
    moved = np.zeros(len(cost), np.int64)
    leverage = _in_force("leverage", fills, markets, changes)
    for symbol, market in enumerate(markets):
        if market.leverage > 0.0 and market.is_perpetual != 0 and market.is_cross == 0:
            rows = fills["symbol"] == symbol
            held = np.cumsum(cost[rows]) / market.leverage
            if (leverage[rows] != market.leverage).any():
                held = _mixed_margins(cost[rows], leverage[rows])
            moved[rows] = np.diff(np.rint(held).astype(np.int64), prepend=0)
    return moved


def _mixed_margins(cost: IntArray, leverage: FloatArray) -> FloatArray:
    """Return the margin after each fill of one symbol where each part of a position keeps the leverage of its entry."""
    margins = np.zeros(len(cost))
    held, margin = 0, 0.0
    for row, (part, of) in enumerate(zip(cost.tolist(), leverage.tolist(), strict=True)):
        if part > 0:
            margin += part / of
        elif part < 0:  # what is too small to have cost anything moves nothing
            margin += part * margin / held
        held += part
        margins[row] = margin
    return margins


def _rows(heads: Rows, amounts: IntArray) -> Rows:
    """Return one row per amount that is not zero, with the balance of its account; every transaction must balance."""
    if amounts.sum(axis=1).any():
        raise InvariantError("a transaction of the statement does not add up to zero")
    balances = np.cumsum(amounts, axis=0)
    if np.abs(np.cumsum(amounts, axis=0, dtype=np.float64)).max(initial=0.0) > LARGEST_AMOUNT:
        raise InvariantError(
            "an account of the statement grows beyond 9e18 of the smallest units; an account with fewer account.money_decimals reaches further"
        )
    transaction, account = np.nonzero(amounts)
    rows = heads[transaction].copy()
    rows["account"] = account
    rows["amount"] = amounts[transaction, account]
    rows["balance"] = balances[transaction, account]
    return rows
