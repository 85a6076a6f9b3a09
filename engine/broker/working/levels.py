"""
Where a working order meets the price, and which way the price has to come from.

A limit waits for the price to come down to a buyer, a stop for it to come up; a touch order turns like a limit and then
trades at market. Inside a candle the price is taken to go from the open to one extreme, to the other, and to the close.
Of that way only a part is certain for what came into being on it: from its own price to the extreme that it was met on
the way to, and from there to the close.
"""

from papertape.engine.broker.account import FILL_TOUCH
from papertape.engine.broker.fills import market_price, on_tick
from papertape.engine.broker.working.orders import (
    AT_MARKET,
    LIMIT,
    PLACED,
    STOP,
    STOP_LIMIT,
    TOUCH_LIMIT,
    TRAIL,
    TRIGGERED,
)
from papertape.engine.jit import Row, kernel

# What the open makes of an order.
RESTS = 0
MAKES = 1  # it rested, and the open went past its limit
TAKES = 2  # it trades with what is there
TURNS = 3  # its trigger is met and it is a limit order from here on


@kernel
def is_limit(order: Row) -> bool:
    """Return whether an order is a limit order by now."""
    if order.kind == LIMIT:
        return True
    return order.status == TRIGGERED and (order.kind == STOP_LIMIT or order.kind == TOUCH_LIMIT)  # type: ignore[no-any-return]


@kernel
def trail_level(order: Row, tick_size: float) -> float:
    """Return the price at which a trailing order trades, 0 before it is active."""
    if order.extreme <= 0.0:
        return 0.0
    distance = order.trail_distance
    if distance <= 0.0:
        distance = order.extreme * order.trail_rate
    return on_tick(order.extreme + order.target * distance, tick_size, 0)


@kernel
def level_of(order: Row, tick_size: float) -> float:
    """Return the price inside a candle at which something happens to an order, 0 for none."""
    if is_limit(order):
        return order.limit_price  # type: ignore[no-any-return]
    if order.status == TRIGGERED or order.kind == AT_MARKET or order.status == PLACED:
        return 0.0
    if order.kind == TRAIL:
        return trail_level(order, tick_size)
    return order.trigger_price  # type: ignore[no-any-return]


@kernel
def approach_of(order: Row) -> int:
    """Return the direction from which the price has to come: +1 upwards, -1 downwards."""
    is_stop = order.kind == STOP or order.kind == STOP_LIMIT or order.kind == TRAIL
    if is_stop and not is_limit(order):
        return order.target  # type: ignore[no-any-return]
    return -order.target  # type: ignore[no-any-return]


@kernel
def is_met_at(order: Row, price: float, tick_size: float) -> bool:
    """Return whether a price meets the trigger of an order that has one and has not met it yet."""
    if order.status == TRIGGERED or order.kind == AT_MARKET or order.kind == LIMIT:
        return False
    level = level_of(order, tick_size)
    return level > 0.0 and approach_of(order) * (price - level) >= 0.0


@kernel
def at_open(order: Row, market: Row, settings: Row, open_price: float) -> int:
    """Return what the open of a candle makes of a working order: RESTS, MAKES, TAKES or TURNS."""
    if is_limit(order):
        side = order.target
        ahead = side * (order.limit_price - open_price)
        if order.is_new != 0:
            offer = market_price(open_price, side, market)
            return TAKES if side * (order.limit_price - offer) >= 0.0 else RESTS
        if ahead > 0.0 or (ahead == 0.0 and settings.limit_fill == FILL_TOUCH):
            return MAKES
        return RESTS
    if order.kind == AT_MARKET or order.status == TRIGGERED:
        return TAKES
    if not is_met_at(order, open_price, market.tick_size):
        return RESTS
    return TURNS if order.kind == STOP_LIMIT or order.kind == TOUCH_LIMIT else TAKES


@kernel
def is_certain(
    level: float,
    approach: int,
    price: float,
    end: float,
    close: float,
    leg: int,
    fresh_leg: int,
    beyond: float,
) -> bool:
    """
    Return whether a level is met for certain on the way from `price` to `end`.

    approach   direction from which it counts
    fresh_leg  the leg on which what waits there came into being; -1 = before this candle's way
    beyond     how far the price has to go past the level; 0 = reaching it is enough, below 0 = any distance
    """
    if end == price:
        return False
    direction = 1 if end > price else -1
    if direction != approach:
        return False
    if 0 <= fresh_leg < leg:
        if leg > fresh_leg + 1:
            return False
        if direction * (end - close) > 0.0:
            end = close
    past = direction * (end - level)
    if direction * (level - price) < 0.0:
        return False
    return past > 0.0 if beyond < 0.0 else past >= beyond


@kernel
def needed_beyond(order: Row, settings: Row, tick_size: float) -> float:
    """Return how far beyond its level the price has to go for an order, as `is_certain` wants it."""
    if not is_limit(order) or settings.limit_fill == FILL_TOUCH:
        return 0.0
    return tick_size * (1.0 - 1e-9) if tick_size > 0.0 else -1.0


@kernel
def follow(order: Row, price: float) -> None:
    """Let a trailing order know a price: it becomes active at its activation price and never moves back."""
    side = order.target
    if order.extreme <= 0.0:
        if order.activation_price > 0.0 and side * (order.activation_price - price) < 0.0:
            return
        order.extreme = price
    elif side * (order.extreme - price) > 0.0:
        order.extreme = price
