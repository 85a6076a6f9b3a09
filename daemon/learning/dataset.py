"""What a daemon's model learns from: the candles of its journal, and before them the store's tape of the same market."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.journal.archive import all_inputs
from papertape.daemon.journal.codec import CANDLES
from papertape.daemon.journal.export import identity_of
from papertape.daemon.journal.identity import Identity
from papertape.engine.candles import CANDLE, FLAG_ABSENT, timeframe_ms
from papertape.engine.errors import DataError
from papertape.engine.features.requests import split_request
from papertape.engine.features.table import is_built_in, read_request
from papertape.engine.jit import Rows, copy_rows, join_rows
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.training.labels import SIGNAL
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.tapes.store import Store, Tape

# Two years of minutes. What came earlier moves no feature by then, and memory has its limit.
_MOST_INSTANTS: Final = 1_000_000


class Gathered(NamedTuple):
    """Rows to learn from, and the sha256 of each symbol's candles, in the engine's order."""

    rows: Dataset
    tapes: tuple[str, ...]


def gather(state: Path, journal: Journal, due_ms: int, settings: LearningSettings, store: Store) -> Gathered:
    """
    Return everything that was known at the due time, with features by the engine's own lanes.

    Raises DataError when there is no candle, InvariantError when the journal is damaged.
    """
    about = identity_of(journal)
    spec = about.spec
    if settings.asks == SIGNAL:
        refuse_series(spec.requests)
    base_ms = timeframe_ms(about.base_timeframe)
    tapes = [_with_earlier(tape, store) for tape in journalled_tapes(state, journal, about, due_ms - base_ms)]
    rows = dataset_of(
        about.symbols,
        [tape.candles for tape in tapes],
        about.base_timeframe,
        settings.timeframe,
        settings.features,
        traded=settings.symbols or None,
        own=spec.own,
        asker=spec if settings.asks == SIGNAL else None,
    )
    return Gathered(rows, tuple(tape.sha256 for tape in tapes))


def refuse_series(requests: Iterable[str]) -> None:
    """Raise DataError for a strategy whose signals candles alone do not tell: here there are no series beside them."""
    for request in requests:
        name = split_request(request).name
        if is_built_in(name) and read_request(name).feature.is_series:
            raise DataError(
                f"signals.model_asks: the strategy reads {name!r}, and a daemon trains on candles alone, so what it would signal "
                "is not known there; have a model answer which side pays, or leave that feature out"
            )


def journalled_tapes(state: Path, journal: Journal, about: Identity, last_ms: int) -> list[Tape]:
    """Return the candles that were received up to an open time, by symbol; a declared absence is left a gap."""
    n_symbols = len(about.symbols)
    parts: list[Rows] = [
        np.frombuffer(found.payload, CANDLE)
        for found in all_inputs(state, journal)
        if found.kind == CANDLES and found.first_ms <= last_ms
    ]
    if not parts:
        raise DataError(f"{journal.path}: no candle was accepted by the due time")
    candles = join_rows(parts)
    candles = candles[candles["open_ms"] <= last_ms][-_MOST_INSTANTS * n_symbols :]
    return [_tape_of(candles, index, about) for index in range(n_symbols)]


def _tape_of(candles: Rows, index: int, about: Identity) -> Tape:
    symbol = about.symbols[index]
    is_there = (candles["symbol"] == index) & (candles["flag_bits"] & FLAG_ABSENT == 0)
    rows = copy_rows(np.ascontiguousarray(candles[is_there]))
    rows["symbol"] = 0
    return Tape(
        rows,
        about.venue,
        symbol,
        about.base_timeframe,
        source="a daemon's journal",
        kind=about.kind_of(symbol),
    )


def _with_earlier(tape: Tape, store: Store) -> Tape:
    """Return a tape with the candles before it that the store has of the same market."""
    if not len(tape.candles) or not store.path_of(tape).is_file():
        return tape
    earlier = store.find(tape.name).candles
    earlier = earlier[earlier["open_ms"] < tape.candles["open_ms"][0]][-_MOST_INSTANTS:]
    if not len(earlier):
        return tape
    joined: Sequence[Rows] = [copy_rows(np.ascontiguousarray(earlier)), tape.candles]
    return Tape(
        join_rows([np.ascontiguousarray(rows) for rows in joined]),
        tape.venue,
        tape.symbol,
        tape.timeframe,
        source="the store and a daemon's journal",
        kind=tape.kind,
    )
