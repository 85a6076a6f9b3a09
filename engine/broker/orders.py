"""
Stages 7 and 8: limit and rest. The only way from what a strategy wants to an order.

A decision becomes a resting order when it asks for something else than is held or ordered already and nothing forbids
it; every order and every refusal is reported.
"""

import numpy as np

from papertape.engine.broker.account import (
    ALLOCATE_BY_SCORE,
    SIZE_BY_RISK,
    SIZE_BY_VOLATILITY,
    OutputRows,
    Portfolio,
    SymbolBook,
)
from papertape.engine.broker.risk.places import count_order, has_spent_orders
from papertape.engine.broker.risk.sizes import is_variance_known
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import Row, Rows, kernel
from papertape.engine.records import (
    FLAT,
    KEEP,
    REASON_DAILY_LOSS,
    REASON_DRAWDOWN,
    REASON_RUIN,
    REASON_SIGNAL,
    REFUSED_ALLOCATION,
    REFUSED_CLOCK,
    REFUSED_DAILY_LOSS,
    REFUSED_DRAWDOWN,
    REFUSED_FAULT,
    REFUSED_GONE,
    REFUSED_MARKET,
    REFUSED_NO,
    REFUSED_ORDERS,
    REFUSED_PAUSED,
    REFUSED_RUIN,
    REFUSED_SHORT,
    REFUSED_STOP,
    REFUSED_VOLATILITY,
)

# Positions in the counter array: rows written so far to each output of a call.
N_FILLS = 0
N_TRADES = 1
N_MARKS = 2
N_DECISIONS = 3
N_ORDERS = 4  # of working orders
N_LIMITS = 5  # of the account that were met
N_COUNTERS = 6


@kernel
def held(position: Row) -> int:
    """Return the side of a position: -1, 0 or +1."""
    if position.quantity > 0.0:
        return 1
    return -1 if position.quantity < 0.0 else 0


@kernel
def open_fill(out: OutputRows) -> Row:
    """Return the row of the next fill, which is written for certain."""
    out.counters[N_FILLS] += 1
    return out.fills[out.counters[N_FILLS] - 1]


@kernel
def keep_trade(trade: Row, out: OutputRows) -> None:
    """Keep a trade that has ended."""
    out.trades[out.counters[N_TRADES]] = trade
    out.counters[N_TRADES] += 1


@kernel
def write_decision(book: SymbolBook, out: OutputRows, refused: int) -> None:
    """Report what was asked for, and whether it was refused."""
    account, order = book.account, book.order
    row = out.decisions[out.counters[N_DECISIONS]]
    out.counters[N_DECISIONS] += 1
    row.sequence = account.sequence
    account.sequence += 1
    row.time_ms = book.time_ms
    row.symbol = book.symbol
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
    row.model_version = order.model_version
    row.refused = refused


@kernel
def is_meant(decision: Row) -> bool:
    """Return whether an order can mean what an entry asks for: levels finite and not negative, a size of 0 … 1."""
    return (  # type: ignore[no-any-return]
        0.0 <= decision.stop_distance < np.inf
        and 0.0 <= decision.target_distance < np.inf
        and 0.0 <= decision.stop_price < np.inf
        and 0.0 <= decision.target_price < np.inf
        and 0.0 <= decision.size_scale <= 1.0
        and abs(decision.confidence) < np.inf
        and abs(decision.score_model + decision.score_smc + decision.score_technical) < np.inf
    )


@kernel
def bar_to_entry(account: Row, position: Row) -> int:
    """Return 0, or why nothing may be opened now: by a decision, by an order that is placed, by one that rests."""
    if account.ruined_ms != 0:
        return REFUSED_RUIN
    if position.is_gone != 0:
        return REFUSED_GONE
    if position.is_halted != 0:
        return REFUSED_MARKET
    if account.is_skewed != 0:
        return REFUSED_CLOCK
    if account.is_paused != 0:
        return REFUSED_PAUSED
    return account.locked_by  # type: ignore[no-any-return]


