"""
Every instant of a batch in one call: match, post, mark, and let decisions rest.

An instant is one base candle of every symbol, in symbol order. Orders of earlier instants are matched against it,
the account is marked at its close, and only then may a decision that was taken at that close rest as an order.
"""

from papertape.engine.account import equity, position_value
from papertape.engine.broker import (
    book_costs,
    close_position,
    market_price,
    match_bracket,
    on_tick,
    open_position,
    track_excursion,
)
from papertape.engine.jit import IntArray, Row, Rows, kernel
from papertape.engine.ledger import money
from papertape.engine.orders import (
    N_DECISIONS,
    N_FILLS,
    N_MARKS,
    N_TRADES,
    held,
    is_change,
    rest,
    write_decision,
)
from papertape.engine.records import (
    FLAT,
    REASON_COMMAND,
    REASON_ENTRY,
    REASON_FLIP,
    REFUSED_NO,
    REFUSED_PRICE,
    REFUSED_SIZE,
)
from papertape.engine.risk import size_of

_ABSENT = 2  # engine.candles.FLAG_ABSENT


@kernel
def enter(
    account: Row,
    positions: Rows,
    trade: Row,
    order: Row,
    markets: Rows,
    settings: Row,
    candle: Row,
    symbol: int,
    fill: Row,
) -> int:
    """Open what an order asks for at the open of `candle`; return 0, or why it was refused."""
    market = markets[symbol]
    side = order.target
    price = market_price(candle.open, side, market)
    stop_price = order.stop_price
    stop_distance = order.stop_distance
    if stop_price > 0.0:
        stop_distance = side * (price - stop_price)
    elif stop_distance > 0.0:
        stop_price = on_tick(price - side * stop_distance, market.tick_size, 0)
    target_price = order.target_price
    if target_price <= 0.0 and order.target_distance > 0.0:
        target_price = on_tick(price + side * order.target_distance, market.tick_size, 0)
    if stop_price != 0.0 and not side * (price - stop_price) > 0.0:
        return REFUSED_PRICE
    if target_price != 0.0 and not side * (target_price - price) > 0.0:
        return REFUSED_PRICE
    quantity = size_of(
        account, positions, markets, symbol, settings, price, stop_distance, order.size_scale
    )
    if quantity <= 0.0:
        return REFUSED_SIZE
    worth = equity(account, positions, markets)
    open_position(
        account,
        positions[symbol],
        trade,
        order,
        market,
        candle,
        price,
        quantity,
        max(stop_price, 0.0),
        max(target_price, 0.0),
        fill,
        REASON_ENTRY,
        worth,
    )
    return REFUSED_NO


@kernel
def match_order(
    account: Row,
    positions: Rows,
    trades: Rows,
    orders: Rows,
    markets: Rows,
    settings: Row,
    candle: Row,
    symbol: int,
    fills: Rows,
    trades_out: Rows,
    decisions_out: Rows,
    counters: IntArray,
) -> None:
    """Fill a resting market order at the open: close what is on the other side, then open."""
    order = orders[symbol]
    position = positions[symbol]
    market = markets[symbol]
    trade = trades[symbol]
    order.is_active = 0
    side = held(position)
    if side != 0 and side != order.target:
        price = market_price(candle.open, -side, market)
        reason = order.reason
        if order.target != FLAT and reason != REASON_COMMAND:
            reason = REASON_FLIP
        fill = fills[counters[N_FILLS]]
        track_excursion(trade, price, price)
        close_position(account, position, trade, market, candle, price, reason, fill)
        book_costs(fill, trade, market, candle.open)
        trades_out[counters[N_TRADES]] = trade
        counters[N_FILLS] += 1
        counters[N_TRADES] += 1
    if order.target != FLAT and position.quantity == 0.0:
        refused = enter(
            account,
            positions,
            trade,
            order,
            markets,
            settings,
            candle,
            symbol,
            fills[counters[N_FILLS]],
        )
        if refused == REFUSED_NO:
            counters[N_FILLS] += 1
            position.last_refused = FLAT
        elif position.last_refused != order.target:
            position.last_refused = order.target
            row = decisions_out[counters[N_DECISIONS]]
            write_decision(account, order, candle.open_ms, symbol, refused, row)
            counters[N_DECISIONS] += 1


