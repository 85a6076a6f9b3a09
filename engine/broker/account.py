"""
What the account holds: one ledger, one position, one resting order and one open trade per symbol.

A position of zero has no bracket; an order with `is_active` 0 is not there. Prices are quote per base.
"""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.broker.ledger import LEDGER_FIELDS, added, money
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, expanded_kernel, kernel, record

PAUSED_BY_COMMAND: Final = 1  # an operator, or what acts in his place
PAUSED_BY_FAULT: Final = 2  # the strategy was at fault

TIER_DAYS: Final = 30  # whose volume decides what a fill pays
RISK_DAYS: Final = 60  # whose returns decide parts by risk parity

# The ledger's fields come first, then counters and switches: one record, one argument for every kernel.
ACCOUNT: Final = record(
    *((name, "i8") for name in LEDGER_FIELDS),
    ("sequence", "i8"),  # number of decisions, refusals and fills so far
    ("trades", "i8"),  # trades opened so far
    ("instants", "i8"),  # instants processed so far
    ("is_paused", "i8"),  # new entries are stopped: PAUSED_BY_COMMAND, PAUSED_BY_FAULT, or both
    ("ruined_ms", "i8"),  # close at which equity was not above 0, after which nothing is opened; 0 = never
    ("is_skewed", "i8"),  # clocks are too far apart for new entries
    ("model_version", "i8"),  # of the model in force; 0 = none
    ("size_factor", "f8"),  # share of their size that new entries get, 0 … 1
    ("orders", "i8"),  # working orders placed so far
    ("working", "i8"),  # working orders now
    ("moves", "i8"),  # positions whose stop or target is about to move
    # What the limits look at (`papertape.engine.broker.risk.limits`); money units.
    ("marked_equity", "i8"),  # at the newest close
    ("day", "i8"),  # of the newest close, in days since 1970-01-01 UTC
    ("day_equity", "i8"),  # at the last close before that day
    ("peak_equity", "i8"),  # highest at a close since the start, or since a drawdown's lock ended
    ("losses", "i8"),  # in a row
    ("locked_by", "i8"),  # REFUSED_DAILY_LOSS, …_DRAWDOWN or …_LOSSES; 0 = nothing
    ("locked_until_ms", "i8"),
    ("cooled_ms", "i8"),  # end of the lock by losses in a row, which another may cover meanwhile
    # What sizing by Kelly's fraction looks at (`papertape.engine.broker.risk.sizes`).
    ("kelly_closed", "i8"),  # trades so far
    ("kelly_sum", "f8"),  # of pnl ÷ notional, the newest weighing most
    ("kelly_squares", "f8"),  # of its squares, likewise
    # What fee tiers look at (`papertape.engine.broker.risk.fees`); in units of 1e-6 quote.
    ("volume_day", "i8"),  # of the newest candle, in days since 1970-01-01 UTC
    ("volume", "i8"),  # of the thirty days before it
    ("volumes", "i8", (TIER_DAYS,)),  # by day; one of them is the newest, which is still going on
    # What risk parity looks at (`papertape.engine.broker.risk.parity`).
    ("risk_day", "i8"),  # of the newest close, in days since 1970-01-01 UTC
    ("risk_rows", "i8"),  # days so far, the newest at the place before this number in the rings
    ("risk_path", "f8", (RISK_DAYS,)),  # what the weights would have returned, the newest day first
)

MOST_MOVES: Final = 16  # of one position that wait for their latency

