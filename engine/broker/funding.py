"""Funding of perpetuals: what an open position pays or receives at a venue's settlement, posted in double entry."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from papertape.engine.broker.ledger import LARGEST_AMOUNT, added, money, post
from papertape.engine.errors import DataError
from papertape.engine.events import Funding
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.records import PAYMENT

_LARGEST_RATE: Final = 1.0  # the whole notional in one settlement; no venue comes near
_LARGEST_PRICE: Final = 1.7976931348623157e308  # the largest finite float64


@kernel
def settle(account: Row, position: Row, trade: Row, market: Row, rate: float, price: float, row: Row) -> None:
    """Post position × price × rate, rounded once, against cash and funding; longs pay a rate above zero."""
    amount = money(position.quantity * price * rate, market.units_per_quote)
    post(account, -amount, funding=amount)
    trade.funding = added(trade.funding, amount)
    row.sequence = account.sequence
    account.sequence += 1
    row.trade = trade.number
    row.rate = rate
    row.price = price
    row.quantity = position.quantity
    row.amount = amount
    row.cash = account.cash


def refuse_bad_funding(funding: Funding, symbols: Sequence[str], markets: Rows) -> None:
    """Raise DataError for a settlement that no position of this engine can have."""
    if not 0 <= funding.symbol < len(symbols):
        raise DataError(f"funding: symbol index {funding.symbol} is not between 0 and {len(symbols) - 1}")
    symbol = symbols[funding.symbol]
    if markets[funding.symbol].is_perpetual == 0:
        raise DataError(f"funding of {symbol}: a spot market has none; only perpetuals do")
    if not -_LARGEST_RATE <= funding.rate <= _LARGEST_RATE:
        raise DataError(f"funding of {symbol}: the rate {funding.rate} is not between -1 and 1")
    if not 0.0 < funding.price <= _LARGEST_PRICE:
        raise DataError(f"funding of {symbol}: the price {funding.price} is not above 0 and finite")


def pay_funding(
    funding: Funding, symbols: Sequence[str], markets: Rows, account: Row, positions: Rows, trades: Rows
) -> Rows:
    """Settle with the position that is held now and return its PAYMENT; none when there is no position."""
    refuse_bad_funding(funding, symbols, markets)
    position = positions[funding.symbol]
    if position.quantity == 0.0:
        return np.zeros(0, PAYMENT)
    largest = LARGEST_AMOUNT / markets[funding.symbol].units_per_quote
    if not abs(position.quantity * funding.price * funding.rate) < largest:
        raise DataError(
            f"funding of {symbols[funding.symbol]}: price {funding.price:g} at rate {funding.rate:g} is beyond the "
            f"ledger's range of {largest:g} quote for this position"
        )
    payments = np.zeros(1, PAYMENT)
    payments["time_ms"], payments["symbol"] = funding.time_ms, funding.symbol
    trade, market = trades[funding.symbol], markets[funding.symbol]
    rate, price = float(funding.rate), float(funding.price)
    settle(account, position, trade, market, rate, price, payments[0])
    return payments
