"""
Stages 2, 3, 7, 8 and 9 of a step: match, post, limit, rest, report, for every instant of a batch in one call.

An instant is one base candle of every symbol, in symbol order. Orders of earlier instants are matched against it,
the account is marked at its close, and only then may a decision that was taken at that close rest as an order.
"""

from engine.account import SIZE_BY_RISK, equity, position_value
from engine.broker import (
    book_costs,
    close_position,
    market_price,
    match_bracket,
    on_tick,
    open_position,
    track_excursion,
)
from engine.jit import IntArray, Row, Rows, kernel
from engine.ledger import money
from engine.records import (
    FLAT,
    KEEP,
    REASON_COMMAND,
    REASON_ENTRY,
    REASON_FLIP,
    REASON_SIGNAL,
    REFUSED_NO,
    REFUSED_PAUSED,
    REFUSED_PRICE,
    REFUSED_SHORT,
    REFUSED_SIZE,
    REFUSED_STOP,
)
from engine.risk import size_of

# Positions in the counter array: rows written so far to each output of a call.
N_FILLS = 0
N_TRADES = 1
N_MARKS = 2
N_DECISIONS = 3
N_COUNTERS = 4

_ABSENT = 2  # engine.candles.FLAG_ABSENT


@kernel
def held(position: Row) -> int:
    """Return the side of a position: -1, 0 or +1."""
    if position.quantity > 0.0:
        return 1
    return -1 if position.quantity < 0.0 else 0


@kernel
def write_decision(
    account: Row, order: Row, time_ms: int, symbol: int, refused: int, row: Row
) -> None:
    """Report what was asked for, and whether it was refused."""
    row.sequence = account.sequence
    account.sequence += 1
    row.time_ms = time_ms
    row.symbol = symbol
    row.target = order.target
    row.stop_distance = order.stop_distance
    row.target_distance = order.target_distance
    row.stop_price = order.stop_price
    row.target_price = order.target_price
    row.confidence = order.confidence
    row.size_scale = order.size_scale
    row.score_model = order.score_model
    row.score_smc = order.score_smc
    row.score_technical = order.score_technical
    row.refused = refused


@kernel
def limit(account: Row, market: Row, settings: Row, decision: Row) -> int:
    """Return 0, or why a decision may not become an order."""
    if decision.target == FLAT:
        return REFUSED_NO
    if account.is_paused != 0:
        return REFUSED_PAUSED
    if decision.target < 0 and (market.is_perpetual == 0 or settings.allow_short == 0):
        return REFUSED_SHORT
    has_stop = decision.stop_distance > 0.0 or decision.stop_price > 0.0
    if settings.sizing == SIZE_BY_RISK and not has_stop:
        return REFUSED_STOP
    return REFUSED_NO


@kernel
def is_change(position: Row, order: Row, decision: Row) -> bool:
    """Return whether a decision asks for something else than is held or already ordered."""
    if decision.target == KEEP:
        return False
    wanted = order.target if order.is_active != 0 else held(position)
    return decision.target != wanted  # type: ignore[no-any-return]


@kernel
def rest(
    account: Row,
    position: Row,
    order: Row,
    market: Row,
    settings: Row,
    decision: Row,
    symbol: int,
    close_ms: int,
    decisions_out: Rows,
    counters: IntArray,
) -> None:
    """
    Turn a decision that asks for a change into a resting order.

    A wish that is refused leaves an opposite position to be closed: not being allowed to go short is no reason to
    stay long. The same refusal is said once, not at every candle; a wish that was too small at its fill is tried
    again in silence.
    """
    refused = limit(account, market, settings, decision)
    is_retry = decision.target == position.last_refused and held(position) == FLAT
    if is_retry and refused != REFUSED_NO:
        return
    if not is_retry:
        position.last_refused = decision.target if refused != REFUSED_NO else FLAT
    fill_order(account, order, settings, decision, close_ms)
    if not is_retry:
        row = decisions_out[counters[N_DECISIONS]]
        write_decision(account, order, close_ms, symbol, refused, row)
        counters[N_DECISIONS] += 1
    if refused != REFUSED_NO:
        order.target = FLAT
    if order.target == held(position):
        order.is_active = 0


@kernel
def fill_order(account: Row, order: Row, settings: Row, decision: Row, close_ms: int) -> None:
    """Write the order that a decision asks for."""
    order.is_active = 1
    order.target = decision.target
    order.reason = REASON_SIGNAL
    order.ready_instant = account.instants + 1 + settings.latency_bars
    order.decided_ms = close_ms
    order.stop_distance = decision.stop_distance
    order.target_distance = decision.target_distance
    order.stop_price = decision.stop_price
    order.target_price = decision.target_price
    order.confidence = decision.confidence
    order.size_scale = decision.size_scale
    order.score_model = decision.score_model
    order.score_smc = decision.score_smc
    order.score_technical = decision.score_technical


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


@kernel
def mute_absent(closed: Rows, n: int, decisions: Rows) -> None:
    """Take back decisions of strategy candles that were absent as a whole: nothing was learned from them."""
    for k in range(n):
        if closed[k].flag_bits & _ABSENT != 0:
            decisions[k].target = KEEP