POSITION: Final = record(
    ("quantity", "f8"),  # signed, base units
    ("entry_price", "f8"),
    ("cost", "i8"),  # notional at entry, money units, above zero
    ("stop_price", "f8"),  # 0 = none
    ("target_price", "f8"),
    ("liquidation_price", "f8"),  # 0 = none
    ("bankruptcy_price", "f8"),  # at which its margin is lost as a whole
    ("margin_rate", "f8"),  # of notional at entry that it stands on, isolated; 0 = none
    # The mark price in the candle that is being matched; 0 or NaN: there is none, and traded prices are looked at.
    ("mark_open", "f8"),
    ("mark_high", "f8"),
    ("mark_low", "f8"),
    ("last_price", "f8"),  # close of the newest candle, or the fill that opened it since; 0 before the first
    ("last_refused", "i8"),  # target that was refused last, so that it is said once
    ("is_halted", "i8"),  # the venue matches nothing
    ("is_gone", "i8"),  # no longer listed or followed
    ("realised", "i8"),  # of the parts that were closed already, before fees
    ("exit_price", "f8"),  # their average price
    ("exit_quantity", "f8"),
    ("working", "i8"),  # working orders of this symbol now
    ("order_rows", "i8"),  # of their table that are in use, or were a moment ago
    ("barred_by", "i8"),  # why the newest order to open was refused, so that it is said once; 0 = it was not
    ("is_met", "i8"),  # a working order may come to something in this candle
    ("volume_left", "f8"),  # what orders may still fill of this candle, base units
    ("fresh_leg", "i8"),  # of the candle's way in which the position was opened; -1 = before or at the open
    ("moves", "i8"),  # of stop and target that wait for their latency, the oldest first
    ("move_instants", "i8", (MOST_MOVES,)),  # from which the levels below hold
    ("move_stop_prices", "f8", (MOST_MOVES,)),  # NaN = stays as it is, 0 = none any more
    ("move_target_prices", "f8", (MOST_MOVES,)),
    # What sizing by volatility looks at (`papertape.engine.broker.risk.sizes`).
    ("variance_close", "f8"),  # of the newest base candle; 0 before the first
    ("variance_sum", "f8"),  # of squared returns, the newest weighing most
    ("variance_weight", "f8"),  # of all of them
    # What it trades with (`papertape.engine.broker.risk.allocation`).
    ("share", "f8"),  # of equity, from the newest close on
    ("score", "f8"),  # confidence of the decision by which it is held or waits to be; 0 = none
    ("rule_scale", "f8"),  # size_scale of the decision that opened it; 0 = its size is the strategy's own
    ("allotted_closes", "i8"),  # at which it had a share
    ("allotted_total", "f8"),  # sum of those shares
    ("used_total", "f8"),  # sum of its notional ÷ equity at these closes
    # What risk parity looks at (`papertape.engine.broker.risk.parity`).
    ("risk_close", "f8"),  # where the newest day ended; 0 = it was not listed
    ("risk_days", "i8"),  # returns that are known of those that count
    ("risk_changes", "f8", (RISK_DAYS,)),  # returns by day, a ring
    ("risk_variance", "f8"),  # mean of their squares
    ("risk_order", "i8"),  # the symbol that takes this one's place in the order of variances
    ("risk_weight", "f8"),  # of the largest; 0 = it has no part
    # What the limit on orders looks at (`papertape.engine.broker.risk.places`).
    ("paced_interval", "i8"),  # in which the newest of them was sent
    ("paced_orders", "i8"),  # so far in that interval
)

ORDER: Final = record(
    ("is_active", "i8"),
    ("target", "i8"),
    ("reason", "i8"),
    ("ready_instant", "i8"),  # first instant at which it may fill
    ("decided_ms", "i8"),
    ("stop_distance", "f8"),
    ("target_distance", "f8"),
    ("stop_price", "f8"),
    ("target_price", "f8"),
    ("confidence", "f8"),
    ("size_scale", "f8"),
    ("score_model", "f8"),
    ("score_smc", "f8"),
    ("score_technical", "f8"),
    ("model_version", "i8"),
)

FLOAT_NOISE: Final = 2e-15  # relative error of a few float64 operations

SIZE_BY_RISK: Final = 0
SIZE_BY_FRACTION: Final = 1
SIZE_ALL_IN: Final = 2
SIZE_BY_VOLATILITY: Final = 3
SIZE_BY_KELLY: Final = 4

ALLOCATE_NOTHING: Final = 0  # every symbol trades with the whole account
ALLOCATE_EQUALLY: Final = 1
ALLOCATE_BY_VOLATILITY: Final = 2
ALLOCATE_SHARES: Final = 3
ALLOCATE_BY_RISK: Final = 4
ALLOCATE_BY_SCORE: Final = 5

