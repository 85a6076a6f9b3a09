"""Market structure over recorded candles: the engine's own stepper, batch by batch, and its events as a table."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pandas as pd

from papertape.engine.candles import timeframe_name
from papertape.engine.features.smc import SmartMoney
from papertape.engine.features.smc.events import EVENT, KIND_NAMES, SCALE_NAMES, TAG_NAMES
from papertape.engine.jit import Rows, join_rows
from papertape.replay.tapes.resample import resample
from papertape.replay.tapes.tables import utc
from papertape.replay.tapes.tape import Tape

BATCH: Final = 65_536  # candles given to the stepper at once; the size never changes a result


def in_timeframe(tape: Tape, timeframe: str | None) -> Tape:
    """Return the tape in a longer timeframe, or as it is."""
    return tape if timeframe in (None, tape.timeframe) else resample(tape, str(timeframe))


def iter_market_events(tape: Tape, on_progress: Callable[[int, int], None] | None = None) -> Iterator[Rows]:
    """Yield the EVENT rows that the engine says about a tape, batch by batch, in the order in which it does."""
    stepper = SmartMoney(tape.timeframe)
    for first in range(0, len(tape.candles), BATCH):
        yield stepper.update(tape.candles[first : first + BATCH])
        if on_progress is not None:
            on_progress(min(first + BATCH, len(tape.candles)), len(tape.candles))


def market_events(tape: Tape, on_progress: Callable[[int, int], None] | None = None) -> Rows:
    """Return every EVENT that the engine says about a tape."""
    return join_rows([np.zeros(0, EVENT), *iter_market_events(tape, on_progress)])


def event_table(events: Rows, symbol: str) -> pd.DataFrame:
    """
    Return events with names for numbers: when each was known, what it is about, and its levels.

    known_time  close of the candle that made it known (bar number `known_at`); tradable from the next open
    time        open of the candle it is about (bar number `bar`)
    """
    columns: dict[str, Any] = {
        "sequence": events["sequence"],
        "symbol": [symbol] * len(events),
        "timeframe": _named(events["timeframe_ms"], timeframe_name),
        "kind": _named(events["kind"], KIND_NAMES.__getitem__),
        "scale": _named(events["scale"], SCALE_NAMES.__getitem__),
        "side": events["side"],
        "known_at": events["known_bar"],
        "bar": events["bar"],
        "known_time": utc(events["known_ms"]),
        "time": utc(events["formed_ms"]),
    }
    columns |= {name: events[name] for name in ("top", "bottom", "level", "strength", "reference")}
    columns["tag"] = _named(events["tag"], TAG_NAMES.__getitem__)
    return pd.DataFrame(columns)


def _named(codes: Any, name_of: Callable[[int], str]) -> Any:
    """Return codes as a column of names, each looked up once and stored once."""
    values, places = np.unique(codes, return_inverse=True)
    names = np.array([name_of(int(value)) for value in values], dtype=object)
    return pd.Categorical(names[places] if len(names) else [])
