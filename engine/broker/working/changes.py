"""
What a fill of a working order does to a position: close a part or the whole, open, or add.

A fill against the position closes first and opens with the rest, as two fills; what only reduces never opens. With the
last of a position every order that only reduces ends as well, so that nothing is left that could turn it round.
"""

from papertape.engine.broker.fills import (
    book_costs,
    market_price,
    on_lot,
    on_tick,
    open_position,
    reduce_position,
    track_excursion,
    write_fill,
)
from papertape.engine.broker.ledger import added, money, post
from papertape.engine.broker.orders import N_FILLS, N_TRADES, bar_to_entry
from papertape.engine.broker.risk.fees import fee_of
from papertape.engine.broker.risk.margin import margin_rate_with, set_liquidation
from papertape.engine.broker.sizing import payable, whole_lots
from papertape.engine.broker.working.endings import end_all, end_group
from papertape.engine.broker.working.funds import within_group
from papertape.engine.broker.working.orders import (
    BY_FLAT,
    BY_TIME_IN_FORCE,
    CANCELLED,
    FILLED,
    FOK,
    FREE,
    WORKING,
    end_order,
    free,
    step_to,
    write_event,
    write_levels,
)
from papertape.engine.jit import IntArray, Row, Rows, kernel
from papertape.engine.records import (
    REASON_ENTRY_BY_ORDER,
    REASON_ORDER,
    REFUSED_GROUP,
    REFUSED_NO,
    REFUSED_PRICE,
)

_NOISE = 1e-12  # of an order is none of it


