"""
Sizes: the only way from a wish to a quantity.

A size is fixed at the fill, from the equity and the free cash of that moment: by risk (lose a stated fraction of
equity at the stop), by fixed fraction of equity, or all-in. Buying power caps each of them; the account's size factor
takes its share of what is left; lots are rounded down.
"""

from typing import Final

import numpy as np

from papertape.engine.account import SIZE_ALL_IN, SIZE_BY_FRACTION, equity, exposure
from papertape.engine.jit import Row, Rows, kernel

# Fraction of equity lost at the stop, before costs.
RISK_LEVELS: Final[dict[str, float]] = {"low": 0.005, "medium": 0.01, "high": 0.02}


@kernel
def buying_power(account: Row, positions: Rows, markets: Rows, market: Row, settings: Row) -> float:
    """
    Return the largest notional that a new position may have, fee included, in quote.

    Spot buys with free cash. A perpetual needs notional ÷ leverage of equity that no other position uses.
    """
    if market.is_perpetual == 0:
        return settings.cash_share * (account.cash * 1e-9) / (1.0 + market.taker_fee_rate)  # type: ignore[no-any-return]
    leverage = settings.leverage_cap
    if market.maximum_leverage > 0.0:
        leverage = min(leverage, market.maximum_leverage)
    worth = equity(account, positions, markets) * 1e-9
    free = worth - exposure(positions) * 1e-9 / leverage
    return settings.cash_share * max(free, 0.0) / (1.0 / leverage + market.taker_fee_rate)  # type: ignore[no-any-return]


@kernel
def size_of(
    account: Row,
    positions: Rows,
    markets: Rows,
    symbol: int,
    settings: Row,
    price: float,
    stop_distance: float,
    scale: float,
) -> float:
    """
    Return the quantity of a new position in base units, 0 when the market's minimum is not reached.

    price          fill price, quote per base
    stop_distance  from the fill price to the stop, quote per base; needed for sizing by risk
    scale          factor 0 … 1 on the size before the cap
    """
    market = markets[symbol]
    quantity = buying_power(account, positions, markets, market, settings) / price
    if settings.sizing != SIZE_ALL_IN:
        worth = equity(account, positions, markets) * 1e-9
        if settings.sizing == SIZE_BY_FRACTION:
            wanted = settings.fixed_fraction * worth / price
        else:
            wanted = settings.risk_fraction * worth / stop_distance
        quantity = min(quantity, wanted * scale)
    quantity *= account.size_factor
    if market.lot_size > 0.0:
        # A size that is a whole number of lots up to float noise must not lose a lot.
        quantity = np.floor(quantity / market.lot_size + 1e-9) * market.lot_size
    if not quantity > 0.0 or quantity < market.minimum_size:
        return 0.0
    if quantity * price < market.minimum_notional:
        return 0.0
    return quantity  # type: ignore[no-any-return]
