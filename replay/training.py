"""From a tape to a model: features by the engine's own lanes, a fit, and a record that says where it comes from."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from papertape.engine.cache import source_digest
from papertape.engine.candles import FLAG_ABSENT, timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.events import NewModel
from papertape.engine.frames import Frames
from papertape.engine.jit import FloatArray
from papertape.engine.lane import BLOCK
from papertape.engine.model import (
    MODEL_FEATURES,
    ModelRecord,
    fit_logistic,
    read_artefact,
    write_artefact,
)
from papertape.replay.feed import ReplayFeed
from papertape.replay.stamps import utc_text
from papertape.replay.tape_file import Tape


class SignalRows(NamedTuple):
    """Closes of a timeframe and the features at each, shape (n_columns, n); NaN in the rows of absent candles."""

    closes: FloatArray
    features: FloatArray


def signal_rows(tape: Tape, timeframe: str, features: Sequence[str]) -> SignalRows:
    """Return what an engine on this tape would give a model at every close of `timeframe`."""
    frames = Frames(1, tape.timeframe, timeframe, features)
    feed = ReplayFeed([tape.candles], timeframe_ms(tape.timeframe), batch_rows=BLOCK)
    closes, columns = [], []
    for batch in feed.batches():
        closed, at = frames.advance(batch, len(batch))
        bars = frames.main[0].closed[:closed]
        rows = frames.matrix(0, closed, at)[:-1, :closed].copy()
        rows[:, bars["flag_bits"] & FLAG_ABSENT != 0] = np.nan
        closes.append(bars["close"].copy())
        columns.append(rows)
    return SignalRows(np.concatenate(closes), np.concatenate(columns, axis=1))


def fit_from_tape(
    tape: Tape,
    timeframe: str | None = None,
    horizon_bars: int = 12,
    features: Sequence[str] = MODEL_FEATURES,
    l2: float = 1.0,
    parent: int = 0,
) -> bytes:
    """
    Return the artefact of a logistic model fitted to a tape.

    timeframe     of the strategy that will use it; default: the tape's own
    horizon_bars  of that timeframe; the model says whether the close so many bars later is higher
    parent        version of the champion at the time; 0 = none

    Raises DataError when the tape is too short or a feature never has a value.
    """
    frame = timeframe or tape.timeframe
    rows = signal_rows(tape, frame, features)
    fit = fit_logistic(rows.features, rows.closes, horizon_bars, l2)
    record = ModelRecord(
        kind="logistic",
        features=tuple(features),
        timeframe=frame,
        horizon_bars=horizon_bars,
        symbols=(tape.symbol,),
        tapes=(tape.sha256,),
        start_ms=int(tape.candles["open_ms"][0]),
        end_ms=int(tape.candles["open_ms"][-1]) + timeframe_ms(tape.timeframe),
        code=source_digest(),
        parent=parent,
        metrics=fit.metrics,
    )
    return write_artefact(record, fit.tensors)


def model_events(models: Sequence[tuple[int, bytes]]) -> list[tuple[int, NewModel]]:
    """
    Return a schedule of artefacts, each with the close at which it takes over, as events for a feed.

    A model outside a store is numbered by its place in the schedule.

    Raises DataError for a model that has seen candles which close after it takes over.
    """
    events = []
    for number, (effective_ms, data) in enumerate(models, start=1):
        record = read_artefact(data).record
        if record.end_ms > effective_ms:
            raise DataError(
                f"model {record.version or number}: it has seen candles up to {utc_text(record.end_ms)} and cannot take over "
                f"at {utc_text(effective_ms)}; train it on earlier ones"
            )
        events.append((effective_ms, NewModel(record.version or number, data)))
    return events


def model_features(models: Sequence[tuple[int, bytes]]) -> tuple[str, ...]:
    """Return every feature that these models read, each once."""
    records = [read_artefact(data).record for _, data in models]
    return tuple(dict.fromkeys(name for record in records for name in record.features))
