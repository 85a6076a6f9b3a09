"""
Buying power shared out among working orders: those that may open something at one open, or inside one candle.

As for entries by decision (`papertape.engine.broker.entries`): each takes a share of the buying power that it would have
alone, and when the shares add up to more than the whole, all are scaled down by one factor, so that neither the names of
symbols nor the age of an order decides who comes first. What a candle sets free inside itself pays for nothing in it.
"""

import numpy as np

from papertape.engine.broker.account import Portfolio, notional_of, worth_of
from papertape.engine.broker.risk.groups import group_part, group_room, share_groups
from papertape.engine.broker.risk.places import MAY_OPEN, NO_CLAIM, WILL_OPEN, give_places
from papertape.engine.broker.sizing import buying_power, exposure_room, position_room
from papertape.engine.broker.working.levels import RESTS, at_open, level_of
from papertape.engine.broker.working.orders import BY_FUNDS, FREE, PLACED
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.records import REFUSED_NO, REFUSED_POSITIONS

_WHOLE = 17_592_186_044_416  # 2^44: shares are integers of it, so that their sum does not depend on the order


@kernel
def share_out(portfolio: Portfolio, candles: Rows, is_open: bool) -> None:
    """Write the factor on what working orders open, at the open or inside the candles of an instant."""
    entries, settings = portfolio.entries, portfolio.settings
    worth = worth_of(portfolio)
    is_crowded = settings.limit_open_positions > 0 or settings.has_groups != 0
    if is_crowded:
        claim_all(portfolio, candles, worth.equity, is_open)
    total = 0
    for symbol in range(len(entries)):
        entry = entries[symbol]
        entry.worth = worth.equity
        entry.short_of = BY_FUNDS
        position = portfolio.positions[symbol]
        if position.is_met == 0:
            continue
        market = portfolio.markets[symbol]
        candle = candles[symbol]
        power = max(buying_power(portfolio.account, market, settings, worth, candle.open), 0.0)
        entry.power = min(power, exposure_room(market, settings, worth, 1))
        entry.power_short = min(power, exposure_room(market, settings, worth, -1))
        held = notional_of(position, market)
        entry.room = position_room(position, market, settings, worth.equity, held)
        if is_crowded and entry.refused == REFUSED_POSITIONS:
            entry.power = entry.power_short = 0.0
            entry.short_of = REFUSED_POSITIONS
        for slot in range(position.order_rows):
            order = portfolio.working[symbol, slot]
            price = price_if_met(order, market, settings, candle, is_open)
            if price <= 0.0 or order.is_reduce_only != 0:
                continue
            quantity = min(order.remaining, position.volume_left)
            if order.target * position.quantity < 0.0:
                quantity -= abs(position.quantity)
            power = entry.power if order.target > 0 else entry.power_short
            if is_crowded:
                quantity = within_group(entry, quantity, price)
            if quantity > 0.0 and power > 0.0:
                total += int(min(quantity * price / power, 1.0) * _WHOLE)
    factor = _WHOLE / total if total > _WHOLE else 1.0
    for symbol in range(len(entries)):
        entries[symbol].factor = factor


@kernel
def claim_all(portfolio: Portfolio, candles: Rows, worth: int, is_open: bool) -> None:
    """Write who has a place among the open positions, and what its group leaves to each symbol."""
    positions, entries = portfolio.positions, portfolio.entries
    markets, settings = portfolio.markets, portfolio.settings
    for symbol in range(len(positions)):
        entry = entries[symbol]
        position = positions[symbol]
        entry.claim = NO_CLAIM
        entry.refused = REFUSED_NO
        entry.confidence = -np.inf
        entry.group_part = 0
        entry.group_room = group_room(positions, markets, symbol, worth)
        if position.is_met == 0:
            continue
        for slot in range(position.order_rows):
            order = portfolio.working[symbol, slot]
            if order.status == FREE or order.status == PLACED or order.is_reduce_only != 0:
                continue
            price = price_if_met(order, markets[symbol], settings, candles[symbol], is_open)
            quantity = min(order.remaining, position.volume_left)
            if order.target * position.quantity < 0.0:
                quantity -= abs(position.quantity)
            if price > 0.0 and quantity > 0.0:
                entry.group_part += group_part(entry, quantity * price)
            if position.quantity == 0.0:
                entry.claim = max(entry.claim, WILL_OPEN if price > 0.0 else MAY_OPEN)
                entry.confidence = max(entry.confidence, order.confidence)
    if settings.limit_open_positions > 0:
        give_places(positions, entries, settings)
    for symbol in range(len(positions)):
        if entries[symbol].refused == REFUSED_POSITIONS:
            entries[symbol].group_part = 0
    share_groups(markets, entries)


@kernel
def within_group(entry: Row, quantity: float, price: float) -> float:
    """Return what its group leaves of a quantity that an order would open."""
    if not entry.group_room < np.inf:
        return quantity
    return min(quantity, entry.group_room / price) * entry.group_factor  # type: ignore[no-any-return]


@kernel
def price_if_met(order: Row, market: Row, settings: Row, candle: Row, is_open: bool) -> float:
    """Return the price at which an order may open something in this step, 0 when it cannot."""
    if order.status == FREE or order.status == PLACED:
        return 0.0
    if is_open:
        if at_open(order, market, settings, candle.open) == RESTS:
            return 0.0
        return candle.open  # type: ignore[no-any-return]
    level = level_of(order, market.tick_size)
    return level if candle.low <= level <= candle.high else 0.0
