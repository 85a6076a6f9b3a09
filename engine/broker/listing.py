"""
When a market is not there: before its first candle, and after it was delisted.

Before its first candle a market's candles are absent, flat at the price at which it will open, and flagged as unlisted.
Nothing of them is ever read: no decision is taken in an absent candle, and with the first real one everything that is
kept of the market (features, model, strategy) begins anew, as if it alone had begun there. A market that is delisted is
told by an event: its position is closed at the last price, for the taker fee, and what rests is taken back.
"""

import numpy as np

from papertape.engine.broker.fills import close_position
from papertape.engine.candles import CANDLE
from papertape.engine.jit import Row, Rows
from papertape.engine.records import FILL, REASON_DELISTED


def close_delisted(
    account: Row, position: Row, trade: Row, order: Row, market: Row, open_ms: int
) -> tuple[Rows, Rows]:
    """
    Take back what rests on a market and close its position at the last price; return the FILL and the TRADE, or none.

    open_ms  of the newest candle, at whose close it happens
    """
    order.is_active = 0
    if position.quantity == 0.0:
        return np.zeros(0, FILL), np.zeros(0, trade.dtype)
    candle = np.zeros(1, CANDLE)
    candle["open_ms"] = open_ms
    candle["symbol"] = trade.symbol
    fills = np.zeros(1, FILL)
    price = float(position.last_price)
    close_position(account, position, trade, market, candle[0], price, REASON_DELISTED, fills[0])
    trade.bars -= 1  # the newest one has been counted
    return fills, np.array([trade], trade.dtype)
