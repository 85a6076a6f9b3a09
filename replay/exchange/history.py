"""
The candles of the history endpoint: reference 7.1, for traded series and for the series derived from them.

Buckets lie on the grid of the resolution in [max(start, end - cap), end]. Output begins at the first bucket with a
trade that the history knows of and goes on through the end, forming and future candles included: what has no trades is
padded flat. A window without any known trade is empty.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from papertape.engine.candles import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, WEEK_MS
from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.exchange.market import TapeMarket, joined
from papertape.replay.exchange.quirks import RestLag, Switches
from papertape.replay.exchange.trades import Candle

RESOLUTIONS: Final = {
    "5s": 5 * SECOND_MS,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": HOUR_MS,
    "2h": 2 * HOUR_MS,
    "4h": 4 * HOUR_MS,
    "6h": 6 * HOUR_MS,
    "1d": DAY_MS,
    "1w": WEEK_MS,
}


def candle_history(
    market: TapeMarket, length_ms: int, start_ms: int, end_ms: int, now_ms: int, switches: Switches
) -> list[Candle]:
    """Return what the history shows at `now_ms`, oldest first; bounds are inclusive."""
    lag_ms = int(switches.rest_lag_s * 1000)
    known_ms, shown_ms = _seen(market, length_ms, now_ms, lag_ms, switches.rest_lag)
    low_ms = max(start_ms, end_ms - switches.rest_cap * length_ms)
    first_ms = market.bucket(low_ms + length_ms - 1, length_ms)
    last_ms = min(market.bucket(end_ms, length_ms), shown_ms)
    found = _traded(market, length_ms, first_ms, min(last_ms + length_ms - 1, known_ms))
    return _padded(found, length_ms, last_ms) if switches.has_padding else found


def _seen(market: TapeMarket, length_ms: int, now_ms: int, lag_ms: int, lag: RestLag) -> tuple[int, int]:
    """Return until when trades are known, and the newest candle that may be shown."""
    if not lag_ms:
        return now_ms, int(np.iinfo(np.int64).max)
    known_ms = now_ms - lag_ms
    begun_ms = market.bucket(known_ms, length_ms)
    if lag == "absent":
        return begun_ms - 1, begun_ms - length_ms
    return (begun_ms - 1 if lag == "flat" else known_ms), int(np.iinfo(np.int64).max)


def _traded(market: TapeMarket, length_ms: int, first_ms: int, until_ms: int) -> list[Candle]:
    """Return the candles with trades that open from `first_ms` on, as they were at `until_ms`."""
    if until_ms < first_ms:
        return []
    base_ms = market.base_ms
    if length_ms % base_ms:
        return list(_from_trades(market, length_ms, first_ms, until_ms))
    whole_ms = market.bucket(until_ms + 1, base_ms)
    rows = slice(market.index(first_ms), market.index(whole_ms))
    found = _grouped(market, length_ms, rows)
    forming = market.candle(whole_ms, base_ms, until_ms) if whole_ms <= until_ms else None
    if forming is not None:
        open_ms = market.bucket(whole_ms, length_ms)
        before = found.pop() if found and found[-1].open_ms == open_ms else None
        found.append(joined(before, forming, open_ms))
    return found


def _from_trades(market: TapeMarket, length_ms: int, first_ms: int, until_ms: int) -> Iterator[Candle]:
    """Yield candles of a resolution that base candles do not divide."""
    seen = -1
    for trade in market.between(first_ms, until_ms + 1):
        open_ms = market.bucket(trade.time_ms, length_ms)
        if open_ms != seen:
            seen = open_ms
            candle = market.candle(open_ms, length_ms, until_ms)
            assert candle is not None
            yield candle


def _grouped(market: TapeMarket, length_ms: int, rows: slice) -> list[Candle]:
    """Return whole base candles aggregated; volumes are added in time order, as the stream adds them."""
    columns = {name: column[rows] for name, column in market.columns.items()}
    stamps = columns["open_ms"]
    if not len(stamps):
        return []
    if length_ms != market.base_ms:
        columns = _aggregated(columns, market.bucket(stamps, length_ms))
    return list(map(Candle, *(columns[name].tolist() for name in Candle._fields)))


def _aggregated(columns: dict[str, Any], buckets: Any) -> dict[str, Any]:
    starts = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
    ends = np.append(starts[1:], len(buckets))
    return {
        "open_ms": buckets[starts],
        "open": columns["open"][starts],
        "high": np.maximum.reduceat(columns["high"], starts),
        "low": np.minimum.reduceat(columns["low"], starts),
        "close": columns["close"][ends - 1],
        "volume": _sums_in_order(columns["volume"], starts, ends),
    }


def _sums_in_order(values: FloatArray, starts: IntArray, ends: IntArray) -> FloatArray:
    """Return the sum of each stretch, added from left to right; numpy's own sums go in pairs."""
    sums = values[starts].copy()
    for step in range(1, int((ends - starts).max())):
        at = starts + step
        is_inside = at < ends
        sums[is_inside] += values[at[is_inside]]
    return sums


def _padded(found: list[Candle], length_ms: int, last_ms: int) -> list[Candle]:
    """Return the candles with flat ones in every gap and up to `last_ms`."""
    if not found:
        return []
    if found[-1].open_ms == last_ms and len(found) == (last_ms - found[0].open_ms) // length_ms + 1:
        return found
    padded = []
    for candle, until_ms in zip(found, [*(c.open_ms for c in found[1:]), last_ms + length_ms], strict=True):
        padded.append(candle)
        close = candle.close
        padded += [
            Candle(open_ms, close, close, close, close, 0.0)
            for open_ms in range(candle.open_ms + length_ms, until_ms, length_ms)
        ]
    return padded
