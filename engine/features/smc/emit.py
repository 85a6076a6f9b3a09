"""
How kernels say an event: into a buffer that belongs to the caller, never into the state.

The last row of the buffer is scratch. A buffer of one row is that of a caller who did not ask for events: everything
lands in the scratch row, and only the sequence goes on counting, so that it is the same for every caller. A buffer that was asked
for is never full: whoever gives it sees to that, and to it that this is so.
"""

from typing import Final

import numpy as np

from papertape.engine.jit import Row, Rows, kernel, record

LOG: Final = record(
    ("sequence", "i8"),  # of the next event
    ("written", "i8"),  # rows of this call's buffer
    ("bar", "i8"),
    ("known_ms", "i8"),
    ("length_ms", "i8"),
    ("atr", "f8"),  # short ATR of the candle before; NaN while it warms up
)

SILENT: Final = -1  # a scale whose events are not told


@kernel
def say(
    log: Row, events: Rows, kind: int, scale: int, side: int, bar: int, formed_ms: int, top: float, bottom: float,
    level: float, distance: float, reference: int, tag: int,
) -> None:  # fmt: skip
    """Append one event; `distance` is a price difference that becomes its strength in ATR."""
    if scale < 0:
        return
    scratch = len(events) - 1
    place = scratch
    if log.written < scratch:
        place = log.written
        log.written += 1
    event = events[place]
    event.sequence = log.sequence
    log.sequence += 1
    event.timeframe_ms = log.length_ms
    event.known_ms = log.known_ms
    event.formed_ms = formed_ms
    event.known_bar = log.bar
    event.bar = bar
    event.kind = kind
    event.scale = scale
    event.side = side
    event.top = top
    event.bottom = bottom
    event.level = level
    event.strength = abs(distance) / log.atr if log.atr > 0.0 else np.nan
    event.reference = reference
    event.tag = tag


@kernel
def say_zone(log: Row, events: Rows, kind: int, scale: int, side: int, zone: Row, tag: int) -> None:
    """Append an event about a zone; its strength is the zone's height."""
    say(
        log, events, kind, scale, side, zone.bar, zone.formed_ms, zone.top, zone.bottom, np.nan,
        zone.top - zone.bottom, zone.reference, tag,
    )  # fmt: skip


@kernel
def say_level(
    log: Row,
    events: Rows,
    kind: int,
    scale: int,
    side: int,
    bar: int,
    formed_ms: int,
    level: float,
    distance: float,
    reference: int,
    tag: int,
) -> None:
    """Append an event about a price level."""
    say(log, events, kind, scale, side, bar, formed_ms, np.nan, np.nan, level, distance, reference, tag)
