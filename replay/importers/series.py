"""Series beside candles as venues and other tools write them: one file of one market, CSV or Parquet, checked as a whole."""

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
from papertape.engine.records import (
    FUNDING_RATE,
    INDEX_PRICE,
    LONG_SHORT_RATIO,
    MARK_PRICE,
    OPEN_INTEREST,
    SERIES_NAMES,
)
from papertape.replay.importers.generic import parquet_numbers
from papertape.replay.importers.rates import LARGEST_RATE, RATE_IS_KNOWN
from papertape.replay.importers.refuse import SYMBOLS, other_markets
from papertape.replay.importers.source import FileSource, open_sources
from papertape.replay.importers.table import TextTable, is_number, numbers, read_table, split
from papertape.replay.importers.times import numeric_times, text_times, times
from papertape.replay.tapes.raw import Part
from papertape.replay.tapes.timestamps import utc_text

LATE_MS: Final = 5_000  # venues stamp a settlement some milliseconds late
_MINUTE_MS: Final = 60_000
# Names of columns, in small letters without what is no letter.
_TIMES: Final = ("fundingtime", "time", "timestamp", "date", "datetime", "calctime", "opentime", "createtime")
_VALUES: Final = {
    FUNDING_RATE: ("fundingrate", "rate", "lastfundingrate", "funding"),
    MARK_PRICE: ("markprice", "mark", "close", "price", "value"),
    INDEX_PRICE: ("indexprice", "index", "close", "price", "value"),
    OPEN_INTEREST: ("openinterest", "sumopeninterest", "openinterestamount", "oi", "close", "value"),
    LONG_SHORT_RATIO: ("longshortratio", "countlongshortratio", "ratio", "value"),
}
_WHAT: Final = {
    FUNDING_RATE: "rate",
    MARK_PRICE: "mark price",
    INDEX_PRICE: "index price",
    OPEN_INTEREST: "open interest",
    LONG_SHORT_RATIO: "long/short ratio",
}
_PRICES: Final = ("markprice", "price")  # beside a rate
_RANGE: Final = ("open", "high", "low")
_VENUES: Final = ("venue", "exchange")
_TEXTS: Final = (*SYMBOLS, *_VENUES)
_NUMBERS: Final = frozenset(name for names in _VALUES.values() for name in names) | {*_PRICES, *_RANGE}


@dataclass(frozen=True, slots=True)
class SeriesFile:
    """
    A recorded series of one market.

    kind      FUNDING_RATE, MARK_PRICE …
    time_ms   ascending: of each settlement, on the minute where a venue stamped it some ms late; of any other value when it
              was known, of a candle its close
    values    as in `papertape.engine.records.SERIES`
    ranges    shape (n, 3), open, high and low of candles; None where the file has single values
    prices    mark price at each settlement, quote per base; None where the file has none
    step_ms   from one value to the next, as is usual
    holes     (last value before, first after, how many are missing between)
    venues    that the file names
    unknown_ms  settlements of which the file says that no rate was known; None where it says nothing of such
    """

    kind: int
    name: str
    sha256: str
    time_ms: IntArray
    values: FloatArray
    ranges: FloatArray | None
    prices: FloatArray | None
    step_ms: int
    holes: tuple[tuple[int, int, int], ...]
    venues: tuple[str, ...] = ()
    unknown_ms: IntArray | None = None


