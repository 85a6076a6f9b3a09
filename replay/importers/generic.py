"""Any table with time, open, high, low, close and volume: CSV with or without header, Parquet, and our own tapes."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.options import Options, name_hints
from papertape.replay.importers.refuse import SYMBOLS, other_markets
from papertape.replay.importers.source import FileSource
from papertape.replay.importers.table import TextTable, is_number, numbers, only_place, read_table, split
from papertape.replay.importers.times import in_zone, is_clock, numeric_times, text_times, times
from papertape.replay.tapes.arrow import plain_column
from papertape.replay.tapes.raw import PRICES, Part, Raw, raw_candles
from papertape.replay.tapes.tape import METADATA_KEY, read_tape

# Names in lower case without signs, best first.
NAMES = {
    "time": (
        "opentime",
        "openms",
        "timestamp",
        "time",
        "date",
        "datetime",
        "unix",
        "ts",
        "t",
        "mts",
        "starttime",
    ),
    "open": ("open", "o", "openprice"),
    "high": ("high", "h", "highprice"),
    "low": ("low", "l", "lowprice"),
    "close": ("close", "c", "closeprice", "last"),
    "volume": ("volume", "v", "vol", "basevolume", "volumebase"),
}
FIELDS = tuple(NAMES)
_COUNT = "count from 0 with --columns"


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_columns(
    names: Sequence[str], given: Mapping[str, str], where: str, fields: Sequence[str] = FIELDS
) -> dict[str, int]:
    """
    Return the position of each field: by the user's map, by position (`time=0`), or by its usual names.

    Raises DataError naming what is missing, or a name that several columns have.
    """
    found: dict[str, int] = {}
    for field, wanted in given.items():
        if field not in FIELDS:
            raise DataError(f"--columns {field}: unknown field{did_you_mean(field, FIELDS)}")
        found[field] = _position(names, wanted, where)
    plain = [_plain(name) for name in names]
    for field, usual in NAMES.items():
        match = next((name for name in usual if name in plain), None)
        if field in fields and field not in found and match is not None:
            found[field] = only_place(plain, match, where, _COUNT)
    missing = [field for field in fields if field not in found]
    if missing and "fundingrate" in plain:
        raise DataError(f"{where}: seems to be a funding rate file, not candles")
    if missing:
        raise DataError(
            f"{where}: no column for {', '.join(missing)} among {', '.join(names) or 'none'}; "
            f"name them with --columns {','.join(f'{field}=…' for field in missing)}"
            + (", or say --no-volume if none was recorded" if "volume" in missing else "")
        )
    return found


def _position(names: Sequence[str], wanted: str, where: str) -> int:
    """Return the position of a column that a user names or counts."""
    if wanted in names:
        return only_place(names, wanted, where, _COUNT)
    if wanted.isdigit() and int(wanted) < len(names):
        return int(wanted)
    raise DataError(f"{where}: no column {wanted!r}{did_you_mean(wanted, names)}")


def _delimiter(source: FileSource) -> str:
    line = source.lines[0] if source.lines else ""
    return max(",;\t", key=line.count)


def matches_csv(source: FileSource) -> bool:
    """Return whether the header names a candle's fields, or there is none and rows are six numbers."""
    if not source.lines:
        return False
    cells = split(source.lines[0], _delimiter(source))
    if all(map(is_number, cells)):
        return len(cells) == len(FIELDS) and float(cells[0]) >= 1e8
    plain = {_plain(cell) for cell in cells}
    # Without a volume it is a table, too, and is told what lacks.
    return all(plain & set(NAMES[field]) for field in ("time", *PRICES))


def read_csv(source: FileSource, options: Options) -> Raw:
    """Return the candles of a table."""
    delimiter = _delimiter(source)
    cells = split(source.lines[0], delimiter) if source.lines else []
    has_header = bool(cells) and not re.fullmatch(r"[+-]?\d[\d.,' eE+-]*", cells[-1])
    table = read_table(source, has_header=has_header, delimiter=delimiter, style=options.style)
    fields = _fields(options)
    width = len(table.columns)
    names = table.header or tuple(fields[i] if width == len(fields) else str(i) for i in range(width))
    given = dict(options.columns)
    pair = _time_pair(table, names, given, source.name)
    if pair is not None:
        given["time"] = names[pair[0]]
    columns = find_columns(names, given, source.name, fields)
    open_ms, how = _times(table, pair or (columns["time"],), options)
    prices = [numbers(table, columns[name], name) for name in PRICES]
    volume = None if options.no_volume else numbers(table, columns["volume"], "volume")
    hints = name_hints(source)
    other = _other_name(names, lambda at: set(table.columns[at].to_pylist()), options, source.name)
    return Raw(
        raw_candles(open_ms, prices, volume),
        "table",
        (table.part,),
        venue=hints.venue,
        symbol=hints.symbol,
        notes=(how, *_assumed(hints.venue, options), *other),
    )


def _fields(options: Options) -> tuple[str, ...]:
    """Return the fields that a table must have."""
    return FIELDS[:-1] if options.no_volume else FIELDS


