"""
Every instant of a batch in one call: match, post, mark, and let decisions rest.

An instant is one base candle of every symbol. For all symbols together, in this order (on cross margin what the account no
longer carries goes before 1 and before 3):

1. every close at the open: orders of earlier instants, and brackets that the open has passed; then working orders that
   close something;
2. every entry at the open, sized on one book and shared out pro rata (`papertape.engine.broker.entries`); then working
   orders that open something, shared out among themselves;
3. every bracket and working order inside the candle (`papertape.engine.broker.working.matching`);
4. the mark at the close, what the account's limits say of it, and what brings positions to their shares of the account;
   until then a new position is marked at its fill.

Only then may a decision that was taken at that close rest as an order. Nothing that happens inside a candle pays for,
sizes or refuses what fills at its open, and nothing depends on the names of symbols: renamed, they give the same fills,
in each of the four steps in the order of their new names. An absent candle takes no part in the first three,
nor does one of a market that does not trade: its orders and brackets rest.
"""

from papertape.engine.broker.account import (
    ALLOCATE_BY_RISK,
    ALLOCATE_BY_SCORE,
    MARGIN_CROSS,
    SIZE_BY_KELLY,
    notional_of,
    position_value,
)
from papertape.engine.broker.bracket import LIQUIDATED, fill_bracket, match_bracket, opened_beyond
from papertape.engine.broker.entries import enter_all
from papertape.engine.broker.fills import book_costs, close_position, market_price, track_excursion
from papertape.engine.broker.ledger import added
from papertape.engine.broker.orders import (
    N_FILLS,
    N_MARKS,
    N_TRADES,
    held,
    is_change,
    rest,
    stop_at_ruin,
)
from papertape.engine.broker.risk.allocation import allot, allot_by_score
from papertape.engine.broker.risk.fees import begin_day, count_volume
from papertape.engine.broker.risk.limits import watch_limits
from papertape.engine.broker.risk.parity import track_risk
from papertape.engine.broker.risk.sizes import track_returns, track_variance
from papertape.engine.broker.working.cross import liquidate_together
from papertape.engine.broker.working.endings import end_all_orders, end_with_position
from papertape.engine.broker.working.funds import share_out
from papertape.engine.broker.working.instructions import rebalance_all
from papertape.engine.broker.working.matching import match_opens, wake_all
from papertape.engine.broker.working.orders import BY_LIMIT, BY_RUIN
from papertape.engine.broker.working.quiet import can_be_quiet, is_quiet, pass_quiet
from papertape.engine.broker.working.way import match_way
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, inlined_kernel, kernel
from papertape.engine.records import FLAT, REASON_FLIP, REASON_SIGNAL


