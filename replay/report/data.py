"""
What the report's page is given: summary, trades, candles and equity, small enough to embed.

Candles are packed as differences of integers (price × 10^decimals), compressed: a year of minutes takes a few MB.
Integers take as few bytes as the largest needs, first all lowest bytes, then all next ones: that way what varies stands
apart from what does not, and Huffman codes alone pack better than a search for repetitions, a hundred times faster.
The equity curve is drawn from the lowest, the highest and the last value of every stretch, so that no drawdown is
hidden by drawing fewer points.
"""

import base64
import functools
import itertools
import math
import operator
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.performance.curve import Marks, units_of
from papertape.replay.tapes.tables import Table

MOST_CANDLES: Final = 600_000  # of all symbols: a year of minutes is drawn whole
_FOLDS: Final = {"high": np.maximum, "low": np.minimum, "volume": np.add}
CURVE_STRETCHES: Final = 2_500
_STRETCH_ROWS: Final = 65_536
_LARGEST: Final = 2**30  # packed prices stay clear of the int32 limit, also after adding
_MOST_DECIMALS: Final = 8
_MOST_POWER: Final = 100
_NO_NUMBER: Final = 127
_DIGITS: Final = 10  # significant, of floats in the trade list
_TRADE_COLUMNS: Final = (
    "number", "symbol", "side", "entry_price", "exit_price", "quantity", "stop_price", "last_stop_price", "target_price", "exit_reason",
    "bars", "pnl", "return_r", "is_ambiguous", "pnl_optimistic", "confidence", "score_model", "score_smc",
    "score_technical", "model_version", "regime",
    "entry_tag", "exit_tag",
)  # fmt: skip


def decimals_of(prices: FloatArray, top: float | None = None) -> int:
    """
    Return how many decimals are needed to write these prices, as far as int32 allows for the highest, `top`.

    Below zero where it allows tens, hundreds, … alone.
    """
    top = float(np.max(prices)) if top is None else top
    most = min(_MOST_DECIMALS, math.floor(math.log10(_LARGEST / top)))
    for decimals in range(most):
        if all(_are_whole(part * 10.0**decimals) for part in _parts(prices)):
            return decimals
    return most


def _are_whole(scaled: FloatArray) -> bool:
    # What float64 itself leaves over is far below; a digit that is dropped is far above.
    return bool(np.all(np.abs(scaled - np.rint(scaled)) < 1e-6 + 1e-12 * scaled))


def _parts(values: Any) -> Iterator[Any]:
    """Yield an array in stretches, whose working copies are small: of a million candles each whole one takes 8 MB."""
    for start in range(0, len(values), _STRETCH_ROWS):
        yield values[start : start + _STRETCH_ROWS]


def _joined(values: Any, work: Callable[[Any], Any], dtype: Any) -> Any:
    """Return what `work` makes of every stretch, as one array of this type."""
    found = np.empty(len(values), dtype)
    start = 0
    for part in _parts(values):
        found[start : start + len(part)] = work(part)
        start += len(part)
    return found


def pack_integers(values: IntArray) -> str:
    """Return integers within int32 as text: bytes of each, then base64 of zlib of those bytes, the lowest of all first."""
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
    width = next(w for w in (1, 2, 4) if -(1 << (8 * w - 1)) <= low and high < 1 << (8 * w - 1))
    planes = values.astype(f"<i{width}").view(np.uint8).reshape(len(values), width).T
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    packed = packer.compress(planes.tobytes()) + packer.flush()
    return f"{width}{base64.b64encode(packed).decode('ascii')}"


def joined_column(candles: Rows, name: str, size: int) -> Any:
    """
    Return one field of candles of which every so many are one, with their true high and low; times are those of the first.

    A field at a time, for a million joined records at once take 36 MB.
    """
    values = candles[name]
    if size <= 1:
        return values
    starts = np.arange(0, len(values), size)
    if name == "close":
        return values[np.minimum(starts + size, len(values)) - 1]
    return _FOLDS[name].reduceat(values, starts) if name in _FOLDS else values[starts]


