"""
Working orders against one candle: its open, and its way from there to the close.

At the open, for all symbols, in the two steps of an instant: what closes, then what opens. Inside the candle the price
goes from the open to the extreme that is against the position, to the other, and to the close (without a position: to
the nearer extreme first), and whatever lies on the way fills in the order in which it is met, the stop first where
several lie at one price. An order that fills on the way can meet afterwards only what surely came after it
(`papertape.engine.broker.working.levels.is_certain`). A trailing stop moves by the open, and by what was inside a
candle after that candle.
"""

import numpy as np

from papertape.engine.broker.fills import (
    book_costs,
    close_position,
    market_price,
    on_tick,
    track_excursion,
)
from papertape.engine.broker.ledger import money
from papertape.engine.broker.orders import N_FILLS, N_TRADES, held
from papertape.engine.broker.working.changes import fill_order
from papertape.engine.broker.working.funds import share_out
from papertape.engine.broker.working.levels import (
    MAKES,
    RESTS,
    TURNS,
    approach_of,
    at_open,
    is_certain,
    is_limit,
    level_of,
    needed_beyond,
)
from papertape.engine.broker.working.orders import (
    AT_MARKET,
    BY_FLAT,
    BY_POST_ONLY,
    BY_STRATEGY,
    BY_TIME_IN_FORCE,
    CANCELLED,
    EXPIRED,
    FOK,
    FREE,
    GTC,
    LIMIT,
    PLACED,
    STOP_LIMIT,
    TOUCH_LIMIT,
    TRAIL,
    TRIGGERED,
    WORKING,
    close_gaps,
    end_all,
    end_order,
    price_of,
    step_to,
    write_event,
)
from papertape.engine.jit import IntArray, Row, Rows, kernel
from papertape.engine.records import REASON_STOP, REASON_TARGET

_ABSENT = 2  # engine.candles.FLAG_ABSENT
_NOTHING = -1
_THE_STOP = -2
_THE_TARGET = -3


@kernel
def wake(
    account: Row,
    position: Row,
    orders: Rows,
    market: Row,
    settings: Row,
    candle: Row,
    events: Rows,
    counters: IntArray,
) -> None:
    """Begin a candle: what has expired or was taken back ends, what has waited for its latency works, levels move."""
    if position.moved_instant != 0 and account.instants >= position.moved_instant:
        take_moved(account, position, market)
    position.volume_left = np.inf
    if settings.volume_share > 0.0:
        position.volume_left = settings.volume_share * candle.volume
    for slot in range(position.order_rows):
        order = orders[slot]
        if order.status == FREE:
            continue
        if order.expires_ms != 0 and candle.open_ms >= order.expires_ms:
            end_order(
                account, position, order, candle.symbol, candle.open_ms, EXPIRED, 0,
                events, counters,
            )  # fmt: skip
            continue
        if order.cancel_instant != 0 and account.instants >= order.cancel_instant:
            end_order(
                account, position, order, candle.symbol, candle.open_ms, CANCELLED, BY_STRATEGY,
                events, counters,
            )  # fmt: skip
            continue
        order.is_new = 0
        if order.status == PLACED and account.instants >= order.ready_instant:
            step_to(order, WORKING)
            order.is_new = 1
        if order.kind == TRAIL and order.status == WORKING:
            follow(order, candle.open)


@kernel
def take_moved(account: Row, position: Row, market: Row) -> None:
    """Let the levels that were asked for hold from here on."""
    if not np.isnan(position.moved_stop_price):
        position.stop_price = on_tick(position.moved_stop_price, market.tick_size, 0)
    if not np.isnan(position.moved_target_price):
        position.target_price = on_tick(position.moved_target_price, market.tick_size, 0)
    position.moved_instant = 0
    account.moves -= 1


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


