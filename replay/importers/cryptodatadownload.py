"""
CryptoDataDownload's CSV files.

Old ones: "Date,Symbol,Open,…,Volume BTC,Volume USD", newest first, dates with a 12-hour clock ("2019-04-22 11-PM").
Newer ones: a line with the site's address, then "unix,date,symbol,open,…", unix in seconds or milliseconds, in some
files both. Of the two volumes the one in the base coin is taken, which the header names.
"""

import re

from papertape.engine.errors import DataError
from papertape.engine.jit import IntArray
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.options import Options, name_hints, plain_symbol
from papertape.replay.importers.source import FileSource
from papertape.replay.importers.table import TextTable, numbers, only_place, read_table, split
from papertape.replay.importers.times import text_times, times
from papertape.replay.tapes.raw import PRICES, Raw, raw_candles


def _skip(source: FileSource) -> int:
    """Return how many lines stand before the header."""
    return int(bool(source.lines) and "cryptodatadownload" in source.lines[0].lower())


def matches(source: FileSource) -> bool:
    """Return whether the header has a symbol column and a volume named by its coin."""
    lines = source.lines[_skip(source) :]
    names = [name.lower() for name in split(lines[0])] if lines else []
    return (
        "symbol" in names
        and all(name in names for name in PRICES)
        and any(name in names for name in ("date", "unix"))
        and any(name.startswith("volume") for name in names)
    )


def read(source: FileSource, options: Options) -> Raw:
    """Return the candles in the file's order, the volume in base units."""
    table = read_table(source, skip=_skip(source), has_header=True)
    names = [name.lower() for name in table.header or ()]
    missing = [name for name in ("symbol", *PRICES) if name not in names]
    if missing:
        raise DataError(f"{source.name}: the header lacks {', '.join(missing)}")
    symbol = _symbol(table, only_place(names, "symbol", source.name))
    open_ms, how = _times(table, names)
    prices = [numbers(table, only_place(names, name, source.name), name) for name in PRICES]
    column = _base_volume(table, names, symbol)
    hints = name_hints(source)
    return Raw(
        raw_candles(open_ms, prices, numbers(table, column, "volume")),
        "cryptodatadownload",
        (table.part,),
        venue=hints.venue,
        symbol=symbol,
        volume_unit="base",
        notes=(
            how,
            f"volume is the column {(table.header or ())[column]!r}",
            *([f"{hints.venue} by the file's name"] if hints.venue else []),
        ),
    )


def _symbol(table: TextTable, column: int) -> str:
    """Return the one symbol of the file."""
    found = table.columns[column].unique().to_pylist()
    if len(found) != 1:
        raise DataError(f"{table.name}: several symbols in one file: {', '.join(map(str, found[:5]))}")
    return plain_symbol(str(found[0]))


def _times(table: TextTable, names: list[str]) -> tuple[IntArray, str]:
    """Return the times from `unix` if there is one, otherwise from `date`."""
    if "unix" in names:
        return times(table, only_place(names, "unix", table.name), mixed_units=True)
    if "date" not in names:
        raise DataError(f"{table.name}: the header has neither unix nor date")
    column = only_place(names, "date", table.name)
    cells = table.columns[column].to_pylist()
    if re.fullmatch(r"\d{4}-\d\d-\d\d \d\d-[AP]M", str(cells[0])):
        stamps, _ = text_times(cells, table.part, "%Y-%m-%d %I-%p")
        return stamps, "dates have a 12-hour clock, taken as UTC"
    return times(table, column)


def _base_volume(table: TextTable, names: list[str], symbol: str) -> int:
    """Return the column of the volume in base units: the one whose coin the symbol begins with."""
    volumes = [i for i, name in enumerate(names) if name.startswith("volume")]
    base = [i for i in volumes if symbol.startswith(names[i].removeprefix("volume").strip().upper() or "?")]
    if len(base) == 1:
        return base[0]
    if len(volumes) == 1 and names[volumes[0]] == "volume":
        return volumes[0]
    raise DataError(
        f"{table.name}: none of the volumes {', '.join((table.header or ())[i] for i in volumes)} "
        f"is clearly in the base coin of {symbol}; say which with --columns and --format table"
    )


CRYPTODATADOWNLOAD = Importer("cryptodatadownload", "CryptoDataDownload CSV, old and new", matches, read)
