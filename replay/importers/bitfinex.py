"""
Bitfinex: columns in the order time, open, close, high, low, volume, as JSON lists or CSV without header.

Source: Bitfinex API v2, Candles: [MTS, OPEN, CLOSE, HIGH, LOW, VOLUME].
"""

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.lists import BITFINEX as ORDER
from papertape.replay.importers.lists import WIDTH, column_order, head_rows, read_rows
from papertape.replay.importers.options import Options, name_hints
from papertape.replay.importers.source import FileSource
from papertape.replay.importers.table import is_number, numbers, read_table, split
from papertape.replay.importers.times import numeric_times
from papertape.replay.tapes.raw import Part, Raw, raw_candles

_NAMES = ("time", "open", "close", "high", "low", "volume")


def _csv_head(source: FileSource) -> FloatArray | None:
    """Return the first rows of a CSV of six numbers, or None."""
    rows = [split(line) for line in source.lines]
    if not rows or not all(len(row) == WIDTH and all(map(is_number, row)) for row in rows):
        return None
    return np.asarray(rows, dtype=np.float64)


def matches(source: FileSource) -> bool:
    """Return whether the candles contradict the usual order of columns and fit Bitfinex's."""
    rows = head_rows(source)
    if rows is None:
        rows = _csv_head(source)
    return rows is not None and column_order(rows) == ORDER


def read(source: FileSource, options: Options) -> Raw:
    """Return the candles; the venue is told by nothing but the order."""
    if source.data.lstrip().startswith(b"["):
        rows = read_rows(source)
        columns, part = [rows[:, i] for i in range(WIDTH)], Part(0, source.name, 1)
    else:
        is_headed = bool(source.lines) and not is_number(split(source.lines[0])[0])
        table = read_table(source, has_header=is_headed)
        columns = [numbers(table, i, name) for i, name in enumerate(_NAMES[: len(table.columns)])]
        part = table.part
        if len(columns) < WIDTH:
            raise DataError(f"{source.name}: {len(columns)} columns are not Bitfinex's {WIDTH}")
    open_ms, how = numeric_times(columns[0], part)
    hints = name_hints(source)
    return Raw(
        raw_candles(open_ms, [columns[i] for i in ORDER], columns[5]),
        "bitfinex",
        (part,),
        venue="bitfinex-spot",
        symbol=hints.symbol,
        volume_unit="base",
        notes=(how, "columns are open, close, high, low, as Bitfinex orders them"),
    )


BITFINEX = Importer("bitfinex", "Bitfinex's column order, JSON or CSV", matches, read)
