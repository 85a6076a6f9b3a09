"""freqtrade's data: feather tables with a `date` column, and the older JSON lists."""

import io
import re

import pyarrow as pa
import pyarrow.feather as feather

from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.lists import USUAL, column_order, head_rows, read_rows
from papertape.replay.importers.options import Options, exchange_hint, name_hints
from papertape.replay.importers.source import FileSource
from papertape.replay.importers.table import only_place
from papertape.replay.importers.times import numeric_times
from papertape.replay.tapes.raw import PRICES, Part, Raw, raw_candles

_MAGICS = (b"ARROW1", b"FEA1")


def matches_feather(source: FileSource) -> bool:
    """Return whether this is an Arrow file."""
    return source.data.startswith(_MAGICS)


def read_feather(source: FileSource, options: Options) -> Raw:
    """Return the candles of a feather file."""
    try:
        table = feather.read_table(io.BytesIO(source.data), memory_map=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{source.name}: the feather file is truncated or damaged") from error
    wanted = ("date", *PRICES, "volume")
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise DataError(
            f"{source.name}: a feather file without {', '.join(missing)}; freqtrade's candles have "
            f"{', '.join(wanted)}"
        )
    places = [only_place(table.column_names, name, source.name) for name in wanted]
    if "funding_rate" in source.path.name:
        raise DataError(f"{source.name}: freqtrade's funding rates, not candles")
    import pandas as pd

    try:
        stamps = pd.DatetimeIndex(pd.to_datetime(table.column(places[0]).to_pandas(), utc=True))
        columns = [table.column(place).to_numpy().astype("float64") for place in places[1:]]
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{source.name}: a column holds no times or no numbers") from error
    if not len(stamps) or stamps.hasnans:
        raise DataError(f"{source.name}: {'a time is missing' if len(stamps) else 'no candle'}")
    candles = raw_candles(stamps.as_unit("ms").asi8, columns[:4], columns[4])
    return _raw(source, candles, "freqtrade", ())


def matches_json(source: FileSource) -> bool:
    """Return whether this is a JSON list of time, open, high, low, close, volume."""
    rows = head_rows(source)
    return rows is not None and column_order(rows) == USUAL


def read_json(source: FileSource, options: Options) -> Raw:
    """Return the candles of a JSON list."""
    rows = read_rows(source)
    open_ms, how = numeric_times(rows[:, 0], Part(0, source.name, 1))
    candles = raw_candles(open_ms, [rows[:, i] for i in USUAL], rows[:, 5])
    return _raw(source, candles, "freqtrade-json", (how,))


def _raw(source: FileSource, candles: Rows, dialect: str, notes: tuple[str, ...]) -> Raw:
    """Return the candles with what freqtrade's name and folder say: BTC_USDT_USDT-5m-futures in binance/futures."""
    name = source.path.name
    is_future = bool(re.search(r"-(futures|mark|index)\b", name))
    hints = name_hints(source)
    exchange = exchange_hint(source)
    market = {"binance": "usdm", "bybit": "linear", "okx": "swap"}.get(exchange or "", "linear")
    venue = f"{exchange}-{market if is_future else 'spot'}" if exchange else hints.venue
    suffix = "-mark" if "-mark" in name else ""
    return Raw(
        candles,
        dialect,
        (Part(0, source.name, 1),),
        venue=venue,
        symbol=f"{hints.symbol}{suffix}" if hints.symbol else None,
        notes=(*notes, f"{venue} by the file's name or folder") if venue else notes,
    )


FEATHER = Importer("freqtrade", "freqtrade feather", matches_feather, read_feather)
JSON = Importer("freqtrade-json", "freqtrade JSON lists", matches_json, read_json)