def pack_candles(candles: Rows, most: int = MOST_CANDLES) -> dict[str, Any]:
    """
    Return candles as differences: time and open to the one before, close to open, wicks to the body.

    most  more than these are joined, as many as it takes
    """
    count, size = len(candles), -(-len(candles) // most)

    def column(name: str) -> Any:
        return joined_column(candles, name, size)

    names = ("open", "high", "low", "close")
    top = float(np.max(candles["high"]))
    decimals = max(decimals_of(column(name), top) for name in names)

    def integers(name: str) -> Any:
        # Packed as soon as it is known: a million integers take 4 MB.
        return _joined(column(name), lambda prices: np.rint(prices * 10.0**decimals), np.int32)

    opens, close = integers("open"), integers("close")
    found: dict[str, Any] = {
        "count": count,
        "joined": size,
        "first": int(candles["open_ms"][0] // 1000),
        "decimals": decimals,
        "first_open": int(opens[0]),
    }
    # The first price and time stand apart: one large number would make every other one as wide.
    seconds = column("open_ms") // 1000
    found["time"] = pack_integers(np.diff(seconds, prepend=seconds[0]))
    del seconds
    found["open"] = pack_integers(opens - np.concatenate([opens[:1], close[:-1]]))
    found["close"] = pack_integers(close - opens)
    found["high"] = pack_integers(integers("high") - np.maximum(opens, close))
    found["low"] = pack_integers(np.minimum(opens, close) - integers("low"))
    del opens, close
    digits, power = three_digits(column("volume"))
    return found | {"volume": pack_integers(digits), "volume_power": pack_integers(power)}


def pack_steps(values: IntArray) -> dict[str, Any]:
    """Return integers as their first and the differences to the one before."""
    first = int(values[0]) if len(values) else 0
    return {"first": first, "steps": pack_integers(np.diff(values, prepend=first))}


def pack_floats(values: FloatArray, digits: int = 6) -> dict[str, str]:
    """Return values of any size as digits × 10^power, to so many significant digits; what is no number has its own power."""
    size = np.abs(np.asarray(values, np.float64))
    is_number = np.isfinite(size) & (size < 10.0**_MOST_POWER)
    is_some = is_number & (size > 10.0**-_MOST_POWER)
    power = np.floor(np.log10(np.where(is_some, size, 1.0))).astype(np.int64) - digits + 1
    whole = np.rint(np.where(is_some, values, 0.0) / 10.0 ** power.astype(np.float64))
    power[~is_some] = 0
    power[~is_number] = _NO_NUMBER
    return {"digits": pack_integers(whole.astype(np.int64)), "power": pack_integers(power)}


def three_digits(values: FloatArray) -> tuple[Any, Any]:
    """Return values of at least 0 as (digits, power), digits × 10^power, to the three digits that a chart shows."""
    powers = _joined(values, _power_of, np.int16)
    digits = np.empty(len(values), np.int16)
    for part, power, out in zip(_parts(values), _parts(powers), _parts(digits), strict=True):
        out[:] = np.rint(part / 10.0 ** power.astype(np.int64))
    return digits, powers


def _power_of(values: FloatArray) -> Any:
    return np.floor(np.log10(np.where(values > 0.0, values, 1.0))) - 2


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


def curve_of(marks: Marks) -> tuple[IntArray, FloatArray]:
    """Return times in ms and equity in quote."""
    return np.ascontiguousarray(marks["time_ms"]), marks["equity"] / units_of(marks)


def equity_curve(
    marks: Marks, candles: Mapping[str, Rows], capital: float | None, held_return: float | None = None
) -> dict[str, list[float]]:
    """
    Return time, equity, buy-and-hold and drawdown at the drawn points.

    held_return  of buy-and-hold as the metrics have it: the curve ends there, so that a page has one figure for it
    """
    time_ms, worth = curve_of(marks)
    if not len(worth):
        return {name: [] for name in ("time", "equity", "hold", "drawdown")}
    start = capital if capital else float(worth[0])
    below = np.maximum(worth, start)
    np.maximum.accumulate(below, out=below)
    np.divide(worth, below, out=below)
    below -= 1.0
    rows = np.union1d(curve_points(worth), curve_points(below))
    seconds = time_ms[rows] // 1000
    # Two marks may share a second only in data that has no place here; the page needs rising times.
    is_later = np.concatenate([[True], np.diff(seconds) > 0])
    rows, seconds = rows[is_later], seconds[is_later]
    held = _hold(seconds, candles, start)
    if held_return is not None and held[-1] > 0.0:
        held *= start * (1.0 + held_return) / held[-1]
    return {
        "time": seconds.tolist(),
        "equity": curve_values(worth[rows]),
        "hold": curve_values(held),
        "drawdown": np.round(below[rows], 6).tolist(),
    }


def curve_values(amounts: FloatArray) -> list[Any]:
    """Return amounts of a curve to four decimals, or to nine digits of the largest where those are finer, as of bitcoin."""
    largest = float(np.abs(amounts).max(initial=0.0))
    decimals = 8 - math.floor(math.log10(largest)) if 0.0 < largest < math.inf else 0
    return list(np.round(amounts, max(decimals, 4)).tolist())


def _hold(seconds: IntArray, candles: Mapping[str, Rows], capital: float) -> FloatArray:
    """Return what equal parts of the capital, bought at the first close, are worth at these times."""
    parts = []
    for rows in candles.values():
        if len(rows):
            index = np.searchsorted(rows["open_ms"] // 1000, seconds, "left") - 1
            parts.append(rows["close"][np.maximum(index, 0)] / rows["close"][0])
    return capital * np.mean(parts, axis=0) if parts else np.zeros(len(seconds))


def pack_trades(trades: Table) -> dict[str, list[Any]]:
    """Return trades as the page lists them, NaN as null, times in seconds; nothing of none."""
    if not trades:
        return {name: [] for name in (*_TRADE_COLUMNS, "entry", "exit", "costs")}
    found = {name: plain_values(trades[name]) for name in _TRADE_COLUMNS}
    for name in ("entry", "exit"):
        found[name] = trades[f"{name}_time"].astype("datetime64[s]").astype(np.int64).tolist()
    costs = [trades[name] for name in ("fees", "slippage", "spread", "funding")]
    found["costs"] = plain_values(functools.reduce(operator.add, costs))
    return found


def plain_values(values: FloatArray) -> list[Any]:
    """Return a column as JSON has it, floats cut to what a page can show and NaN as None."""
    if values.dtype.kind != "f":
        return list(values.tolist())
    is_number = np.isfinite(values)
    size = np.where(is_number & (values != 0.0), np.abs(values), 1.0)
    unit = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(size)))
    rounded = (np.rint(np.where(is_number, values, 0.0) * unit) / unit).astype(object)
    rounded[~is_number] = None
    return list(rounded.tolist())
