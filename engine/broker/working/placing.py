"""
Placing an order and taking it back: how large it is, what forbids it, and its row of the table.
"""

from papertape.engine.broker.account import SIZE_BY_RISK, SIZE_BY_VOLATILITY, OutputRows, SymbolBook, Worth
from papertape.engine.broker.fills import on_tick
from papertape.engine.broker.orders import bar_to_entry
from papertape.engine.broker.risk.places import count_order, has_spent_orders
from papertape.engine.broker.risk.sizes import is_variance_known
from papertape.engine.broker.sizing import (
    allotted,
    buying_power,
    exposure_room,
    tradable_size,
    wanted_size,
    whole_lots,
)
from papertape.engine.broker.working.levels import is_met_at
from papertape.engine.broker.working.orders import (
    BY_STRATEGY,
    CANCELLED,
    CAPACITY,
    FREE,
    NO_POSITION,
    NO_SUCH_ORDER,
    PLACED,
    REFUSED,
    TABLE_FULL,
    TRAIL,
    WRONG_SIDE,
    close_gaps,
    end_order,
    price_of,
    step_to,
    write_event,
)
from papertape.engine.jit import Row, kernel
from papertape.engine.records import (
    REFUSED_ALLOCATION,
    REFUSED_NO,
    REFUSED_ORDERS,
    REFUSED_SHORT,
    REFUSED_SIZE,
    REFUSED_STOP,
    REFUSED_VOLATILITY,
)


@kernel
def ask(book: SymbolBook, out: OutputRows, instruction: Row, worth: Worth) -> int:
    """Place an order, and report it; return 0, or why it cannot be placed, which is for the caller to report."""
    position = book.position
    close_gaps(position, book.working)
    size(book, instruction, worth)
    cause = obstacle(book, instruction)
    if cause == REFUSED_NO and position.order_rows == CAPACITY:
        cause = TABLE_FULL
    if cause != REFUSED_NO:
        return cause
    position.barred_by = 0
    if instruction.is_reduce_only == 0:
        count_order(position, book.settings, book.time_ms)
    order = book.working[position.order_rows]
    place(book, order, instruction)
    write_event(book, out, order, PLACED, 0, order.quantity, price_of(order))
    return REFUSED_NO


@kernel
def size(book: SymbolBook, instruction: Row, worth: Worth) -> None:
    """Turn whatever says how much into a quantity on the market's lots, 0 for one that is too small."""
    account, position, market, settings = book.account, book.position, book.market, book.settings
    price = price_of(instruction)
    if price <= 0.0:
        price = position.last_price
    quantity = instruction.quantity
    if instruction.is_whole != 0:
        instruction.quantity = abs(position.quantity)
        return
    if instruction.share > 0.0:
        quantity = whole_lots(market, abs(position.quantity) * instruction.share, price)
    elif instruction.fraction > 0.0:
        part = allotted(position, market, settings, worth.equity)
        quantity = tradable_size(account, market, instruction.fraction * part / price, price)
    elif quantity > 0.0:
        quantity = whole_lots(market, quantity, price)
    else:
        distance = instruction.stop_distance
        if instruction.stop_price > 0.0:
            distance = abs(price - instruction.stop_price)
        power = buying_power(account, market, settings, worth, price)
        power = min(power, exposure_room(market, settings, worth, instruction.target))
        if distance > 0.0 or settings.sizing != SIZE_BY_RISK:
            scale = instruction.size_scale
            quantity = wanted_size(book, power, worth.equity, price, distance, scale)
            quantity = tradable_size(account, market, quantity, price)
    instruction.quantity = quantity


