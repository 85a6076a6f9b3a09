"""
Fills: what opening, adding, reducing and closing do to position, trade and ledger.

In which order a candle meets what rests is told in `papertape.engine.broker.execution`, what a bracket gets from it in
`papertape.engine.broker.bracket`.

Prices lie on the market's grid: market orders are rounded against us, stops and targets to the nearest tick, before
sizes are made of them. What rounding takes is a cost like slippage, and nothing is sold below one tick.

An excursion is made of prices that were there while the position was held: the open of every candle, also of the one
it is closed in, whole candles in between, and of the last candle only what certainly came before the exit; before a
target the adverse extreme counts too, as it may have come first.
Nothing fills in an absent candle.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.account import FLOAT_NOISE, SymbolBook, end_moves, unrealised, whole_steps
from papertape.engine.broker.ledger import added, money, post
from papertape.engine.broker.risk.fees import fee_of
from papertape.engine.broker.risk.margin import margin_rate_with, set_liquidation
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.records import REASON_END, REASON_LIQUIDATION

_LOT_NOISE: Final = 1e-6  # lots: nearer to a whole one is on it


@kernel
def on_tick(price: float, tick_size: float, side: int) -> float:
    """
    Return a price on the tick grid, rounded against a buyer (+1) or seller (-1), or to the nearest (0).

    A price that is on the grid up to float noise is on it.
    """
    if tick_size <= 0.0:
        return price
    steps = price / tick_size
    noise = 1e-9 + FLOAT_NOISE * abs(steps)
    if side > 0:
        return whole_steps(np.ceil(steps - noise), tick_size)
    if side < 0:
        return whole_steps(np.floor(steps + noise), tick_size)
    return whole_steps(np.rint(steps), tick_size)


@kernel
def is_traded(position: Row, candle: Row) -> bool:
    """Return whether anything can fill: the candle is there, and the market matches."""
    return candle.flag_bits & FLAG_ABSENT == 0 and position.is_halted == 0  # type: ignore[no-any-return]


@kernel
def market_price(reference: float, side: int, market: Row) -> float:
    """
    Return the price of a market order: the reference moved against us by half spread and slippage.

    Nothing is sold below one tick, and nothing above the reference either, should that itself lie below one.
    """
    cost_rate = market.half_spread_rate + market.slippage_rate
    price = on_tick(reference * (1.0 + side * cost_rate), market.tick_size, side)
    return max(price, min(market.tick_size, reference))  # type: ignore[no-any-return]


@kernel
def write_fill(
    fill: Row,
    book: SymbolBook,
    side: int,
    reason: int,
    price: float,
    quantity: float,
    notional: int,
    fee: int,
) -> None:
    """Fill in what every fill has; the ledger has been posted already."""
    fill.sequence = book.account.sequence
    book.account.sequence += 1
    fill.candle_ms = book.time_ms
    fill.symbol = book.symbol
    fill.trade = book.trade.number
    fill.side = side
    fill.reason = reason
    fill.price = price
    fill.quantity = quantity
    fill.notional = notional
    fill.fee = fee
    fill.cash = book.account.cash


@kernel
def book_costs(fill: Row, trade: Row, market: Row, reference: float) -> None:
    """
    Note what crossing the spread and slipping cost against `reference`; both are part of the price already.

    On a grid of prices they add up to what the price lost: what rounding to the tick takes is slippage.
    """
    units = market.units_per_quote
    fill.spread = money(fill.quantity * reference * market.half_spread_rate, units)
    fill.slippage = money(fill.quantity * reference * market.slippage_rate, units)
    if market.tick_size > 0.0:
        lost = money(fill.quantity * abs(fill.price - reference), units)
        fill.spread = min(fill.spread, lost)
        fill.slippage = lost - fill.spread
    trade.spread = added(trade.spread, fill.spread)
    trade.slippage = added(trade.slippage, fill.slippage)


@kernel
def pay_for(book: SymbolBook, notional: int, fee: int) -> None:
    """Post what a purchase, or a short sale, costs: on spot its price and the fee, of a perpetual the fee alone."""
    if book.market.is_perpetual == 0:
        post(book.account, added(-notional, -fee), inventory=notional, fees=fee)
    else:
        post(book.account, -fee, fees=fee)


@kernel
def open_position(
    book: SymbolBook, order: Row, quantity: float, reason: int, is_maker: bool, reference: float, fill: Row
) -> None:
    """Open a position with its bracket as planned in the book's entry, mark it at its fill and start its trade."""
    position, trade, entry, market = book.position, book.trade, book.entry, book.market
    side = order.target
    price = entry.price
    stop_price = entry.stop_price
    notional = money(quantity * price, market.units_per_quote)
    fee = fee_of(book.account, market, quantity, price, is_maker)
    pay_for(book, notional, fee)
    position.margin_rate = margin_rate_with(position, market, notional)
    position.quantity = side * quantity
    position.entry_price = price
    position.cost = notional
    position.stop_price = stop_price
    position.target_price = entry.target_price
    position.last_price = price
    set_liquidation(position, market)
    position.realised = 0
    position.exit_price = 0.0
    position.exit_quantity = 0.0
    position.fresh_leg = -1
    start_trade(book, order)
    trade.entry_price = price
    trade.quantity = quantity
    trade.notional = notional
    trade.stop_price = stop_price
    trade.target_price = entry.target_price
    trade.risk = 0
    if stop_price > 0.0:
        trade.risk = money(quantity * abs(price - stop_price), market.units_per_quote)
    trade.equity_before = entry.worth
    write_fill(fill, book, side, reason, price, quantity, notional, fee)
    fill.realised = 0
    fill.position = position.quantity
    trade.fees = fee
    book_costs(fill, trade, market, reference)


