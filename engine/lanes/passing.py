"""
An account of one symbol from its first candle to its last in one call.

What can be passed over is what `papertape.engine.broker.working.quiet` says of an instant, for as long as nothing begins: the
account is marked and nothing else happens. It is passed over a stretch of one wish at a time instead of a candle at a time, over
columns of prices, and marks are written as columns. A decision at the close of the last of these rests as anywhere. Every other
instant is run by `papertape.engine.broker.execution`, one by one; so there is one account and one order of events.
"""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.broker.account import BaseCandles, OutputRows, Portfolio, book_of, position_value
from papertape.engine.broker.bracket import bracket_hit
from papertape.engine.broker.execution import run_instants
from papertape.engine.broker.fills import track_excursion
from papertape.engine.broker.ledger import LARGEST_AMOUNT, added, money
from papertape.engine.broker.orders import N_DECISIONS, N_FILLS, N_MARKS, N_TRADES, held, is_change, rest
from papertape.engine.broker.working.quiet import can_be_quiet, free_range, is_quiet
from papertape.engine.jit import FlagArray, FloatArray, IntArray, Row, Rows, kernel
from papertape.engine.jit.native import prefetch
from papertape.engine.records import KEEP

DONE: Final = 0
NOT_TOLD: Final = 1  # what is wanted at a close cannot be told from its stretch
NO_ROOM: Final = 2  # more happened than the buffers hold
NOT_SIMPLE: Final = 3  # more than its position is looked after at every candle

_AT_ONCE: Final = 64  # candles of a position that are looked at together
_FAR_WITHIN: Final = LARGEST_AMOUNT / 4.0  # so that sums of three amounts are in range as well
# rows that one instant of one symbol without working orders writes at most, and one more
_AT_AN_INSTANT: Final = 4


@kernel
def next_other(rows: Rows, first: int, side: int) -> int:
    """Return the number of the first stretch from `first` on that wants another side; how many there are for none."""
    k = first
    while k < rows.shape[1] and (rows[0, k].target == side or rows[0, k].target == KEEP):
        k += 1
    return k


class LaneRows(NamedTuple):
    """
    What an account is marked with: its candles, and what its marks say, a row an instant.

    prices  high, low and close of every candle, shape (3, n); of an absent one, in which nothing fills, the high is infinite
    bits    the same memory as integers: those of positive numbers are in the same order, and are compared several at a time
    """

    candles: Rows
    prices: FloatArray
    bits: IntArray
    equity: IntArray
    exposure: IntArray
    open_positions: IntArray


@kernel
def pass_flat(lane: LaneRows, account: Row, first: int, end: int) -> int:
    """Mark an account that holds nothing up to an instant; return the first at which something else may happen."""
    worth = account.cash
    if worth <= 0 and account.ruined_ms == 0:
        return first
    lane.equity[first:end] = worth
    lane.exposure[first:end] = 0
    lane.open_positions[first:end] = 0
    account.instants += end - first
    return end


@kernel
def worth_at(price: float, account: Row, position: Row, market: Row) -> int:
    """Return the equity of an account with one position at a price."""
    gross = money(abs(position.quantity) * price, market.units_per_quote)
    return added(account.cash, position_value(position, market, gross))


@kernel
def is_at_ease(low: float, high: float, account: Row, position: Row, market: Row) -> bool:
    """Return whether an account stays above zero, and every amount in its range, at any price from low to high: equity rises or falls with it."""
    most = abs(position.quantity) * high * market.units_per_quote
    if not max(most, abs(float(account.cash)), float(position.cost)) < _FAR_WITHIN:
        return False
    worst = min(worth_at(low, account, position, market), worth_at(high, account, position, market))
    return worst > 0 or account.ruined_ms != 0


@kernel
def mark_held(lane: LaneRows, account: Row, position: Row, market: Row, first: int, end: int) -> None:
    """Mark an account at ease. Nothing is looked at, so it is several marks at a time."""
    equity, exposure = lane.equity[first:end], lane.exposure[first:end]
    open_positions, closes = lane.open_positions[first:end], lane.prices[2, first:end]
    size, units = abs(position.quantity), market.units_per_quote
    # What a position adds to cash, as `position_value` has it.
    sign, base = 1, account.cash
    if market.is_perpetual != 0:
        sign = 1 if position.quantity > 0.0 else -1
        base -= sign * position.cost
    for k in range(len(closes)):
        gross = np.int64(np.rint(size * closes[k] * units))
        equity[k] = base + sign * gross
        exposure[k] = gross
        open_positions[k] = 1


@kernel
def price_of(bits: int) -> float:
    """Return the price that some bits are."""
    return np.int64(bits).view(np.float64)


@kernel
def range_of(bits: IntArray, first: int, end: int) -> tuple[float, float]:
    """Return the lowest and the highest price from one instant to another; bits: as `LaneRows` has them."""
    highs, lows = bits[0, first:end], bits[1, first:end]
    highest, lowest = highs[0], lows[0]
    for k in range(len(highs)):
        highest, lowest = max(highest, highs[k]), min(lowest, lows[k])
    return price_of(lowest), price_of(highest)


@kernel
def first_met(lane: LaneRows, account: Row, position: Row, market: Row, first: int, end: int) -> int:
    """Return the first instant at which a position meets something or takes its account to zero, or end."""
    below, above = free_range(position)
    for instant in range(first, end):
        high, low = lane.prices[0, instant], lane.prices[1, instant]
        is_free = below < low and high < above
        if not is_free and (high == np.inf or bracket_hit(position, lane.candles[instant]) != 0):
            return instant
        worth = worth_at(lane.prices[2, instant], account, position, market)
        if worth <= 0 and account.ruined_ms == 0:
            return instant
    return end


