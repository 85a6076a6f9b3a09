"""
Working orders at the open of a candle: what ends or begins with it, and what the open fills.

For all symbols together, in the two steps of an instant: what closes, then what opens. A trailing stop moves by the open,
and by what was inside a candle after that candle.
"""

import numpy as np

from papertape.engine.broker.account import OutputRows, Portfolio, SymbolBook, book_of, end_moves
from papertape.engine.broker.fills import is_traded, on_tick
from papertape.engine.broker.working.changes import fill_order
from papertape.engine.broker.working.funds import share_out
from papertape.engine.broker.working.levels import (
    MAKES,
    RESTS,
    TURNS,
    approach_of,
    at_open,
    follow,
    level_of,
    trail_level,
)
from papertape.engine.broker.working.orders import (
    AT_MARKET,
    BY_POST_ONLY,
    BY_STRATEGY,
    BY_TIME_IN_FORCE,
    CANCELLED,
    EXPIRED,
    FOK,
    FREE,
    GTC,
    LIMIT,
    MOVED,
    PLACED,
    TRAIL,
    WORKING,
    end_order,
    step_to,
    trigger,
    write_event,
    write_levels,
)
from papertape.engine.jit import Row, Rows, kernel


@kernel
def wake_all(portfolio: Portfolio, out: OutputRows, candles: Rows) -> int:
    """
    Begin the candles of an instant for the working orders of every symbol.

    Returns for how many of them the candle may come to something.
    """
    n_met = 0
    for symbol in range(len(portfolio.positions)):
        candle = candles[symbol]
        position = portfolio.positions[symbol]
        position.is_met = 0
        if is_traded(position, candle):
            wake(book_of(portfolio, symbol, candle.open_ms), out, candle)
            n_met += position.is_met
    return n_met


@kernel
def wake(book: SymbolBook, out: OutputRows, candle: Row) -> None:
    """
    Begin a candle: what has expired or was taken back ends, what has waited for its latency works, levels move; and note
    whether anything may come of the orders that are left: of most candles nothing does.
    """
    account, position, settings = book.account, book.position, book.settings
    if position.moves > 0 and account.instants >= position.move_instants[0]:
        take_moved(book, out)
    position.volume_left = np.inf
    if settings.volume_share > 0.0:
        position.volume_left = settings.volume_share * candle.volume
    position.is_met = 0
    for slot in range(position.order_rows):
        order = book.working[slot]
        if order.status == FREE:
            continue
        if order.expires_ms != 0 and candle.open_ms >= order.expires_ms:
            end_order(book, out, order, EXPIRED, 0)
            continue
        if order.cancel_instant != 0 and account.instants >= order.cancel_instant:
            end_order(book, out, order, CANCELLED, BY_STRATEGY)
            continue
        order.is_new = 0
        if order.status == PLACED and account.instants >= order.ready_instant:
            step_to(order, WORKING)
            order.is_new = 1
        if order.kind == TRAIL and order.status == WORKING:
            trail(book, out, order, candle)
        if order.status != PLACED and may_meet(order, book.market, candle):
            position.is_met = 1


@kernel
def take_moved(book: SymbolBook, out: OutputRows) -> None:
    """Let the levels that were asked for hold from here on, and report those that are others than before."""
    account, position, tick_size = book.account, book.position, book.market.tick_size
    stop_before = position.stop_price
    target_before = position.target_price
    n = 0
    while n < position.moves and account.instants >= position.move_instants[n]:
        if not np.isnan(position.move_stop_prices[n]):
            position.stop_price = on_tick(position.move_stop_prices[n], tick_size, 0)
        if not np.isnan(position.move_target_prices[n]):
            position.target_price = on_tick(position.move_target_prices[n], tick_size, 0)
        n += 1
    for k in range(n, position.moves):
        position.move_instants[k - n] = position.move_instants[k]
        position.move_stop_prices[k - n] = position.move_stop_prices[k]
        position.move_target_prices[k - n] = position.move_target_prices[k]
    end_moves(account, position, position.moves - n)
    write_levels(book, out, stop_before, target_before, -1)


@kernel
def trail(book: SymbolBook, out: OutputRows, order: Row, candle: Row) -> None:
    """Let a trailing order know the open, and report where it stands when that is not where it was said to."""
    follow(order, candle.open)
    level = trail_level(order, book.market.tick_size)
    if level == order.told_price:
        return
    order.told_price = level
    write_event(book, out, order, MOVED, 0, order.remaining, level)


@kernel
def may_meet(order: Row, market: Row, candle: Row) -> bool:
    """Return whether a candle is worth a closer look for an order: one that trails follows every candle."""
    if order.is_new != 0 or order.kind == TRAIL or order.time_in_force != GTC:
        return True
    level = level_of(order, market.tick_size)
    if level <= 0.0:
        return True
    return candle.low <= level if approach_of(order) < 0 else candle.high >= level  # type: ignore[no-any-return]


@kernel
def match_opens(portfolio: Portfolio, out: OutputRows, candles: Rows, is_entry: bool) -> None:
    """Let the open of an instant meet the working orders of every symbol: those that close, or those that open."""
    if is_entry:
        share_out(portfolio, candles, True)
    for symbol in range(len(portfolio.positions)):
        if portfolio.positions[symbol].is_met == 0:
            continue
        entry = portfolio.entries[symbol]
        entry.may_close = 0 if is_entry else 1
        entry.may_open = 1 if is_entry else 0
        match_open(book_of(portfolio, symbol, candles[symbol].open_ms), out, candles[symbol])


@kernel
def match_open(book: SymbolBook, out: OutputRows, candle: Row) -> None:
    """Let the open of a candle meet the orders of one symbol; its entry says whether this step closes or opens."""
    position, entry, market, settings = book.position, book.entry, book.market, book.settings
    entry.leg = -1
    entry.seen_low = candle.open
    entry.seen_high = candle.open
    for slot in range(position.order_rows):
        order = book.working[slot]
        if order.status == FREE or order.status == PLACED:
            continue
        met = at_open(order, market, settings, candle.open)
        if met == TURNS:
            trigger(book, out, order)
            order.is_new = 1
            met = at_open(order, market, settings, candle.open)
        if met != RESTS:
            if refuses_open(order, position, met):
                cause = BY_POST_ONLY if order.is_post_only != 0 else BY_TIME_IN_FORCE
                end_order(book, out, order, CANCELLED, cause)
                continue
            if order.status == WORKING and order.kind != LIMIT and order.kind != AT_MARKET:
                trigger(book, out, order)
            fill_order(book, out, slot, candle, candle.open, met == MAKES)
        if order.status != FREE and order.time_in_force != GTC and entry.may_open != 0:
            end_order(book, out, order, CANCELLED, BY_TIME_IN_FORCE)


@kernel
def refuses_open(order: Row, position: Row, met: int) -> bool:
    """Return whether an order would rather end than take what the open gives: post-only, or all or nothing."""
    if order.is_post_only != 0 and met != MAKES:
        return True
    return order.time_in_force == FOK and position.volume_left < order.remaining  # type: ignore[no-any-return]