@kernel
def start_trade(book: SymbolBook, order: Row) -> None:
    """Begin the record of a trade from the order that opens it."""
    trade = book.trade
    trade.number = book.account.trades
    book.account.trades += 1
    trade.symbol = book.symbol
    trade.side = order.target
    trade.decided_ms = order.decided_ms
    trade.entry_ms = book.time_ms
    trade.exit_ms = 0
    trade.exit_price = 0.0
    trade.exit_reason = 0
    trade.bars = 0
    trade.pnl = 0
    trade.fees = 0
    trade.slippage = 0
    trade.spread = 0
    trade.funding = 0
    trade.mae_price = 0.0
    trade.mfe_price = 0.0
    trade.is_ambiguous = 0
    trade.pnl_optimistic = 0
    trade.confidence = order.confidence
    trade.score_model = order.score_model
    trade.score_smc = order.score_smc
    trade.score_technical = order.score_technical
    trade.model_version = order.model_version


@kernel
def close_position(book: SymbolBook, price: float, reason: int, fill: Row) -> None:
    """Close the whole position at `price`, the taker fee paid."""
    reduce_position(book, abs(book.position.quantity), price, False, reason, fill)


@kernel
def reduce_position(
    book: SymbolBook, quantity: float, price: float, is_maker: bool, reason: int, fill: Row
) -> None:
    """
    Close `quantity` of the position at `price` and settle it in the ledger; with the last of it the trade is finished.

    What it cost goes with it in proportion, rounded once; the last part takes what is left.
    """
    account, position, trade, market = book.account, book.position, book.trade, book.market
    held = abs(position.quantity)
    left = on_lot(held - quantity, held, market.lot_size)
    is_whole = left <= 0.0
    if is_whole:
        left = 0.0
    cost = position.cost
    if not is_whole:
        cost = np.int64(np.rint(cost * (quantity / held)))
    notional = money(quantity * price, market.units_per_quote)
    if reason == REASON_LIQUIDATION:
        fee = money(quantity * price * market.liquidation_fee_rate, market.units_per_quote)
    else:
        fee = fee_of(account, market, quantity, price, is_maker)
    realised = notional - cost if position.quantity > 0.0 else cost - notional
    if market.is_perpetual == 0:
        post(account, added(notional, -fee), inventory=-cost, realised=-realised, fees=fee)
    else:
        post(account, added(realised, -fee), realised=-realised, fees=fee)
    position.quantity = trade.side * left
    if is_whole:
        position.rule_scale = 0.0
    position.cost -= cost
    write_fill(fill, book, -trade.side, reason, price, quantity, notional, fee)
    fill.realised = realised
    fill.position = position.quantity
    fill.spread = 0
    fill.slippage = 0
    trade.fees = added(trade.fees, fee)
    position.realised = added(position.realised, realised)
    exit_price = price
    if position.exit_quantity > 0.0:
        value = position.exit_price * position.exit_quantity + price * quantity
        exit_price = value / (position.exit_quantity + quantity)
    position.exit_price = exit_price
    position.exit_quantity += quantity
    if not is_whole:
        set_liquidation(position, market)
    else:
        position.quantity = 0.0
        position.stop_price = 0.0
        position.target_price = 0.0
        position.liquidation_price = 0.0
        position.bankruptcy_price = 0.0
        position.margin_rate = 0.0
        if position.moves > 0:
            end_moves(account, position, 0)
        trade.exit_ms = book.time_ms
        trade.exit_price = exit_price
        trade.exit_reason = reason
        trade.bars += 1
        trade.pnl = added(added(position.realised, -trade.fees), -trade.funding)
        trade.pnl_optimistic = trade.pnl