@kernel
def match_open(
    account: Row,
    position: Row,
    trade: Row,
    orders: Rows,
    entry: Row,
    market: Row,
    settings: Row,
    candle: Row,
    fills: Rows,
    trades_out: Rows,
    events: Rows,
    counters: IntArray,
) -> None:
    """Let the open of a candle meet the orders of one symbol; `entry` says whether this step closes or opens."""
    entry.leg = -1
    entry.seen_low = candle.open
    entry.seen_high = candle.open
    for slot in range(position.order_rows):
        order = orders[slot]
        if order.status == FREE or order.status == PLACED:
            continue
        met = at_open(order, market, settings, candle.open)
        if met == TURNS:
            trigger(account, order, candle, events, counters)
            order.is_new = 1
            met = at_open(order, market, settings, candle.open)
        if met != RESTS:
            if refuses_open(order, position, met):
                cause = BY_POST_ONLY if order.is_post_only != 0 else BY_TIME_IN_FORCE
                end_order(
                    account, position, order, candle.symbol, candle.open_ms, CANCELLED, cause,
                    events, counters,
                )  # fmt: skip
                continue
            if order.status == WORKING and order.kind != LIMIT and order.kind != AT_MARKET:
                trigger(account, order, candle, events, counters)
            fill_order(
                account, position, trade, orders, slot, entry, market, candle, candle.open,
                met == MAKES, fills, trades_out, events, counters,
            )  # fmt: skip
        if order.status != FREE and order.time_in_force != GTC and entry.may_open != 0:
            end_order(
                account, position, order, candle.symbol, candle.open_ms, CANCELLED,
                BY_TIME_IN_FORCE, events, counters,
            )  # fmt: skip


@kernel
def refuses_open(order: Row, position: Row, met: int) -> bool:
    """Return whether an order would rather end than take what the open gives: post-only, or all or nothing."""
    if order.is_post_only != 0 and met != MAKES:
        return True
    return order.time_in_force == FOK and position.volume_left < order.remaining  # type: ignore[no-any-return]


@kernel
def trigger(account: Row, order: Row, candle: Row, events: Rows, counters: IntArray) -> None:
    """Report that an order has met its trigger."""
    price = price_of(order)
    if order.kind == TRAIL:
        price = order.extreme
    step_to(order, TRIGGERED)
    write_event(
        account, order, candle.symbol, candle.open_ms, TRIGGERED, 0, order.remaining, price, -1,
        events, counters,
    )  # fmt: skip


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
def match_way(
    account: Row,
    position: Row,
    trade: Row,
    orders: Rows,
    entry: Row,
    market: Row,
    settings: Row,
    candle: Row,
    fills: Rows,
    trades_out: Rows,
    events: Rows,
    counters: IntArray,
) -> None:
    """Let what lies between a candle's open and its close meet orders and bracket of one symbol."""
    is_down_first = goes_down_first(position, candle)
    price = candle.open
    entry.seen_low = price
    entry.seen_high = price
    entry.may_close = 1
    entry.may_open = 1
    for leg in range(3):
        entry.leg = leg
        end = end_of_leg(candle, is_down_first, leg)
        while price != end:
            met = nearest(position, orders, market, settings, candle, price, end, leg)
            if met == _NOTHING:
                break
            if met in (_THE_STOP, _THE_TARGET):
                is_stop = met == _THE_STOP
                price = position.stop_price if is_stop else position.target_price
                see(entry, price)
                exit_bracket(
                    account, position, trade, orders, entry, market, candle, price, is_stop,
                    fills, trades_out, events, counters,
                )  # fmt: skip
                continue
            order = orders[met]
            price = level_of(order, market.tick_size)
            see(entry, price)
            is_maker = is_limit(order)
            if not is_maker:
                trigger(account, order, candle, events, counters)
                order.fresh_leg = leg
                if (order.kind == STOP_LIMIT or order.kind == TOUCH_LIMIT) and not is_within(
                    order, market, price
                ):
                    continue
            fill_order(
                account, position, trade, orders, met, entry, market, candle, price, is_maker,
                fills, trades_out, events, counters,
            )  # fmt: skip
        if position.fresh_leg < 0 or position.fresh_leg >= leg:
            see(entry, end)
        price = end
    finish_way(position, trade, orders, entry, candle)


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
def nearest(
    position: Row,
    orders: Rows,
    market: Row,
    settings: Row,
    candle: Row,
    price: float,
    end: float,
    leg: int,
) -> int:
    """Return what the price meets next between `price` and `end`: a row of `orders`, the stop, the target, or nothing."""
    found = _NOTHING
    best = np.inf
    side = held(position)
    if side != 0:
        fresh_leg = position.fresh_leg
        stop_price = position.stop_price
        if stop_price > 0.0 and is_certain(
            stop_price, -side, price, end, candle.close, leg, fresh_leg, 0.0
        ):
            best = abs(stop_price - price)
            found = _THE_STOP
        target_price = position.target_price
        if target_price > 0.0 and is_certain(
            target_price, side, price, end, candle.close, leg, fresh_leg, 0.0
        ) and abs(target_price - price) < best:
            best = abs(target_price - price)
            found = _THE_TARGET
    if position.volume_left <= 0.0:
        return found
    for slot in range(position.order_rows):
        order = orders[slot]
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
        beyond = needed_beyond(order, settings, market.tick_size)
        approach = approach_of(order)
        if is_certain(level, approach, price, end, candle.close, leg, fresh_leg, beyond):
            best = abs(level - price)
            found = slot
    return found