FILL_THROUGH: Final = 0  # a limit fills when the price trades beyond it by a tick
FILL_TOUCH: Final = 1  # or as soon as it is reached

MARGIN_ISOLATED: Final = 0
MARGIN_CROSS: Final = 1  # perpetuals stand on the account together

SETTINGS: Final = record(
    ("sizing", "i8"),  # SIZE_…
    ("risk_fraction", "f8"),  # of equity, lost when the stop is hit
    ("fixed_fraction", "f8"),  # of equity, as notional
    ("cash_share", "f8"),  # the largest part of buying power that an order may use
    ("leverage_cap", "f8"),  # gross notional ÷ equity, perpetuals
    ("latency_bars", "i8"),  # base candles between a decision and the earliest fill, beyond the next
    ("allow_short", "i8"),
    ("volume_share", "f8"),  # of a candle's volume that working orders may fill; 0 = any
    ("limit_fill", "i8"),  # FILL_THROUGH or FILL_TOUCH
    ("margin", "i8"),  # MARGIN_ISOLATED or MARGIN_CROSS
    ("has_tiers", "i8"),  # whether fees of a market that is traded fall with what was traded
    ("has_limits", "i8"),  # whether there are any of those that follow
    ("limit_daily_loss", "f8"),  # share of the day's first equity; 0 = none
    ("limit_drawdown", "f8"),  # share of the highest equity
    ("limit_drawdown_lock_days", "f8"),  # 0 = until an operator resumes
    ("limit_losses", "i8"),  # in a row
    ("limit_losses_lock_hours", "f8"),
    ("limit_position", "f8"),  # notional ÷ equity, of one position
    ("limit_gross", "f8"),  # of all
    ("limit_net", "f8"),  # of longs less shorts, either way
    ("limit_open_positions", "i8"),  # at once; 0 = any
    ("limit_orders", "i8"),  # of one symbol that may open something, in as many hours as follow
    ("limit_orders_hours", "f8"),
    ("has_groups", "i8"),  # whether any market is in a group of limits.groups
    ("allocation", "i8"),  # ALLOCATE_…
    ("rebalance_ms", "i8"),  # at whose multiples positions are brought to their shares; 0 = never
    ("rebalance_band", "f8"),  # of equity
    ("has_variance", "i8"),  # whether the variance of markets is followed
    ("variance_target", "f8"),  # of a base candle's return, that a position may add
    ("variance_decay", "f8"),  # what a return weighs of what it weighed a candle before
    ("kelly_decay", "f8"),  # what a trade weighs of what it weighed a trade before
    ("kelly_trades", "i8"),  # fixed_fraction until so many have closed
    ("kelly_share", "f8"),  # of Kelly's fraction
    ("kelly_least", "f8"),  # notional ÷ equity
    ("kelly_most", "f8"),
)


class Portfolio(NamedTuple):
    """
    An account and all that it trades, a row for each symbol, as kernels hand it on.

    working  WORKING_ORDER, shape (n_symbols, CAPACITY); orders: the one that the newest decision of each symbol left
    entries  ENTRY, scratch of an instant
    scratch  INSTRUCTION, shape (n_symbols + 1,), for what brings positions to their shares; the last row is blank
    """

    account: Row
    positions: Rows
    trades: Rows
    orders: Rows
    working: Rows
    entries: Rows
    markets: Rows
    settings: Row
    scratch: Rows


class SymbolBook(NamedTuple):
    """One symbol of a portfolio at a time: the open of the candle that is met, or the close at which something is asked for."""

    account: Row
    position: Row
    trade: Row
    order: Row
    working: Rows
    entry: Row
    market: Row
    settings: Row
    symbol: int
    time_ms: int


class BaseCandles(NamedTuple):
    """
    Candles of the base timeframe, complete instants in symbol order, and how long each is.

    mark_ranges  shape (n_instants, n_symbols, 3), open, high and low of the mark price in each candle, NaN where it is not
                 known; or (0, …): nobody asks for it
    """

    candles: Rows
    base_ms: int
    mark_ranges: FloatArray