@kernel
def on_lot(quantity: float, largest: float, lot_size: float) -> float:
    """
    Return a sum or difference of whole lots without its float noise; what was held before lots changed stays as it is.

    largest  what went into it, of which the noise is
    """
    if lot_size <= 0.0:
        return quantity
    lots = quantity / lot_size
    whole = np.rint(lots)
    noise = _LOT_NOISE + 4.0 * FLOAT_NOISE * (largest / lot_size)
    return whole_steps(whole, lot_size) if abs(lots - whole) <= noise else quantity


@kernel
def track_excursion(trade: Row, low: float, high: float) -> None:
    """Widen the trade's worst and best excursion by prices it has certainly seen."""
    below = low - trade.entry_price
    above = high - trade.entry_price
    if trade.side < 0:
        below, above = -above, -below
    trade.mae_price = min(trade.mae_price, below)
    trade.mfe_price = max(trade.mfe_price, above)


@kernel
def finish_open_trade(position: Row, trade: Row, market: Row, close_ms: int) -> None:
    """Mark a trade that is still open at its last close: no fill, no exit cost, said by its reason."""
    value = unrealised(position, market)
    if market.is_perpetual == 0:
        value -= position.cost
    result = added(position.realised, value)
    trade.pnl = added(added(result, -trade.fees), -trade.funding)
    trade.pnl_optimistic = trade.pnl
    trade.exit_price = position.last_price
    trade.exit_ms = close_ms
    trade.exit_reason = REASON_END


@kernel
def finish_open_trades(positions: Rows, trades: Rows, markets: Rows, close_ms: int, marked: Rows) -> int:
    """Write open trades as if marked at the last close, and return how many there are; the state is not touched."""
    count = 0
    for symbol in range(len(positions)):
        if positions[symbol].quantity != 0.0:
            marked[count] = trades[symbol]
            finish_open_trade(positions[symbol], marked[count], markets[symbol], close_ms)
            count += 1
    return count


def copy_open_trades(positions: Rows, trades: Rows, markets: Rows, close_ms: int) -> Rows:
    """Return the open trades as if marked at the last close; the state is not touched."""
    marked = np.zeros(len(trades), trades.dtype)
    return marked[: finish_open_trades(positions, trades, markets, close_ms, marked)]
