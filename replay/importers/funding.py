"""Funding rates as venues and other tools write them: one file of one perpetual, CSV or Parquet, checked as a whole."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.importers.source import FileSource, open_sources
from papertape.replay.importers.table import TextTable, is_number, numbers, read_table, split
from papertape.replay.importers.times import numeric_times, text_times, times
from papertape.replay.tapes.raw import Part
from papertape.replay.tapes.timestamps import utc_text

_LARGEST_RATE: Final = 0.2  # of one settlement; the widest cap of a venue is a tenth of it
_LATE_MS: Final = 5_000  # venues stamp a settlement some milliseconds late
_MINUTE_MS: Final = 60_000
# Names of columns, in small letters without what is no letter.
_TIMES: Final = ("fundingtime", "time", "timestamp", "date", "datetime", "calctime")
_RATES: Final = ("fundingrate", "rate", "lastfundingrate", "funding")
_PRICES: Final = ("markprice", "price")
_SYMBOLS: Final = ("symbol", "instrument", "pair")


@dataclass(frozen=True, slots=True)
class FundingRates:
    """
    What a perpetual's longs paid its shorts, by settlement.

    time_ms  of each settlement, ascending, on the minute where a venue stamped it some ms late
    rates    fraction of the notional for that very interval; above zero longs pay
    prices   mark price at each settlement, quote per base; None where the file has none
    holes    (last settlement before, first after, how many are missing between)
    """

    name: str
    sha256: str
    time_ms: IntArray
    rates: FloatArray
    prices: FloatArray | None
    holes: tuple[tuple[int, int, int], ...]


def read_funding(path: Path, symbol: str) -> FundingRates:
    """
    Return the funding rates in a file, or raise DataError with the row that is at fault.

    A time (`funding_time`, `timestamp`, `date`, …), a rate (`funding_rate`, `rate`, …) and, if there is one, a mark price;
    without a header: time and rate. A column of symbols has to name this one alone.
    """
    source = open_sources(path)[0]
    columns, part = _parquet(source) if source.data[:4] == b"PAR1" else _text(source)
    stamps = _column(columns, _TIMES, source.name, "time")
    rates = _column(columns, _RATES, source.name, "rate")
    prices = next((columns[name] for name in _PRICES if name in columns), None)
    for name in _SYMBOLS:
        if name in columns:
            _refuse_other(set(columns[name]), symbol, source.name)
    time_ms = _on_the_minute(stamps)
    _refuse_bad(time_ms, rates, prices, part)
    digest = hashlib.sha256(source.data).hexdigest()
    return FundingRates(path.name, digest, time_ms, rates, prices, _holes(time_ms))


def _parquet(source: FileSource) -> tuple[dict[str, Any], Part]:
    try:
        table = pq.read_table(pa.BufferReader(source.data))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{source.name}: no Parquet file that can be read: {error}") from error
    part = Part(0, source.name, 1)
    found: dict[str, Any] = {}
    for name in table.column_names:
        column, key = table.column(name), _key(name)
        if key in _SYMBOLS:
            found[key] = column.to_pylist()
        elif key in _TIMES:
            found[key] = _arrow_times(column, part)
        elif key in (*_RATES, *_PRICES):
            values = column.to_numpy(zero_copy_only=False)
            found[key] = np.asarray(values, np.float64)
    return found, part


def _arrow_times(column: Any, part: Part) -> IntArray:
    if pa.types.is_timestamp(column.type):
        milliseconds = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
        return np.asarray(milliseconds.to_numpy(), np.int64)
    if pa.types.is_string(column.type):
        return text_times(column.to_pylist(), part)[0]
    return numeric_times(np.asarray(column.to_numpy(zero_copy_only=False)), part)[0]


def _text(source: FileSource) -> tuple[dict[str, Any], Part]:
    if not source.lines:
        raise DataError(f"{source.name}: neither CSV nor Parquet; write a time and a rate in each row")  # fmt: skip
    cells = split(source.lines[0])
    has_header = not any(is_number(cell) for cell in cells)
    table = read_table(source, has_header=has_header)
    names = [_key(name) for name in table.header or ("time", "rate", "markprice")[: len(cells)]]
    found: dict[str, Any] = {}
    for index, name in enumerate(names[: len(table.columns)]):
        if name in _SYMBOLS:
            found[name] = table.columns[index].to_pylist()
        elif name in _TIMES:
            found[name] = _text_times(table, index)
        elif name in (*_RATES, *_PRICES):
            found[name] = numbers(table, index, name)
    return found, table.part


def _text_times(table: TextTable, index: int) -> IntArray:
    first = str(table.columns[index][0].as_py())
    if re.fullmatch(r"\d{8} \d\d:\d\d:\d\d", first):  # LEAN's
        return text_times(table.columns[index].to_pylist(), table.part, "%Y%m%d %H:%M:%S")[0]
    return times(table, index)[0]


def _key(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _column(columns: dict[str, Any], names: tuple[str, ...], file: str, what: str) -> Any:
    for name in names:
        if name in columns:
            return columns[name]
    raise DataError(f"{file}: there is no {what}; name its column one of {', '.join(names)}")


def _refuse_other(named: set[Any], symbol: str, file: str) -> None:
    """Raise DataError for rates of another market; BTC/USDT:USDT and BTC-USDT are BTCUSDT."""
    wanted = _market(symbol)
    others = sorted(str(name) for name in named if _market(str(name)) != wanted)
    if others:
        raise DataError(f"{file}: these are rates of {', '.join(others[:3])}, not of {symbol}")


def _market(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper().partition(":")[0])


def _on_the_minute(stamps: IntArray) -> IntArray:
    """Return times with those that are seconds off a minute on it: a settlement belongs to what was held at that minute."""
    nearest = (stamps + _MINUTE_MS // 2) // _MINUTE_MS * _MINUTE_MS
    return np.asarray(np.where(np.abs(stamps - nearest) <= _LATE_MS, nearest, stamps), np.int64)


def _refuse_bad(
    time_ms: IntArray, rates: FloatArray, prices: FloatArray | None, part: Part
) -> None:
    if not len(time_ms):
        raise DataError(f"{part.name}: there is no settlement in it")
    bad = ~(np.abs(rates) <= _LARGEST_RATE)
    if bad.any():
        index = int(np.argmax(bad))
        raise DataError(
            f"{part.where(index)}: the rate {rates[index]:g} is not between -{_LARGEST_RATE} and {_LARGEST_RATE}; it is a "
            "fraction of the notional, 0.0001 for 0.01 %"
        )
    if prices is not None and not ((prices > 0.0) & (prices < np.inf)).all():
        index = int(np.argmax(~((prices > 0.0) & (prices < np.inf))))
        raise DataError(f"{part.where(index)}: the mark price {prices[index]:g} is not above 0")
    later = np.flatnonzero(np.diff(time_ms) <= 0)
    if len(later):
        index = int(later[0]) + 1
        raise DataError(
            f"{part.where(index)}: {utc_text(int(time_ms[index]))} does not come after the settlement before it, "
            f"{utc_text(int(time_ms[index - 1]))}"
        )


def _holes(time_ms: IntArray) -> tuple[tuple[int, int, int], ...]:
    """
    Return where settlements are missing: a step longer than what is usual on both sides of it.

    An interval that changes, from four hours to one, is usual on one side; venues do that.
    """
    steps = np.diff(time_ms)
    found = []
    for index in np.flatnonzero(steps > steps.min()) if len(steps) else ():
        around = [s for s in (steps[max(index - 5, 0) : index], steps[index + 1 : index + 6]) if len(s)]  # fmt: skip
        usual = [int(np.median(side)) for side in around]
        if usual and steps[index] > max(usual):
            missing = round(int(steps[index]) / min(usual)) - 1
            found.append((int(time_ms[index]), int(time_ms[index + 1]), missing))
    return tuple(found)