@kernel
def limit(account: Row, position: Row, market: Row, settings: Row, decision: Row) -> int:
    """Return 0, or why a decision may not become an order."""
    if decision.target == FLAT:
        return REFUSED_NO
    if not is_meant(decision):
        return REFUSED_FAULT
    cause = bar_to_entry(account, position)
    if cause != REFUSED_NO:
        return cause
    if decision.target < 0 and (market.is_perpetual == 0 or settings.allow_short == 0):
        return REFUSED_SHORT
    has_stop = decision.stop_distance > 0.0 or decision.stop_price > 0.0
    if settings.sizing == SIZE_BY_RISK and not has_stop:
        return REFUSED_STOP
    # By score a part follows from what is not refused, not the other way round.
    part = decision.confidence if settings.allocation == ALLOCATE_BY_SCORE else position.share
    if settings.allocation != 0 and not part > 0.0:
        return REFUSED_ALLOCATION
    if settings.sizing == SIZE_BY_VOLATILITY and not is_variance_known(position, settings):
        return REFUSED_VOLATILITY
    return REFUSED_NO


@kernel
def is_opening(position: Row, decision: Row) -> bool:
    """Return whether a decision would open something, on another side than what is held."""
    return decision.target != FLAT and decision.target != held(position)  # type: ignore[no-any-return]


@kernel
def refusal(account: Row, position: Row, market: Row, settings: Row, decision: Row, close_ms: int) -> int:
    """Return 0, or why a decision that asks for a change is refused before it rests."""
    refused = limit(account, position, market, settings, decision)
    if refused != REFUSED_NO or not is_opening(position, decision):
        return refused
    return REFUSED_ORDERS if has_spent_orders(position, settings, close_ms) else REFUSED_NO


@kernel
def is_change(position: Row, order: Row, decision: Row) -> bool:
    """Return whether a decision asks for something else than is held or already ordered."""
    if decision.target == KEEP:
        return False
    wanted = order.target if order.is_active != 0 else held(position)
    return decision.target != wanted  # type: ignore[no-any-return]


@kernel
def rest(book: SymbolBook, out: OutputRows, decision: Row) -> None:
    """
    Turn a decision that asks for a change into a resting order.

    A wish that is refused leaves an opposite position to be closed: not being allowed to go short is no reason to
    stay long. The same refusal is said once, not at every candle; a wish that was too small at its fill is tried
    again in silence.
    """
    account, position, order, settings = book.account, book.position, book.order, book.settings
    refused = refusal(account, position, book.market, settings, decision, book.time_ms)
    is_retry = decision.target == position.last_refused and held(position) == FLAT
    if is_retry and refused != REFUSED_NO:
        return
    if not is_retry:
        position.last_refused = decision.target if refused != REFUSED_NO else FLAT
    fill_order(account, order, settings, decision, book.time_ms)
    if refused == REFUSED_NO and is_opening(position, decision):
        count_order(position, settings, book.time_ms)
    if not is_retry:
        write_decision(book, out, refused)
    if refused != REFUSED_NO:
        order.target = FLAT
    reason = reason_to_close(account)
    if reason != 0:
        close_for(account, order, reason)  # whatever is said meanwhile
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
    order.model_version = account.model_version


@kernel
def reason_to_close(account: Row) -> int:
    """Return why positions of this account are closed, 0 for no reason."""
    if account.ruined_ms != 0:
        return REASON_RUIN
    if account.locked_by == REFUSED_DAILY_LOSS:
        return REASON_DAILY_LOSS
    return REASON_DRAWDOWN if account.locked_by == REFUSED_DRAWDOWN else 0


@kernel
def close_for(account: Row, order: Row, reason: int) -> None:
    """Write the order that closes a position at the next open, latency or not."""
    order.is_active = 1
    order.target = FLAT
    order.reason = reason
    order.ready_instant = account.instants + 1


@kernel
def close_all(portfolio: Portfolio, reason: int) -> None:
    """Take back every order and close every position at the next open."""
    for symbol in range(len(portfolio.positions)):
        order = portfolio.orders[symbol]
        order.is_active = 0
        if portfolio.positions[symbol].quantity != 0.0:
            close_for(portfolio.account, order, reason)


@kernel
def stop_at_ruin(portfolio: Portfolio, close_ms: int) -> None:
    """
    Take back every order and close every position at the next open; nothing is opened any more.

    Equity that is not above 0 is nobody's to trade on: a venue would have liquidated. Without this a position that is
    under water could come back, and with it an account that no longer exists.
    """
    portfolio.account.ruined_ms = close_ms
    close_all(portfolio, REASON_RUIN)


@kernel
def mute_absent(closed: Rows, n: int, decisions: Rows) -> None:
    """Take back decisions of strategy candles that were absent as a whole: nothing was learned from them."""
    for k in range(n):
        if closed[k].flag_bits & FLAG_ABSENT != 0:
            decisions[k].target = KEEP
