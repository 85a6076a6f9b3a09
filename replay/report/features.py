"""
Features for the report's page: what a strategy named, as it saw it, thinned to what a page can hold.

A column lies on the candles when its values are prices, near those of the candles, and in a pane of its own otherwise;
columns of one request share a pane. Market structure (`smc`) is drawn as such.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.features import columns_of, split_request
from papertape.engine.features.table import FEATURES, is_built_in, read_request
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.replay.report.data import decimals_of, pack_integers

# of all symbols and columns: a year of minutes has two whole columns and more
MOST_VALUES: Final = 1_500_000
_DIGITS: Final = 4  # of a column's range that a pane of its own shows
_LARGEST: Final = 2**30
_SMALLEST: Final = 1e-100  # what is below is drawn as nothing
_NEAR: Final = 2.0  # within this factor of the close a price lies on the candles


class DrawnColumn(NamedTuple):
    """One column of the feature matrix that is drawn: its name, its row, what was asked for, and whether it is a price."""

    name: str
    row: int
    request: str
    is_price: bool | None  # None: nobody knows but the values


def drawn_columns(requests: Sequence[str], columns: Sequence[str]) -> list[DrawnColumn]:
    """Return which columns of a feature matrix are drawn for what a strategy names, in its order."""
    rows = {name: row for row, name in enumerate(columns)}
    found: dict[str, DrawnColumn] = {}
    for request in requests:
        names = columns_of(request)
        is_price = _are_prices(request)
        for name, price in zip(names, is_price, strict=True) if is_price else ():
            found.setdefault(name, DrawnColumn(name, rows[name], request, price))
    return list(found.values())


def _are_prices(request: str) -> Sequence[bool | None]:
    """Return of every column of a request whether it is a price of this market; nothing of structure."""
    asked = split_request(request)
    if not is_built_in(asked.name):
        return [None]
    feature = read_request(asked.name).feature
    if feature is FEATURES["smc"]:
        return []
    is_price = feature.price_power == 1 and not asked.symbol
    return [is_price and suffix not in feature.flat_outputs for suffix in feature.outputs]


class FeatureLines:
    """
    Keeps drawn columns of every symbol while a run computes them.

    n_closes  how many closes of the strategy's timeframe are expected; beyond MOST_VALUES every so manieth is kept
    """

    def __init__(self, columns: Sequence[DrawnColumn], n_symbols: int, n_closes: int) -> None:
        self.columns = columns
        self.stride = max(1, -(-len(columns) * n_symbols * n_closes // MOST_VALUES))
        self._rows = [column.row for column in columns]
        self._seen = [0] * n_symbols
        self._values: list[list[FloatArray]] = [[] for _ in range(n_symbols)]
        self._seconds: list[list[IntArray]] = [[] for _ in range(n_symbols)]

    def __call__(self, symbol: int, matrix: FloatArray, bars: Rows) -> None:
        """Take in one symbol's matrix at these closes, of which it has a column each."""
        first = -self._seen[symbol] % self.stride
        self._seen[symbol] += len(bars)
        chosen = np.arange(first, len(bars), self.stride)
        chosen = chosen[bars["flag_bits"][chosen] & FLAG_ABSENT == 0]
        self._values[symbol].append(matrix[np.ix_(self._rows, chosen)])
        # Beside every value half as much again: seconds fit into four bytes until 2106.
        self._seconds[symbol].append((bars["open_ms"][chosen] // 1000).astype(np.uint32))

    def left_out(self) -> list[str]:
        """Return the sentence that says how much is drawn, when that is not everything."""
        if self.stride == 1:
            return []
        return [
            f"Of every feature the report draws one value in {self.stride}: a page holds {MOST_VALUES:,} of them."
        ]

    def pack(self, symbols: Sequence[str], candles: Mapping[str, Rows]) -> dict[str, Any]:
        """
        Return what the page draws, by symbol: times of the candles, and every column in integers of its own unit.

        candles  by symbol, CANDLE records of the strategy's timeframe, of which prices are read
        """
        packed = {}
        for index, symbol in enumerate(symbols):
            if not self._seconds[index] or not self.columns:
                continue
            seconds = _in_one(self._seconds[index]).astype(np.int64)
            values = _in_one(self._values[index], axis=1)
            closes = _closes_at(candles[symbol], seconds)
            packed[symbol] = {
                "first": int(seconds[0]) if len(seconds) else 0,
                "time": pack_integers(np.diff(seconds, prepend=seconds[:1])),
                "columns": [
                    _column(column, row, closes) for column, row in zip(self.columns, values, strict=True)
                ],
            }
        return packed


def _closes_at(candles: Rows, seconds: IntArray) -> FloatArray:
    """Return the close of the candle that opened in each second."""
    rows = np.searchsorted(candles["open_ms"], 1000 * seconds + 999, "right") - 1
    return np.asarray(candles["close"][np.maximum(rows, 0)])


def _in_one(parts: list[Any], axis: int = 0) -> Any:
    """Return arrays as one, which takes their place: held twice, a page's features would be the most of a command."""
    parts[:] = [np.concatenate(parts, axis=axis)]
    return parts[0]


def is_on_candles(values: FloatArray, closes: FloatArray, is_price: bool | None) -> bool:
    """
    Return whether values lie on the candles: prices near the closes, half of them at least.

    is_price  None when nobody knows: then nearly all of them must be near, as an oscillator's are not
    """
    is_known = np.isfinite(values) & (closes > 0.0)
    if is_price is False or not is_known.any():
        return False
    ratio = values[is_known] / closes[is_known]
    share = ((ratio > 1.0 / _NEAR) & (ratio < _NEAR)).mean()
    return bool(share > (0.5 if is_price else 0.98))


def _column(column: DrawnColumn, values: FloatArray, closes: FloatArray) -> dict[str, Any]:
    """Return one column as the page reads it; what is not a number is told apart, where there is any."""
    is_number = np.isfinite(values)
    known = values[is_number]
    is_over = is_on_candles(values, closes, column.is_price)
    decimals = _decimals(known, closes, is_over)
    scaled = np.rint(np.where(is_number, values, 0.0) * 10.0**decimals).astype(np.int64)
    # What is missing stands as the value before it, so that it costs nothing.
    last = np.maximum.accumulate(np.where(is_number, np.arange(len(values)), 0))
    scaled = scaled[last]
    first = int(scaled[0]) if len(scaled) else 0
    packed: dict[str, Any] = {
        "name": column.name,
        "request": column.request,
        "is_over": is_over,
        "decimals": decimals,
        "first": first,
        "steps": pack_integers(np.diff(scaled, prepend=first)),
    }
    if not is_number.all():
        packed["is_number"] = pack_integers(is_number.astype(np.int64))
    return packed


def _decimals(known: FloatArray, closes: FloatArray, is_over: bool) -> int:
    """Return how many decimals show a column: those of the prices it lies on, or some digits of its range; below 0: tens."""
    if not len(known):
        return 0
    top = float(np.abs(known).max())
    if top < _SMALLEST:
        return 0
    most = int(np.floor(np.log10(_LARGEST / top)))
    if is_over:
        return min(decimals_of(closes), most)
    span = float(known.max() - known.min()) or top
    return min(_DIGITS - int(np.floor(np.log10(span))), most)
