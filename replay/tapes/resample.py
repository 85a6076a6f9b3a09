"""
Longer candles from shorter ones, by the clock.

A candle of the new timeframe opens at the start of its bucket and is known at the bucket's end, whatever the tape
lacks inside. The first and the last bucket are left out when the tape does not reach over them; a bucket inside
with missing candles is made of those there are, as a venue would, and counted.
"""

import numpy as np

from papertape.engine.candles import empty_candles, timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.jit import IntArray, Rows
from papertape.replay.tapes.quality import measure
from papertape.replay.tapes.tape import Tape
from papertape.replay.tapes.timestamps import floor_to, utc_text


def resample(tape: Tape, timeframe: str) -> Tape:
    """
    Return the tape in a longer timeframe; flags are those of all candles inside.

    Raises DataError when the timeframe is no multiple of the tape's or no whole candle comes out.

    >>> from papertape.replay.tapes.synthetic import synthesize
    >>> hours = synthesize("noise", 48, "1h")
    >>> days = resample(hours, "1d")
    >>> len(days.candles), bool(days.candles["high"][0] == hours.candles["high"][:24].max())
    (2, True)
    """
    length_ms, base_ms = timeframe_ms(timeframe), tape.length_ms
    if length_ms <= base_ms or length_ms % base_ms:
        raise DataError(
            f"{tape.name}: cannot be resampled to {timeframe}, which is no multiple of {tape.timeframe}"
        )
    rows, dropped = _whole_buckets(tape.candles, base_ms, length_ms)
    if not len(rows):
        raise DataError(f"{tape.name}: no whole {timeframe} candle lies within the tape")
    candles, counts = _aggregate(rows, length_ms)
    partial = int((counts < length_ms // base_ms).sum())
    notes = [f"resampled from {tape.timeframe} by the UTC clock"]
    notes += [f"left out the incomplete {timeframe} candle of {utc_text(ms)}" for ms in dropped]
    if partial:
        notes.append(f"candles made from fewer than all {tape.timeframe} candles: {partial:,}")
    return Tape(
        candles,
        tape.venue,
        tape.symbol,
        timeframe,
        f"resampled from {tape.timeframe}: {tape.source or tape.name}",
        tape.kind,
        (*tape.notes, *notes),
        measure(candles, timeframe).as_dict(),
    )


def _whole_buckets(candles: Rows, base_ms: int, length_ms: int) -> tuple[Rows, list[int]]:
    """Return the candles of buckets that the tape reaches over, and the opens of those left out."""
    stamps = candles["open_ms"]
    first_ms, last_ms = int(stamps[0]), int(stamps[-1])
    buckets = floor_to(stamps, length_ms)
    first, last = 0, len(candles)
    dropped = []
    if first_ms != buckets[0]:
        first = int(np.searchsorted(buckets, buckets[0], "right"))
        dropped.append(int(buckets[0]))
    if last_ms + base_ms != buckets[-1] + length_ms:
        last = int(np.searchsorted(buckets, buckets[-1]))
        dropped.append(int(buckets[-1]))
    return candles[first : max(first, last)], sorted(set(dropped))


def _aggregate(rows: Rows, length_ms: int) -> tuple[Rows, IntArray]:
    """Return one candle per bucket, and how many candles each is made of."""
    buckets = floor_to(rows["open_ms"], length_ms)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(buckets) != 0]))
    ends = np.concatenate([starts[1:], [len(rows)]])
    candles = empty_candles(len(starts))
    candles["open_ms"] = buckets[starts]
    candles["open"] = rows["open"][starts]
    candles["high"] = np.maximum.reduceat(rows["high"], starts)
    candles["low"] = np.minimum.reduceat(rows["low"], starts)
    candles["close"] = rows["close"][ends - 1]
    candles["volume"] = np.add.reduceat(rows["volume"], starts)
    candles["flag_bits"] = np.bitwise_or.reduceat(rows["flag_bits"], starts)
    return candles, ends - starts
