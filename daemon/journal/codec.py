"""
Inputs as bytes and back.

    candles  the CANDLE records, little-endian, as they are in memory
    command  JSON; the value only where it is not 1
    model    the version as eight bytes, then the whole artefact
    halt     JSON
    market   JSON: every figure that holds from then on
    series   the SERIES records, as candles are
    funding  JSON; a float written by Python's repr reads back to the same bits

The kind and the payload are what the hash chain covers; nothing else enters the engine.
"""

import json
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.candles import CANDLE
from papertape.engine.errors import DataError
from papertape.engine.events import (
    Action,
    Cause,
    Command,
    Event,
    Funding,
    Halt,
    MarketChange,
    NewModel,
    SeriesRows,
)
from papertape.engine.records import SERIES as SERIES_RECORD

CANDLES: Final = "candles"
COMMAND: Final = "command"
MODEL: Final = "model"
FUNDING: Final = "funding"
HALT: Final = "halt"
MARKET: Final = "market"
SERIES: Final = "series"


class Encoded(NamedTuple):
    """One input as the journal keeps it."""

    kind: str
    payload: bytes
    first_ms: int  # open time of the first and last candle; 0 for what has no time of its own
    last_ms: int


def encode(event: Event) -> Encoded:
    """Return an event as kind and bytes."""
    if isinstance(event, Command):
        # A value that says nothing is left out: the bytes of a command are what they were before there was one.
        value = {"value": event.value} if event.value != 1.0 else {}
        return Encoded(COMMAND, _json({"action": event.action.value, **value}), 0, 0)
    if isinstance(event, NewModel):
        version = event.version.to_bytes(8, "little")
        return Encoded(MODEL, version + event.artefact, 0, 0)
    if isinstance(event, Funding):
        return Encoded(FUNDING, _json(event._asdict()), event.time_ms, event.time_ms)
    if isinstance(event, Halt):
        return Encoded(HALT, _json(event._asdict()), event.time_ms, event.time_ms)
    if isinstance(event, MarketChange):
        return Encoded(MARKET, _json(event._asdict()), event.time_ms, event.time_ms)
    if isinstance(event, SeriesRows):
        known_ms = event.rows["known_ms"]
        return Encoded(SERIES, event.rows.tobytes(), int(known_ms.min()), int(known_ms.max()))
    assert event.dtype == CANDLE
    assert len(event)
    stamps = event["open_ms"]
    return Encoded(CANDLES, event.tobytes(), int(stamps[0]), int(stamps[-1]))


def decode(kind: str, payload: bytes) -> Event:
    """Return the event that was encoded, or raise DataError."""
    try:
        if kind == CANDLES:
            return np.frombuffer(payload, CANDLE).copy()
        if kind == COMMAND:
            values = json.loads(payload)
            return Command(Action(values["action"]), float(values.get("value", 1.0)))
        if kind == MODEL:
            return NewModel(int.from_bytes(payload[:8], "little"), payload[8:])
        if kind == FUNDING:
            return Funding(**json.loads(payload))
        if kind == SERIES:
            return SeriesRows(np.frombuffer(payload, SERIES_RECORD).copy())
        if kind == MARKET:
            return MarketChange(**json.loads(payload))
        if kind == HALT:
            values = json.loads(payload)
            return Halt(**{**values, "cause": Cause(values["cause"])})
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"an input of kind {kind!r} cannot be read: {error}") from error
    raise DataError(f"an input of kind {kind!r} is unknown; use the version that wrote it")


def _json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, allow_nan=False).encode()