@kernel
def execute(
    candles: Rows, first: int, last: int, base_ms: int, decisions: Rows, decided_at: IntArray, n_decided: int,
    account_rows: Rows, positions: Rows, trades: Rows, orders: Rows, entries: Rows, markets: Rows, settings_rows: Rows,
    fills: Rows, trades_out: Rows, marks: Rows, decisions_out: Rows, working: Rows, scratch: Rows, order_events: Rows,
    limit_events: Rows, mark_ranges: FloatArray, counters: IntArray,
) -> None:  # fmt: skip
    """
    Run instants `first` … `last - 1` of a batch.

    candles     CANDLE, shape (n_instants × n_symbols,), complete instants in symbol order
    decisions   DECISION, shape (n_symbols, n), what the strategy wants at each close of its timeframe
    decided_at  shape (n,), the instant of the batch at which each became known, ascending
    entries     ENTRY, shape (n_symbols,), scratch
    working     WORKING_ORDER, shape (n_symbols, CAPACITY)
    scratch     INSTRUCTION, shape (n_symbols + 1,), for what brings positions to their shares; the last row is blank
    mark_ranges shape (>= last, n_symbols, 3), open, high and low of the mark price in each candle, NaN where it is not known;
                or (0, …): nobody asks for it
    counters    rows written so far; outputs are large enough for three fills per candle

    Its parts are inlined: to hand the arrays on to kernels of their own costs as much again as all of the rest.
    """
    account = account_rows[0]
    settings = settings_rows[0]
    n_symbols = len(positions)
    k = 0
    is_simple = can_be_quiet(positions, settings, mark_ranges)
    following = first
    while following < last:
        instant = following
        while k < n_decided and decided_at[k] < instant:
            k += 1
        if is_simple and is_quiet(account, positions[0], orders[0]):
            following = pass_quiet(
                candles, instant, last, base_ms, decisions[0, k:n_decided],
                decided_at[k:n_decided], account, positions[0], trades[0], orders[0], markets[0],
                marks, counters,
            )  # fmt: skip
            if following > instant:
                continue
        following = instant + 1
        account.instants += 1
        base = instant * n_symbols
        n_met = 0
        if len(mark_ranges) > 0:
            show_marks(positions, mark_ranges[instant])
        first_trade, first_fill = counters[N_TRADES], counters[N_FILLS]
        if settings.has_tiers != 0:
            begin_day(account, markets, candles[base].open_ms)
        if account.working + account.moves > 0:
            n_met = wake_all(
                account, positions, working, markets, settings, candles, base,
                order_events, counters,
            )  # fmt: skip
        if settings.margin == MARGIN_CROSS:
            liquidate_together(
                account, positions, trades, working, markets, candles, base, True,
                fills, trades_out, order_events, counters,
            )  # fmt: skip
        n_due = close_all_at_open(
            account, positions, trades, orders, working, markets, candles, base,
            fills, trades_out, order_events, counters,
        )  # fmt: skip
        if n_met > 0:
            match_opens(
                account, positions, trades, working, entries, markets, settings, candles, base,
                False, fills, trades_out, order_events, counters,
            )  # fmt: skip
        if n_due > 0:
            enter_all(
                account, positions, trades, orders, markets, settings, candles, base, entries,
                fills, decisions_out, counters,
            )  # fmt: skip
        if n_met > 0:
            match_opens(
                account, positions, trades, working, entries, markets, settings, candles, base,
                True, fills, trades_out, order_events, counters,
            )  # fmt: skip
        if settings.margin == MARGIN_CROSS:
            liquidate_together(
                account, positions, trades, working, markets, candles, base, False,
                fills, trades_out, order_events, counters,
            )  # fmt: skip
        if n_met > 0:
            share_out(account, positions, working, entries, markets, settings, candles, base, False)
        match_inside(
            account, positions, trades, working, entries, markets, settings, candles, base,
            fills, trades_out, order_events, counters,
        )  # fmt: skip
        if settings.has_tiers != 0:
            count_volume(account, fills, first_fill, counters[N_FILLS])
        close_ms = candles[base].open_ms + base_ms
        mark = marks[counters[N_MARKS]]
        counters[N_MARKS] += 1
        mark_all(account, positions, markets, settings, candles, base, close_ms, mark)
        if settings.sizing == SIZE_BY_KELLY and counters[N_TRADES] > first_trade:
            track_returns(
                account, trades_out, first_trade, counters[N_TRADES], settings.kelly_decay
            )
        if settings.allocation == ALLOCATE_BY_RISK:
            track_risk(account, positions, markets, candles, base, close_ms)
        if settings.allocation != 0:
            allot(positions, orders, markets, settings, candles, base, mark.equity)
        watch_account(
            account, positions, orders, working, markets, settings, mark, candles[base].open_ms,
            trades_out, first_trade, scratch, order_events, limit_events, counters,
        )  # fmt: skip
        # Two strategy candles may become known at one instant after a gap: only the newest decides.
        while k < n_decided and decided_at[k] == instant:
            if k + 1 == n_decided or decided_at[k + 1] != instant:
                rest_all(
                    account_rows, positions, orders, markets, settings_rows, decisions, k, close_ms,
                    decisions_out, counters,
                )  # fmt: skip
            k += 1


@inlined_kernel
def show_marks(positions: Rows, mark_range: FloatArray) -> None:
    """Let every position see the mark price of its candle: open, high and low."""
    for symbol in range(len(positions)):
        positions[symbol].mark_open = mark_range[symbol, 0]
        positions[symbol].mark_high = mark_range[symbol, 1]
        positions[symbol].mark_low = mark_range[symbol, 2]


