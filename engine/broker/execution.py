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
    BaseCandles,
    OutputRows,
    Portfolio,
    SymbolBook,
    book_of,
    notional_of,
    position_value,
)
from papertape.engine.broker.bracket import LIQUIDATED, bracket_hit, fill_bracket, opened_beyond
from papertape.engine.broker.entries import enter_all
from papertape.engine.broker.fills import book_costs, close_position, is_traded, market_price, track_excursion
from papertape.engine.broker.ledger import added
from papertape.engine.broker.orders import (
    N_FILLS,
    N_MARKS,
    N_TRADES,
    held,
    is_change,
    keep_trade,
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
    """Run instants `first` … `last - 1` of a batch, as Python asks for it: `run_instants` with every array by itself."""
    portfolio = Portfolio(
        account_rows[0], positions, trades, orders, working, entries, markets, settings_rows[0], scratch
    )
    out = OutputRows(fills, trades_out, marks, decisions_out, order_events, limit_events, counters)
    base = BaseCandles(candles, base_ms, mark_ranges)
    run_instants(portfolio, out, base, first, last, decisions, decided_at[:n_decided])


@kernel
def run_instants(
    portfolio: Portfolio,
    out: OutputRows,
    base: BaseCandles,
    first: int,
    last: int,
    decisions: Rows,
    decided_at: IntArray,
) -> None:
    """
    Run instants `first` … `last - 1` of a batch.

    decisions   DECISION, shape (n_symbols, n), what the strategy wants at each close of its timeframe
    decided_at  shape (<= n,), the instant of the batch at which each became known, ascending

    Its parts are inlined: to hand the arrays on to kernels of their own costs as much again as all of the rest.
    """
    account, positions, orders = portfolio.account, portfolio.positions, portfolio.orders
    n_symbols, n_decided = len(positions), len(decided_at)
    k = 0
    is_simple = can_be_quiet(positions, portfolio.settings, base.mark_ranges)
    following = first
    while following < last:
        instant = following
        while k < n_decided and decided_at[k] < instant:
            k += 1
        if is_simple and is_quiet(account, positions[0], orders[0]):
            known, times = decisions[0, k:n_decided], decided_at[k:]
            book = book_of(portfolio, 0, 0)
            following = pass_quiet(book, out, base, instant, last, known, times)
            if following > instant:
                continue
        following = instant + 1
        if len(base.mark_ranges) > 0:
            show_marks(positions, base.mark_ranges[instant])
        candles = base.candles[instant * n_symbols : following * n_symbols]
        close_ms = candles[0].open_ms + base.base_ms
        run_instant(portfolio, out, candles, close_ms)
        # Two strategy candles may become known at one instant after a gap: only the newest decides.
        while k < n_decided and decided_at[k] == instant:
            if k + 1 == n_decided or decided_at[k + 1] != instant:
                rest_all(portfolio, out, decisions, k, close_ms)
            k += 1


@inlined_kernel
def run_instant(portfolio: Portfolio, out: OutputRows, candles: Rows, close_ms: int) -> None:
    """Run one instant up to what its close says; `candles` are those of its symbols."""
    account, settings, counters = portfolio.account, portfolio.settings, out.counters
    account.instants += 1
    first_trade, first_fill = counters[N_TRADES], counters[N_FILLS]
    if settings.has_tiers != 0:
        begin_day(account, portfolio.markets, candles[0].open_ms)
    match_all(portfolio, out, candles)
    if settings.has_tiers != 0:
        count_volume(account, out.fills, first_fill, counters[N_FILLS])
    mark = out.marks[counters[N_MARKS]]
    counters[N_MARKS] += 1
    mark_all(portfolio, candles, close_ms, mark)
    if settings.sizing == SIZE_BY_KELLY and counters[N_TRADES] > first_trade:
        decay = settings.kelly_decay
        track_returns(account, out.trades, first_trade, counters[N_TRADES], decay)
    if settings.allocation == ALLOCATE_BY_RISK:
        track_risk(portfolio, candles, close_ms)
    if settings.allocation != 0:
        allot(portfolio, candles, mark.equity)
    watch_account(portfolio, out, mark, candles[0].open_ms, first_trade)


@inlined_kernel
def match_all(portfolio: Portfolio, out: OutputRows, candles: Rows) -> None:
    """Match what rests against the candles of an instant, in the order that stands on top of this file."""
    account, is_cross = portfolio.account, portfolio.settings.margin == MARGIN_CROSS
    n_met = 0
    if account.working + account.moves > 0:
        n_met = wake_all(portfolio, out, candles)
    if is_cross:
        liquidate_together(portfolio, out, candles, True)
    n_due = close_all_at_open(portfolio, out, candles)
    if n_met > 0:
        match_opens(portfolio, out, candles, False)
    if n_due > 0:
        enter_all(portfolio, out, candles)
    if n_met > 0:
        match_opens(portfolio, out, candles, True)
    if is_cross:
        liquidate_together(portfolio, out, candles, False)
    if n_met > 0:
        share_out(portfolio, candles, False)
    match_inside(portfolio, out, candles)


@inlined_kernel
def show_marks(positions: Rows, mark_range: FloatArray) -> None:
    """Let every position see the mark price of its candle: open, high and low."""
    for symbol in range(len(positions)):
        positions[symbol].mark_open = mark_range[symbol, 0]
        positions[symbol].mark_high = mark_range[symbol, 1]
        positions[symbol].mark_low = mark_range[symbol, 2]


@inlined_kernel
def keep_close(book: SymbolBook, out: OutputRows, reason: int) -> None:
    """Keep the fill that closed a position, and its trade; the orders of it end."""
    out.counters[N_FILLS] += 1
    keep_trade(book.trade, out)
    if book.position.working > 0:
        end_with_position(book, out, reason)


@inlined_kernel
def close_all_at_open(portfolio: Portfolio, out: OutputRows, candles: Rows) -> int:
    """Close what closes at the open, and return how many orders are due."""
    n_due = 0
    for symbol in range(len(candles)):
        candle = candles[symbol]
        position = portfolio.positions[symbol]
        if candle.flag_bits & FLAG_ABSENT != 0 or position.is_halted != 0:
            continue
        order = portfolio.orders[symbol]
        is_due = order.is_active != 0 and portfolio.account.instants >= order.ready_instant
        if is_due:
            n_due += 1
        if position.quantity != 0.0 and (is_due or opened_beyond(position, candle) != 0):
            book = book_of(portfolio, symbol, candle.open_ms)
            fill = out.fills[out.counters[N_FILLS]]
            if close_at_open(book, candle, is_due, fill):
                keep_close(book, out, fill.reason)
    return n_due


@kernel
def close_at_open(book: SymbolBook, candle: Row, is_due: bool, fill: Row) -> bool:
    """Close a held position if its order or the open itself says so; return whether it closed."""
    position, trade, order, market = book.position, book.trade, book.order, book.market
    side = held(position)
    hit = opened_beyond(position, candle)
    if is_due and order.target != side and hit != LIQUIDATED:
        price = market_price(candle.open, -side, market)
        reason = order.reason
        if order.target != FLAT and reason == REASON_SIGNAL:
            reason = REASON_FLIP
        track_excursion(trade, min(price, candle.open), max(price, candle.open))
        close_position(book, price, reason, fill)
        book_costs(fill, trade, market, candle.open)
        return True
    if hit == 0:
        return False
    fill_bracket(book, candle, hit, fill)
    return True


@inlined_kernel
def match_inside(portfolio: Portfolio, out: OutputRows, candles: Rows) -> None:
    """Match every bracket and every working order inside the candle."""
    for symbol in range(len(candles)):
        position, trade = portfolio.positions[symbol], portfolio.trades[symbol]
        candle = candles[symbol]
        if position.is_met != 0:
            match_way(book_of(portfolio, symbol, candle.open_ms), out, candle)
        elif position.quantity != 0.0 and is_traded(position, candle):
            hit = bracket_hit(position, candle)
            if hit == 0:
                track_excursion(trade, candle.low, candle.high)
                trade.bars += 1
                continue
            book = book_of(portfolio, symbol, candle.open_ms)
            fill = out.fills[out.counters[N_FILLS]]
            fill_bracket(book, candle, hit, fill)
            keep_close(book, out, fill.reason)


@inlined_kernel
def mark_all(portfolio: Portfolio, candles: Rows, close_ms: int, mark: Row) -> None:
    """Mark the account at the close of an instant."""
    account, settings = portfolio.account, portfolio.settings
    worth = account.cash
    gross = 0
    n_open = 0
    for symbol in range(len(candles)):
        position, market = portfolio.positions[symbol], portfolio.markets[symbol]
        position.last_price = candles[symbol].close
        if settings.has_variance != 0:
            track_variance(position, position.last_price, settings.variance_decay)
        if position.quantity != 0.0:
            value = notional_of(position, market)
            worth = added(worth, position_value(position, market, value))
            gross = added(gross, value)
            n_open += 1
    mark.time_ms = close_ms
    mark.equity = worth
    mark.cash = account.cash
    mark.exposure = gross
    mark.open_positions = n_open


@inlined_kernel
def watch_account(portfolio: Portfolio, out: OutputRows, mark: Row, open_ms: int, first_trade: int) -> None:
    """Stop at ruin or at a limit; where neither is met, bring positions to their shares of the account when it is time."""
    settings, close_ms, ruined_ms = portfolio.settings, mark.time_ms, portfolio.account.ruined_ms
    if mark.equity <= 0 and ruined_ms == 0:
        stop_at_ruin(portfolio, close_ms)
        end_all_orders(portfolio, out, close_ms, BY_RUIN)
    elif (
        settings.has_limits != 0
        and ruined_ms == 0
        and watch_limits(portfolio, out, mark, open_ms, first_trade)
    ):
        end_all_orders(portfolio, out, close_ms, BY_LIMIT)
    elif settings.rebalance_ms > 0 and close_ms % settings.rebalance_ms == 0:
        rebalance_all(portfolio, out, close_ms)


@inlined_kernel
def rest_all(portfolio: Portfolio, out: OutputRows, decisions: Rows, k: int, close_ms: int) -> None:
    """Let the decisions of column `k` rest, symbol by symbol."""
    if portfolio.settings.allocation == ALLOCATE_BY_SCORE:
        allot_by_score(portfolio, decisions, k, close_ms)
    for symbol in range(len(portfolio.positions)):
        decision = decisions[symbol, k]
        if is_change(portfolio.positions[symbol], portfolio.orders[symbol], decision):
            rest(book_of(portfolio, symbol, close_ms), out, decision)
