"""
Working orders and the bracket against a candle's way from its open to its close.

The price goes to the extreme that is against the position, to the other, and to the close (without a position: to the
nearer extreme first). Whatever lies on the way fills in the order in which it is met, the stop first where several lie
at one price. What came into being on the way meets afterwards only what surely came after it
(`papertape.engine.broker.working.levels.is_certain`).
"""

import numpy as np

from papertape.engine.broker.account import OutputRows, SymbolBook
from papertape.engine.broker.bracket import LIQUIDATED, liquidate, opened_beyond, pnl_at
from papertape.engine.broker.fills import book_costs, close_position, market_price, track_excursion
from papertape.engine.broker.orders import held, keep_trade, open_fill
from papertape.engine.broker.risk.margin import adverse_level, is_liquidation_nearer, is_marked_out
from papertape.engine.broker.working.changes import fill_order
from papertape.engine.broker.working.endings import end_with_position
from papertape.engine.broker.working.levels import (
    approach_of,
    follow,
    is_certain,
    is_limit,
    level_of,
    needed_beyond,
)
from papertape.engine.broker.working.orders import (
    FREE,
    GTC,
    STOP_LIMIT,
    TOUCH_LIMIT,
    TRAIL,
    TRIGGERED,
    WORKING,
    close_gaps,
    trigger,
)
from papertape.engine.jit import Row, kernel
from papertape.engine.records import AMBIGUOUS_ENTRY, AMBIGUOUS_EXIT, REASON_STOP, REASON_TARGET

_NOTHING = -1
_THE_STOP = -2
_THE_TARGET = -3


@kernel
def end_of_leg(candle: Row, is_down_first: bool, leg: int) -> float:
    """Return where a leg of the candle's way ends."""
    if leg == 2:
        return candle.close  # type: ignore[no-any-return]
    return candle.low if is_down_first == (leg == 0) else candle.high  # type: ignore[no-any-return]


@kernel
def goes_down_first(position: Row, candle: Row) -> bool:
    """Return whether the low comes before the high: what is against the position first, else what is nearer to the open."""
    if position.quantity != 0.0:
        return position.quantity > 0.0  # type: ignore[no-any-return]
    return candle.open - candle.low <= candle.high - candle.open  # type: ignore[no-any-return]


@kernel
def match_way(book: SymbolBook, out: OutputRows, candle: Row) -> None:
    """Let what lies between a candle's open and its close meet orders and bracket of one symbol."""
    position, entry, market = book.position, book.entry, book.market
    price = candle.open
    entry.seen_low = price
    entry.seen_high = price
    entry.may_close = 1
    entry.may_open = 1
    passed = opened_beyond(position, candle)
    if passed == 0 and is_marked_out(position, candle):
        passed = LIQUIDATED
    if passed != 0:  # of a position that this open has just made, or added to
        exit_bracket(book, out, candle, price, passed)
    is_down_first = goes_down_first(position, candle)
    for leg in range(3):
        entry.leg = leg
        end = end_of_leg(candle, is_down_first, leg)
        while price != end:
            met = nearest(book, candle, price, end, leg)
            if met == _NOTHING:
                break
            if met in (_THE_STOP, _THE_TARGET):
                hit = 2
                price = position.target_price
                if met == _THE_STOP:
                    hit = LIQUIDATED if is_liquidation_nearer(position, candle) else 1
                    price = adverse_level(position, candle)
                see(entry, price)
                exit_bracket(book, out, candle, price, hit)
                continue
            order = book.working[met]
            price = level_of(order, market.tick_size)
            see(entry, price)
            is_maker = is_limit(order)
            if not is_maker:
                trigger(book, out, order)
                order.fresh_leg = leg
                if (order.kind == STOP_LIMIT or order.kind == TOUCH_LIMIT) and not is_within(
                    order, market, price
                ):
                    continue
            fill_order(book, out, met, candle, price, is_maker)
        if position.fresh_leg < 0 or position.fresh_leg >= leg:
            see(entry, end)
        price = end
    finish_way(book, candle)


@kernel
def is_within(order: Row, market: Row, price: float) -> bool:
    """Return whether a limit order that its trigger has just made would trade at once."""
    offer = market_price(price, order.target, market)
    return order.target * (order.limit_price - offer) >= 0.0  # type: ignore[no-any-return]


