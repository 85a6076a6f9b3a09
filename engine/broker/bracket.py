"""
Stop, target and liquidation of a position against one candle, pessimistic where it does not tell.

A candle that opens beyond a level has passed it before anything else happened: a stop then fills at the open, with spread and
slippage, a target at the open, and where the open lies beyond the liquidation the position is gone at its bankruptcy price,
whatever its stop. Inside a candle the stop comes before the target, and of stop and liquidation the nearer. A target fills at
its price without slippage, and pays the taker fee all the same.

When stop or liquidation and target both lie inside one candle the worse is taken, the trade is marked ambiguous, and what it
would have made at the target is kept beside it.
"""

from typing import Final

from papertape.engine.broker.account import SymbolBook
from papertape.engine.broker.fills import (
    book_costs,
    close_position,
    market_price,
    on_tick,
    reduce_position,
    track_excursion,
)
from papertape.engine.broker.ledger import added, money
from papertape.engine.broker.risk.fees import fee_of
from papertape.engine.broker.risk.margin import (
    adverse_level,
    is_liquidation_nearer,
    liquidation_reached,
    opened_in_liquidation,
)
from papertape.engine.jit import Row, kernel
from papertape.engine.records import AMBIGUOUS_EXIT, REASON_LIQUIDATION, REASON_STOP, REASON_TARGET

# what a level that was met comes to; 5: with the target inside the same candle
LIQUIDATED: Final = 4


@kernel
def stop_reference(position: Row, candle: Row) -> float:
    """Return where a touched stop turns into a market order: the worse of the open and the stop price."""
    if position.quantity > 0.0:
        return min(candle.open, position.stop_price)  # type: ignore[no-any-return]
    return max(candle.open, position.stop_price)  # type: ignore[no-any-return]


@kernel
def level_reached(position: Row, candle: Row) -> float:
    """Return the price of a candle that was certainly there when a position was liquidated in it."""
    if position.quantity > 0.0:
        return min(candle.open, liquidation_reached(position, candle))  # type: ignore[no-any-return]
    return max(candle.open, liquidation_reached(position, candle))  # type: ignore[no-any-return]


@kernel
def liquidate(book: SymbolBook, fill: Row) -> None:
    """Close a position at its bankruptcy price, whatever the candle shows: its margin is lost, and the fee on top."""
    position, tick_size = book.position, book.market.tick_size
    price = on_tick(position.bankruptcy_price, tick_size, -book.trade.side)
    price = max(price, min(tick_size, position.bankruptcy_price))
    reduce_position(book, abs(position.quantity), price, False, REASON_LIQUIDATION, fill)


@kernel
def pnl_at(book: SymbolBook, price: float) -> int:
    """Return what a trade would have made if the rest of its position had been closed at a price, the taker fee paid."""
    position, trade, market = book.position, book.trade, book.market
    quantity = abs(position.quantity)
    value = money(quantity * price, market.units_per_quote)
    fee = fee_of(book.account, market, quantity, price, False)
    gain = value - position.cost if position.quantity > 0.0 else position.cost - value
    result = added(position.realised, gain)
    return added(added(added(result, -fee), -trade.fees), -trade.funding)


@kernel
def opened_beyond(position: Row, candle: Row) -> int:
    """Return 0 nothing, 1 the open has passed the stop, 2 it has passed the target, 4 the position is liquidated there."""
    if opened_in_liquidation(position, candle):
        return LIQUIDATED
    stop_price = position.stop_price
    target_price = position.target_price
    if position.quantity > 0.0:
        if stop_price > 0.0 and candle.open <= stop_price:
            return 1
        return 2 if target_price > 0.0 and candle.open >= target_price else 0
    if stop_price > 0.0 and candle.open >= stop_price:
        return 1
    return 2 if target_price > 0.0 and candle.open <= target_price else 0


@kernel
def bracket_hit(position: Row, candle: Row) -> int:
    """
    Return 0 nothing, 1 stop, 2 target, 4 liquidation; 3 and 5: stop or liquidation with the target inside the same candle.

    The open comes first: a candle that opens beyond a level has passed it before anything else happened.
    """
    hit = opened_beyond(position, candle)
    if hit != 0:
        return hit
    level = adverse_level(position, candle)
    if position.quantity > 0.0:
        stop = level > 0.0 and candle.low <= level
        target = position.target_price > 0.0 and candle.high >= position.target_price
    else:
        stop = level > 0.0 and candle.high >= level
        target = position.target_price > 0.0 and candle.low <= position.target_price
    if stop:
        hit = LIQUIDATED if is_liquidation_nearer(position, candle) else 1
        if target:
            hit += 2 if hit == 1 else 1
        return hit
    return 2 if target else 0


@kernel
def fill_bracket(book: SymbolBook, candle: Row, hit: int, fill: Row) -> None:
    """Close a position at the level that `bracket_hit` found."""
    position, trade, market = book.position, book.trade, book.market
    is_long = position.quantity > 0.0
    if is_long:
        at_target = max(candle.open, position.target_price)
    else:
        at_target = min(candle.open, position.target_price)
    if hit == 2:
        # The adverse extreme may have come first, the favourable one ends at the target; a gap ends both at the open.
        if at_target == candle.open:
            track_excursion(trade, at_target, at_target)
        elif is_long:
            track_excursion(trade, min(candle.low, at_target), at_target)
        else:
            track_excursion(trade, at_target, max(candle.high, at_target))
        close_position(book, at_target, REASON_TARGET, fill)
        return
    reference = stop_reference(position, candle)
    price = market_price(reference, -trade.side, market)
    if hit >= LIQUIDATED:
        reference = level_reached(position, candle)
        price = reference
    track_excursion(trade, min(price, candle.open), max(price, candle.open))
    optimistic = trade.pnl_optimistic
    has_target = hit == 3 or hit == 5
    if has_target:
        optimistic = pnl_at(book, at_target)
    if hit >= LIQUIDATED:
        liquidate(book, fill)
    else:
        close_position(book, price, REASON_STOP, fill)
        book_costs(fill, trade, market, reference)
    if has_target:
        trade.is_ambiguous |= AMBIGUOUS_EXIT
        trade.pnl_optimistic = optimistic
