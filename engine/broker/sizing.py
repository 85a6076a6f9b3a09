"""
Sizes: the only way from a wish to a quantity.

A size is fixed at the fill, from the free cash and the equity after every close at that open (`papertape.engine.broker.entries`
says what several entries of one open get): by risk (lose a stated fraction of equity at the stop), by fixed fraction of
equity, or all-in. Buying power caps each of them; the account's size factor takes its share of what is left; lots are
rounded down. By volatility and by Kelly's fraction (`papertape.engine.broker.risk.sizes`) are fractions of equity as well.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.account import (
    FLOAT_NOISE,
    SIZE_ALL_IN,
    SIZE_BY_RISK,
    SymbolBook,
    Worth,
    whole_steps,
)
from papertape.engine.broker.risk.fees import fee_of
from papertape.engine.broker.risk.sizes import notional_share
from papertape.engine.jit import Row, kernel

_MINIMUM: Final = 1.0 - 1e-9  # of a minimum is enough of it: a tie must not be refused for float noise

_CASH_NOISE: Final = 1e-12  # of cash, that rounding a price and a size may take of it

# Fraction of equity lost at the stop, before costs.
RISK_LEVELS: Final[dict[str, float]] = {"low": 0.005, "medium": 0.01, "high": 0.02}


@kernel
def buying_power(account: Row, market: Row, settings: Row, worth: Worth, price: float) -> float:
    """
    Return the largest notional that a new position may have, fee included, in quote.

    price  of a fill, quote per base

    Spot buys with free cash. A perpetual needs notional ÷ leverage of equity that no other position uses. What a user's function
    for fees says of the largest fill is left for every market.
    """
    quote = market.quote_per_unit
    fee_rate = market.taker_fee_rate
    free, leverage = account.cash * quote, 1.0
    if market.is_perpetual != 0:
        leverage = leverage_of(market, settings)
        free = worth.equity * quote - worth.gross * quote / leverage
    reserve = 0.0
    if market.has_fees != 0:
        fee_rate *= 1.0 + market.fee_surcharge_rate
        reserve = market.fee_reserve
        if market.fee_address != 0 and free > 0.0:
            fee = fee_of(account, market, free * leverage / price, price, False, True)
            reserve = max(reserve, fee * quote * market.fee_markets)
            fee_rate = 0.0
    return settings.cash_share * max(free - reserve, 0.0) / (1.0 / leverage + fee_rate)  # type: ignore[no-any-return]


@kernel
def payable(account: Row, market: Row, quantity: float, price: float, is_maker: bool) -> float:
    """Return as much of a purchase on spot as cash pays with what a user's function says of its fee; all of any other."""
    if market.fee_address == 0 or market.is_perpetual != 0:
        return quantity
    for _ in range(2):
        if quantity <= 0.0:
            break
        fee = fee_of(account, market, quantity, price, is_maker)
        left = account.cash - max(fee, 0)
        if quantity * price * market.units_per_quote <= left * (1.0 + _CASH_NOISE):
            return quantity
        quantity = whole_lots(market, left * market.quote_per_unit / price, price)
    return 0.0


@kernel
def leverage_of(market: Row, settings: Row) -> float:
    """Return the notional that a unit of equity can carry on a perpetual."""
    leverage = settings.leverage_cap
    if market.maximum_leverage > 0.0:
        leverage = min(leverage, market.maximum_leverage)
    if market.leverage > 0.0:
        leverage = min(leverage, market.leverage)
    return leverage  # type: ignore[no-any-return]


@kernel
def allotted(position: Row, market: Row, settings: Row, worth: int) -> float:
    """Return the part of equity that a symbol trades with, in quote: all of it where nothing is allocated."""
    if settings.allocation == 0:
        return worth * market.quote_per_unit  # type: ignore[no-any-return]
    return position.share * (worth * market.quote_per_unit)  # type: ignore[no-any-return]


@kernel
def exposure_room(market: Row, settings: Row, worth: Worth, side: int) -> float:
    """Return the largest notional that the account's limits leave to what opens on a side, in quote; infinite without any."""
    room, quote = np.inf, market.quote_per_unit
    if settings.limit_gross > 0.0:
        room = settings.limit_gross * (worth.equity * quote) - worth.gross * quote
    if settings.limit_net > 0.0:
        room = min(room, settings.limit_net * (worth.equity * quote) - side * (worth.net * quote))
    return max(room, 0.0)


@kernel
def position_room(position: Row, market: Row, settings: Row, worth: int, held: int) -> float:
    """Return the largest notional that limit, venue and allocation leave to a position, in quote; held: of it, money units."""
    room = np.inf
    if settings.allocation != 0:
        # What its part of the account could buy if it were the whole; see `buying_power`.
        fee_rate = market.taker_fee_rate * (1.0 + market.fee_surcharge_rate)
        carried = 1.0 if market.is_perpetual == 0 else 1.0 / leverage_of(market, settings)
        part = allotted(position, market, settings, worth)
        room = settings.cash_share * max(part, 0.0) / (carried + fee_rate)
    if settings.limit_position > 0.0:
        room = min(room, settings.limit_position * (worth * market.quote_per_unit))
    if market.largest_notional > 0.0:
        room = min(room, market.largest_notional)
    return max(room - held * market.quote_per_unit, 0.0)  # type: ignore[no-any-return]


@kernel
def wanted_size(
    book: SymbolBook, power: float, worth: int, price: float, stop_distance: float, scale: float
) -> float:
    """
    Return the quantity that a new position would have if it were the only one to enter, in base units.

    power          largest notional, quote
    worth          equity, money units
    price          fill price, quote per base
    stop_distance  from the fill price to the stop, quote per base; needed for sizing by risk
    scale          factor 0 … 1 on the size before the cap
    """
    position, market, settings = book.position, book.market, book.settings
    quantity = power / price
    if settings.sizing != SIZE_ALL_IN:
        part = allotted(position, market, settings, worth)
        if settings.sizing == SIZE_BY_RISK:
            wanted = settings.risk_fraction * part / stop_distance
        else:
            wanted = notional_share(book.account, position, settings) * part / price
        quantity = min(quantity, wanted * scale)
    return min(quantity, position_room(position, market, settings, worth, 0) / price)


@kernel
def tradable_size(account: Row, market: Row, quantity: float, price: float) -> float:
    """Return a quantity as the account's size factor and the market's lots leave it, 0 below the market's minimum."""
    return whole_lots(market, quantity * account.size_factor, price)


@kernel
def whole_lots(market: Row, quantity: float, price: float) -> float:
    """Return a quantity rounded down to the market's lots, 0 below the market's minimum."""
    if market.lot_size > 0.0:
        # A size that is a whole number of lots up to float noise must not lose a lot.
        lots = quantity / market.lot_size
        quantity = whole_steps(np.floor(lots + 1e-9 + FLOAT_NOISE * lots), market.lot_size)
    if not quantity > 0.0 or quantity < market.minimum_size * _MINIMUM:
        return 0.0
    if quantity * price < market.minimum_notional * _MINIMUM:
        return 0.0
    return quantity