@kernel
def see(entry: Row, price: float) -> None:
    """Note a price that was certainly there."""
    entry.seen_low = min(entry.seen_low, price)
    entry.seen_high = max(entry.seen_high, price)


@kernel
def nearest(book: SymbolBook, candle: Row, price: float, end: float, leg: int) -> int:
    """Return what the price meets next between `price` and `end`: a row of the orders, the stop, the target, or nothing."""
    position, market = book.position, book.market
    found = _NOTHING
    best = np.inf
    side = held(position)
    if side != 0:
        fresh_leg = position.fresh_leg
        stop_price = adverse_level(position, candle)
        if stop_price > 0.0 and is_certain(stop_price, -side, price, end, candle.close, leg, fresh_leg, 0.0):
            best = abs(stop_price - price)
            found = _THE_STOP
        target_price = position.target_price
        if (
            target_price > 0.0
            and is_certain(target_price, side, price, end, candle.close, leg, fresh_leg, 0.0)
            and abs(target_price - price) < best
        ):
            best = abs(target_price - price)
            found = _THE_TARGET
    if position.volume_left <= 0.0:
        return found
    for slot in range(position.order_rows):
        order = book.working[slot]
        if order.status != WORKING and order.status != TRIGGERED:
            continue
        if order.tried_ms == candle.open_ms or order.time_in_force != GTC:
            continue
        level = level_of(order, market.tick_size)
        if level <= 0.0 or not abs(level - price) < best:
            continue
        fresh_leg = order.fresh_leg
        if order.is_reduce_only != 0:
            fresh_leg = max(fresh_leg, position.fresh_leg)
        beyond = needed_beyond(order, book.settings, market.tick_size)
        approach = approach_of(order)
        if is_certain(level, approach, price, end, candle.close, leg, fresh_leg, beyond):
            best = abs(level - price)
            found = slot
    return found


@kernel
def exit_bracket(book: SymbolBook, out: OutputRows, candle: Row, level: float, hit: int) -> None:
    """Close the whole position at its stop (`hit` 1), its target (2) or in liquidation, and end what ends with it."""
    position, trade, entry, market = book.position, book.trade, book.entry, book.market
    side = held(position)
    is_stop = hit != 2
    target_price = position.target_price
    is_ambiguous = (
        is_stop
        and position.fresh_leg < 0
        and target_price > 0.0
        and candle.low <= target_price <= candle.high
    )
    price = market_price(level, -side, market) if hit == 1 else level
    see(entry, price)
    track_excursion(trade, entry.seen_low, entry.seen_high)
    optimistic = 0
    if is_ambiguous:
        optimistic = pnl_at(book, target_price)
    fill = open_fill(out)
    if hit == LIQUIDATED:
        liquidate(book, fill)
    else:
        close_position(book, price, REASON_STOP if hit == 1 else REASON_TARGET, fill)
    if hit == 1:
        book_costs(fill, trade, market, level)
    if is_ambiguous:
        trade.is_ambiguous |= AMBIGUOUS_EXIT
        trade.pnl_optimistic = optimistic
    keep_trade(trade, out)
    end_with_position(book, out, fill.reason)


@kernel
def finish_way(book: SymbolBook, candle: Row) -> None:
    """End a candle: the open position has seen it, and trailing orders move by what was inside it."""
    position, trade, entry = book.position, book.trade, book.entry
    if position.quantity != 0.0:
        if position.fresh_leg < 0:
            track_excursion(trade, candle.low, candle.high)
        else:
            track_excursion(trade, entry.seen_low, entry.seen_high)
            track_excursion(trade, candle.close, candle.close)
            level = adverse_level(position, candle)
            if level > 0.0 and candle.low <= level <= candle.high:
                trade.is_ambiguous |= AMBIGUOUS_ENTRY
        trade.bars += 1
    position.fresh_leg = -1
    position.is_met = 0
    for slot in range(position.order_rows):
        order = book.working[slot]
        if order.status == FREE:
            continue
        order.fresh_leg = -1
        order.is_new = 0
        if order.kind == TRAIL and order.status == WORKING:
            follow(order, candle.low if order.target > 0 else candle.high)
    close_gaps(position, book.working)
