"""The returns of an account in a compact form: at most 256 blocks of whole UTC days, as 4-byte floats in base64."""

import base64
import binascii
from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.performance.curve import Marks
from papertape.engine.performance.daily import daily_returns

MOST_BLOCKS: Final = 256


def compact_returns(marks: Marks, capital: float) -> str:
    """Return `DAYS:TEXT`: the return of every block of so many UTC days, the last one shorter."""
    returns = daily_returns(marks, capital).returns
    days = max(1, -(-len(returns) // MOST_BLOCKS))
    starts = np.arange(0, len(returns), days)
    # What multiplies adds up as logarithms; ruin is a return of -1 and no logarithm.
    grown = np.multiply.reduceat(1.0 + returns, starts) if len(starts) else np.zeros(0)
    blocks = (grown - 1.0).astype("<f4")
    return f"{days}:{base64.b64encode(blocks.tobytes()).decode()}"


def expanded_returns(text: str) -> tuple[int, FloatArray]:
    """Return the days of a block and the returns that `compact_returns` wrote; raises ValueError for anything else."""
    days, separator, coded = text.partition(":")
    if not separator or not days.isdigit():
        raise ValueError(f"{text[:20]!r} is not DAYS:TEXT")
    try:
        data = base64.b64decode(coded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{coded[:20]!r} is not base64: {error}") from error
    return int(days), np.frombuffer(data, "<f4").astype(np.float64)