@kernel
def fill_order(
    account: Row, position: Row, trade: Row, orders: Rows, slot: int, entry: Row, market: Row, candle: Row,
    reference: float, is_maker: bool, fills: Rows, trades_out: Rows, events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """
    Fill as much of an order as this candle gives, and end what ends with it.

    entry      what the step allows (`may_close`, `may_open`), the factor on what is opened, and the leg
    reference  price at which the order is met; a taker pays half spread and slippage on top
    """
    order = orders[slot]
    order.tried_ms = candle.open_ms
    before = counters[N_FILLS]
    if entry.may_close != 0:
        close_by(
            account, position, trade, order, entry, market, candle, reference, is_maker,
            fills, trades_out, events, counters,
        )  # fmt: skip
    if entry.may_open != 0 and order.status != FREE:
        open_by(
            account, position, trade, order, entry, market, candle, reference, is_maker,
            fills, events, counters,
        )  # fmt: skip
    if counters[N_FILLS] == before:
        return
    if order.group != 0:
        end_group(
            account, position, orders, order.group, order.number, candle.symbol, candle.open_ms,
            events, counters,
        )  # fmt: skip
    if position.quantity == 0.0:
        end_all(
            account, position, orders, candle.symbol, candle.open_ms, BY_FLAT, True,
            events, counters,
        )  # fmt: skip


@kernel
def close_by(
    account: Row, position: Row, trade: Row, order: Row, entry: Row, market: Row, candle: Row, reference: float,
    is_maker: bool, fills: Rows, trades_out: Rows, events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Close as much of the position as an order against it asks for and the candle's volume gives."""
    held = abs(position.quantity)
    if not order.target * position.quantity < 0.0:
        return
    quantity = held if order.is_whole != 0 else min(order.remaining, held)
    if position.volume_left < quantity:
        quantity = whole_lots(market, position.volume_left, reference)
    if quantity <= 0.0:
        return
    price = reference if is_maker else market_price(reference, order.target, market)
    entry.seen_low = min(entry.seen_low, price)
    entry.seen_high = max(entry.seen_high, price)
    track_excursion(trade, entry.seen_low, entry.seen_high)
    fill = fills[counters[N_FILLS]]
    counters[N_FILLS] += 1
    reason = REASON_ORDER + order.kind
    reduce_position(
        account, position, trade, market, candle, quantity, price, is_maker, reason, fill
    )
    if not is_maker:
        book_costs(fill, trade, market, reference)
    if position.quantity == 0.0:
        trades_out[counters[N_TRADES]] = trade
        counters[N_TRADES] += 1
    note_fill(account, position, order, candle, fill, events, counters)


@kernel
def open_by(
    account: Row, position: Row, trade: Row, order: Row, entry: Row, market: Row, candle: Row, reference: float,
    is_maker: bool, fills: Rows, events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Open or add what an order asks for, as far as buying power, the market's lots and the candle's volume allow."""
    side = order.target
    is_barred = bar_to_entry(account, position) != REFUSED_NO  # it waits, as it does in a halt
    if order.is_reduce_only != 0 or side * position.quantity < 0.0 or is_barred:
        return
    wanted = min(order.remaining, position.volume_left)
    price = reference if is_maker else market_price(reference, side, market)
    power = entry.power if side > 0 else entry.power_short
    fitting = wanted if market.group == 0 else within_group(entry, wanted, price)
    affordable = min(min(fitting, power / price) * entry.factor, entry.room / price)
    short_of = REFUSED_GROUP if affordable == fitting < wanted else entry.short_of
    quantity = payable(account, market, whole_lots(market, affordable, price), price, is_maker)
    cause = 0
    if not plan_bracket(position, order, market, price, entry):
        cause = REFUSED_PRICE
    elif order.time_in_force == FOK and quantity < order.remaining * (1.0 - _NOISE):
        cause = BY_TIME_IN_FORCE
    elif quantity <= 0.0:
        if position.volume_left < order.remaining:
            return  # too little was traded; it waits for the next candle
        cause = short_of
    if cause != 0:
        end_order(
            account, position, order, candle.symbol, candle.open_ms, CANCELLED, cause,
            events, counters,
        )  # fmt: skip
        return
    fill = fills[counters[N_FILLS]]
    counters[N_FILLS] += 1
    entry.room -= quantity * price
    if position.quantity == 0.0:
        open_position(
            account, position, trade, order, market, candle, entry, quantity, fill, REASON_ENTRY_BY_ORDER,
            entry.worth, is_maker, reference,
        )  # fmt: skip
        position.fresh_leg = entry.leg
        entry.seen_low = price
        entry.seen_high = price
    else:
        add_to_position(
            account, position, trade, entry, market, candle, side, quantity, is_maker, fill,
            events, counters,
        )  # fmt: skip
        book_costs(fill, trade, market, reference)
    if is_maker:
        trade.spread -= fill.spread
        trade.slippage -= fill.slippage
        fill.spread = 0
        fill.slippage = 0
    note_fill(account, position, order, candle, fill, events, counters)
    if affordable < wanted and order.status != FREE:
        end_order(
            account, position, order, candle.symbol, candle.open_ms, CANCELLED, short_of,
            events, counters,
        )  # fmt: skip


@kernel
def plan_bracket(position: Row, order: Row, market: Row, price: float, entry: Row) -> bool:
    """Write the fill's price and the bracket that a position has after it; return whether it lies on the right sides."""
    side = order.target
    stop_price = order.stop_price
    if stop_price <= 0.0 and order.stop_distance > 0.0:
        stop_price = price - side * order.stop_distance
    target_price = order.target_price
    if target_price <= 0.0 and order.target_distance > 0.0:
        target_price = price + side * order.target_distance
    # Of a distance that reaches below zero nothing is left.
    entry.stop_price = max(on_tick(stop_price, market.tick_size, 0), 0.0)
    entry.target_price = max(on_tick(target_price, market.tick_size, 0), 0.0)
    entry.price = price
    if entry.stop_price > 0.0 and side * (price - entry.stop_price) <= 0.0:
        return False
    if entry.target_price > 0.0 and side * (entry.target_price - price) <= 0.0:
        return False
    if position.quantity != 0.0:
        if entry.stop_price == 0.0:
            entry.stop_price = position.stop_price
        if entry.target_price == 0.0:
            entry.target_price = position.target_price
    return True


@kernel
def add_to_position(
    account: Row, position: Row, trade: Row, entry: Row, market: Row, candle: Row, side: int, quantity: float,
    is_maker: bool, fill: Row, events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Add to a position on its side: the entry price becomes the average, the risk that of every part at its stop."""
    stop_before = position.stop_price
    target_before = position.target_price
    price = entry.price
    notional = money(quantity * price, market.units_per_quote)
    fee = fee_of(account, market, quantity, price, is_maker)
    if market.is_perpetual == 0:
        post(account, added(-notional, -fee), inventory=notional, fees=fee)
    else:
        post(account, -fee, fees=fee)
    held = abs(position.quantity)
    total = on_lot(held + quantity, held + quantity, market.lot_size)
    position.entry_price = (held * position.entry_price + quantity * price) / (held + quantity)
    position.margin_rate = margin_rate_with(position, market, notional)
    position.quantity = side * total
    position.cost = added(position.cost, notional)
    position.stop_price = entry.stop_price
    position.target_price = entry.target_price
    set_liquidation(position, market)
    trade.entry_price = position.entry_price
    trade.quantity += quantity
    trade.notional = added(trade.notional, notional)
    if entry.stop_price > 0.0:
        risk = money(quantity * abs(price - entry.stop_price), market.units_per_quote)
        trade.risk = added(trade.risk, risk)
    trade.fees = added(trade.fees, fee)
    write_fill(
        fill, account, candle, trade, side, REASON_ENTRY_BY_ORDER, price, quantity, notional, fee
    )
    fill.realised = 0
    fill.position = position.quantity
    write_levels(
        account, position, candle.symbol, candle.open_ms, stop_before, target_before,
        fill.sequence, events, counters,
    )  # fmt: skip


@kernel
def note_fill(
    account: Row, position: Row, order: Row, candle: Row, fill: Row, events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Take a fill off what remains of its order and report it; an order that is done leaves the table."""
    order.remaining -= fill.quantity
    position.volume_left -= fill.quantity
    is_done = order.remaining <= _NOISE * order.quantity
    if order.is_whole != 0:
        is_done = position.quantity == 0.0
    status = FILLED if is_done else WORKING
    write_event(
        account, order, candle.symbol, candle.open_ms, status, 0, fill.quantity, fill.price,
        fill.sequence, events, counters,
    )  # fmt: skip
    if is_done:
        step_to(order, FILLED)
        free(account, position, order)
