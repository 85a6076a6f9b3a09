"""What is not traded for now, or for good: halts that a venue or a clock imposes, and what they do to the account."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from papertape.engine.broker.account import Portfolio
from papertape.engine.broker.listing import close_delisted
from papertape.engine.errors import DataError
from papertape.engine.events import Cause, Halt
from papertape.engine.jit import Row, Rows
from papertape.engine.records import FILL, TRADE

ALL: Final = -1  # in place of a symbol's index


def refuse_bad_halt(halt: Halt, symbols: Sequence[str]) -> None:
    """Raise DataError for a halt that concerns nothing of this engine."""
    if halt.cause is Cause.CLOCK:
        if halt.symbol != ALL:
            raise DataError(f"halt by the clock: it concerns all symbols, not index {halt.symbol}")
    elif not 0 <= halt.symbol < len(symbols):
        raise DataError(f"halt: symbol index {halt.symbol} is not between 0 and {len(symbols) - 1}")


def is_in_force(halt: Halt, account: Row, positions: Rows) -> bool:
    """Return whether the account stands already as a halt wants it, so that the halt changes nothing."""
    if halt.cause is Cause.CLOCK:
        return bool(account.is_skewed) is halt.is_on
    return bool(positions[halt.symbol][_FIELDS[halt.cause]]) is halt.is_on


def impose(halt: Halt, portfolio: Portfolio, open_ms: int) -> tuple[Rows, Rows]:
    """
    Let a halt begin or end; return the FILL and TRADE records of a position that it closed, none otherwise.

    open_ms  of the newest candle, in which such a fill stands

    A position in a symbol that is gone is closed at the last price that was seen, the taker fee paid, without spread
    and slippage: nobody trades with us, the venue settles. Its order is taken back.
    """
    if halt.cause is Cause.CLOCK:
        portfolio.account.is_skewed = int(halt.is_on)
        return _NOTHING
    position = portfolio.positions[halt.symbol]
    position[_FIELDS[halt.cause]] = int(halt.is_on)
    if halt.cause is not Cause.GONE or not halt.is_on:
        return _NOTHING
    return close_delisted(portfolio, halt.symbol, open_ms)


_FIELDS: Final = {Cause.MARKET: "is_halted", Cause.GONE: "is_gone"}
_NOTHING: Final = (np.zeros(0, FILL), np.zeros(0, TRADE))