@kernel
def exit_bracket(
    account: Row,
    position: Row,
    trade: Row,
    orders: Rows,
    entry: Row,
    market: Row,
    candle: Row,
    level: float,
    is_stop: bool,
    fills: Rows,
    trades_out: Rows,
    events: Rows,
    counters: IntArray,
) -> None:
    """Close the whole position at its stop or its target, and end every order that only reduces it."""
    side = held(position)
    target_price = position.target_price
    is_ambiguous = (
        is_stop
        and position.fresh_leg < 0
        and target_price > 0.0
        and candle.low <= target_price <= candle.high
    )
    price = market_price(level, -side, market) if is_stop else level
    see(entry, price)
    track_excursion(trade, entry.seen_low, entry.seen_high)
    optimistic = np.int64(0)
    if is_ambiguous:
        quantity = abs(position.quantity)
        value = money(quantity * target_price)
        gain = value - position.cost if side > 0 else position.cost - value
        fee = money(quantity * target_price * market.taker_fee_rate)
        optimistic = position.realised + gain - fee - trade.fees - trade.funding
    fill = fills[counters[N_FILLS]]
    counters[N_FILLS] += 1
    reason = REASON_STOP if is_stop else REASON_TARGET
    close_position(account, position, trade, market, candle, price, reason, fill)
    if is_stop:
        book_costs(fill, trade, market, level)
    if is_ambiguous:
        trade.is_ambiguous = 1
        trade.pnl_optimistic = optimistic
    trades_out[counters[N_TRADES]] = trade
    counters[N_TRADES] += 1
    end_all(
        account, position, orders, candle.symbol, candle.open_ms, BY_FLAT, True, False,
        events, counters,
    )  # fmt: skip


@kernel
def finish_way(position: Row, trade: Row, orders: Rows, entry: Row, candle: Row) -> None:
    """End a candle: the open position has seen it, and trailing orders move by what was inside it."""
    if position.quantity != 0.0:
        if position.fresh_leg < 0:
            track_excursion(trade, candle.low, candle.high)
        else:
            track_excursion(trade, entry.seen_low, entry.seen_high)
            track_excursion(trade, candle.close, candle.close)
        trade.bars += 1
    position.fresh_leg = -1
    for slot in range(position.order_rows):
        order = orders[slot]
        if order.status == FREE:
            continue
        order.fresh_leg = -1
        order.is_new = 0
        if order.kind == TRAIL and order.status == WORKING:
            follow(order, candle.low if order.target > 0 else candle.high)
    close_gaps(position, orders)


@kernel
def is_traded(position: Row, candle: Row) -> bool:
    """Return whether anything can fill: the candle is there, and the market matches."""
    return candle.flag_bits & _ABSENT == 0 and position.is_halted == 0  # type: ignore[no-any-return]


@kernel
def wake_all(
    account: Row,
    positions: Rows,
    working: Rows,
    markets: Rows,
    settings: Row,
    candles: Rows,
    base: int,
    events: Rows,
    counters: IntArray,
) -> None:
    """Begin the candles of an instant for the working orders of every symbol; `base` is the row of the first."""
    for symbol in range(len(positions)):
        candle = candles[base + symbol]
        position = positions[symbol]
        if is_traded(position, candle):
            wake(
                account, position, working[symbol], markets[symbol], settings, candle,
                events, counters,
            )  # fmt: skip


@kernel
def match_opens(
    account: Row,
    positions: Rows,
    trades: Rows,
    working: Rows,
    entries: Rows,
    markets: Rows,
    settings: Row,
    candles: Rows,
    base: int,
    is_entry: bool,
    fills: Rows,
    trades_out: Rows,
    events: Rows,
    counters: IntArray,
) -> None:
    """Let the open of an instant meet the working orders of every symbol: those that close, or those that open."""
    if is_entry:
        share_out(account, positions, working, entries, markets, settings, candles, base, True)
    for symbol in range(len(positions)):
        candle = candles[base + symbol]
        position = positions[symbol]
        if position.working == 0 or not is_traded(position, candle):
            continue
        entry = entries[symbol]
        entry.may_close = 0 if is_entry else 1
        entry.may_open = 1 if is_entry else 0
        match_open(
            account, position, trades[symbol], working[symbol], entry, markets[symbol], settings,
            candle, fills, trades_out, events, counters,
        )  # fmt: skip