@kernel
def obstacle(book: SymbolBook, instruction: Row) -> int:
    """Return 0, or why an order cannot be placed."""
    position, market, settings = book.position, book.market, book.settings
    side = instruction.target
    if instruction.is_reduce_only != 0:
        if not side * position.quantity < 0.0:
            return NO_POSITION
    else:
        cause = bar_to_entry(book.account, position)
        is_against = side * position.quantity < 0.0
        if cause != REFUSED_NO and not is_against:
            return cause
        if settings.allocation != 0 and not position.share > 0.0 and not is_against:
            return REFUSED_ALLOCATION
        if side < 0 and (market.is_perpetual == 0 or settings.allow_short == 0):
            if not is_against:
                return REFUSED_SHORT
            instruction.is_reduce_only = 1
        elif has_spent_orders(position, settings, book.time_ms):
            if not is_against:
                return REFUSED_ORDERS
            instruction.is_reduce_only = 1  # closing is left
    if instruction.quantity <= 0.0:
        is_by_rule = instruction.share <= 0.0 and instruction.fraction <= 0.0
        has_stop = instruction.stop_distance > 0.0 or instruction.stop_price > 0.0
        if is_by_rule and settings.sizing == SIZE_BY_RISK and not has_stop:
            return REFUSED_STOP
        is_by_volatility = is_by_rule and settings.sizing == SIZE_BY_VOLATILITY
        if is_by_volatility and not is_variance_known(position, settings):
            return REFUSED_VOLATILITY
        return REFUSED_SIZE
    instruction.limit_price = on_tick(instruction.limit_price, market.tick_size, 0)
    instruction.trigger_price = on_tick(instruction.trigger_price, market.tick_size, 0)
    is_triggered = instruction.kind != TRAIL and is_met_at(instruction, position.last_price, market.tick_size)
    return WRONG_SIDE if is_triggered else REFUSED_NO


@kernel
def place(book: SymbolBook, order: Row, instruction: Row) -> None:
    """Write a new order into a free row of the table."""
    account = book.account
    account.orders += 1
    account.working += 1
    book.position.working += 1
    book.position.order_rows += 1
    step_to(order, PLACED)
    order.number = account.orders
    order.kind = instruction.kind
    order.target = instruction.target
    order.is_reduce_only = instruction.is_reduce_only
    order.is_whole = instruction.is_whole
    order.is_post_only = instruction.is_post_only
    order.time_in_force = instruction.time_in_force
    order.is_new = 0
    order.tried_ms = -1
    order.fresh_leg = -1
    order.decided_ms = book.time_ms
    order.expires_ms = instruction.expires_ms
    order.ready_instant = account.instants + 1 + book.settings.latency_bars
    order.cancel_instant = 0
    order.quantity = instruction.quantity
    order.remaining = instruction.quantity
    order.limit_price = instruction.limit_price
    order.trigger_price = instruction.trigger_price
    order.trail_distance = instruction.trail_distance
    order.trail_rate = instruction.trail_rate
    order.activation_price = instruction.activation_price
    order.extreme = 0.0
    order.told_price = 0.0
    order.stop_price = instruction.stop_price
    order.target_price = instruction.target_price
    order.stop_distance = instruction.stop_distance
    order.target_distance = instruction.target_distance
    order.confidence = instruction.confidence
    order.score_model = instruction.score_model
    order.score_smc = instruction.score_smc
    order.score_technical = instruction.score_technical
    order.model_version = account.model_version
    order.group = instruction.group
    order.tag = instruction.tag


@kernel
def cancel(book: SymbolBook, out: OutputRows, instruction: Row) -> None:
    """Take back the orders of a tag, all for none; with latency they work until the venue has heard of it."""
    n_found, latency_bars = 0, book.settings.latency_bars
    for slot in range(book.position.order_rows):
        order = book.working[slot]
        if order.status == FREE or (instruction.tag != 0 and order.tag != instruction.tag):
            continue
        n_found += 1
        if latency_bars > 0:
            if order.cancel_instant == 0:  # asked again, it comes no later
                order.cancel_instant = book.account.instants + 1 + latency_bars
            continue
        end_order(book, out, order, CANCELLED, BY_STRATEGY)
    if n_found == 0 and instruction.tag != 0:
        write_event(book, out, instruction, REFUSED, NO_SUCH_ORDER, 0.0, 0.0)
