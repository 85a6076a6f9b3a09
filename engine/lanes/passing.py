"""
An account of one symbol from its first candle to its last in one call.

What can be passed over is what `papertape.engine.broker.working.quiet` says of an instant, for as long as nothing begins: the
account is marked and nothing else happens. It is passed over a stretch of one wish at a time instead of a candle at a time, over
columns of prices, and marks are written as columns. Every other instant is run by `papertape.engine.broker.execution`, one by
one; so there is one account and one order of events.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.account import position_value
from papertape.engine.broker.bracket import bracket_hit
from papertape.engine.broker.execution import execute
from papertape.engine.broker.fills import track_excursion
from papertape.engine.broker.ledger import added, money
from papertape.engine.broker.orders import N_DECISIONS, N_FILLS, N_MARKS, N_TRADES, held, is_change
from papertape.engine.broker.working.quiet import can_be_quiet, free_range, is_quiet
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel
from papertape.engine.records import KEEP

DONE: Final = 0
NOT_TOLD: Final = 1  # what is wanted at a close cannot be told from its stretch
NO_ROOM: Final = 2  # more happened than the buffers hold
NOT_SIMPLE: Final = 3  # more than its position is looked after at every candle

_AT_AN_INSTANT: Final = (
    4  # rows that one instant of one symbol without working orders writes at most, and one more
)


@kernel
def next_other(starts: IntArray, rows: Rows, first: int, side: int, n: int) -> int:
    """Return the instant at which the first stretch from number `first` on begins that wants another side; n for none."""
    k = first
    while k < len(starts) and (rows[0, k].target == side or rows[0, k].target == KEEP):
        k += 1
    return starts[k] if k < len(starts) else n


@kernel
def pass_flat(
    first: int,
    end: int,
    account: Row,
    equity: IntArray,
    exposure: IntArray,
    open_positions: IntArray,
) -> int:
    """Mark an account that holds nothing up to an instant; return the first at which something else may happen."""
    worth = account.cash
    if worth <= 0 and account.ruined_ms == 0:
        return first
    equity[first:end] = worth
    exposure[first:end] = 0
    open_positions[first:end] = 0
    account.instants += end - first
    return end


@kernel
def pass_held(
    candles: Rows,
    prices: FloatArray,
    first: int,
    end: int,
    account: Row,
    position: Row,
    trade: Row,
    market: Row,
    equity: IntArray,
    exposure: IntArray,
    open_positions: IntArray,
) -> int:
    """
    Mark an account that holds a position up to an instant; return the first at which something else may happen.

    prices  high, low and close of every candle, shape (3, n); of an absent one, in which nothing fills, the high is infinite
    """
    size, cash, is_ruined = abs(position.quantity), account.cash, account.ruined_ms != 0
    below, above = free_range(position)
    lowest, highest = np.inf, -np.inf
    units, instant = market.units_per_quote, first
    while instant < end:
        high, low = prices[0, instant], prices[1, instant]
        is_free = below < low and high < above
        if not is_free and (high == np.inf or bracket_hit(position, candles[instant]) != 0):
            break
        gross = money(size * prices[2, instant], units)
        worth = added(cash, position_value(position, market, gross))
        if worth <= 0 and not is_ruined:
            break
        lowest, highest = min(lowest, low), max(highest, high)
        equity[instant] = worth
        exposure[instant] = gross
        open_positions[instant] = 1
        instant += 1
    if instant > first:
        track_excursion(trade, lowest, highest)
        trade.bars += instant - first
        account.instants += instant - first
    return instant


@kernel
def run_lane(
    candles: Rows, prices: FloatArray, is_close: IntArray, base_ms: int, starts: IntArray, wanted: Rows, is_even: IntArray,
    account_rows: Rows, positions: Rows, trades: Rows, orders: Rows, entries: Rows, markets: Rows, settings_rows: Rows,
    fills: Rows, trades_out: Rows, decisions_out: Rows, working: Rows, scratch: Rows, order_events: Rows, limit_events: Rows,
    mark_ranges: FloatArray, counters: IntArray, marks: Rows, now: IntArray, equity: IntArray, exposure: IntArray,
    open_positions: IntArray,
) -> int:  # fmt: skip
    """
    Run all candles of an account that has not begun; return DONE, or why what was written is nothing to go by.

    candles                  CANDLE of one symbol; prices: as `pass_held` takes them
    is_close                 1 at instants at which a candle of the strategy closes, shape (n,)
    starts, wanted, is_even  as `Wishes` has them
    marks                    MARK, shape (1,), scratch; what it says of each instant goes to the last three, shape (n,)
    now                      shape (1,), scratch

    The others are those of `execute`.
    """
    account, position, order = account_rows[0], positions[0], orders[0]
    if not can_be_quiet(positions, settings_rows[0], mark_ranges):
        return NOT_SIMPLE
    n, k, instant = len(candles), 0, 0
    while instant < n:
        while k < len(starts) and starts[k] < instant:
            k += 1
        side = held(position)
        begins = k < len(starts) and starts[k] == instant
        in_force = k if begins else k - 1
        is_content = k == 0 or wanted[0, k - 1].target == KEEP or wanted[0, k - 1].target == side
        if is_content and is_quiet(account, position, order):
            end = next_other(starts, wanted, k, side, n)
            if position.quantity == 0.0:
                following = pass_flat(instant, end, account, equity, exposure, open_positions)
            else:
                following = pass_held(
                    candles, prices, instant, end, account, position, trades[0], markets[0],
                    equity, exposure, open_positions,
                )  # fmt: skip
            if following > instant:
                position.last_price = prices[2, following - 1]
                instant = following
                continue
        least = min(len(fills) - counters[N_FILLS], len(trades_out) - counters[N_TRADES])
        if min(least, len(decisions_out) - counters[N_DECISIONS]) < _AT_AN_INSTANT:
            return NO_ROOM
        is_said = begins or (in_force >= 0 and is_close[instant] != 0 and is_even[in_force] != 0)
        row = max(in_force, 0)
        now[0] = instant
        execute(
            candles, instant, instant + 1, base_ms, wanted[:, row : row + 1], now,
            1 if is_said else 0, account_rows, positions, trades, orders, entries, markets,
            settings_rows, fills, trades_out, marks, decisions_out, working, scratch, order_events,
            limit_events, mark_ranges, counters,
        )  # fmt: skip
        is_asked = not is_said and in_force >= 0 and is_close[instant] != 0
        if is_asked and is_change(position, order, wanted[0, row]):
            return NOT_TOLD
        counters[N_MARKS] = 0
        equity[instant] = marks[0].equity
        exposure[instant] = marks[0].exposure
        open_positions[instant] = marks[0].open_positions
        instant += 1
    return DONE
