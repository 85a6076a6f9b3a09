"""
Entries of one instant: planned on one book, shared out, then opened.

Everything that enters at an open is sized on the same cash and the same equity: after every close at that open and
before any entry, with positions that are held at their last close. Each entry takes a share of the buying power that
it would have alone. When the shares add up to more than the whole, all are scaled down by the same factor, pro rata to
what they wanted: nobody comes first, so neither names nor the order of a configuration matter. An entry that was too
small alone takes no share; one that the sharing makes too small is refused, and the others do not grow.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.account import OutputRows, Portfolio, SymbolBook, Worth, book_of, worth_of
from papertape.engine.broker.fills import market_price, on_tick, open_position
from papertape.engine.broker.orders import open_fill, write_decision
from papertape.engine.broker.risk.groups import group_part, group_room, share_groups
from papertape.engine.broker.risk.places import NO_CLAIM, WILL_OPEN, give_places
from papertape.engine.broker.sizing import buying_power, exposure_room, payable, tradable_size, wanted_size
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import Row, Rows, kernel, record
from papertape.engine.records import (
    FLAT,
    REASON_ENTRY,
    REFUSED_EXPOSURE,
    REFUSED_GROUP,
    REFUSED_NO,
    REFUSED_PRICE,
    REFUSED_SIZE,
)

_WHOLE = (
    4_503_599_627_370_496  # 2^52: shares are integers of it, so that their sum does not depend on the order
)

# What one symbol is about to enter; scratch of an instant, no state.
ENTRY: Final = record(
    ("is_planned", "i8"),
    ("refused", "i8"),  # 0, or why there will be no position
    ("price", "f8"),  # of the fill, quote per base
    ("stop_price", "f8"),  # 0 = none
    ("target_price", "f8"),
    ("quantity", "f8"),  # base units, as if nobody else entered
    ("share", "i8"),  # of buying power, in 1 / 2^52
    ("may_close", "i8"),  # for working orders, from here on: whether this step closes
    ("may_open", "i8"),
    ("power", "f8"),  # largest notional that an order to buy may open if it were alone, quote
    ("power_short", "f8"),  # likewise to sell
    ("room", "f8"),  # what the limit on a position leaves to it, quote; infinite without one
    ("factor", "f8"),  # on what they open, so that buying power suffices for all
    ("worth", "i8"),  # equity at the step, money units
    ("leg", "i8"),  # of the candle's way; -1 = its open
    ("seen_low", "f8"),  # prices that were certainly there while the position was held
    ("seen_high", "f8"),
    # Limits that look at several symbols (`papertape.engine.broker.risk.places` and `…risk.groups`).
    ("short_of", "i8"),  # why an order opens nothing, where it is not for its group
    ("claim", "i8"),  # on a place among the open positions
    ("confidence", "f8"),
    ("group_room", "f8"),  # what its group leaves to all of it, quote; infinite without one
    ("group_part", "i8"),  # that it takes of this room, an integer
    ("group_factor", "f8"),  # on what it opens, so that this room suffices for all
)


@kernel
def plan_entry(book: SymbolBook, candle: Row, worth: Worth) -> int:
    """Write what an order would open at the open of `candle` if it were alone; return 0, or why it is refused."""
    account, order, entry = book.account, book.order, book.entry
    market, settings = book.market, book.settings
    side = order.target
    price = market_price(candle.open, side, market)
    tick_size = market.tick_size
    stop_distance = order.stop_distance
    stop_price = order.stop_price
    if stop_price > 0.0:
        stop_price = on_tick(stop_price, tick_size, 0)
        stop_distance = side * (price - stop_price)
    elif stop_distance > 0.0:
        stop_price = on_tick(price - side * stop_distance, tick_size, 0)
        if tick_size > 0.0:
            stop_distance = side * (price - stop_price)  # the size is made of the stop that will be there
    target_price = order.target_price
    if target_price <= 0.0 and order.target_distance > 0.0:
        target_price = price + side * order.target_distance
    target_price = on_tick(target_price, tick_size, 0)
    if stop_price != 0.0 and not side * (price - stop_price) > 0.0:
        return REFUSED_PRICE
    if target_price != 0.0 and not side * (target_price - price) > 0.0:
        return REFUSED_PRICE
    power = buying_power(account, market, settings, worth, price)
    room = exposure_room(market, settings, worth, side)
    most, scale = min(power, room), order.size_scale
    quantity = wanted_size(book, most, worth.equity, price, stop_distance, scale)
    if tradable_size(account, market, quantity, price) <= 0.0:
        return REFUSED_EXPOSURE if room < power else REFUSED_SIZE
    if entry.group_room < np.inf:
        quantity = min(quantity, entry.group_room / price)
        if tradable_size(account, market, quantity, price) <= 0.0:
            return REFUSED_GROUP
        entry.group_part = group_part(entry, quantity * price)
    entry.price = price
    entry.stop_price = max(stop_price, 0.0)
    entry.target_price = max(target_price, 0.0)
    entry.quantity = quantity
    entry.share = int(quantity / (most / price) * _WHOLE)
    return REFUSED_NO


@kernel
def plan_entries(portfolio: Portfolio, candles: Rows) -> float:
    """Plan every order that is due and take it off the book; return the factor on the sizes of all."""
    account, positions, settings = portfolio.account, portfolio.positions, portfolio.settings
    worth = worth_of(portfolio)
    total = 0
    for symbol in range(len(positions)):
        order = portfolio.orders[symbol]
        entry = portfolio.entries[symbol]
        candle = candles[symbol]
        entry.is_planned = 0
        if order.is_active == 0 or account.instants < order.ready_instant:
            continue
        if candle.flag_bits & FLAG_ABSENT != 0 or positions[symbol].is_halted != 0:
            continue
        if account.is_skewed != 0 and order.target != FLAT:
            continue
        order.is_active = 0
        if order.target == FLAT or positions[symbol].quantity != 0.0:
            continue
        entry.is_planned = 1
        entry.worth = worth.equity
        entry.group_part = 0
        entry.group_room = np.inf
        if settings.has_groups != 0:
            entry.group_room = group_room(positions, portfolio.markets, symbol, worth.equity)
        book = book_of(portfolio, symbol, candle.open_ms)
        entry.refused = plan_entry(book, candle, worth)
        if entry.refused == REFUSED_NO:
            total += entry.share
    if settings.limit_open_positions > 0 or settings.has_groups != 0:
        total = crowd(portfolio)
    return _WHOLE / total if total > _WHOLE else 1.0


@kernel
def crowd(portfolio: Portfolio) -> int:
    """Leave entries without a place out, cut the others to what their groups leave, and return the sum of their shares."""
    entries, settings = portfolio.entries, portfolio.settings
    for symbol in range(len(entries)):
        entry = entries[symbol]
        entry.claim = NO_CLAIM
        entry.confidence = portfolio.orders[symbol].confidence
        if entry.is_planned == 0:
            entry.group_part = 0
        elif entry.refused == REFUSED_NO:
            entry.claim = WILL_OPEN
    if settings.limit_open_positions > 0:
        give_places(portfolio.positions, entries, settings)
    for symbol in range(len(entries)):
        if entries[symbol].claim == NO_CLAIM:
            entries[symbol].group_part = 0
    share_groups(portfolio.markets, entries)
    total = 0
    for symbol in range(len(entries)):
        entry = entries[symbol]
        if entry.claim != NO_CLAIM:
            entry.quantity *= entry.group_factor
            total += int(entry.share * entry.group_factor)
    return total


@kernel
def enter_all(portfolio: Portfolio, out: OutputRows, candles: Rows) -> None:
    """Open what every order that is due asks for, at the open of this instant, or say why not."""
    factor = plan_entries(portfolio, candles)
    for symbol in range(len(candles)):
        entry = portfolio.entries[symbol]
        if entry.is_planned == 0:
            continue
        candle = candles[symbol]
        book = book_of(portfolio, symbol, candle.open_ms)
        account, position, order, market = book.account, book.position, book.order, book.market
        quantity = 0.0
        if entry.refused == REFUSED_NO:
            quantity = tradable_size(account, market, entry.quantity * factor, entry.price)
            quantity = payable(account, market, quantity, entry.price, False)
            if quantity <= 0.0:
                entry.refused = REFUSED_SIZE
        if entry.refused == REFUSED_NO:
            position.last_refused = FLAT
            fill = open_fill(out)
            open_position(book, order, quantity, REASON_ENTRY, False, candle.open, fill)
            position.rule_scale = order.size_scale
        elif position.last_refused != order.target:
            position.last_refused = order.target
            write_decision(book, out, entry.refused)
