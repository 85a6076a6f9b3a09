"""
Series beside the candles: what was known of funding, marks, index, open interest and long/short ratio at every close.

Rows may come long before their time or late. A row is seen at closes from its own time on, and from its coming on, never
before; so a run does not depend on how far ahead rows are given, and live, where they come as they happen, equals replay.
A row with NaN says that a series is not known from then on: gaps are told, nothing is carried over them.

Of a candle of marks its open, high and low belong to the base candle that closes at the same time; what comes after that
base candle is a value for features and tests no liquidation any more.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray, Rows, join_rows
from papertape.engine.records import FUNDING_RATE, INDEX_PRICE, MARK_PRICE, SERIES, SERIES_NAMES

_N_KINDS: Final = len(SERIES_NAMES)
_NOT_YET: Final = np.iinfo(np.int64).min
_LARGEST_RATE: Final = 1.0  # of one settlement, as in `papertape.engine.broker.funding`


class KnownSeries:
    """
    The series of every symbol.

    values       shape (n_symbols, 5, most), known at each instant of the newest batch; (n_symbols, 0, 0): nobody reads any
    mark_ranges  shape (most, n_symbols, 3): open, high and low of the mark price in each of its candles, NaN where it is
                 not known; (0, n_symbols, 3): nobody asks
    """

    def __init__(self, n_symbols: int, base_ms: int, most: int, has_series: bool, has_marks: bool) -> None:
        self._base_ms, self._has_series, self._has_marks = base_ms, has_series, has_marks
        shape = (n_symbols, _N_KINDS, most) if has_series else (n_symbols, 0, 0)
        self.values: FloatArray = np.full(shape, np.nan)
        self.mark_ranges: FloatArray = np.full((most if has_marks else 0, n_symbols, 3), np.nan)
        self._waiting = np.zeros(0, SERIES)
        self._latest: FloatArray = np.full((n_symbols, _N_KINDS), np.nan)
        self._seen_ms: IntArray = np.full((n_symbols, _N_KINDS), _NOT_YET)

    def add(self, rows: Rows, symbols: Sequence[str]) -> None:
        """Take rows, or raise DataError for one that cannot be, before anything has changed."""
        self.refuse_bad(rows, symbols)
        if not self._has_series:
            rows = rows[(rows["kind"] == MARK_PRICE) & self._has_marks]
        self._wait_for(rows)

    def refuse_bad(self, rows: Rows, symbols: Sequence[str]) -> None:
        """Raise DataError for the first row that `add` would refuse."""
        refuse_bad_series(rows, symbols, self._newest_ms())

    def note_funding(self, time_ms: int, symbol: int, rate: float) -> None:
        """Let the rate of a settlement be known at every close after it; one that is older than the newest says nothing new."""
        if not self._has_series or time_ms < self._newest_ms()[symbol, FUNDING_RATE]:
            return
        row = np.zeros(1, SERIES)
        row["known_ms"], row["symbol"], row["kind"] = time_ms + 1, symbol, FUNDING_RATE
        for name in ("value", "open", "high", "low"):
            row[name] = rate
        self._wait_for(row)

    def _wait_for(self, rows: Rows) -> None:
        if not len(rows):
            return
        waiting = join_rows([self._waiting, np.ascontiguousarray(rows)])
        self._waiting = waiting[np.argsort(waiting["known_ms"], kind="stable")]

    def _newest_ms(self) -> IntArray:
        """Return until when each series is told already, seen or waiting."""
        newest = self._seen_ms.copy()
        waiting = self._waiting
        np.maximum.at(newest, (waiting["symbol"], waiting["kind"]), waiting["known_ms"])
        return newest

    def advance(self, candles: Rows, n: int) -> FloatArray:
        """Take `n` complete instants and return `values`, with `mark_ranges` of the same instants."""
        if not (self._has_series or self._has_marks) or not n:
            return self.values
        if self._has_series:
            self.values[:, :, :n] = self._latest[:, :, None]
        self.mark_ranges[:n] = np.nan
        if not len(self._waiting):
            return self.values
        n_symbols = len(self._latest)
        closes = candles["open_ms"][: n * n_symbols : n_symbols] + self._base_ms
        n_due = int(np.searchsorted(self._waiting["known_ms"], closes[-1], "right"))
        if not n_due:
            return self.values
        due, self._waiting = self._waiting[:n_due], self._waiting[n_due:]
        for number in np.unique(due["symbol"] * _N_KINDS + due["kind"]).tolist():
            symbol, kind = divmod(number, _N_KINDS)
            rows = due[(due["symbol"] == symbol) & (due["kind"] == kind)]
            self._see(rows, symbol, kind, closes)
        return self.values

    def _see(self, rows: Rows, symbol: int, kind: int, closes: IntArray) -> None:
        """Write what rows of one series say at each close."""
        known_ms = rows["known_ms"]
        if self._has_series:
            newest = np.searchsorted(known_ms, closes, "right") - 1
            is_told = newest >= 0
            self.values[symbol, kind, : len(closes)][is_told] = rows["value"][newest[is_told]]
        if self._has_marks and kind == MARK_PRICE:
            at = np.searchsorted(closes, known_ms)
            is_of_candle = closes[np.minimum(at, len(closes) - 1)] == known_ms
            for place, name in enumerate(("open", "high", "low")):
                self.mark_ranges[at[is_of_candle], symbol, place] = rows[name][is_of_candle]
        self._latest[symbol, kind] = rows["value"][-1]
        self._seen_ms[symbol, kind] = known_ms[-1]

    def save(self) -> dict[str, Rows]:
        """Return what was told so far."""
        return {
            "known_waiting": self._waiting.copy(),
            "known_latest": self._latest.copy(),
            "known_seen_ms": self._seen_ms.copy(),
        }

    def load(self, saved: dict[str, Rows]) -> None:
        """Take over what `save` returned."""
        self._waiting = saved["known_waiting"]
        self._latest[:] = saved["known_latest"]
        self._seen_ms[:] = saved["known_seen_ms"]


def refuse_bad_series(rows: Rows, symbols: Sequence[str], newest_ms: IntArray) -> None:
    """
    Raise DataError for the first row that no series can have.

    newest_ms  shape (n_symbols, 5), until when each is told already
    """
    if rows.dtype != SERIES:
        raise DataError(f"series: type {rows.dtype} is not the SERIES record")
    _refuse(
        rows,
        (rows["symbol"] < 0) | (rows["symbol"] >= len(symbols)),
        symbols,
        "its symbol is none of this engine",
    )
    _refuse(rows, (rows["kind"] < 0) | (rows["kind"] >= _N_KINDS), symbols, "its kind is unknown")
    value = rows["value"]
    is_price = (rows["kind"] == MARK_PRICE) | (rows["kind"] == INDEX_PRICE)
    is_rate = rows["kind"] == FUNDING_RATE
    _refuse(rows, np.isinf(value), symbols, "its value is not finite")
    _refuse(rows, is_price & (value <= 0.0), symbols, "its price is not above 0")
    _refuse(rows, is_rate & (np.abs(value) > _LARGEST_RATE), symbols, "its rate is not between -1 and 1")
    _refuse(rows, ~is_rate & (value < 0.0), symbols, "its value is below 0")
    is_range = (rows["kind"] == MARK_PRICE) & ~np.isnan(value)
    low, high = rows["low"], rows["high"]
    is_sound = (low > 0.0) & (low <= rows["open"]) & (low <= value) & (high >= value) & (high >= rows["open"])
    is_sound &= high < np.inf
    _refuse(rows, is_range & ~is_sound, symbols, "its open, high and low are no range around its value")
    for number in np.unique(rows["symbol"] * _N_KINDS + rows["kind"]).tolist():
        symbol, kind = divmod(number, _N_KINDS)
        at = np.flatnonzero((rows["symbol"] == symbol) & (rows["kind"] == kind))
        known_ms = rows["known_ms"][at]
        before = np.concatenate([newest_ms[symbol : symbol + 1, kind], known_ms[:-1]])
        is_bad = np.zeros(len(rows), bool)
        is_bad[at] = known_ms <= before
        _refuse(rows, is_bad, symbols, "it does not come after the one before it")


def _refuse(rows: Rows, is_bad: npt.NDArray[np.bool_], symbols: Sequence[str], why: str) -> None:
    if not is_bad.any():
        return
    index = int(np.argmax(is_bad))
    row = rows[index]
    symbol, kind = int(row["symbol"]), int(row["kind"])
    name = symbols[symbol] if 0 <= symbol < len(symbols) else f"symbol {symbol}"
    series = SERIES_NAMES[kind] if 0 <= kind < _N_KINDS else f"series {kind}"
    raise DataError(
        f"series row {index}: {why} ({series} of {name} at {row['known_ms']} ms, {row['value']:g})"
    )