class OutputRows(NamedTuple):
    """What kernels write, and the counters that say how far (`papertape.engine.broker.orders`); there is room for a batch."""

    fills: Rows
    trades: Rows
    marks: Rows
    decisions: Rows
    orders: Rows
    limits: Rows
    counters: IntArray


class Worth(NamedTuple):
    """An account at one time, in money units: its equity, the notional of all positions, and of longs less shorts."""

    equity: int
    gross: int
    net: int


@expanded_kernel
def book_of(portfolio: Portfolio, symbol: int, time_ms: int) -> SymbolBook:
    """Return one symbol of a portfolio at a time."""
    return SymbolBook(
        portfolio.account,
        portfolio.positions[symbol],
        portfolio.trades[symbol],
        portfolio.orders[symbol],
        portfolio.working[symbol],
        portfolio.entries[symbol],
        portfolio.markets[symbol],
        portfolio.settings,
        symbol,
        time_ms,
    )


@kernel
def whole_steps(count: float, step: float) -> float:
    """
    Return `count` ticks or lots as the float64 nearest to their decimal number, as a tape or a venue writes it.

    10,099 × 0.01 is 100.99000000000001, which a high of 100.99 does not reach; 10,099 ÷ 100 is 100.99.
    """
    inverse = np.rint(1.0 / step)
    if inverse > 0.0 and abs(inverse * step - 1.0) < 1e-12:
        return count / inverse  # type: ignore[no-any-return]
    return count * step


@kernel
def notional_of(position: Row, market: Row) -> int:
    """Return the notional of a position at its last price, in money units, not below zero."""
    return money(abs(position.quantity) * position.last_price, market.units_per_quote)


@kernel
def position_value(position: Row, market: Row, value: int) -> int:
    """
    Return what an open position adds to cash in equity: market value on spot, profit on a perpetual.

    value  notional at the mark, money units, above zero
    """
    if market.is_perpetual == 0:
        return value
    return value - position.cost if position.quantity > 0.0 else position.cost - value  # type: ignore[no-any-return]


@kernel
def unrealised(position: Row, market: Row) -> int:
    """Return what a position, open or not, adds to cash in equity at its last price."""
    if position.quantity == 0.0:
        return 0
    return position_value(position, market, notional_of(position, market))


@kernel
def equity(account: Row, positions: Rows, markets: Rows) -> int:
    """Return cash plus open positions marked at their last close, in money units; exit costs not included."""
    total = account.cash
    for index in range(len(positions)):
        total = added(total, unrealised(positions[index], markets[index]))
    return total  # type: ignore[no-any-return]


@kernel
def net_exposure(positions: Rows, markets: Rows) -> int:
    """Return the notional of long positions less that of short ones at their last close, in money units."""
    total = 0
    for index in range(len(positions)):
        position, units = positions[index], markets[index].units_per_quote
        total = added(total, money(position.quantity * position.last_price, units))
    return total


@kernel
def exposure(positions: Rows, markets: Rows) -> int:
    """Return the gross notional of open positions at their last close, in money units."""
    total = 0
    for index in range(len(positions)):
        position = positions[index]
        if position.quantity != 0.0:
            total = added(total, notional_of(position, markets[index]))
    return total


@kernel
def worth_of(portfolio: Portfolio) -> Worth:
    """Return what an account is worth with its positions at their last close."""
    positions, markets = portfolio.positions, portfolio.markets
    return Worth(
        equity(portfolio.account, positions, markets),
        exposure(positions, markets),
        net_exposure(positions, markets),
    )


@kernel
def end_moves(account: Row, position: Row, left: int) -> None:
    """Forget the moves of stop and target that wait, but for the first `left`; nothing stays behind that is no state."""
    for k in range(left, position.moves):
        position.move_instants[k] = 0
        position.move_stop_prices[k] = 0.0
        position.move_target_prices[k] = 0.0
    position.moves = left
    if left == 0:
        account.moves -= 1