def _time_pair(
    table: TextTable, names: Sequence[str], given: Mapping[str, str], where: str
) -> tuple[int, int] | None:
    """Return the columns of date and clock where the time stands in two: named as `date+clock`, or plainly so."""
    wanted = given.get("time", "")
    if "+" in wanted and wanted not in names:
        date, _, clock = wanted.partition("+")
        return _position(names, date, where), _position(names, clock, where)
    plain = [_plain(name) for name in names]
    if wanted or "date" not in plain or "time" not in plain:
        return None
    date_at, clock_at = (only_place(plain, name, where, _COUNT) for name in ("date", "time"))
    return (date_at, clock_at) if is_clock(str(table.columns[clock_at][0])) else None


def _times(table: TextTable, places: Sequence[int], options: Options) -> tuple[IntArray, str]:
    """Return the times of one column, or of date and clock in two, as the options say."""
    pattern, zone = options.date_format, options.time_zone
    cells = table.columns[places[0]]
    if len(places) > 1:
        cells = pc.binary_join_element_wise(cells, table.columns[places[1]], " ")
    elif pattern is None:
        is_numeric = is_number(str(cells[0].as_py()))
        if zone is not None and is_numeric:
            raise DataError(f"{table.name}: numbers since 1970 are UTC; leave --time-zone out")
        if zone is None:
            return times(table, places[0])
    return text_times(cells.to_pylist(), table.part, pattern, zone)


def _other_name(
    names: Sequence[str], values: Callable[[int], set[Any]], options: Options, where: str
) -> list[str]:
    """Return, in a sentence, that a column of symbols calls the market otherwise; DataError where it names several."""
    for at in (at for at, name in enumerate(names) if _plain(name) in SYMBOLS):
        named = sorted(map(str, values(at)))
        if other_markets(named, named[0]):
            raise DataError(
                f"{where}: these are candles of {', '.join(named[:3])}; a tape is of one market, so give a file of each"
            )
        if options.symbol and other_markets(named, options.symbol):
            return [f"the file calls its market {named[0]}"]
    return []


def _assumed(venue: str | None, options: Options) -> list[str]:
    """Return what was taken as given, in sentences."""
    named = [f"{venue} by the file's name"] if venue else []
    return [*named, *(["no volume was recorded: it stands as zero"] if options.no_volume else [])]


def matches_parquet(source: FileSource) -> bool:
    """Return whether this is Parquet."""
    return source.data.startswith(b"PAR1")


def read_parquet(source: FileSource, options: Options) -> Raw:
    """Return the candles of a Parquet table, or of a tape of ours with its flags."""
    try:
        with pq.ParquetFile(io.BytesIO(source.data)) as file:
            if METADATA_KEY in (file.schema_arrow.metadata or {}):
                return _tape(source)
            names = file.schema_arrow.names
            fields = _fields(options)
            columns = find_columns(names, options.columns, source.name, fields)
            table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{source.name}: the Parquet file is truncated or damaged") from error
    if not table.num_rows:
        raise DataError(f"{source.name}: no row of data")
    # By position, because a table may hold a name twice.
    open_ms, how = _parquet_times(table.column(columns["time"]), source.name, options.time_zone)
    values = [parquet_numbers(table.column(columns[n]), source.name, n) for n in fields[1:]]
    hints = name_hints(source)
    other = _other_name(names, lambda at: set(table.column(at).to_pylist()), options, source.name)
    return Raw(
        raw_candles(open_ms, values[:4], *values[4:]),
        "parquet",
        (Part(0, source.name, 1),),
        venue=hints.venue,
        symbol=hints.symbol,
        notes=(how, *_assumed(hints.venue, options), *other),
    )


def _tape(source: FileSource) -> Raw:
    """Return a tape's candles, its hash verified."""
    tape = read_tape(source.path)
    return Raw(
        tape.candles,
        "papertape",
        (Part(0, source.name, 1),),
        venue=tape.venue,
        symbol=tape.symbol,
        timeframe=tape.timeframe,
        kind=tape.kind,
        volume_unit="base",
        notes=tape.notes,
    )


def _parquet_times(column: Any, name: str, zone: str | None) -> tuple[IntArray, str]:
    if column.null_count:
        raise DataError(f"{name}: {column.null_count:,} rows have no time")
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        if zone is not None:
            raise DataError(f"{name}: numbers since 1970 are UTC; leave --time-zone out")
        return numeric_times(plain_column(column), Part(0, name, 1))
    import pandas as pd

    try:
        index = pd.DatetimeIndex(pd.to_datetime(column.to_pandas(), utc=zone is None))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{name}: the time column of type {column.type} holds no times") from error
    if zone is not None:
        index = in_zone(index, zone, name)
        return np.asarray(index.as_unit("ms").asi8), f"times are dates in {zone}"
    return np.asarray(index.as_unit("ms").asi8), "times are dates, in UTC where they name no zone"


def parquet_numbers(column: Any, name: str, what: str) -> FloatArray:
    """Return a column as float64 with NaN where it has no value, or raise DataError for one that holds no numbers."""
    try:
        return np.asarray(plain_column(column.cast(pa.float64())), dtype=np.float64)
    except (pa.ArrowException, ValueError, TypeError) as error:
        raise DataError(f"{name}: the column for {what} of type {column.type} holds no numbers") from error


TABLE = Importer("table", "CSV with named columns, or six without names", matches_csv, read_csv)
PARQUET = Importer("parquet", "Parquet with named columns, or a tape", matches_parquet, read_parquet)
