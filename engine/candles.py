"""
Candles: what one is, its timeframes, and the rules a candle must pass before anything is computed from it.

A candle is final or it is not here. `open_ms` is its first millisecond; it closes at `open_ms + timeframe`, and
that instant is when everything about it is known. What is wrong with a candle is refused, never mended: mending
is an importer's job and leaves a flag.
"""

from typing import Final

import numpy as np

from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.jit import Row, Rows, kernel, record

CANDLE: Final = record(
    ("open_ms", "i8"),
    ("symbol", "i8"),  # index into the portfolio's symbols, which are in sorted order
    ("open", "f8"),
    ("high", "f8"),
    ("low", "f8"),
    ("close", "f8"),
    ("volume", "f8"),  # base units
    ("flag_bits", "i8"),  # numpy scalars already have "flags"
)

FLAG_FILLED: Final = 1  # flat, put in for a missing candle by an importer that was asked to
FLAG_ABSENT: Final = 2  # flat, declared absent: nothing was received for this instant
FLAG_REPAIRED: Final = 4  # stamp snapped to the grid, or a duplicate resolved
FLAG_SYNTHETIC: Final = 8  # never traded anywhere
FLAG_UNLISTED: Final = 16  # absent because its market had not begun: flat at its first open
FLAG_NAMES: Final = {
    FLAG_FILLED: "flat-filled",
    FLAG_ABSENT: "absent",
    FLAG_REPAIRED: "repaired",
    FLAG_SYNTHETIC: "synthetic",
}

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
WEEK_MS: Final = 7 * DAY_MS

TIMEFRAMES: Final[dict[str, int]] = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "12h": 12 * HOUR_MS,
    "1d": DAY_MS,
    "1w": WEEK_MS,
}

# Days begin at 00:00 UTC and weeks on Monday; 1970-01-05 was the first Monday.
WEEK_ANCHOR_MS: Final = 4 * DAY_MS


def timeframe_ms(name: str) -> int:
    """Return the length of a timeframe such as `15m` in milliseconds, or raise DataError."""
    if name not in TIMEFRAMES:
        raise DataError(f"unknown timeframe {name!r}{did_you_mean(name, TIMEFRAMES)}")
    return TIMEFRAMES[name]


def timeframe_name(length_ms: int) -> str:
    """Return the name of a timeframe of this length, or raise DataError."""
    for name, value in TIMEFRAMES.items():
        if value == length_ms:
            return name
    raise DataError(f"no timeframe is {length_ms} ms long: choose one of {', '.join(TIMEFRAMES)}")


@kernel
def bucket_start(open_ms: int, length_ms: int) -> int:
    """Return the first millisecond of the candle of `length_ms` that holds `open_ms`."""
    anchor = WEEK_ANCHOR_MS if length_ms == WEEK_MS else 0
    return (open_ms - anchor) // length_ms * length_ms + anchor


# What `first_fault` answers, and how a message says it.
FAULTS: Final = {
    1: "a price or the volume is not finite",
    2: "a price is not above zero",
    3: "the high is below the low, the open or the close",
    4: "the low is above the open or the close",
    5: "the volume is negative",
    6: "the open time is not after the one before",
}


@kernel
def candle_fault(candle: Row) -> int:
    """Return 0 for a candle that can be traded on, otherwise a key of FAULTS."""
    if not (
        np.isfinite(candle.open)
        and np.isfinite(candle.high)
        and np.isfinite(candle.low)
        and np.isfinite(candle.close)
        and np.isfinite(candle.volume)
    ):
        return 1
    if candle.low <= 0.0 or candle.open <= 0.0 or candle.close <= 0.0:
        return 2
    if candle.high < candle.low or candle.high < candle.open or candle.high < candle.close:
        return 3
    if candle.low > candle.open or candle.low > candle.close:
        return 4
    if candle.volume < 0.0:
        return 5
    return 0


def describe(candle: Row) -> str:
    """Return one candle as a short line for a message."""
    stamp = np.datetime_as_string(np.datetime64(int(candle["open_ms"]), "ms"))
    prices = " ".join(f"{name} {float(candle[name]):g}" for name in ("open", "high", "low", "close"))
    return f"{stamp}Z {prices} volume {float(candle['volume']):g}"


def empty_candles(n: int) -> Rows:
    """Return `n` zeroed candles."""
    return np.zeros(n, CANDLE)
