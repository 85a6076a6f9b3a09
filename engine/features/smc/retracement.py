"""
What follows a break: the inducement of the pullback, and the optimal trade entry of the leg.

After a swing-scale break, the first internal pivot of the pullback that lies after the break and strictly inside the
range is the inducement. It is taken when price trades through it and the candle closes strictly back, failed when it
does not, expired when structure turns first.

After an internal break, the leg runs from the extreme that began it to the extreme it has reached. A retracement of
62 to 79 % of it is the entry zone; the leg is frozen from then on, and failed when its origin is passed.
"""

from typing import Final

from papertape.engine.features.smc.emit import say, say_level
from papertape.engine.features.smc.events import (
    IDM_EXPIRED,
    IDM_FAILED,
    IDM_SET,
    IDM_TAKEN,
    OTE_ENTER,
    OTE_FAILED,
    SCALE_INTERNAL,
)
from papertape.engine.features.smc.recent import RING, extreme_true, true_price
from papertape.engine.jit import Row, Rows, kernel, record

INDUCEMENT: Final = record(
    ("side", "i8"),  # of the swing break that is followed; 0 = none
    ("stage", "i8"),  # 1 waiting for a pivot, 2 watched
    ("break_bar", "i8"),
    ("level", "f8"),
    ("bar", "i8"),
    ("formed_ms", "i8"),
    ("taken_bar", "i8"),  # newest candle that took one
    ("taken_side", "i8"),
)
LEG: Final = record(
    ("side", "i8"),  # 0 = none
    ("is_entered", "i8"),
    ("origin", "f8"),
    ("extreme", "f8"),
    ("bar", "i8"),  # of the origin
    ("formed_ms", "i8"),
)


@kernel
def watch_inducement(idm: Row, chart: Row, log: Row, events: Rows) -> None:
    """See whether the newest candle took the inducement or broke it."""
    if idm.stage != 2:
        return
    now, side = chart.now, idm.side
    reach = now.low if side > 0 else -now.high
    if not reach < side * idm.level:
        return
    idm.stage = 0
    kind = IDM_TAKEN if side * now.close > side * idm.level else IDM_FAILED
    if kind == IDM_TAKEN:
        idm.taken_bar = chart.n_candles - 1
        idm.taken_side = side
    say_inducement(idm, kind, now.close - idm.level, log, events)


@kernel
def say_inducement(idm: Row, kind: int, distance: float, log: Row, events: Rows) -> None:
    """Append an event about the inducement."""
    say_level(
        log,
        events,
        kind,
        SCALE_INTERNAL,
        idm.side,
        idm.bar,
        idm.formed_ms,
        idm.level,
        distance,
        idm.break_bar,
        0,
    )


@kernel
def set_inducement(idm: Row, internal: Row, outer: Row, chart: Row, log: Row, events: Rows) -> None:
    """Take the first internal pivot of the pullback, to be watched from the next candle on."""
    if idm.stage != 1:
        return
    number = (1 + idm.side) // 2  # a low after a break up
    pivot, limit = internal.pivots[number], outer.pivots[number]
    if internal.fresh[number] == 0 or pivot.bar <= idm.break_bar or limit.is_known == 0:
        return
    if not idm.side * pivot.price > idm.side * limit.price:
        return
    idm.stage = 2
    idm.level = pivot.price
    idm.bar = pivot.bar
    idm.formed_ms = pivot.formed_ms
    say_inducement(idm, IDM_SET, chart.now.close - idm.level, log, events)


@kernel
def start_inducement(idm: Row, outer: Row, chart: Row, log: Row, events: Rows) -> None:
    """Start over on a swing-scale break."""
    for number in range(2):
        if outer.broke[number] == 0:
            continue
        side = 1 - 2 * number
        if idm.stage == 2 and idm.side == -side:
            say_inducement(idm, IDM_EXPIRED, chart.now.close - idm.level, log, events)
        idm.side = side
        idm.stage = 1
        idm.break_bar = chart.n_candles - 1


@kernel
def watch_leg(leg: Row, p: Row, chart: Row, log: Row, events: Rows) -> None:
    """See whether the newest candle entered the zone, passed the origin or stretched the leg."""
    if leg.side == 0:
        return
    now, side = chart.now, leg.side
    against = now.low if side > 0 else now.high
    along = now.high if side > 0 else now.low
    length = leg.extreme - leg.origin  # negative for a leg down, so that one formula serves both
    if leg.is_entered == 0 and side * against <= side * (leg.extreme - p.ote_near * length):
        leg.is_entered = 1
        near, far = leg.extreme - p.ote_near * length, leg.extreme - p.ote_far * length
        say(
            log,
            events,
            OTE_ENTER,
            SCALE_INTERNAL,
            side,
            leg.bar,
            leg.formed_ms,
            near if side > 0 else far,
            far if side > 0 else near,
            leg.extreme - p.ote_middle * length,
            length,
            leg.bar,
            0,
        )
    if side * against < side * leg.origin:
        leg.side = 0
        say_level(
            log,
            events,
            OTE_FAILED,
            SCALE_INTERNAL,
            side,
            leg.bar,
            leg.formed_ms,
            leg.origin,
            length,
            leg.bar,
            0,
        )
    elif leg.is_entered == 0 and side * along > side * leg.extreme:
        leg.extreme = along


@kernel
def start_leg(leg: Row, internal: Row, chart: Row) -> None:
    """Begin the leg of an internal break at the newest candle."""
    t = chart.n_candles - 1
    for number in range(2):
        if internal.broke[number] == 0:
            continue
        side = 1 - 2 * number
        bar = extreme_true(chart, internal.pivots[number].bar, t, -side)
        origin = chart.ring[bar & (RING - 1)]
        best = extreme_true(chart, bar, t, side)
        leg.side = side
        leg.is_entered = 0
        leg.origin = true_price(origin, -side)
        leg.extreme = true_price(chart.ring[best & (RING - 1)], side)
        leg.bar = bar
        leg.formed_ms = origin.open_ms
