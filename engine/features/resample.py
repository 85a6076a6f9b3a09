"""
Higher timeframes, causally: base candles are gathered into buckets that close by the clock, not by count.

A candle belongs to the bucket in which it opens. A bucket closes when a candle has been added that ends at or after the
bucket's end, or, after a gap, when a candle of a later bucket arrives; so one base candle may close two. Candles that
arrive for a bucket which has closed already (possible off the grid) are counted and left out: what was said stays said.
"""

from typing import Final

from papertape.engine.candles import FLAG_ABSENT, bucket_start
from papertape.engine.jit import IntArray, Row, Rows, kernel, record

FRAME_STATE: Final = record(
    ("bucket_ms", "i8"),
    ("open", "f8"),
    ("high", "f8"),
    ("low", "f8"),
    ("close", "f8"),
    ("volume", "f8"),
    ("flag_bits", "i8"),
    ("n_candles", "i8"),  # in the forming bucket; 0 = none
    ("n_traded", "i8"),  # of them not absent
    ("n_late", "i8"),
    ("closed_ms", "i8"),  # end of the newest closed bucket
)

_NOT_THERE: Final = 18  # FLAG_ABSENT and FLAG_UNLISTED


@kernel
def add_candle(state: Row, candle: Row, bucket_ms: int) -> None:
    """Add a base candle to the forming bucket; absent ones count only while there is nothing else."""
    is_absent = candle.flag_bits & FLAG_ABSENT != 0
    if state.n_candles == 0 or (state.n_traded == 0 and not is_absent):
        state.bucket_ms = bucket_ms
        state.open = candle.open
        state.high = candle.high
        state.low = candle.low
        if state.n_candles == 0:
            state.volume = 0.0
            state.flag_bits = 0
    elif not is_absent:
        state.high = max(state.high, candle.high)
        state.low = min(state.low, candle.low)
    state.close = candle.close
    state.volume += candle.volume
    state.flag_bits |= candle.flag_bits & ~_NOT_THERE
    state.n_candles += 1
    if not is_absent:
        state.n_traded += 1


@kernel
def close_bucket(state: Row, symbol: int, length_ms: int, closed: Row) -> None:
    """Write the forming bucket as a closed candle and begin with none."""
    closed.open_ms = state.bucket_ms
    closed.symbol = symbol
    closed.open = state.open
    closed.high = state.high
    closed.low = state.low
    closed.close = state.close
    closed.volume = state.volume
    closed.flag_bits = state.flag_bits if state.n_traded > 0 else state.flag_bits | FLAG_ABSENT
    state.closed_ms = state.bucket_ms + length_ms
    state.n_candles = 0
    state.n_traded = 0


@kernel
def aggregate(
    candles: Rows,
    first: int,
    stride: int,
    n: int,
    base_ms: int,
    length_ms: int,
    state: Row,
    closed: Rows,
    closed_at: IntArray,
) -> int:
    """
    Gather `n` base candles of one symbol and return how many candles of the longer timeframe closed.

    candles    rows first, first + stride, … belong to the symbol
    closed     CANDLE, at least 2 × n rows; closed_at: which of the `n` made each known
    """
    n_closed = 0
    if length_ms == base_ms:
        for number in range(n):
            closed[number] = candles[first + number * stride]
            closed_at[number] = number
        return n
    for number in range(n):
        candle = candles[first + number * stride]
        bucket_ms = bucket_start(candle.open_ms, length_ms)
        if state.n_candles > 0 and bucket_ms != state.bucket_ms:
            close_bucket(state, candle.symbol, length_ms, closed[n_closed])
            closed_at[n_closed] = number
            n_closed += 1
        if bucket_ms + length_ms <= state.closed_ms:
            state.n_late += 1
            continue
        add_candle(state, candle, bucket_ms)
        if candle.open_ms + base_ms >= bucket_ms + length_ms:
            close_bucket(state, candle.symbol, length_ms, closed[n_closed])
            closed_at[n_closed] = number
            n_closed += 1
    return n_closed
