"""
A tape: the candles of one market and timeframe, as a value and as a file.

The file is Parquet (zstd) with the columns open_time (int64, ms UTC), open, high, low, close, volume (float64, base
units) and flags (int64, the bits of `papertape.engine.candles`), and a JSON text `papertape` in the schema's metadata. Any
Parquet reader opens it. pyarrow is loaded when a file is read or written: a daemon on a venue does neither. Its hash is the SHA-256 of the little-endian bytes of those columns, in that order, one whole
column after the other; it depends on the candles alone, not on how the file is packed.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from papertape.engine.candles import CANDLE, DAY_MS, empty_candles, timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows, locked_rows
from papertape.replay.runtime.files import write_whole
from papertape.replay.tapes.arrow import plain_column
from papertape.replay.tapes.timestamps import floor_to, utc_text

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT: Final = 1
METADATA_KEY: Final = b"papertape"
ROW_GROUP_ROWS: Final = 131_072

# Column of the file, field of CANDLE.
COLUMNS: Final = (
    ("open_time", "open_ms"),
    ("open", "open"),
    ("high", "high"),
    ("low", "low"),
    ("close", "close"),
    ("volume", "volume"),
    ("flags", "flag_bits"),
)
Time = int | str | date | datetime | None


@dataclass(frozen=True, eq=False, repr=False)
class Tape:
    """
    Candles of one market and timeframe, immutable, in time order and on the grid.

    candles  CANDLE rows, symbol 0; gaps are allowed, repeated stamps are not
    kind     spot, linear or inverse
    source   where the candles come from, in words
    notes    what was assumed and repaired on the way; `quality` are the counts of the import

    >>> from papertape.replay.tapes.synthetic import synthesize
    >>> tape = synthesize("noise", 48, "1h")
    >>> tape
    <Tape synthetic_SYNTH_1h: 48 candles 2020-01-01 00:00 … 2020-01-02 23:00>
    >>> tape.between("2020-01-02").table().shape
    (24, 5)
    """

    candles: Rows
    venue: str
    symbol: str
    timeframe: str
    source: str = ""
    kind: str = "spot"
    notes: tuple[str, ...] = ()
    quality: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no tape and protect the candles from change."""
        assert self.candles.dtype == CANDLE
        stamps = np.ascontiguousarray(self.candles["open_ms"])
        if not len(stamps):
            raise DataError(f"{self.name}: a tape needs at least one candle")
        if (np.diff(stamps) <= 0).any() or (floor_to(stamps, self.length_ms) != stamps).any():
            raise DataError(f"{self.name}: open times must rise and lie on the grid; import it")
        object.__setattr__(self, "candles", locked_rows(self.candles))

    @property
    def name(self) -> str:
        """Return the name under which a store keeps it."""
        return tape_name(self.venue, self.symbol, self.timeframe)

    def __repr__(self) -> str:
        first, last = (utc_text(int(self.candles["open_ms"][at])) for at in (0, -1))
        return f"<Tape {self.name}: {len(self.candles):,} candles {first} … {last}>"

    def table(self) -> "DataFrame":
        """Return the candles as a table indexed by open time in UTC."""
        from papertape.replay.tapes.tables import candle_frame  # pandas, which a daemon never loads

        return candle_frame(self.candles)

    @property
    def length_ms(self) -> int:
        """Return the length of a candle."""
        return timeframe_ms(self.timeframe)

    @cached_property
    def sha256(self) -> str:
        """Return the hash of the candles."""
        return hash_columns(self.candles[of] for _, of in COLUMNS)

    def between(self, start: Time = None, end: Time = None) -> "Tape":
        """
        Return the candles that open from `start` to `end`, both included.

        Times are ms or UTC; a bare date as `end` means that whole day. Raises DataError when nothing is left.
        """
        stamps = self.candles["open_ms"]
        first = 0 if start is None else int(np.searchsorted(stamps, time_ms(start)))
        last = len(stamps)
        if end is not None:
            last = int(np.searchsorted(stamps, time_ms(end, is_end=True), "right"))
        if first >= last:
            begin = "its first" if start is None else utc_text(time_ms(start))
            finish = "its last" if end is None else utc_text(time_ms(end, is_end=True))
            has = f"{utc_text(int(stamps[0]))} … {utc_text(int(stamps[-1]))}"
            raise DataError(f"{self.name}: no candle between {begin} and {finish}; it has {has}")
        if last - first == len(stamps):
            return self
        return replace(self, candles=self.candles[first:last], quality={})

    def metadata(self) -> dict[str, Any]:
        """Return what the file says beside the candles."""
        return {
            "format": FORMAT,
            "venue": self.venue,
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "kind": self.kind,
            "source": self.source,
            "sha256": self.sha256,
            "rows": len(self.candles),
            "first_ms": int(self.candles["open_ms"][0]),
            "last_ms": int(self.candles["open_ms"][-1]),
            "notes": list(self.notes),
            "quality": dict(self.quality),
        }


def tape_name(venue: str, symbol: str, timeframe: str) -> str:
    """
    Return the name of a market's tape.

    >>> tape_name("binance-spot", "BTCUSDT", "1h")
    'binance-spot_BTCUSDT_1h'
    """
    return f"{venue}_{symbol.replace('/', '-').replace(':', '-')}_{timeframe}"


def time_ms(value: Time, *, is_end: bool = False) -> int:
    """
    Return a time as ms UTC; a bare date at an end is the last ms of its day.

    >>> time_ms("1970-01-02"), time_ms("1970-01-02", is_end=True)
    (86400000, 172799999)
    """
    if isinstance(value, int):
        return value
    text = str(value)
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"time {text!r}: write 2023-01-31 or 2023-01-31 13:00") from error
    stamp = stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp
    is_bare = len(text) <= len("2023-01-31")
    return round(stamp.timestamp() * 1000) + (DAY_MS - 1 if is_end and is_bare else 0)