@inlined_kernel
def keep_close(
    account: Row, position: Row, trade: Row, working: Rows, symbol: int, open_ms: int, reason: int, trades_out: Rows,
    order_events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Keep the fill that closed a position, and its trade; the orders of it end."""
    trades_out[counters[N_TRADES]] = trade
    counters[N_FILLS] += 1
    counters[N_TRADES] += 1
    if position.working > 0:
        end_with_position(
            account, position, working, symbol, open_ms, reason, order_events, counters
        )


@inlined_kernel
def close_all_at_open(
    account: Row, positions: Rows, trades: Rows, orders: Rows, working: Rows, markets: Rows, candles: Rows, base: int,
    fills: Rows, trades_out: Rows, order_events: Rows, counters: IntArray,
) -> int:  # fmt: skip
    """Close what closes at the open, and return how many orders are due."""
    n_due = 0
    for symbol in range(len(positions)):
        candle = candles[base + symbol]
        position = positions[symbol]
        if candle.flag_bits & FLAG_ABSENT != 0 or position.is_halted != 0:
            continue
        order = orders[symbol]
        is_due = order.is_active != 0 and account.instants >= order.ready_instant
        if is_due:
            n_due += 1
        if position.quantity != 0.0:
            trade = trades[symbol]
            fill = fills[counters[N_FILLS]]
            if close_at_open(
                account, position, trade, order, markets[symbol], candle, is_due, fill
            ):
                keep_close(
                    account, position, trade, working[symbol], symbol, candle.open_ms, fill.reason,
                    trades_out, order_events, counters,
                )  # fmt: skip
    return n_due


@kernel
def close_at_open(
    account: Row, position: Row, trade: Row, order: Row, market: Row, candle: Row, is_due: bool, fill: Row
) -> bool:  # fmt: skip
    """Close a held position if its order or the open itself says so; return whether it closed."""
    side = held(position)
    hit = opened_beyond(position, candle)
    if is_due and order.target != side and hit != LIQUIDATED:
        price = market_price(candle.open, -side, market)
        reason = order.reason
        if order.target != FLAT and reason == REASON_SIGNAL:
            reason = REASON_FLIP
        track_excursion(trade, min(price, candle.open), max(price, candle.open))
        close_position(account, position, trade, market, candle, price, reason, fill)
        book_costs(fill, trade, market, candle.open)
        return True
    if hit == 0:
        return False
    fill_bracket(account, position, trade, market, candle, hit, fill)
    return True


@inlined_kernel
def match_inside(
    account: Row, positions: Rows, trades: Rows, working: Rows, entries: Rows, markets: Rows, settings: Row,
    candles: Rows, base: int, fills: Rows, trades_out: Rows, order_events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Match every bracket and every working order inside the candle."""
    for symbol in range(len(positions)):
        position = positions[symbol]
        candle = candles[base + symbol]
        if position.is_met != 0:
            match_way(
                account, position, trades[symbol], working[symbol], entries[symbol],
                markets[symbol], settings, candle, fills, trades_out, order_events, counters,
            )  # fmt: skip
        elif (
            position.quantity != 0.0
            and candle.flag_bits & FLAG_ABSENT == 0
            and position.is_halted == 0
        ):
            trade = trades[symbol]
            fill = fills[counters[N_FILLS]]
            if match_bracket(account, position, trade, markets[symbol], candle, fill):
                keep_close(
                    account, position, trade, working[symbol], symbol, candle.open_ms, fill.reason,
                    trades_out, order_events, counters,
                )  # fmt: skip


@inlined_kernel
def mark_all(
    account: Row, positions: Rows, markets: Rows, settings: Row, candles: Rows, base: int, close_ms: int, mark: Row,
) -> None:  # fmt: skip
    """Mark the account at the close of an instant."""
    worth = account.cash
    gross = 0
    n_open = 0
    for symbol in range(len(positions)):
        position = positions[symbol]
        position.last_price = candles[base + symbol].close
        if settings.has_variance != 0:
            track_variance(position, position.last_price, settings.variance_decay)
        if position.quantity != 0.0:
            value = notional_of(position, markets[symbol])
            worth = added(worth, position_value(position, markets[symbol], value))
            gross = added(gross, value)
            n_open += 1
    mark.time_ms = close_ms
    mark.equity = worth
    mark.cash = account.cash
    mark.exposure = gross
    mark.open_positions = n_open


@inlined_kernel
def watch_account(
    account: Row, positions: Rows, orders: Rows, working: Rows, markets: Rows, settings: Row, mark: Row, open_ms: int,
    trades_out: Rows, first_trade: int, scratch: Rows, order_events: Rows, limit_events: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Stop at ruin or at a limit; where neither is met, bring positions to their shares of the account when it is time."""
    close_ms = mark.time_ms
    if mark.equity <= 0 and account.ruined_ms == 0:
        stop_at_ruin(account, positions, orders, close_ms)
        end_all_orders(account, positions, working, close_ms, BY_RUIN, order_events, counters)
    elif settings.has_limits != 0 and account.ruined_ms == 0 and watch_limits(
        account, positions, orders, settings, trades_out, first_trade, open_ms, close_ms, mark.equity,
        limit_events, counters,
    ):  # fmt: skip
        end_all_orders(account, positions, working, close_ms, BY_LIMIT, order_events, counters)
    elif settings.rebalance_ms > 0 and close_ms % settings.rebalance_ms == 0:
        rebalance_all(
            account, positions, orders, working, markets, settings, scratch, close_ms, order_events, counters
        )  # fmt: skip


@inlined_kernel
def rest_all(
    account_rows: Rows, positions: Rows, orders: Rows, markets: Rows, settings_rows: Rows, decisions: Rows, k: int,
    close_ms: int, decisions_out: Rows, counters: IntArray,
) -> None:  # fmt: skip
    """Let the decisions of column `k` rest, symbol by symbol."""
    if settings_rows[0].allocation == ALLOCATE_BY_SCORE:
        allot_by_score(
            account_rows[0], positions, orders, markets, settings_rows[0], decisions, k, close_ms
        )
    for symbol in range(len(positions)):
        if is_change(positions[symbol], orders[symbol], decisions[symbol, k]):
            rest(
                account_rows[0], positions[symbol], orders[symbol], markets[symbol], settings_rows[0],
                decisions[symbol, k], symbol, close_ms, decisions_out, counters,
            )  # fmt: skip
