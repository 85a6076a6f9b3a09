"""The returns of an account in a compact form: at most 256 blocks of whole UTC days, as 4-byte floats in base64."""

import base64
import binascii
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import DAY_MS
from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray
from papertape.engine.performance.curve import Marks
from papertape.engine.performance.daily import daily_returns

MOST_BLOCKS: Final = 256


class BlockReturns(NamedTuple):
    """The return of every block of so many UTC days from the first one on, the last one shorter."""

    first_day: int  # days since the epoch
    days: int
    returns: FloatArray


def compact_returns(marks: Marks, capital: float) -> str:
    """Return `FIRST DAY:DAYS:TEXT`: the return of every block of so many UTC days, the last one shorter."""
    daily = daily_returns(marks, capital)
    returns = daily.returns
    days = max(1, -(-len(returns) // MOST_BLOCKS))
    starts = np.arange(0, len(returns), days)
    # What multiplies adds up as logarithms; ruin is a return of -1 and no logarithm.
    grown = np.multiply.reduceat(1.0 + returns, starts) if len(starts) else np.zeros(0)
    blocks = (grown - 1.0).astype("<f4")
    first = int(daily.day_ms[0]) // DAY_MS if len(daily.day_ms) else 0
    return f"{first}:{days}:{base64.b64encode(blocks.tobytes()).decode()}"


def block_returns(text: str) -> BlockReturns:
    """Return what `compact_returns` wrote; DataError for anything else."""
    try:
        first, days, packed = text.split(":")
        blocks = np.frombuffer(base64.b64decode(packed, validate=True), "<f4")
        return BlockReturns(int(first), int(days), blocks.astype(np.float64))
    except (ValueError, binascii.Error) as error:
        raise DataError(f"returns {text[:20]!r}: not in the compact form: {error}") from error
