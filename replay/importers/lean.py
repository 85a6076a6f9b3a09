"""
LEAN's zips of crypto trade bars.

Minute files hold milliseconds since midnight, open, high, low, close, volume; the date and the symbol stand only in
the inner file's name (20161009_btcusd_minute_trade.csv). Hour and daily files begin with "YYYYMMDD HH:MM". Times are
UTC and prices are not scaled, as for all crypto. Quote bars (bid and ask) are refused: they are no trades.
Source: QuantConnect LEAN, Data/crypto/readme.md.
"""

import re

import numpy as np

from papertape.engine.errors import DataError
from papertape.engine.jit import FloatArray, Rows, copy_rows
from papertape.replay.importers.dialect import Importer
from papertape.replay.importers.options import Options, exchange_hint
from papertape.replay.importers.source import FileSource
from papertape.replay.importers.table import TextTable, numbers, read_table, split
from papertape.replay.importers.times import text_times
from papertape.replay.tapes.raw import PRICES, Part, Raw, VolumeUnit, raw_candles

_COLUMNS = 6
_QUOTE_COLUMNS = 11
_MINUTE_NAME = re.compile(
    r"(?P<date>\d{8})_(?P<symbol>[a-z0-9]+)_(?P<frame>\w+?)_(?P<kind>trade|quote|openinterest)(?P<perp>_perp)?"
)
_FRAMES = {"second": "1m", "minute": "1m", "hour": "1h", "daily": "1d"}
_MINUTE_MS = 60_000

# Face value of one coin-margined contract in quote: Binance, COIN-M futures contract specifications.
_COIN_MARGINED_FACE = {"BTCUSD": 100.0}
_COIN_MARGINED_FACE_OTHERS = 10.0


def matches(source: FileSource) -> bool:
    """Return whether this is a member of a zip named as LEAN names them, or with LEAN's times."""
    if not source.is_zip:
        return False
    if _MINUTE_NAME.match(source.inner.rpartition("/")[2]):
        return True
    cells = split(source.lines[0]) if source.lines else []
    return bool(cells) and bool(re.fullmatch(r"\d{8} \d\d:\d\d", cells[0]))


def read(source: FileSource, options: Options) -> Raw:
    """Return the trade bars of one inner file."""
    inner = source.inner.rpartition("/")[2]
    match = _MINUTE_NAME.match(inner)
    if (match and match["kind"] == "quote") or _width(source) == _QUOTE_COLUMNS:
        raise DataError(
            f"{source.name}: LEAN quote bars (bid and ask), which are no trades; import the trade file"
        )
    if match and (match["kind"] != "trade" or match["frame"] not in _FRAMES):
        raise DataError(f"{source.name}: LEAN {match['frame']} {match['kind']} data, not candles")
    table = read_table(source, has_header=False)
    if len(table.columns) != _COLUMNS:
        raise DataError(f"{source.name}: {len(table.columns)} columns are not LEAN's {_COLUMNS}")
    if match and match["frame"] in ("second", "minute"):
        midnight, _ = text_times([match["date"]], table.part, "%Y%m%d")
        offsets = numbers(table, 0, "time since midnight")
        _check_offsets(table, offsets)
        open_ms, how = midnight[0] + np.rint(offsets).astype(np.int64), "the date by the inner name"
    else:
        open_ms, how = text_times(table.columns[0].to_pylist(), table.part, "%Y%m%d %H:%M")
    prices = [numbers(table, 1 + i, name) for i, name in enumerate(PRICES)]
    candles = raw_candles(open_ms, prices, numbers(table, 5, "volume"))
    part = table.part
    made: tuple[str, ...] = ()
    if match and match["frame"] == "second":
        candles, part = _minutes(candles, part)
        made = (f"minutes made of {len(open_ms):,} candles of a second",)
    symbol = (match["symbol"] if match else inner.partition(".")[0].removesuffix("_perp")).upper()
    is_perpetual = "_perp" in inner or "cryptofuture" in source.hints
    venue, unit, face, notes = _market(source, symbol, is_perpetual)
    return Raw(
        candles,
        "lean",
        (part,),
        venue=venue,
        symbol=symbol,
        timeframe=_FRAMES[match["frame"]] if match else None,
        volume_unit=unit,
        contract_value=face,
        notes=(how, *made, *notes),
    )


def _minutes(seconds: Rows, part: Part) -> tuple[Rows, Part]:
    """Return the minutes of candles of a second in time order, each at the line where it begins."""
    opens = seconds["open_ms"] // _MINUTE_MS * _MINUTE_MS
    starts = np.flatnonzero(np.diff(opens, prepend=-1))
    last = np.append(starts[1:], len(seconds)) - 1
    rows = copy_rows(np.ascontiguousarray(seconds[starts]))
    rows["open_ms"] = opens[starts]
    rows["high"] = np.maximum.reduceat(seconds["high"], starts)
    rows["low"] = np.minimum.reduceat(seconds["low"], starts)
    rows["close"] = seconds["close"][last]
    rows["volume"] = np.add.reduceat(seconds["volume"], starts)
    return rows, part._replace(lines=part.first_row + starts)


def _width(source: FileSource) -> int:
    return len(split(source.lines[0])) if source.lines else 0


def _check_offsets(table: TextTable, offsets: FloatArray) -> None:
    bad = ~((offsets >= 0) & (offsets < 86_400_000))
    if bad.any():
        index = int(np.argmax(bad))
        raise DataError(f"{table.part.where(index)}: {offsets[index]:g} ms is not within a day of midnight")


def _market(
    source: FileSource, symbol: str, is_perpetual: bool
) -> tuple[str | None, VolumeUnit, float | None, tuple[str, ...]]:
    """Return venue, volume unit and contract value, and what tells them."""
    exchange = exchange_hint(source)
    told = (f"{exchange} by the file's name or folder",) if exchange else ()
    if not is_perpetual:
        return f"{exchange}-spot" if exchange else None, "base", None, told
    if symbol.endswith("USD"):
        face = _COIN_MARGINED_FACE.get(symbol, _COIN_MARGINED_FACE_OTHERS)
        why = f"coin-margined contracts of {face:g} USD each"
        return f"{exchange}-coinm" if exchange else None, "quote", face, (*told, why)
    venue = {"binance": "binance-usdm"}.get(exchange or "", f"{exchange}-linear")
    return venue if exchange else None, "base", None, told


LEAN = Importer("lean", "LEAN second, minute, hour and daily trade zips", matches, read)
