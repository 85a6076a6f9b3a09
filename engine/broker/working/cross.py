"""
Cross margin: perpetual positions that stand on the account together, and what becomes of them there.

What they stand on is cash and their open result; what must be maintained is the sum of their maintenance margins. Looked at
twice an instant, before what closes at the open, and before anything inside the candles: there every price goes from its
open to its worst together, which is the adverse extreme, or a nearer stop for the whole position. Where equity is down to
the maintenance margin all positions go at once, each at the price of that moment less its own maintenance margin, so that
nothing is left: what was there is lost, never more, also through a gap, and the venue's fee comes on top. No name and no
order of symbols takes part in it.

Extremes of several symbols need not have been at one time: such trades are marked, and keep what they would be worth at
the close. Spot holdings carry nothing. What opens inside a candle is looked at from the next open on.
"""

from papertape.engine.broker.account import OutputRows, Portfolio, SymbolBook, book_of
from papertape.engine.broker.bracket import liquidate, pnl_at
from papertape.engine.broker.fills import is_traded, track_excursion
from papertape.engine.broker.orders import keep_trade, open_fill
from papertape.engine.broker.risk.margin import maintenance_of
from papertape.engine.broker.working.endings import end_with_position
from papertape.engine.broker.working.levels import trail_level
from papertape.engine.broker.working.orders import STOP, TRAIL, WORKING
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.records import AMBIGUOUS_EXIT, AMBIGUOUS_TOGETHER

_NOISE = 1e-12  # of notional is no margin


@kernel
def is_shared(position: Row, market: Row) -> bool:
    """Return whether a position stands on the account's margin."""
    return position.quantity != 0.0 and market.is_perpetual != 0  # type: ignore[no-any-return]


@kernel
def first_price(position: Row, candle: Row) -> float:
    """Return the price at which a position stands at the open."""
    return candle.open if is_traded(position, candle) else position.last_price  # type: ignore[no-any-return]


@kernel
def worst_price(position: Row, orders: Rows, market: Row, candle: Row) -> float:
    """Return the worst price at which a position is held in a candle: its adverse extreme, or a stop that ends it before."""
    if not is_traded(position, candle):
        return position.last_price  # type: ignore[no-any-return]
    side = 1.0 if position.quantity > 0.0 else -1.0
    worst = candle.low if side > 0.0 else candle.high
    if position.stop_price > 0.0 and side * (position.stop_price - worst) > 0.0:
        worst = position.stop_price
    for slot in range(position.order_rows):
        order = orders[slot]
        if order.status != WORKING or not order.target * side < 0.0:
            continue
        if order.kind != STOP and order.kind != TRAIL:
            continue
        if order.is_whole == 0 and order.remaining < abs(position.quantity):
            continue
        level = trail_level(order, market.tick_size) if order.kind == TRAIL else order.trigger_price
        if level > 0.0 and side * (level - worst) > 0.0:
            worst = level
    return min(worst, candle.open) if side > 0.0 else max(worst, candle.open)  # type: ignore[no-any-return]


@kernel
def liquidate_together(portfolio: Portfolio, out: OutputRows, candles: Rows, is_open: bool) -> None:
    """Close every perpetual position if the account no longer carries them."""
    positions, markets = portfolio.positions, portfolio.markets
    quote = markets[0].quote_per_unit
    cash = portfolio.account.cash * quote
    start, start_needed, end, end_needed, gross = cash, 0.0, cash, 0.0, 0.0
    n_moved = 0
    for symbol in range(len(positions)):
        position = positions[symbol]
        market = markets[symbol]
        if not is_shared(position, market):
            continue
        candle = candles[symbol]
        first = first_price(position, candle)
        worst = worst_price(position, portfolio.working[symbol], market, candle)
        rate = maintenance_of(market, position.cost)
        size = abs(position.quantity)
        side = 1.0 if position.quantity > 0.0 else -1.0
        start += side * (size * first - position.cost * quote)
        end += side * (size * worst - position.cost * quote)
        start_needed += rate * size * first
        end_needed += rate * size * worst
        gross += size * first
        if worst != first:
            n_moved += 1
    above, below = start - start_needed, end - end_needed
    way = 0.0
    if above > _NOISE * gross:
        if is_open or below > _NOISE * gross:
            return
        way = above / (above - below)
    share, is_weighted = shared_out(portfolio, candles, way, start, end)
    for symbol in range(len(positions)):
        position, market, candle = positions[symbol], markets[symbol], candles[symbol]
        if not is_shared(position, market) or not is_traded(position, candle):
            continue
        lost = share * maintenance_of(market, position.cost) if is_weighted else share
        book = book_of(portfolio, symbol, candle.open_ms)
        close_shared(book, out, candle, way, lost, is_open, n_moved > 1)


@kernel
def close_shared(
    book: SymbolBook,
    out: OutputRows,
    candle: Row,
    way: float,
    lost: float,
    is_open: bool,
    has_moved_with_others: bool,
) -> None:
    """Close a position of a liquidated account at the price of that moment less a share, and note what nobody can tell."""
    position, trade = book.position, book.trade
    side = 1.0 if position.quantity > 0.0 else -1.0
    first = first_price(position, candle)
    price = first + way * (worst_price(position, book.working, book.market, candle) - first)
    position.bankruptcy_price = max(price * (1.0 - side * lost), 0.0)
    track_excursion(trade, min(price, first), max(price, first))
    optimistic = 0
    doubt = 0
    target = position.target_price
    is_together = not is_open and has_moved_with_others
    if not is_open and target > 0.0 and candle.low <= target <= candle.high:
        doubt = AMBIGUOUS_EXIT
        optimistic = pnl_at(book, target)
    elif is_together:
        optimistic = pnl_at(book, candle.close)
    if is_together:
        doubt |= AMBIGUOUS_TOGETHER
    fill = open_fill(out)
    liquidate(book, fill)
    if doubt != 0:
        trade.is_ambiguous |= doubt
        trade.pnl_optimistic = max(optimistic, trade.pnl)
    keep_trade(trade, out)
    if position.working > 0:
        end_with_position(book, out, fill.reason)


@kernel
def shared_out(
    portfolio: Portfolio, candles: Rows, way: float, start: float, end: float
) -> tuple[float, bool]:
    """
    Return which share of its maintenance margin each position loses so that nothing is left, and whether that is shared
    out by maintenance margins; by notional where none must be maintained.
    """
    margins, notionals = 0.0, 0.0
    for symbol in range(len(portfolio.positions)):
        position, market = portfolio.positions[symbol], portfolio.markets[symbol]
        candle = candles[symbol]
        if not is_shared(position, market) or not is_traded(position, candle):
            continue
        first = first_price(position, candle)
        worst = worst_price(position, portfolio.working[symbol], market, candle)
        notional = abs(position.quantity) * (first + way * (worst - first))
        notionals += notional
        margins += maintenance_of(market, position.cost) * notional
    left = start + way * (end - start)
    if margins > 0.0:
        return left / margins, True
    return (left / notionals if notionals > 0.0 else 0.0), False
