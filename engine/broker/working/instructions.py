"""
What a strategy asks for at a close, beside its decision: place an order, take orders back, move stop and target, hold
a target position.

Instructions are obeyed in the order in which they were given, after the mark and after the decision of that close. What
cannot be is refused and reported with its cause; everything else takes effect after the latency, at the earliest at the
next open.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.account import (
    MOST_MOVES,
    OutputRows,
    Portfolio,
    SymbolBook,
    Worth,
    book_of,
    worth_of,
)
from papertape.engine.broker.orders import bar_to_entry, held
from papertape.engine.broker.sizing import tradable_size, wanted_size
from papertape.engine.broker.working.holding import hold
from papertape.engine.broker.working.orders import (
    MOVES_FULL,
    NO_POSITION,
    REFUSED,
    WORKING_ORDER,
    WRONG_SIDE,
    price_of,
    write_event,
)
from papertape.engine.broker.working.placing import ask, cancel
from papertape.engine.jit import IntArray, Row, Rows, kernel, record
from papertape.engine.records import REFUSED_NO

MOST_INSTRUCTIONS: Final = 16  # of one symbol at one close
LATEST_MS: Final = 1 << 52  # before which an order ends

# Actions.
PLACE: Final = 1
CANCEL: Final = 2
MOVE: Final = 3
HOLD: Final = 4

INSTRUCTION: Final = record(
    ("action", "i8"),
    ("share", "f8"),  # of the position, in place of a quantity; 0 = by quantity
    ("fraction", "f8"),  # of equity as notional, in place of a quantity; 0 = by quantity
    ("band", "f8"),  # of equity: a target that is as near is held already
    ("size_scale", "f8"),  # on the size that the account's rule gives when nothing else says how much
    *((name, WORKING_ORDER[name].str[1:]) for name in WORKING_ORDER.names or ()),
)


@kernel
def obey_all(
    portfolio: Portfolio, out: OutputRows, instructions: Rows, n_instructions: IntArray, close_ms: int
) -> None:
    """
    Obey what was asked for at one close, symbol by symbol, all of it sized on the account as it is now.

    instructions    INSTRUCTION, shape (n_symbols, MOST_INSTRUCTIONS)
    n_instructions  shape (n_symbols,); set to 0
    """
    worth = worth_of(portfolio)
    for symbol in range(len(portfolio.positions)):
        for k in range(n_instructions[symbol]):
            instruction = instructions[symbol, k]
            if instruction.action == PLACE or instruction.action == HOLD:
                # From here on its size is the strategy's own.
                portfolio.positions[symbol].rule_scale = 0.0
            obey(book_of(portfolio, symbol, close_ms), out, instruction, worth)
        n_instructions[symbol] = 0


@kernel
def rebalance_all(portfolio: Portfolio, out: OutputRows, close_ms: int) -> None:
    """
    Bring positions that a decision opened to what their rule gives now, as a strategy would with a target position.

    Left alone is what a decision is about to close, what would come below the market's minimum, and what the band covers.
    """
    worth = worth_of(portfolio)
    positions, scratch = portfolio.positions, portfolio.scratch
    for symbol in range(len(positions)):
        position = positions[symbol]
        if position.quantity == 0.0 or position.rule_scale <= 0.0 or position.is_halted != 0:
            continue
        if position.is_gone != 0 or portfolio.orders[symbol].is_active != 0:
            continue
        book = book_of(portfolio, symbol, close_ms)
        price, scale = position.last_price, position.rule_scale
        quantity = wanted_size(book, np.inf, worth.equity, price, 0.0, scale)
        quantity = tradable_size(portfolio.account, book.market, quantity, price)
        if quantity <= 0.0:
            continue
        scratch[symbol] = scratch[len(positions)]
        instruction = scratch[symbol]
        instruction.action = HOLD
        instruction.quantity = held(position) * quantity
        instruction.band = portfolio.settings.rebalance_band
        obey(book, out, instruction, worth)


@kernel
def obey(book: SymbolBook, out: OutputRows, instruction: Row, worth: Worth) -> None:
    """Obey one instruction of one symbol at a close."""
    position = book.position
    if instruction.action == CANCEL:
        cancel(book, out, instruction)
        return
    cause = REFUSED_NO
    if instruction.action == MOVE:
        cause = move(book.account, position, book.settings, instruction)
        instruction.quantity = abs(position.quantity)
    elif instruction.action == HOLD:
        cause = hold(book, out, instruction, worth)
    else:
        cause = ask(book, out, instruction, worth)
    if cause == REFUSED_NO:
        return
    # A target is asked for anew at every close, so what forbids it is said once; so is what forbids all entries.
    is_lasting = instruction.action == HOLD or cause == bar_to_entry(book.account, position)
    if is_lasting and cause == position.barred_by:
        return
    position.barred_by = cause if is_lasting else 0
    price = price_of(instruction)
    write_event(book, out, instruction, REFUSED, cause, instruction.quantity, price)


@kernel
def move(account: Row, position: Row, settings: Row, instruction: Row) -> int:
    """Let stop and target of a position move (NaN: stays, 0: no more); return 0, or why they cannot."""
    side = held(position)
    if side == 0:
        return NO_POSITION
    stop_price = instruction.stop_price
    target_price = instruction.target_price
    if stop_price > 0.0 and side * (position.last_price - stop_price) <= 0.0:
        return WRONG_SIDE
    if target_price > 0.0 and side * (target_price - position.last_price) <= 0.0:
        return WRONG_SIDE
    instant = account.instants + 1 + settings.latency_bars
    last = position.moves - 1
    if last < 0 or position.move_instants[last] != instant:
        last += 1
        if last == MOST_MOVES:
            return MOVES_FULL
        if last == 0:
            account.moves += 1
        position.moves = last + 1
        position.move_instants[last] = instant
        position.move_stop_prices[last] = np.nan
        position.move_target_prices[last] = np.nan
    if not np.isnan(stop_price):
        position.move_stop_prices[last] = stop_price
    if not np.isnan(target_price):
        position.move_target_prices[last] = target_price
    return REFUSED_NO
