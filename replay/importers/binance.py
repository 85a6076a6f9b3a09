"""
Binance Vision klines: 12 columns, as CSV or in a zip.

Spot files have no header and prices with eight decimals, futures files have a header (since 2022) and the market's
own decimals; stamps are milliseconds, in spot files from 2025 on microseconds. Coin-margined futures count volume in
contracts and give the base volume in the eighth column.
Source: Binance, binance-public-data, README: Klines.
"""

import re

import numpy as np

from papertape.engine.errors import DataError
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.options import Options, name_hints
from papertape.replay.importers.source import FileSource
from papertape.replay.importers.table import TextTable, is_number, numbers, read_table, split
from papertape.replay.importers.times import times
from papertape.replay.tapes.raw import Raw, raw_candles
from papertape.replay.tapes.timestamps import TIMEFRAME_OF

_COLUMNS = 12
_BASE_VOLUME = 7  # of coin-margined futures


def matches(source: FileSource) -> bool:
    """Return whether rows are open time, …, close time, … in twelve columns."""
    rows = [split(line) for line in source.lines[:2]]
    if not rows or any(len(row) != _COLUMNS for row in rows):
        return False
    if not is_number(rows[0][0]):
        return rows[0][0].lower() == "open_time" and rows[0][6].lower() == "close_time"
    if not all(is_number(cell) for cell in rows[0]):
        return False
    length = float(rows[0][6]) - float(rows[0][0])
    return length > 0 and length < 1e13


def read(source: FileSource, options: Options) -> Raw:
    """Return the candles, and venue, symbol and timeframe where content and name tell them."""
    table = read_table(source, has_header=bool(source.lines) and not is_number(split(source.lines[0])[0]))
    if len(table.columns) < _COLUMNS:
        raise DataError(f"{source.name}: {len(table.columns)} columns are not Binance's {_COLUMNS}")
    open_ms, how = times(table, 0)
    close_ms, _ = times(table, 6)
    hints = name_hints(source)
    symbol = options.symbol or hints.symbol
    venue, why = _venue(source, table, symbol)
    is_inverse = venue == "binance-coinm"
    prices = [numbers(table, 1 + i, name) for i, name in enumerate(("open", "high", "low", "close"))]
    volume = numbers(table, _BASE_VOLUME if is_inverse else 5, "volume")
    lengths, counts = np.unique(close_ms - open_ms + 1, return_counts=True)
    return Raw(
        raw_candles(open_ms, prices, volume),
        "binance",
        (table.part,),
        venue=venue,
        symbol=hints.symbol,
        timeframe=TIMEFRAME_OF.get(int(lengths[np.argmax(counts)])),
        volume_unit="base",
        notes=(how, *([why] if why else [])),
    )


def _venue(source: FileSource, table: TextTable, symbol: str | None) -> tuple[str | None, str]:
    """Return spot or which futures, and what tells it; None when nothing does."""
    if symbol and re.search(r"USD_(PERP|\d{6})$", symbol):
        return "binance-coinm", "coin-margined futures by the symbol; volume is the base column"
    hints = source.hints.lower()
    for pattern, venue in (
        (r"futures[-_/]um\b|futures[-_/]um[-_/]", "binance-usdm"),
        (r"futures[-_/]cm\b|futures[-_/]cm[-_/]", "binance-coinm"),
        (r"\bspot[-_/]", "binance-spot"),
    ):
        if re.search(pattern, hints):
            return venue, f"{venue} by the file's name or folder"
    opens = table.columns[1].slice(0, 100).to_pylist()
    if all(re.fullmatch(r"\d+\.\d{8}", str(cell)) for cell in opens):
        return "binance-spot", "spot by prices with eight decimals"
    if len(str(table.columns[0][0])) >= 16:
        return "binance-spot", "spot by stamps in microseconds"
    if table.header is not None:
        return "binance-usdm", "USD-margined futures by the header and the market's own decimals"
    return None, ""


BINANCE = Importer("binance", "Binance Vision klines, zip or CSV", matches, read)
