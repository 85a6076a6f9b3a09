"""Stage 1: what may be stepped, and where markets begin. A bad candle is named and refused before anything has changed."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from papertape.engine.candles import FAULTS, FLAG_UNLISTED, candle_fault, describe
from papertape.engine.errors import DataError
from papertape.engine.jit import IntArray, Rows, kernel, locked_rows

_BY_ITSELF: Final = 1  # a market alone begins with its tape
_NOT_LATER = 6
_WRONG_SYMBOL = 7
_OTHER_INSTANT = 8


@kernel
def first_fault(candles: Rows, first: int, n_symbols: int, last_open_ms: int) -> tuple[int, int]:
    """
    Return (row, fault) of the first row from `first` on that breaks a rule, or (-1, 0).

    Row 0 begins an instant; rows of one instant are one per symbol, in symbol order, with one open time.
    """
    for row in range(first, len(candles)):
        candle = candles[row]
        fault = candle_fault(candle)
        if fault == 0:
            place = row % n_symbols
            if candle.symbol != place:
                fault = _WRONG_SYMBOL
            elif place > 0:
                if candle.open_ms != candles[row - 1].open_ms:
                    fault = _OTHER_INSTANT
            else:
                before = last_open_ms if row == 0 else candles[row - 1].open_ms
                if candle.open_ms <= before:
                    fault = _NOT_LATER
        if fault != 0:
            return row, fault
    return -1, 0


def refuse_bad(candles: Rows, first: int, symbols: Sequence[str], last_open_ms: int) -> None:
    """Raise DataError for the first row from `first` on that must not be stepped."""
    row, fault = first_fault(locked_rows(candles), first, len(symbols), last_open_ms)
    if row < 0:
        return
    expected = symbols[row % len(symbols)]
    rules = {
        **FAULTS,
        _WRONG_SYMBOL: f"it is not the candle of {expected}, which comes next in symbol order",
        _OTHER_INSTANT: "its open time differs from the other symbols of this instant",
    }
    raise DataError(f"candle {row - first} of the batch: {rules[fault]} ({describe(candles[row])})")


def split_instants(candles: Rows, n_symbols: int) -> tuple[Rows, Rows]:
    """Return the complete instants and the rows of one that is still incomplete."""
    complete = len(candles) - len(candles) % n_symbols
    return candles[:complete], candles[complete:]


@kernel
def has_unlisted(candles: Rows) -> bool:
    """Return whether a market has not begun at some candle."""
    bits = 0
    for row in range(len(candles)):
        bits |= candles[row].flag_bits
    return bits & FLAG_UNLISTED != 0


def begun(candles: Rows, unlisted: IntArray) -> Iterator[tuple[Rows, list[int]]]:
    """
    Yield complete instants in parts, each with the symbols whose first candle is in the part's first instant.

    unlisted  shape (n_symbols,), 1 where the newest candle was before a market's first; changed as parts are taken
    """
    n_symbols = len(unlisted)
    if n_symbols == _BY_ITSELF:
        yield candles, []
        return
    if not unlisted.any() and not has_unlisted(locked_rows(candles)):
        yield candles, []
        return
    flags = (candles["flag_bits"] & FLAG_UNLISTED != 0).reshape(-1, n_symbols)
    before = np.concatenate([unlisted[None, :] != 0, flags[:-1]])
    first = before & ~flags
    starts = np.flatnonzero(first.any(axis=1))
    for start, end in zip([0, *starts], [*starts, len(flags)], strict=True):
        if end > start:
            unlisted[:] = flags[end - 1]
            yield (candles[start * n_symbols : end * n_symbols], np.flatnonzero(first[start]).tolist())
