"""
What the report's page is given: summary, trades, candles and equity, small enough to embed.

Candles are packed as differences of integers (price × 10^decimals), compressed: a year of minutes takes a few MB.
The equity curve is drawn from the lowest, the highest and the last value of every stretch, so that no drawdown is
hidden by drawing fewer points.
"""

import base64
import gzip
import itertools
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from papertape.engine.jit import FloatArray, IntArray, Rows

CURVE_STRETCHES: Final = 2_500
_LARGEST: Final = 2**30  # packed prices stay clear of the int32 limit, also after adding
_MOST_DECIMALS: Final = 8
_TRADE_COLUMNS: Final = (
    "number", "symbol", "side", "entry_price", "exit_price", "quantity", "stop_price", "target_price", "exit_reason",
    "bars", "pnl", "return_r", "is_ambiguous", "pnl_optimistic", "confidence", "score_model", "score_smc",
    "score_technical", "model_version", "regime",
)  # fmt: skip


def decimals_of(prices: FloatArray) -> int:
    """Return how many decimals are needed to write these prices, as far as int32 allows."""
    top = float(np.max(prices))
    most = min(_MOST_DECIMALS, math.floor(math.log10(_LARGEST / top)))
    for decimals in range(max(most, 0)):
        scaled = prices * 10.0**decimals
        # What float64 itself leaves over is far below; a digit that is dropped is far above.
        if np.all(np.abs(scaled - np.rint(scaled)) < 1e-6 + 1e-12 * scaled):
            return decimals
    return max(most, 0)


def pack_integers(values: IntArray) -> str:
    """Return integers as base64 of gzip of little-endian int32."""
    packed = gzip.compress(values.astype("<i4").tobytes(), 9, mtime=0)
    return base64.b64encode(packed).decode("ascii")


def unpack_integers(text: str) -> IntArray:
    """Return what `pack_integers` packed."""
    return np.frombuffer(gzip.decompress(base64.b64decode(text)), "<i4").astype(np.int64)


def pack_candles(candles: Rows) -> dict[str, Any]:
    """Return candles as differences: time and open to the one before, close to open, wicks to the body."""
    prices = np.stack([candles[name] for name in ("open", "high", "low", "close")])
    decimals = decimals_of(prices)
    opens, high, low, close = np.rint(prices * 10.0**decimals).astype(np.int64)
    before = np.concatenate([[0], close[:-1]])
    seconds = candles["open_ms"] // 1000
    columns = {
        "time": np.diff(seconds, prepend=0),
        "open": opens - before,
        "close": close - opens,
        "high": high - np.maximum(opens, close),
        "low": np.minimum(opens, close) - low,
    }
    return {"decimals": decimals, **{name: pack_integers(v) for name, v in columns.items()}}


def unpack_candles(packed: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Return time in seconds and prices as the page decodes them."""
    unit = 10.0 ** packed["decimals"]
    part = {
        name: unpack_integers(packed[name]) for name in ("time", "open", "close", "high", "low")
    }
    close = np.cumsum(part["open"] + part["close"])
    opens = close - part["close"]
    return {
        "time": np.cumsum(part["time"]).astype(np.float64),
        "open": opens / unit,
        "high": (np.maximum(opens, close) + part["high"]) / unit,
        "low": (np.minimum(opens, close) - part["low"]) / unit,
        "close": close / unit,
    }


def curve_points(values: FloatArray, stretches: int = CURVE_STRETCHES) -> IntArray:
    """Return the rows to draw: the lowest, the highest and the last of every stretch, in order."""
    n = len(values)
    if n <= 3 * stretches:
        return np.arange(n)
    edges = np.linspace(0, n, stretches + 1).astype(np.int64)
    rows = set()
    for start, stop in itertools.pairwise(edges.tolist()):
        part = values[start:stop]
        rows |= {start + int(np.argmin(part)), start + int(np.argmax(part)), stop - 1}
    return np.array(sorted(rows), dtype=np.int64)


def equity_curve(
    equity: pd.DataFrame, candles: Mapping[str, Rows], capital: float | None
) -> dict[str, list[float]]:
    """Return time, equity, buy-and-hold and drawdown at the drawn points."""
    worth = equity["equity"].to_numpy(np.float64)
    if not len(worth):
        return {name: [] for name in ("time", "equity", "hold", "drawdown")}
    start = capital if capital else float(worth[0])
    peak = np.maximum.accumulate(np.maximum(worth, start))
    below = worth / peak - 1.0
    rows = np.union1d(curve_points(worth), curve_points(below))
    seconds = pd.DatetimeIndex(equity["time"]).as_unit("s").asi8
    # Two marks may share a second only in data that has no place here; the page needs rising times.
    rows = rows[np.concatenate([[True], np.diff(seconds[rows]) > 0])]
    held = _hold(seconds[rows], candles, start)
    return {
        "time": seconds[rows].tolist(),
        "equity": np.round(worth[rows], 4).tolist(),
        "hold": np.round(held, 4).tolist(),
        "drawdown": np.round(below[rows], 6).tolist(),
    }


def _hold(seconds: IntArray, candles: Mapping[str, Rows], capital: float) -> FloatArray:
    """Return what equal parts of the capital, bought at the first close, are worth at these times."""
    parts = []
    for rows in candles.values():
        if len(rows):
            index = np.searchsorted(rows["open_ms"] // 1000, seconds, "left") - 1
            parts.append(rows["close"][np.maximum(index, 0)] / rows["close"][0])
    return capital * np.mean(parts, axis=0) if parts else np.zeros(len(seconds))


def trade_columns(trades: pd.DataFrame) -> dict[str, list[Any]]:
    """Return trades by column, NaN as null, times in seconds."""
    if not len(trades.columns):
        trades = pd.DataFrame(columns=[*_TRADE_COLUMNS])
    found: dict[str, list[Any]] = {}
    for name in _TRADE_COLUMNS:
        column = trades[name] if name in trades else pd.Series([None] * len(trades), dtype=object)
        found[name] = [None if pd.isna(value) else _plain(value) for value in column]
    for name, source in (("entry", "entry_time"), ("exit", "exit_time")):
        found[name] = [int(time.timestamp()) for time in trades.get(source, [])]
    costs = sum((trades[c] for c in ("fees", "slippage", "spread", "funding") if c in trades), 0.0)
    found["costs"] = [float(value) for value in costs] if isinstance(costs, pd.Series) else []
    return found


def _plain(value: Any) -> Any:
    """Return a numpy scalar as a Python one; floats are cut to what a page can show."""
    if isinstance(value, float | np.floating):
        return float(f"{float(value):.10g}")
    return value.item() if isinstance(value, np.generic) else value