def hash_columns(columns: Iterator[Any]) -> str:
    """Return the SHA-256 over whole columns, one after the other, as little-endian 8-byte values."""
    digest = hashlib.sha256()
    for column in columns:
        digest.update(np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def write_tape(tape: Tape, path: Path) -> None:
    """Write a tape; the file is whole or it is not there. Raises DataError when it cannot be written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = json.dumps(tape.metadata(), allow_nan=False)
    schema = _schema().with_metadata({METADATA_KEY: about})

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for start in range(0, len(tape.candles), ROW_GROUP_ROWS):
                rows = tape.candles[start : start + ROW_GROUP_ROWS]
                arrays = [pa.array(np.ascontiguousarray(rows[of])) for _, of in COLUMNS]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    write_whole(path, write)


def _schema() -> Any:
    """Return the columns of a tape's file with their types."""
    import pyarrow as pa

    return pa.schema([(name, pa.from_numpy_dtype(CANDLE[of])) for name, of in COLUMNS])


def open_parquet(path: Path) -> Any:
    """Return a Parquet file opened for reading, or raise DataError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except OSError as error:
        reason = (error.strerror or "it cannot be read as Parquet").lower()
        raise DataError(f"{path}: {reason}") from error
    except pa.ArrowException as error:
        raise DataError(f"{path}: not a whole Parquet file: {_first_line(error)}") from error


def is_tape_file(path: Path) -> bool:
    """Return whether a file is to be read as a tape: by its metadata, or, unreadable, by its name."""
    if path.suffix != ".parquet":
        return False
    try:
        with open_parquet(path) as file:
            return METADATA_KEY in (file.schema_arrow.metadata or {})
    except DataError:
        return True  # reading it says what is wrong


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what a tape's file says about itself; DataError when it is no tape or a newer one."""
    with open_parquet(path) as file:
        return metadata_of(file.schema_arrow, path)


def metadata_of(schema: Any, path: Path) -> dict[str, Any]:
    """Return the checked metadata of a schema."""
    text = (schema.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise DataError(
            f"{path}: Parquet without a tape's metadata; bring it in with `papertape tape import`"
        )
    try:
        values = json.loads(text)
        number = values["format"]
        assert type(number) is int
        assert number >= 1
        strings = [values[name] for name in ("venue", "symbol", "timeframe", "kind", "sha256")]
        assert all(isinstance(value, str) for value in strings)
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise DataError(f"{path}: the tape's metadata is damaged; import it again") from error
    if number > FORMAT:
        raise DataError(f"{path}: format {number} is newer than {FORMAT}; update papertape")
    found = {name: str(schema.field(name).type) for name in schema.names}
    columns = _schema()
    wanted = {name: str(columns.field(name).type) for name, _ in COLUMNS}
    if found != wanted:
        raise DataError(f"{path}: columns {found} are not a tape's {wanted}; import it again")
    return dict(values)


def read_tape(path: Path) -> Tape:
    """Return a tape, its hash verified. Raises DataError for anything that is not a whole, unchanged tape."""
    with open_parquet(path) as file:
        values = metadata_of(file.schema_arrow, path)
        candles = empty_candles(file.metadata.num_rows)
        start = 0
        for rows in _row_batches(file, path, ROW_GROUP_ROWS):
            candles[start : start + len(rows)] = rows
            start += len(rows)
    tape = Tape(
        candles,
        values["venue"],
        values["symbol"],
        values["timeframe"],
        str(values.get("source", "")),
        values["kind"],
        tuple(values.get("notes", ())),
        values.get("quality", {}),
    )
    _check_hash(tape.sha256, values, path)
    return tape


def iter_candles(path: Path, rows: int = ROW_GROUP_ROWS) -> Iterator[Rows]:
    """
    Yield a tape's candles in arrays of at most `rows`, holding one row group at a time.

    The hash is verified first, a column at a time, so that nothing of a damaged tape is ever yielded.
    """
    with open_parquet(path) as file:
        values = metadata_of(file.schema_arrow, path)
        _check_hash(_file_hash(file, path), values, path)
        yield from _row_batches(file, path, rows)


def _file_hash(file: Any, path: Path) -> str:
    import pyarrow as pa

    digest = hashlib.sha256()
    try:
        for name, _ in COLUMNS:
            for group in range(file.num_row_groups):
                column = file.read_row_group(group, [name], use_threads=False).column(0)
                values = plain_column(column)
                digest.update(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).data)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return digest.hexdigest()


def _row_batches(file: Any, path: Path, rows: int) -> Iterator[Rows]:
    """Yield CANDLE rows of an open file; row groups, because batches keep what they have read in memory."""
    import pyarrow as pa

    if rows < 1:
        raise DataError(f"rows: {rows} is not at least 1")
    try:
        for group in range(file.num_row_groups):
            candles = group_candles(file.read_row_group(group, use_threads=False).columns)
            for start in range(0, len(candles), rows):
                yield candles[start : start + rows]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def group_candles(columns: Sequence[Any]) -> Rows:
    """Return CANDLE rows from columns in the file's order."""
    candles = empty_candles(len(columns[0]))
    for (_, of), column in zip(COLUMNS, columns, strict=True):
        candles[of] = plain_column(column)
    return candles


def _check_hash(found: str, values: Mapping[str, Any], path: Path) -> None:
    if found != values["sha256"]:
        raise DataError(
            f"{path}: the candles' hash {found[:12]} is not the {values['sha256'][:12]} of its "
            "metadata; the file is damaged or was changed, import it again"
        )


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: the file is damaged: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