@kernel
def pass_held(
    lane: LaneRows, account: Row, position: Row, trade: Row, market: Row, first: int, end: int
) -> int:
    """Mark an account that holds a position up to an instant; return the first at which something else may happen."""
    below, above = free_range(position)
    lowest, highest = np.inf, -np.inf
    instant, is_over = first, False
    while instant < end and not is_over:
        after = min(instant + _AT_ONCE, end)
        low, high = range_of(lane.bits, instant, after)
        if not (below < low and high < above and is_at_ease(low, high, account, position, market)):
            met = first_met(lane, account, position, market, instant, after)
            if met == instant:
                break
            is_over, after = met < after, met
            low, high = range_of(lane.bits, instant, after)
        mark_held(lane, account, position, market, instant, after)
        lowest, highest = min(lowest, low), max(highest, high)
        instant = after
    if instant > first:
        track_excursion(trade, lowest, highest)
        trade.bars += instant - first
        account.instants += instant - first
    return instant


@kernel
def pass_over(
    lane: LaneRows, account: Row, position: Row, trade: Row, market: Row, first: int, end: int
) -> int:
    """Mark an account up to an instant; return the first at which something else may happen."""
    if position.quantity == 0.0:
        following = pass_flat(lane, account, first, end)
    else:
        following = pass_held(lane, account, position, trade, market, first, end)
    if following > first:
        position.last_price = lane.candles[following - 1].close
    return following


@kernel
def fetch_candles(candles: Rows, instant: int) -> None:
    """Begin to bring a candle at whose close wishes change, and the next, in which an order fills, from memory: half of a fill is to wait for them."""
    if instant + 1 < len(candles):
        prefetch(candles[instant])
        prefetch(candles[instant + 1])


@kernel
def run_lane(
    first: int, last: int,
    candles: Rows, prices: FloatArray, bits: IntArray, is_close: FlagArray, base_ms: int, starts: IntArray, wanted: Rows, is_even: IntArray,
    account_rows: Rows, positions: Rows, trades: Rows, orders: Rows, entries: Rows, markets: Rows, settings_rows: Rows,
    fills: Rows, trades_out: Rows, decisions_out: Rows, working: Rows, scratch: Rows, order_events: Rows, limit_events: Rows,
    mark_ranges: FloatArray, counters: IntArray, marks: Rows, now: IntArray, equity: IntArray, exposure: IntArray,
    open_positions: IntArray,
) -> int:  # fmt: skip
    """
    Run instants `first` … `last - 1` of an account that has been run up to there; return DONE, or why what was written is nothing to go by.

    candles                  CANDLE of one symbol; prices, bits: as `LaneRows` has them
    is_close                 1 at instants at which a candle of the strategy closes, shape (n,)
    starts, wanted, is_even  as `Wishes` has them
    marks                    MARK, shape (1,), scratch; what it says of each instant goes to the last three, shape (n,)
    now                      shape (1,), scratch

    The others are those of `execute`.
    """
    account, position, order = account_rows[0], positions[0], orders[0]
    market, settings = markets[0], settings_rows[0]
    portfolio = Portfolio(account, positions, trades, orders, working, entries, markets, settings, scratch)
    out = OutputRows(fills, trades_out, marks, decisions_out, order_events, limit_events, counters)
    base = BaseCandles(candles, base_ms, mark_ranges)
    lane = LaneRows(candles, prices, bits, equity, exposure, open_positions)
    if not can_be_quiet(positions, settings, mark_ranges):
        return NOT_SIMPLE
    k, instant = 0, first
    while instant < last:
        while k < len(starts) and starts[k] < instant:
            k += 1
        least = min(len(fills) - counters[N_FILLS], len(trades_out) - counters[N_TRADES])
        if min(least, len(decisions_out) - counters[N_DECISIONS]) < _AT_AN_INSTANT:
            return NO_ROOM
        side = held(position)
        begins = k < len(starts) and starts[k] == instant
        in_force = k if begins else k - 1
        is_content = k == 0 or wanted[0, k - 1].target == KEEP or wanted[0, k - 1].target == side
        if is_content and is_quiet(account, position, order):
            # Where another side is wanted, the mark at that close is as quiet as those before, and an order rests behind it.
            other = next_other(wanted, k, side)
            end = min(starts[other] + 1, last) if other < len(starts) else last
            if other + 1 < len(starts):
                fetch_candles(candles, starts[other + 1])
            following = pass_over(lane, account, position, trades[0], market, instant, end)
            if following > instant:
                if other < len(starts) and following > starts[other]:
                    close_ms = candles[following - 1].open_ms + base_ms
                    rest(book_of(portfolio, 0, close_ms), out, wanted[0, other])
                instant = following
                continue
        is_said = begins or (in_force >= 0 and is_close[instant] != 0 and is_even[in_force] != 0)
        row = max(in_force, 0)
        now[0] = instant
        said = now[: 1 if is_said else 0]
        run_instants(portfolio, out, base, instant, instant + 1, wanted[:, row : row + 1], said)
        is_asked = not is_said and in_force >= 0 and is_close[instant] != 0
        if is_asked and is_change(position, order, wanted[0, row]):
            return NOT_TOLD
        counters[N_MARKS] = 0
        equity[instant] = marks[0].equity
        exposure[instant] = marks[0].exposure
        open_positions[instant] = marks[0].open_positions
        instant += 1
    return DONE
