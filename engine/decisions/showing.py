"""What a strategy in kernels sees at a close, and how it is told of its fills and trades."""

from papertape.engine.broker.orders import N_FILLS, N_TRADES
from papertape.engine.broker.working.orders import CAPACITY, FREE, TRAIL
from papertape.engine.jit import IntArray, Row, Rows, kernel
from papertape.engine.jit.native import call_at
from papertape.engine.strategies.compiled.records import SAME_REASON


@kernel
def show(view: Row, bar: Row, look: Row, orders: Rows, close_ms: int, n_past: int) -> None:
    """Write what a strategy sees of one symbol at a close, features aside."""
    view.time_ms = close_ms
    view.open = bar.open
    view.high = bar.high
    view.low = bar.low
    view.close = bar.close
    view.volume = bar.volume
    view.position = look.quantity
    view.entry_price = look.entry_price
    view.cash = look.cash
    view.equity = look.equity
    view.stop = look.held_stop_price
    view.target = look.held_target_price
    view.known_stop = look.held_stop_price
    view.known_target = look.held_target_price
    view.entry_ms = int(look.entry_ms)
    view.n_past = n_past
    view.n_orders = 0
    view.refused = 0
    view.unmet = 0
    if look.working == 0:
        return
    for slot in range(CAPACITY):
        order = orders[slot]
        if order.status == FREE:
            continue
        row = view.order_rows[view.n_orders]
        view.n_orders += 1
        row.number = order.number
        row.tag = order.tag
        row.kind = order.kind
        row.side = order.target
        row.quantity = order.remaining
        row.limit = order.limit_price
        row.trigger = order.extreme if order.kind == TRAIL else order.trigger_price
        row.reduce_only = order.is_reduce_only


@kernel
def keep_unmet(view: Row, unmet: Row) -> None:
    """Keep the first condition that a strategy found unmet at a close, if it said one."""
    if view.unmet != 0:
        unmet.condition = view.unmet
        unmet.time_ms = view.time_ms
        unmet.value = view.unmet_value
        unmet.threshold = view.unmet_threshold


@kernel
def tell(
    progress: Row,
    own: Row,
    view: Row,
    symbol: int,
    told: IntArray,
    fills: Rows,
    trades: Rows,
    unseen_fills: Rows,
    unseen_trades: Rows,
    counters: IntArray,
    seen: Rows,
    seen_trades: Rows,
) -> None:
    """Tell what happened to one symbol since it was asked last: fills first, each kind in its order."""
    if progress.on_fill_at == 0 and progress.on_close_at == 0:
        return
    first_fill = told[symbol, 0]
    first_trade = told[symbol, 1]
    told[symbol, 0] = counters[N_FILLS]
    told[symbol, 1] = counters[N_TRADES]
    if progress.on_fill_at != 0:
        for index in range(len(unseen_fills) if first_fill < 0 else 0):
            tell_fill(progress, own, view, symbol, unseen_fills[index], seen[0])
        for index in range(max(first_fill, 0), counters[N_FILLS]):
            tell_fill(progress, own, view, symbol, fills[index], seen[0])
    if progress.on_close_at != 0:
        for index in range(len(unseen_trades) if first_trade < 0 else 0):
            tell_trade(progress, own, view, symbol, unseen_trades[index], seen_trades[0])
        for index in range(max(first_trade, 0), counters[N_TRADES]):
            tell_trade(progress, own, view, symbol, trades[index], seen_trades[0])


@kernel
def tell_fill(progress: Row, own: Row, view: Row, symbol: int, fill: Row, seen: Row) -> None:
    """Call `on_fill` about one fill, if it is of this symbol."""
    if fill.symbol != symbol:
        return
    seen.time_ms = fill.candle_ms
    seen.side = fill.side
    seen.price = fill.price
    seen.quantity = fill.quantity
    seen.reason = SAME_REASON[fill.reason]
    seen.fee = fill.fee / progress.units_per_quote
    seen.realised = fill.realised / progress.units_per_quote
    seen.position = fill.position
    call_at(progress.on_fill_at, own, view, seen)


@kernel
def tell_trade(progress: Row, own: Row, view: Row, symbol: int, trade: Row, seen: Row) -> None:
    """Call `on_close` about one trade, if it is of this symbol."""
    if trade.symbol != symbol:
        return
    seen.side = trade.side
    seen.entry_ms = trade.entry_ms
    seen.exit_ms = trade.exit_ms
    seen.entry_price = trade.entry_price
    seen.exit_price = trade.exit_price
    seen.quantity = trade.quantity
    seen.pnl = trade.pnl / progress.units_per_quote
    seen.reason = SAME_REASON[trade.exit_reason]
    call_at(progress.on_close_at, own, view, seen)
