"""
What a fill of a working order does to a position: close a part or the whole, open, or add.

A fill against the position closes first and opens with the rest, as two fills; what only reduces never opens. With the
last of a position every order that only reduces ends as well, so that nothing is left that could turn it round.
"""

from papertape.engine.broker.account import OutputRows, SymbolBook
from papertape.engine.broker.fills import (
    book_costs,
    market_price,
    on_lot,
    on_tick,
    open_position,
    pay_for,
    reduce_position,
    track_excursion,
    write_fill,
)
from papertape.engine.broker.ledger import added, money
from papertape.engine.broker.orders import N_FILLS, bar_to_entry, keep_trade, open_fill
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
from papertape.engine.jit import Row, kernel
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
    book: SymbolBook, out: OutputRows, slot: int, candle: Row, reference: float, is_maker: bool
) -> None:
    """
    Fill as much of an order as this candle gives, and end what ends with it.

    The book's entry says what the step allows (`may_close`, `may_open`), the factor on what is opened, and the leg.

    reference  price at which the order is met; a taker pays half spread and slippage on top
    """
    entry, order = book.entry, book.working[slot]
    order.tried_ms = candle.open_ms
    before = out.counters[N_FILLS]
    if entry.may_close != 0:
        close_by(book, out, order, reference, is_maker)
    if entry.may_open != 0 and order.status != FREE:
        open_by(book, out, order, reference, is_maker)
    if out.counters[N_FILLS] == before:
        return
    if order.group != 0:
        end_group(book, out, order.group, order.number)
    if book.position.quantity == 0.0:
        end_all(book, out, BY_FLAT, True)


@kernel
def close_by(book: SymbolBook, out: OutputRows, order: Row, reference: float, is_maker: bool) -> None:
    """Close as much of the position as an order against it asks for and the candle's volume gives."""
    position, trade, entry, market = book.position, book.trade, book.entry, book.market
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
    fill = open_fill(out)
    reduce_position(book, quantity, price, is_maker, REASON_ORDER + order.kind, fill)
    if not is_maker:
        book_costs(fill, trade, market, reference)
    if position.quantity == 0.0:
        keep_trade(trade, out)
    note_fill(book, out, order, fill)


@kernel
def open_by(book: SymbolBook, out: OutputRows, order: Row, reference: float, is_maker: bool) -> None:
    """Open or add what an order asks for, as far as buying power, the market's lots and the candle's volume allow."""
    account, position, trade = book.account, book.position, book.trade
    entry, market, side = book.entry, book.market, order.target
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
    if not plan_bracket(book, order, price):
        cause = REFUSED_PRICE
    elif order.time_in_force == FOK and quantity < order.remaining * (1.0 - _NOISE):
        cause = BY_TIME_IN_FORCE
    elif quantity <= 0.0:
        if position.volume_left < order.remaining:
            return  # too little was traded; it waits for the next candle
        cause = short_of
    if cause != 0:
        end_order(book, out, order, CANCELLED, cause)
        return
    fill = open_fill(out)
    entry.room -= quantity * price
    if position.quantity == 0.0:
        open_position(book, order, quantity, REASON_ENTRY_BY_ORDER, is_maker, reference, fill)
        position.fresh_leg = entry.leg
        entry.seen_low = price
        entry.seen_high = price
    else:
        add_to_position(book, out, side, quantity, is_maker, fill)
        book_costs(fill, trade, market, reference)
    if is_maker:
        trade.spread -= fill.spread
        trade.slippage -= fill.slippage
        fill.spread = 0
        fill.slippage = 0
    note_fill(book, out, order, fill)
    if affordable < wanted and order.status != FREE:
        end_order(book, out, order, CANCELLED, short_of)


@kernel
def plan_bracket(book: SymbolBook, order: Row, price: float) -> bool:
    """Write the fill's price and the bracket that a position has after it; return whether it lies on the right sides."""
    position, entry, tick_size, side = (book.position, book.entry, book.market.tick_size, order.target)
    stop_price = order.stop_price
    if stop_price <= 0.0 and order.stop_distance > 0.0:
        stop_price = price - side * order.stop_distance
    target_price = order.target_price
    if target_price <= 0.0 and order.target_distance > 0.0:
        target_price = price + side * order.target_distance
    # Of a distance that reaches below zero nothing is left.
    entry.stop_price = max(on_tick(stop_price, tick_size, 0), 0.0)
    entry.target_price = max(on_tick(target_price, tick_size, 0), 0.0)
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
    book: SymbolBook, out: OutputRows, side: int, quantity: float, is_maker: bool, fill: Row
) -> None:
    """Add to a position on its side: the entry price becomes the average, the risk that of every part at its stop."""
    position, trade, entry, market = book.position, book.trade, book.entry, book.market
    stop_before = position.stop_price
    target_before = position.target_price
    price = entry.price
    notional = money(quantity * price, market.units_per_quote)
    fee = fee_of(book.account, market, quantity, price, is_maker)
    pay_for(book, notional, fee)
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
    write_fill(fill, book, side, REASON_ENTRY_BY_ORDER, price, quantity, notional, fee)
    fill.realised = 0
    fill.position = position.quantity
    write_levels(book, out, stop_before, target_before, fill.sequence)


@kernel
def note_fill(book: SymbolBook, out: OutputRows, order: Row, fill: Row) -> None:
    """Take a fill off what remains of its order and report it; an order that is done leaves the table."""
    order.remaining -= fill.quantity
    book.position.volume_left -= fill.quantity
    is_done = order.remaining <= _NOISE * order.quantity
    if order.is_whole != 0:
        is_done = book.position.quantity == 0.0
    status = FILLED if is_done else WORKING
    event = write_event(book, out, order, status, 0, fill.quantity, fill.price)
    event.fill = fill.sequence
    if is_done:
        step_to(order, FILLED)
        free(book.account, book.position, order)
