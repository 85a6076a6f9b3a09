"""
Delta's JSON as values: numbers in any dress, times in any unit, bars as candles.

Source: ../shared/reference/delta-exchange.md, sections 2 and 4.5.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.candles import CANDLE
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.replay.sources.rules import good_rows
from papertape.replay.tapes.raw import PRICES

# Times by size, as the reference classifies them: seconds, milliseconds, microseconds, nanoseconds.
_SCALES: Final = ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3), (math.inf, 1e-6))


def number(value: Any) -> float:
    """Return a number given as a number or as text; NaN when it is absent, empty or not finite."""
    if isinstance(value, bool) or value is None:
        return math.nan
    try:
        found = float(value)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def time_to_ms(value: Any) -> int:
    """Return a time in any unit as ms since the epoch; 0 when there is none."""
    stamp = number(value)
    if not stamp > 0.0:
        return 0
    return round(stamp * next(scale for limit, scale in _SCALES if stamp < limit))


def is_trade_series(symbol: str) -> bool:
    """Return whether candles of a symbol come from trades; MARK:, FUNDING:, OI: and index series do not."""
    return ":" not in symbol and not symbol.startswith(".")


def column(records: Sequence[dict[str, Any]], name: str) -> FloatArray:
    """Return one key of many records as numbers, NaN where there is none."""
    values = [record.get(name) for record in records]
    try:
        found = np.array(values, dtype=np.float64)  # also takes None and numbers as text
    except (TypeError, ValueError):
        found = np.array([number(value) for value in values], dtype=np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def parse_bars(result: Any, counts: Counter[str]) -> tuple[IntArray, list[dict[str, Any]]]:
    """
    Return the open times of a list of bars in ms, and the bars, newest and oldest in any order.

    counts  gains `malformed` for what is no bar with a time
    """
    items = result if isinstance(result, list) else []
    bars = [item for item in items if isinstance(item, dict) and time_to_ms(item.get("time"))]
    counts["malformed"] += len(items) - len(bars)
    return np.array([time_to_ms(bar["time"]) for bar in bars], dtype=np.int64), bars


def bars_to_candles(
    open_ms: IntArray,
    bars: Sequence[dict[str, Any]],
    length_ms: int,
    counts: Counter[str],
    *,
    is_traded: bool = True,
) -> Rows:
    """
    Return bars as CANDLE rows in time order, one per stamp, volume as the venue counts it.

    is_traded, counts  as for `good_rows`
    """
    rows = np.zeros(len(bars), CANDLE)
    rows["open_ms"] = open_ms
    for name in PRICES:
        rows[name] = column(bars, name)
    volume = column(bars, "volume")
    rows["volume"] = np.where(np.isnan(volume), 0.0, volume)
    return good_rows(rows, length_ms, counts, is_traded=is_traded)