def read_series(path: Path, symbol: str, kind: int) -> SeriesFile:
    """
    Return the series in a file, or raise DataError with the row that is at fault.

    A time (`funding_time`, `timestamp`, `open_time`, …) and a value (`funding_rate`, `mark_price`, `open_interest`, …, or
    `close`, with open, high and low beside it in a file of candles); beside rates a mark price, if there is one. Without a
    header: time and value. A column of symbols has to name this one alone.
    """
    sources = open_sources(path)
    if len(sources) > 1:
        raise DataError(f"{path.name}: it holds {len(sources)} files; a series is one, so join them")
    source = sources[0]
    is_parquet = source.data[:4] == b"PAR1"
    columns, part = _parquet(source) if is_parquet else _text(source, kind)
    time_ms = _column(columns, _TIMES, source.name, "time")
    values = _column(columns, _VALUES[kind], source.name, _WHAT[kind])
    for name in SYMBOLS:
        if name in columns:
            _refuse_other(set(columns[name]), symbol, kind, source.name)
    ranges = prices = unknown_ms = None
    if kind == FUNDING_RATE:
        time_ms = _on_the_minute(time_ms)
        prices = next((columns[name] for name in _PRICES if name in columns), None)
        if RATE_IS_KNOWN in columns:
            is_known = columns[RATE_IS_KNOWN]
            time_ms, values, unknown_ms = time_ms[is_known], values[is_known], time_ms[~is_known]
            prices = None if prices is None else prices[is_known]
    elif "close" in columns and all(name in columns for name in _RANGE):
        values = columns["close"]
        ranges = np.stack([columns[name] for name in _RANGE], axis=1)
    _refuse_bad(kind, time_ms, values, part)
    if prices is not None:
        _refuse_unless((prices > 0.0) & (prices < np.inf), prices, part, "the mark price", "is not above 0")
    if ranges is not None:
        opens, highs, lows = ranges.T
        is_sound = (lows > 0.0) & (lows <= np.minimum(opens, values)) & (highs >= np.maximum(opens, values))
        _refuse_unless(is_sound, values, part, "the candle that closes at", "has no low and high around it")
    steps = np.diff(time_ms)
    step_ms = int(np.median(steps)) if len(steps) else 0
    if ranges is not None:
        if not step_ms:
            raise DataError(f"{source.name}: one candle does not say how long it is; give two or more")
        time_ms = time_ms + step_ms
    digest = hashlib.sha256(source.data).hexdigest()
    venues = {str(venue) for name in _VENUES for venue in columns.get(name, ())}
    return SeriesFile(
        kind,
        path.name,
        digest,
        time_ms,
        values,
        ranges,
        prices,
        step_ms,
        _holes(time_ms),
        tuple(sorted(venues)),
        unknown_ms,
    )


def _parquet(source: FileSource) -> tuple[dict[str, Any], Part]:
    try:
        table = pq.read_table(pa.BufferReader(source.data))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{source.name}: no Parquet file that can be read: {error}") from error
    part = Part(0, source.name, 1)
    if not table.num_rows:
        raise DataError(f"{source.name}: no row of data")
    _refuse_twice([_key(name) for name in table.column_names], source.name)
    found: dict[str, Any] = {}
    for column, key in zip(table.columns, map(_key, table.column_names), strict=True):
        if key in _TEXTS:
            found[key] = column.to_pylist()
        elif key in _TIMES:
            found[key] = _arrow_times(column, part)
        elif key == _key(RATE_IS_KNOWN) and pa.types.is_boolean(column.type):
            found[RATE_IS_KNOWN] = np.asarray(column.to_numpy(), bool)
        elif key in _NUMBERS:
            found[key] = parquet_numbers(column, source.name, key)
    return found, part


def _refuse_twice(names: list[str], file: str) -> None:
    """Raise DataError where a column that would be read stands twice: nothing says which one is meant."""
    read = {*_TIMES, *_TEXTS, *_NUMBERS}
    twice = sorted(name for name in read if names.count(name) > 1)
    if twice:
        raise DataError(f"{file}: {names.count(twice[0])} columns are called {twice[0]}; leave one")


def _arrow_times(column: Any, part: Part) -> IntArray:
    if column.null_count:
        raise DataError(f"{part.name}: {column.null_count:,} rows have no time")
    if pa.types.is_timestamp(column.type):
        milliseconds = column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
        return np.asarray(milliseconds.to_numpy(), np.int64)
    if pa.types.is_string(column.type):
        return text_times(column.to_pylist(), part)[0]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(f"{part.name}: the time column of type {column.type} holds no times")
    return numeric_times(np.asarray(column.to_numpy(zero_copy_only=False)), part)[0]


