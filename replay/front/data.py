"""What a caller may give as candles: nothing, a name, a file, a table, a tape, or several of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from papertape.engine.errors import DataError
from papertape.engine.jit import IntArray
from papertape.replay.config import Config
from papertape.replay.importers.build import build_tape
from papertape.replay.importers.named import is_file, named_tape, read_or_import
from papertape.replay.importers.options import Options
from papertape.replay.importers.times import numeric_times
from papertape.replay.tapes.raw import PRICES, Part, Raw, raw_candles
from papertape.replay.tapes.store import Store, Tape

One: TypeAlias = str | Path | Tape | pd.DataFrame
Data: TypeAlias = One | Sequence[One] | Mapping[str, One] | None

TABLE_VENUE: Final = "table"  # of candles whose venue nobody names
_TABLE_SYMBOL: Final = "TABLE"
_TIME_NAMES: Final = ("open_time", "time", "timestamp", "datetime", "date", "open_ms", "open_date")


def tapes_of(
    data: Data, config: Config, symbol: str | Sequence[str] | None = None, venue: str | None = None
) -> list[Tape]:
    """
    Return the tapes that a caller means.

    data    a name in the store, a file of any known format, a DataFrame, a Tape, several of them, or symbols with them
    symbol  without data: names; with a table or a file: what its market is called
    venue   of a table or a file that does not say it, for its costs and sizes

    Raises DataError with one sentence.
    """
    if data is None:
        data = symbol if symbol is not None else (config.data.tapes or "BTCUSDT")
        symbol = None
    if symbol is not None and not isinstance(symbol, str):
        raise DataError(f"symbol={list(symbol)!r} beside data: give data as {{symbol: candles}}")
    store = Store(config.data.store)
    if isinstance(data, Mapping):
        if symbol is not None:
            raise DataError(f"symbol={symbol!r}: the data names its symbols already")
        return [_tape(one, store, str(name), venue) for name, one in data.items()]
    several = _listed(data)
    if not several:
        raise DataError("data: an empty list holds no candles")
    if symbol is not None and len(several) > 1:
        raise DataError(f"symbol={symbol!r}: {len(several)} tapes cannot have one name")
    return [_tape(one, store, symbol, venue) for one in several]


def _listed(data: One | Sequence[One]) -> list[One]:
    if isinstance(data, str | Path | Tape | pd.DataFrame):
        return [data]
    if not isinstance(data, Sequence):
        raise DataError(f"data: {_no_candles(data)}")
    return list(data)


def names_of(tapes: Sequence[Tape], data: Data, symbol: Any = None) -> tuple[str, ...]:
    """Return how a configuration names these tapes: as the caller did, or by the names of their values."""
    given: Any = symbol if data is None else data
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        several = _listed(given)
        if all(isinstance(one, str | Path) for one in several) and (data is None or symbol is None):
            return tuple(str(one) for one in several)
    return tuple(tape.name for tape in tapes)


def nameless(
    tapes: Sequence[Tape], data: Data, config: Config, symbol: Any = None, venue: str | None = None
) -> Sequence[Tape]:
    """Return the tapes when the names that a configuration has of them would not find them all again, otherwise none."""
    given: Any = symbol if data is None else data
    is_as_named = venue is None and (data is None or symbol is None)
    if given is None or (
        is_as_named
        and not isinstance(given, Mapping)
        and all(isinstance(one, str | Path) for one in _listed(given))
    ):
        return ()
    stored = {e.name: e.about.get("sha256") for e in Store(config.data.store).entries()}
    is_found = all(stored.get(tape.name) == tape.sha256 for tape in tapes)
    names = tuple(tape.name for tape in tapes)
    return () if is_found and config.data.tapes == names else tuple(tapes)


def _tape(one: Any, store: Store, symbol: str | None, venue: str | None) -> Tape:
    """Return the tape of one thing that stands for candles."""
    if isinstance(one, Tape):
        named = replace(one, symbol=symbol or one.symbol, venue=venue or one.venue)
        return one if named.name == one.name else named
    if isinstance(one, pd.DataFrame):
        return tape_of_table(one, symbol or _TABLE_SYMBOL, venue or TABLE_VENUE)
    if not isinstance(one, str | Path):
        raise DataError(f"data: {_no_candles(one)}")
    if isinstance(one, Path) or is_file(one):
        return read_or_import(Path(one), symbol, venue)
    if symbol is not None or venue is not None:
        return _tape(named_tape(str(one), store), store, symbol, venue)
    return named_tape(str(one), store)


def _no_candles(one: object) -> str:
    return f"{type(one).__name__} holds no candles; give a DataFrame, a tape's name, a file or a Tape"


def tape_of_table(frame: pd.DataFrame, symbol: str, venue: str = TABLE_VENUE) -> Tape:
    """
    Return the tape of a table with open, high, low, close and, where there is one, volume, in any case.

    Its times are the index or a column (time, date, timestamp, open_time, …): dates, UTC where they name no zone, or
    numbers since 1970. It goes through the same checks as a file that is imported. Raises DataError.

    >>> prices = {"open": [1.0, 2.0], "high": [2.0, 3.0], "low": [1.0, 2.0], "close": [2.0, 3.0], "volume": [5.0, 6.0]}
    >>> days = pd.DatetimeIndex(["2024-01-01", "2024-01-02"])
    >>> tape_of_table(pd.DataFrame(prices, index=days), "MINE").timeframe
    '1d'
    """
    if isinstance(frame.columns, pd.MultiIndex):
        frame = _one_market(frame)
    columns = {str(name).strip().lower(): frame[name] for name in frame.columns}
    if missing := [name for name in PRICES if name not in columns]:
        raise DataError(
            f"{symbol}: the table has no column {', '.join(missing)}; it has {', '.join(map(str, frame.columns))}"
        )
    if not len(frame):
        raise DataError(f"{symbol}: the table has no row")
    told: tuple[str, ...] = ()
    if "volume" not in columns:
        told = ("no volume in the table: 0 everywhere",)
    prices = [_numbers(columns[name], symbol, name) for name in PRICES]
    volume = _numbers(columns["volume"], symbol, "volume") if not told else None
    raw = Raw(
        raw_candles(_times(frame, columns, symbol), prices, volume),
        "table",
        (Part(0, symbol, 0),),
        notes=told,
    )
    return build_tape(raw, Options(venue=venue, symbol=symbol)).tape


def _one_market(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with columns of two levels, such as (Close, BTC-USD), as that of its one market."""
    for level in range(frame.columns.nlevels):
        names = {str(name).lower() for name in frame.columns.get_level_values(level)}
        if names.issuperset(PRICES):
            rest = frame.copy(deep=False)
            rest.columns = frame.columns.get_level_values(level)
            if rest.columns.has_duplicates:
                raise DataError("data: the table holds several markets; give {symbol: table} with one each")
            return rest
    raise DataError(f"data: no level of the columns {list(frame.columns)[:4]} has the prices")


