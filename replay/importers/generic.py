"""Any table with time, open, high, low, close and volume: CSV with or without header, Parquet, and our own tapes."""

import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.errors import DataError, did_you_mean
from papertape.engine.jit import FloatArray, IntArray
from papertape.replay.arrow import plain_column
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.options import Options, name_hints
from papertape.replay.importers.source import Source
from papertape.replay.importers.table import (
    is_number,
    numbers,
    numeric_times,
    read_table,
    split,
    times,
)
from papertape.replay.raw import PRICES, Part, Raw, raw_candles
from papertape.replay.tape_file import METADATA_KEY, read_tape

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


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def find_columns(names: Sequence[str], given: dict[str, str], where: str) -> dict[str, int]:
    """
    Return the position of each field: by the user's map, by position (`time=0`), or by its usual names.

    Raises DataError naming what is missing.
    """
    found: dict[str, int] = {}
    for field, wanted in given.items():
        if field not in FIELDS:
            raise DataError(f"--columns {field}: unknown field{did_you_mean(field, FIELDS)}")
        if wanted in names:
            found[field] = list(names).index(wanted)
        elif wanted.isdigit() and int(wanted) < len(names):
            found[field] = int(wanted)
        else:
            raise DataError(f"{where}: no column {wanted!r}{did_you_mean(wanted, names)}")
    plain = [_plain(name) for name in names]
    for field, usual in NAMES.items():
        match = next((plain.index(name) for name in usual if name in plain), None)
        if field not in found and match is not None:
            found[field] = match
    missing = [field for field in FIELDS if field not in found]
    if missing and "fundingrate" in plain:
        raise DataError(f"{where}: seems to be a funding rate file, not candles")
    if missing:
        raise DataError(
            f"{where}: no column for {', '.join(missing)} among {', '.join(names) or 'none'}; "
            f"name them with --columns {','.join(f'{field}=…' for field in missing)}"
        )
    return found


def _delimiter(source: Source) -> str:
    line = source.lines[0] if source.lines else ""
    return max(",;\t", key=line.count)


def matches_csv(source: Source) -> bool:
    """Return whether the header names a candle's fields, or there is none and rows are six numbers."""
    if not source.lines:
        return False
    cells = split(source.lines[0], _delimiter(source))
    if all(map(is_number, cells)):
        return len(cells) == len(FIELDS) and float(cells[0]) >= 1e8
    plain = {_plain(cell) for cell in cells}
    return all(plain & set(NAMES[field]) for field in FIELDS)


def read_csv(source: Source, options: Options) -> Raw:
    """Return the candles of a table."""
    delimiter = _delimiter(source)
    cells = split(source.lines[0], delimiter) if source.lines else []
    has_header = bool(cells) and not is_number(cells[-1])
    table = read_table(source, has_header=has_header, delimiter=delimiter)
    width = len(table.columns)
    names = table.header or tuple(
        FIELDS[i] if width == len(FIELDS) else str(i) for i in range(width)
    )
    columns = find_columns(names, dict(options.columns), source.name)
    open_ms, how = times(table, columns["time"])
    prices = [numbers(table, columns[name], name) for name in PRICES]
    hints = name_hints(source)
    return Raw(
        raw_candles(open_ms, prices, numbers(table, columns["volume"], "volume")),
        "table",
        (Part(0, source.name, table.first_row),),
        venue=hints.venue,
        symbol=hints.symbol,
        notes=(how, *_named(hints.venue)),
    )


def _named(venue: str | None) -> list[str]:
    return [f"{venue} by the file's name"] if venue else []


def matches_parquet(source: Source) -> bool:
    """Return whether this is Parquet."""
    return source.data.startswith(b"PAR1")


def read_parquet(source: Source, options: Options) -> Raw:
    """Return the candles of a Parquet table, or of a tape of ours with its flags."""
    try:
        with pq.ParquetFile(io.BytesIO(source.data)) as file:
            if METADATA_KEY in (file.schema_arrow.metadata or {}):
                return _tape(source)
            names = file.schema_arrow.names
            columns = find_columns(names, dict(options.columns), source.name)
            table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{source.name}: the Parquet file is truncated or damaged") from error
    if not table.num_rows:
        raise DataError(f"{source.name}: no row of data")
    # By position, because a table may hold a name twice.
    open_ms, how = _parquet_times(table.column(columns["time"]), source.name)
    prices = [_parquet_numbers(table.column(columns[n]), source.name, n) for n in FIELDS[1:]]
    hints = name_hints(source)
    return Raw(
        raw_candles(open_ms, prices[:4], prices[4]),
        "parquet",
        (Part(0, source.name, 1),),
        venue=hints.venue,
        symbol=hints.symbol,
        notes=(how, *_named(hints.venue)),
    )


def _tape(source: Source) -> Raw:
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


def _parquet_times(column: Any, name: str) -> tuple[IntArray, str]:
    if column.null_count:
        raise DataError(f"{name}: {column.null_count:,} rows have no time")
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return numeric_times(plain_column(column), name, 1)
    import pandas as pd

    try:
        index = pd.DatetimeIndex(pd.to_datetime(column.to_pandas(), utc=True))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{name}: the time column of type {column.type} holds no times") from error
    return np.asarray(index.as_unit("ms").asi8), "times are dates, in UTC where they name no zone"


def _parquet_numbers(column: Any, name: str, what: str) -> FloatArray:
    try:
        return np.asarray(plain_column(column.cast(pa.float64())), dtype=np.float64)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(
            f"{name}: the column for {what} of type {column.type} holds no numbers"
        ) from error


TABLE = Importer("table", "CSV with named columns, or six without names", matches_csv, read_csv)
PARQUET = Importer(
    "parquet", "Parquet with named columns, or a tape", matches_parquet, read_parquet
)