@kernel
def execute(
    candles: Rows,
    first: int,
    last: int,
    base_ms: int,
    decisions: Rows,
    decided_at: IntArray,
    n_decided: int,
    account_rows: Rows,
    positions: Rows,
    trades: Rows,
    orders: Rows,
    markets: Rows,
    settings_rows: Rows,
    fills: Rows,
    trades_out: Rows,
    marks: Rows,
    decisions_out: Rows,
    counters: IntArray,
) -> None:
    """
    Run instants `first` … `last - 1` of a batch.

    candles     CANDLE, shape (n_instants × n_symbols,), complete instants in symbol order
    decisions   DECISION, shape (n_symbols, n), what the strategy wants at each close of its timeframe
    decided_at  shape (n,), the instant of the batch at which each became known, ascending
    counters    rows written so far; outputs are large enough for three fills per candle

    Marking stands in here although it could be a kernel of its own: handing the arrays on costs a third of the speed.
    """
    account = account_rows[0]
    settings = settings_rows[0]
    n_symbols = len(positions)
    k = 0
    while k < n_decided and decided_at[k] < first:
        k += 1
    for instant in range(first, last):
        account.instants += 1
        base = instant * n_symbols
        for symbol in range(n_symbols):
            candle = candles[base + symbol]
            if candle.flag_bits & _ABSENT != 0:
                continue
            order = orders[symbol]
            if order.is_active != 0 and account.instants >= order.ready_instant:
                match_order(
                    account,
                    positions,
                    trades,
                    orders,
                    markets,
                    settings,
                    candle,
                    symbol,
                    fills,
                    trades_out,
                    decisions_out,
                    counters,
                )
            position = positions[symbol]
            if position.quantity != 0.0:
                trade = trades[symbol]
                fill = fills[counters[N_FILLS]]
                if match_bracket(account, position, trade, markets[symbol], candle, fill):
                    trades_out[counters[N_TRADES]] = trade
                    counters[N_FILLS] += 1
                    counters[N_TRADES] += 1
        close_ms = candles[base].open_ms + base_ms
        mark = marks[counters[N_MARKS]]
        counters[N_MARKS] += 1
        worth = account.cash
        gross = 0
        n_open = 0
        for symbol in range(n_symbols):
            position = positions[symbol]
            position.last_price = candles[base + symbol].close
            if position.quantity != 0.0:
                value = money(abs(position.quantity) * position.last_price)
                worth += position_value(position, markets[symbol], value)
                gross += value
                n_open += 1
        mark.time_ms = close_ms
        mark.equity = worth
        mark.cash = account.cash
        mark.exposure = gross
        mark.open_positions = n_open
        # Two strategy candles may become known at one instant after a gap: only the newest decides.
        while k < n_decided and decided_at[k] == instant:
            if k + 1 == n_decided or decided_at[k + 1] != instant:
                for symbol in range(n_symbols):
                    if is_change(positions[symbol], orders[symbol], decisions[symbol, k]):
                        rest(
                            account,
                            positions[symbol],
                            orders[symbol],
                            markets[symbol],
                            settings,
                            decisions[symbol, k],
                            symbol,
                            close_ms,
                            decisions_out,
                            counters,
                        )
            k += 1


@kernel
def rest_all(
    account_rows: Rows,
    positions: Rows,
    orders: Rows,
    markets: Rows,
    settings_rows: Rows,
    decisions: Rows,
    k: int,
    close_ms: int,
    decisions_out: Rows,
    counters: IntArray,
) -> None:
    """Let the decisions of column `k` rest, symbol by symbol."""
    for symbol in range(len(positions)):
        if is_change(positions[symbol], orders[symbol], decisions[symbol, k]):
            rest(
                account_rows[0],
                positions[symbol],
                orders[symbol],
                markets[symbol],
                settings_rows[0],
                decisions[symbol, k],
                symbol,
                close_ms,
                decisions_out,
                counters,
            )
