"""Feature columns and market events of a tape as Parquet files that any reader opens, in constant memory per column."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from papertape.engine.features import FeaturePlan, perceive, plan_features
from papertape.engine.features.evaluate import history_of
from papertape.engine.features.own.base import NewCandles, OwnFeature
from papertape.engine.features.own.series import OwnSeries, refuse_bad
from papertape.engine.features.smc import EVENT
from papertape.replay.events.events import event_table, iter_market_events
from papertape.replay.runtime.files import write_whole
from papertape.replay.tapes.tape import Tape

FEATURES_FILE: Final = "features.parquet"
EVENTS_FILE: Final = "events.parquet"
ROW_GROUP_ROWS: Final = 65_536
Progress = Callable[[str, int, int], None]


def write_features(
    path: Path,
    tape: Tape,
    requests: Sequence[str],
    on_progress: Progress | None = None,
    own: Mapping[str, OwnFeature] = MappingProxyType({}),
) -> tuple[str, ...]:
    """
    Write every requested feature at every candle and return the names of the columns.

    own  features of somebody's own that are among them, by name

    The file has `bar`, `time` (open), `known_time` (close, when the row was known) and one float64 column per output,
    NaN while it warms up. Raises ConfigError for an unknown feature, before anything is written, and StrategyError for a
    value of somebody's own that is none.
    """
    plan = plan_features(requests, tape.length_ms, own)
    stamps = [("bar", pa.int64()), ("time", _TIME), ("known_time", _TIME)]
    schema = pa.schema([*stamps, *((name, pa.float64()) for name in plan.columns)])

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            _write_groups(writer, schema, tape, plan, on_progress)

    write_whole(path, write)
    return plan.columns


_TIME: Final = pa.timestamp("ms", "UTC")


def _write_groups(
    writer: pq.ParquetWriter, schema: pa.Schema, tape: Tape, plan: FeaturePlan, on_progress: Progress | None
) -> None:
    """Compute and write one row group after the other; the states of the features run through."""
    history = history_of(tape.candles)
    slab = plan.initial_state().view(np.float64).reshape(-1)
    nobody, written = np.zeros(1, EVENT), np.zeros(1, np.int64)  # events have a file of their own
    series = OwnSeries(plan.own, slab)
    out = np.empty((len(plan.columns), min(ROW_GROUP_ROWS, len(tape.candles))))
    for first in range(0, len(tape.candles), ROW_GROUP_ROWS):
        last = min(first + ROW_GROUP_ROWS, len(tape.candles))
        perceive(history, first, last, first, plan, slab, out, nobody, written)
        opens = tape.candles["open_ms"][first:last]
        bad = series.update(NewCandles(history, first, last, first), out)
        refuse_bad(bad, f"{tape.symbol}, ", opens + tape.length_ms)
        columns = [np.arange(first, last), opens, opens + tape.length_ms]
        columns += [line[: last - first].copy() for line in out]
        arrays = [pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)]
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        if on_progress is not None:
            on_progress("features", last, len(tape.candles))


def write_events(path: Path, tape: Tape, on_progress: Progress | None = None) -> dict[str, int]:
    """Write every market event of a tape and return how many there are of each kind."""
    counts: Counter[str] = Counter()
    schema = pa.Schema.from_pandas(event_table(np.zeros(0, EVENT), tape.symbol))
    names = ("symbol", "timeframe", "kind", "scale", "tag")
    fields = [pa.field(f.name, pa.string()) if f.name in names else f for f in schema]
    schema = pa.schema(fields)

    def show(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress("events", done, total)

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for events in iter_market_events(tape, show):
                table = event_table(events, tape.symbol)
                writer.write_table(pa.Table.from_pandas(table, schema, preserve_index=False))
                counts.update({str(k): int(n) for k, n in table["kind"].value_counts().items()})

    write_whole(path, write)
    return dict(sorted(counts.items()))
