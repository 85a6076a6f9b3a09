"""
When a market is not there: before its first candle, and after it was delisted.

Before its first candle a market's candles are absent, flat at the price at which it will open, and flagged as unlisted.
Nothing of them is ever read: no decision is taken in an absent candle, and with the first real one everything that is
kept of the market (features, model, strategy) begins anew, as if it alone had begun there. A market that is delisted is
told by an event: its position is closed at the last price, for the taker fee, and what rests is taken back.
"""

import numpy as np

from papertape.engine.broker.account import Portfolio, book_of
from papertape.engine.broker.fills import close_position
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.records import FILL, REASON_DELISTED, TRADE


def close_delisted(portfolio: Portfolio, symbol: int, open_ms: int) -> tuple[Rows, Rows]:
    """
    Take back what rests on a market and close its position at the last price; return the FILL and the TRADE, or none.

    open_ms  of the newest candle, at whose close it happens
    """
    portfolio.orders[symbol].is_active = 0
    if portfolio.positions[symbol].quantity == 0.0:
        return np.zeros(0, FILL), np.zeros(0, TRADE)
    fills = np.zeros(1, FILL)
    close_at_last_price(portfolio, symbol, open_ms, fills[0])
    return fills, portfolio.trades[symbol : symbol + 1].copy()


@kernel
def close_at_last_price(portfolio: Portfolio, symbol: int, open_ms: int, fill: Row) -> None:
    """Close a position without spread and slippage; the newest candle has been counted by its trade."""
    book = book_of(portfolio, symbol, open_ms)
    close_position(book, book.position.last_price, REASON_DELISTED, fill)
    book.trade.bars -= 1
