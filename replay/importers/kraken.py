"""
Kraken: its downloadable CSV (seconds, open, high, low, close, volume, trades; no header) and its REST answer.

Source: Kraken REST API, Get OHLC Data: [time, open, high, low, close, vwap, volume, count]; "the last entry in the
OHLC array is for the current, not-yet-committed timeframe, and will always be present". It is left out.
"""

import re

import numpy as np

from papertape.engine.candles import timeframe_name
from papertape.engine.errors import DataError
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.lists import parse_json
from papertape.replay.importers.options import Options, is_symbol, name_hints
from papertape.replay.importers.source import FileSource
from papertape.replay.importers.table import is_number, numbers, read_table, split
from papertape.replay.importers.times import numeric_times
from papertape.replay.tapes.raw import PRICES, Part, Raw, raw_candles

_CSV_COLUMNS = 7
_REST_COLUMNS = 8
_VOLUME = 6


def matches_csv(source: FileSource) -> bool:
    """Return whether rows are seven numbers: seconds first, a whole count of trades last."""
    rows = [split(line) for line in source.lines[:20]]
    return bool(rows) and all(
        len(row) == _CSV_COLUMNS
        and all(map(is_number, row))
        and 1e8 <= float(row[0]) < 1e11
        and float(row[6]).is_integer()
        for row in rows
    )


def read_csv(source: FileSource, options: Options) -> Raw:
    """Return the candles of a downloaded CSV; candles without a trade are not in it."""
    table = read_table(source, has_header=False)
    if len(table.columns) != _CSV_COLUMNS:
        raise DataError(f"{source.name}: {len(table.columns)} columns are not Kraken's {_CSV_COLUMNS}")
    open_ms, how = numeric_times(numbers(table, 0, "time"), table.part)
    prices = [numbers(table, 1 + i, name) for i, name in enumerate(PRICES)]
    match = re.match(r"([A-Z0-9]{5,12})_(\d+)\b", source.inner.rpartition("/")[2])  # XBTUSD_60.csv
    return Raw(
        raw_candles(open_ms, prices, numbers(table, 5, "volume")),
        "kraken",
        (table.part,),
        venue="kraken-spot",
        symbol=match.group(1) if match else name_hints(source).symbol,
        timeframe=_minutes(match.group(2)) if match else None,
        volume_unit="base",
        notes=(how,),
    )


def _minutes(text: str) -> str | None:
    try:
        return timeframe_name(int(text) * 60_000)
    except DataError:
        return None


def matches_rest(source: FileSource) -> bool:
    """Return whether this is an OHLC answer: lists of eight behind the pair's name."""
    head = source.head or ""
    return bool(
        head.lstrip().startswith("{")
        and '"result"' in head
        and re.search(r'"[^"\s]+"\s*:\s*\[\s*\[\s*\d+\s*,(\s*"[\d.]+"\s*,){6}\s*\d+\s*\]', head)
    )


def read_rest(source: FileSource, options: Options) -> Raw:
    """Return the final candles of an OHLC answer."""
    answer = parse_json(source)
    result = answer.get("result") if isinstance(answer, dict) else None
    pairs = [name for name in result if name != "last"] if isinstance(result, dict) else []
    if not isinstance(result, dict) or len(pairs) != 1 or not isinstance(result[pairs[0]], list):
        raise DataError(f"{source.name}: no answer of Kraken's OHLC request with one pair")
    entries = result[pairs[0]]
    for index, row in enumerate(entries):
        if not isinstance(row, list) or len(row) != _REST_COLUMNS:
            raise DataError(f"{source.name} entry {index + 1}: not a list of {_REST_COLUMNS}")
    if len(entries) < 2:
        raise DataError(f"{source.name}: no final candle; the last entry is always the forming one")
    try:
        rows = np.asarray(entries[:-1], dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{source.name}: an entry holds something that is no number") from error
    part = Part(0, source.name, 1)
    open_ms, how = numeric_times(rows[:, 0], part)
    return Raw(
        raw_candles(open_ms, [rows[:, i] for i in (1, 2, 3, 4)], rows[:, _VOLUME]),
        "kraken-rest",
        (part,),
        venue="kraken-spot",
        symbol=pairs[0] if is_symbol(pairs[0]) else None,
        volume_unit="base",
        notes=(how, "the last entry is the forming candle, by Kraken's documentation"),
        forming=1,
    )


CSV = Importer("kraken", "Kraken's downloadable CSV", matches_csv, read_csv)
REST = Importer("kraken-rest", "Kraken's REST answer to OHLC", matches_rest, read_rest)
