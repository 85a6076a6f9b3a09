"""
Instants run ahead of a strategy in Python: kernels that execute up to many of its closes and write what it will see.

They stand apart from `papertape.engine.decisions.python`, which knows the engine: the kernel cache goes by what kernels import.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.account import BaseCandles, OutputRows, Portfolio, equity
from papertape.engine.broker.execution import rest_all, run_instants
from papertape.engine.broker.orders import N_FILLS, N_TRADES, held
from papertape.engine.broker.working.instructions import obey_all
from papertape.engine.broker.working.orders import CAPACITY
from papertape.engine.jit import FloatArray, IntArray, Row, Rows, kernel, record

# What a strategy may know of the account at a close, and what has been asked for one symbol; numbers alone, so that
# Python reads a row of them at once.
LOOK: Final = record(
    ("quantity", "f8"),
    ("entry_price", "f8"),  # 0 when flat
    ("cash", "f8"),  # quote
    ("equity", "f8"),
    ("wanted", "f8"),  # the side that is ordered, or else held
    ("stop_distance", "f8"),  # of the newest order, filled or not, from here on
    ("target_distance", "f8"),
    ("stop_price", "f8"),
    ("target_price", "f8"),
    ("size_scale", "f8"),
    ("held_stop_price", "f8"),  # of the position, asked for or in force; 0 = none
    ("held_target_price", "f8"),
    ("entry_ms", "f8"),  # open of the candle that it was opened in; 0 when flat
    ("working", "f8"),  # working orders
    ("fills", "f8"),  # rows of the batch's outputs so far
    ("trades", "f8"),
)


@kernel
def run_ahead(
    candles: Rows, first: int, last: int, closes: IntArray, n_closes: int, resting: int, resting_ms: int, base_ms: int,
    decisions: Rows, account_rows: Rows, positions: Rows, trades: Rows, orders: Rows, entries: Rows, markets: Rows,
    settings_rows: Rows, fills: Rows, trades_out: Rows, marks: Rows, decisions_out: Rows, working: Rows, scratch: Rows,
    instructions: Rows, n_instructions: IntArray, order_events: Rows, limit_events: Rows, mark_ranges: FloatArray,
    counters: IntArray, looks: Rows, looks_at_orders: Rows,
) -> None:  # fmt: skip
    """
    Let a column of decisions rest, then run instants `first` … `last - 1` and write what is seen at some of them.

    closes      shape (>= n_closes,), the instants at whose close the strategy is asked, ascending
    resting     column of `decisions` that was taken at `resting_ms`, -1 for none
    looks       LOOK, shape (>= n_closes, n_symbols); looks_at_orders: WORKING_ORDER, (>= n_closes, n_symbols, CAPACITY),
                of symbols that have any
    """
    portfolio = Portfolio(
        account_rows[0], positions, trades, orders, working, entries, markets, settings_rows[0], scratch
    )
    out = OutputRows(fills, trades_out, marks, decisions_out, order_events, limit_events, counters)
    base = BaseCandles(candles, base_ms, mark_ranges)
    if resting >= 0:
        rest_all(portfolio, out, decisions, resting, resting_ms)
        obey_all(portfolio, out, instructions, n_instructions, resting_ms)
    for close in range(n_closes + 1):
        until = closes[close] + 1 if close < n_closes else last
        run_instants(portfolio, out, base, first, until, decisions, closes[:0])
        first = until
        if close < n_closes:
            look_at_all(portfolio, counters, looks[close], looks_at_orders[close])


@kernel
def look_at_all(portfolio: Portfolio, counters: IntArray, looks: Rows, looks_at_orders: Rows) -> None:
    """Write what is seen of every symbol now; `looks` has the shape (n_symbols,), that at orders a table for each."""
    account, positions, markets = portfolio.account, portfolio.positions, portfolio.markets
    worth = equity(account, positions, markets)
    for symbol in range(len(positions)):
        look = looks[symbol]
        look_at(account, positions[symbol], portfolio.orders[symbol], markets[symbol], worth, look)
        look.entry_ms = portfolio.trades[symbol].entry_ms if positions[symbol].quantity != 0.0 else 0
        look.fills = counters[N_FILLS]
        look.trades = counters[N_TRADES]
        if look.working > 0:
            for slot in range(CAPACITY):
                looks_at_orders[symbol, slot] = portfolio.working[symbol, slot]


@kernel
def look_at(account: Row, position: Row, order: Row, market: Row, worth: int, look: Row) -> None:
    """Write what is seen of one symbol now."""
    look.quantity = position.quantity
    look.entry_price = position.entry_price if position.quantity != 0.0 else 0.0
    look.cash = account.cash / market.units_per_quote
    look.equity = worth / market.units_per_quote
    look.wanted = order.target if order.is_active != 0 else held(position)
    look.stop_distance = order.stop_distance
    look.target_distance = order.target_distance
    look.stop_price = order.stop_price
    look.target_price = order.target_price
    look.size_scale = order.size_scale
    look.held_stop_price = position.stop_price
    look.held_target_price = position.target_price
    for k in range(position.moves):
        if not np.isnan(position.move_stop_prices[k]):
            look.held_stop_price = position.move_stop_prices[k]
        if not np.isnan(position.move_target_prices[k]):
            look.held_target_price = position.move_target_prices[k]
    look.working = position.working