def _text(source: FileSource, kind: int) -> tuple[dict[str, Any], Part]:
    if not source.lines:
        raise DataError(
            f"{source.name}: neither CSV nor Parquet; write a time and a {_WHAT[kind]} in each row"
        )
    cells = split(source.lines[0])
    has_header = not any(is_number(cell) for cell in cells)
    table = read_table(source, has_header=has_header)
    names = [_key(name) for name in table.header or ("time", _VALUES[kind][0], "markprice")[: len(cells)]]
    _refuse_twice(names, source.name)
    found: dict[str, Any] = {}
    for index, name in enumerate(names[: len(table.columns)]):
        if name in _TEXTS:
            found[name] = table.columns[index].to_pylist()
        elif name in _TIMES:
            found[name] = _text_times(table, index)
        elif name in _NUMBERS:
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


def _refuse_other(named: set[Any], symbol: str, kind: int, file: str) -> None:
    """Raise DataError for a series of another market; BTC/USDT:USDT and BTC-USDT are BTCUSDT."""
    if None in named:
        raise DataError(f"{file}: some rows name no symbol; fill it in, or leave the column out")
    others = other_markets(named, symbol)
    if others:
        what = "rates" if kind == FUNDING_RATE else f"values of {SERIES_NAMES[kind]}"
        raise DataError(f"{file}: these are {what} of {', '.join(others[:3])}, not of {symbol}")


def _on_the_minute(stamps: IntArray) -> IntArray:
    """Return times with those that are seconds off a minute on it: a settlement belongs to what was held at that minute."""
    nearest = (stamps + _MINUTE_MS // 2) // _MINUTE_MS * _MINUTE_MS
    return np.asarray(np.where(np.abs(stamps - nearest) <= LATE_MS, nearest, stamps), np.int64)


def _refuse_bad(kind: int, time_ms: IntArray, values: FloatArray, part: Part) -> None:
    what = "settlement" if kind == FUNDING_RATE else "value"
    if not len(time_ms):
        raise DataError(f"{part.name}: there is no {what} in it")
    if kind == FUNDING_RATE:
        rule = f"is not between -{LARGEST_RATE} and {LARGEST_RATE}; it is a fraction of the notional, 0.0001 for 0.01 %"
        _refuse_unless(np.abs(values) <= LARGEST_RATE, values, part, "the rate", rule)
    else:
        is_price = kind in (MARK_PRICE, INDEX_PRICE)
        is_sound = (values > 0.0 if is_price else values >= 0.0) & (values < np.inf)
        rule = "is not above 0" if is_price else "is not 0 or above"
        _refuse_unless(is_sound, values, part, f"the {_WHAT[kind]}", rule)
    later = np.flatnonzero(np.diff(time_ms) <= 0)
    if len(later):
        index = int(later[0]) + 1
        raise DataError(
            f"{part.where(index)}: {utc_text(int(time_ms[index]))} does not come after the {what} before it, "
            f"{utc_text(int(time_ms[index - 1]))}"
        )


def _refuse_unless(is_sound: Any, values: FloatArray, part: Part, what: str, rule: str) -> None:
    if not is_sound.all():
        index = int(np.argmin(is_sound))
        raise DataError(f"{part.where(index)}: {what} {values[index]:g} {rule}")


def _holes(time_ms: IntArray) -> tuple[tuple[int, int, int], ...]:
    """
    Return where settlements are missing: a step longer than what is usual on both sides of it.

    An interval that changes, from four hours to one, is usual on one side; venues do that.
    """
    steps = np.diff(time_ms)
    found = []
    for index in np.flatnonzero(steps > steps.min()) if len(steps) else ():
        around = [s for s in (steps[max(index - 5, 0) : index], steps[index + 1 : index + 6]) if len(s)]
        usual = [int(np.median(side)) for side in around]
        if usual and steps[index] > max(usual):
            missing = round(int(steps[index]) / min(usual)) - 1
            found.append((int(time_ms[index]), int(time_ms[index + 1]), missing))
    return tuple(found)