def _numbers(column: Any, symbol: str, name: str) -> Any:
    try:
        return column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{symbol}: column {name} is not numeric: {error}") from error


def _times(frame: pd.DataFrame, columns: Mapping[str, Any], symbol: str) -> IntArray:
    """Return the open times of a table in ms UTC."""
    named = [name for name in _TIME_NAMES if name in columns]
    if isinstance(frame.index, pd.DatetimeIndex):
        return _stamps(frame.index)
    if not named:
        raise DataError(
            f"{symbol}: the table has no times: give it a DatetimeIndex or a column {', '.join(_TIME_NAMES)}"
        )
    column = columns[named[0]]
    if pd.api.types.is_numeric_dtype(column):
        return numeric_times(column.to_numpy(), Part(0, symbol, 0))[0]
    try:
        return _stamps(pd.DatetimeIndex(pd.to_datetime(column, utc=True)))
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"{symbol}: column {named[0]} cannot be read as times: {error}") from error


def _stamps(index: pd.DatetimeIndex) -> IntArray:
    if index.hasnans:
        raise DataError(f"times: row {int(np.argmax(index.isna()))} has none")
    in_utc = index.tz_localize("UTC") if index.tz is None else index.tz_convert("UTC")
    return np.asarray(in_utc.as_unit("ms").asi8, dtype=np.int64)
