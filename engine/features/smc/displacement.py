"""
Displacement and market structure shift.

A displacement is a candle whose body is at least 1.5 times the short ATR of the candle before and at least 65 % of its
own range. An internal CHoCH with a displacement of its direction among the newest three candles is a shift (MSS).
"""

from typing import Final

import numpy as np

from papertape.engine.features.smc.emit import say_level
from papertape.engine.features.smc.events import CHOCH, DISPLACEMENT, MSS, SCALE_INTERNAL, SCALE_NONE
from papertape.engine.jit import Row, Rows, kernel, record

IMPULSE: Final = record(
    ("is_started", "i8"),
    ("newest", "i8", (2,)),  # candle of the newest displacement up, down
    ("strength", "f8", (2,)),  # its body in ATR
    ("shift", "i8", (2,)),  # candle of the newest MSS up, down
)
_LONG_AGO: Final = -(1 << 40)


@kernel
def find_displacement(impulse: Row, p: Row, chart: Row, log: Row, events: Rows) -> None:
    """Say whether the newest candle is a displacement."""
    if impulse.is_started == 0:
        impulse.is_started = 1
        for number in range(2):
            impulse.newest[number] = _LONG_AGO
            impulse.shift[number] = _LONG_AGO
    t, now, atr = chart.n_candles - 1, chart.now, log.atr
    body = now.close - now.open
    size = abs(body)
    if size == 0.0 or not size >= p.displacement_atr * atr:
        return
    if size < p.displacement_share * (now.high - now.low):
        return
    side = 1 if body > 0.0 else -1
    number = (1 - side) // 2
    impulse.newest[number] = t
    impulse.strength[number] = size / atr if atr > 0.0 else 0.0
    say_level(log, events, DISPLACEMENT, SCALE_NONE, side, t, now.open_ms, np.nan, body, -1, 0)


@kernel
def find_shift(impulse: Row, p: Row, internal: Row, chart: Row, log: Row, events: Rows) -> None:
    """Say whether an internal CHoCH of the newest candle is a shift."""
    t = chart.n_candles - 1
    for number in range(2):
        if internal.broke[number] != CHOCH or t - impulse.newest[number] >= p.shift_bars:
            continue
        impulse.shift[number] = t
        pivot = internal.pivots[number]
        say_level(
            log,
            events,
            MSS,
            SCALE_INTERNAL,
            1 - 2 * number,
            pivot.bar,
            pivot.formed_ms,
            pivot.price,
            chart.now.close - pivot.price,
            pivot.bar,
            0,
        )
