"""
Fair value gaps: three candles whose outer wicks do not overlap, and what becomes of the space between.

Two families. A plain gap is followed through its life: touched at the near edge, half filled at the middle, filled at
the far edge (equality counts, each once), inverted by a close strictly beyond the far edge: it then works the other
way until a close beyond its other side, or until it is too old. A gap above the automatic threshold (its middle candle's
body more than twice the mean body so far) is said apart, and closed at its far edge.

At most 128 of a kind live per side; then the oldest is dropped and counted.
"""

from typing import Final

from papertape.engine.features.smc.emit import say_zone
from papertape.engine.features.smc.events import (
    EXPIRED,
    FVG,
    FVG_CLOSED,
    FVG_TOUCH,
    GAP,
    GAP_EXPIRED,
    IFVG,
    IFVG_END,
    SCALE_NONE,
)
from papertape.engine.features.smc.price_levels import ZONE, add_row, fill_zone, oldest_row, remove_row
from papertape.engine.jit import Row, Rows, kernel, record

GAP_CAPACITY: Final = 128

NEW: Final = 0
TOUCHED: Final = 1
HALF: Final = 2
FILLED: Final = 3
INVERSE: Final = 4

_NEVER: Final = 1 << 62

_SHELF: Final = record(("n", "i8"), ("rows", ZONE, (GAP_CAPACITY,)))
GAPS: Final = record(
    ("n_dropped", "i8"),
    ("is_changed", "i8", (2,)),  # `wicks` since `nearest` was looked up
    ("nearest", "f8", (2,)),  # near edge of the nearest gap that is not filled, below, above
    ("due", "i8", (3,)),  # the candle before which nothing open, filled, inverse is too old
    ("scratch", ZONE, (1,)),  # the one being worked on
    ("wicks", _SHELF, (2,)),  # gaps below, above the price, by the edge that comes next
    ("filled", _SHELF, (2,)),  # waiting for a close beyond the far edge
    ("inverse", _SHELF, (2,)),  # by the side for which they work now; by the edge whose close ends them
)
STRONG_GAPS: Final = record(
    ("n_dropped", "i8"),
    ("scratch", ZONE, (1,)),
    ("body_total", "f8"),
    ("n_bodies", "i8"),
    ("shelves", _SHELF, (2,)),
)


@kernel
def put_gap(shelf: Row, zone: Row, key: float) -> int:
    """Add a gap to a shelf; return how many were dropped for it."""
    dropped = 0
    if shelf.n == len(shelf.rows):
        shelf.n = remove_row(shelf.rows, shelf.n, oldest_row(shelf.rows, shelf.n))
        dropped = 1
    shelf.n = add_row(shelf.rows, shelf.n, zone, key)
    return dropped


@kernel
def gap_side(chart: Row) -> int:
    """Return +1, -1 or 0: whether the newest three candles leave a gap with the middle one in its direction."""
    if chart.n_candles < 3:
        return 0
    middle = chart.middle
    if middle.close > middle.open and chart.before.high < chart.now.low:
        return 1
    if middle.close < middle.open and chart.before.low > chart.now.high:
        return -1
    return 0


@kernel
def write_gap(chart: Row, side: int, zone: Row) -> None:
    """Write the gap that the newest candle made known."""
    t = chart.n_candles - 1
    top = chart.now.low if side > 0 else chart.before.low
    bottom = chart.before.high if side > 0 else chart.now.high
    fill_zone(zone, top, bottom, t - 1, chart.middle.open_ms, t, side)


@kernel
def next_edge(zone: Row) -> float:
    """Return the price at which a gap that is not filled changes its stage."""
    if zone.stage == NEW:
        return zone.top if zone.side > 0 else zone.bottom  # type: ignore[no-any-return]
    if zone.stage == TOUCHED:
        return (zone.top + zone.bottom) / 2.0  # type: ignore[no-any-return]
    return zone.bottom if zone.side > 0 else zone.top  # type: ignore[no-any-return]


@kernel
def shelve_gap(gaps: Row, zone: Row, limit: int) -> None:
    """Put a gap where its next event comes from: a wick until it is filled, a close from then on."""
    number = (1 - zone.side) // 2
    key = zone.side * next_edge(zone)
    if zone.stage < FILLED:
        kind = 0
        gaps.is_changed[number] = 1
        gaps.n_dropped += put_gap(gaps.wicks[number], zone, key)
    elif zone.stage == FILLED:
        kind = 1
        gaps.n_dropped += put_gap(gaps.filled[number], zone, key)
    else:
        kind = 2
        gaps.n_dropped += put_gap(gaps.inverse[number], zone, key)
    if limit > 0:
        gaps.due[kind] = min(gaps.due[kind], zone.made + limit + 1)


@kernel
def fill_gaps(gaps: Row, scale: int, age_bars: int, now: Row, log: Row, events: Rows) -> None:
    """Take every gap through the stages that the newest candle's wicks reached."""
    zone = gaps.scratch[0]
    for number in range(2):
        side = 1 - 2 * number
        shelf = gaps.wicks[number]
        reach = now.low if side > 0 else -now.high
        while shelf.n > 0 and shelf.rows[shelf.n - 1].key >= reach:
            shelf.n -= 1
            gaps.is_changed[number] = 1
            gaps.scratch[0] = shelf.rows[shelf.n]
            while zone.stage < FILLED and side * next_edge(zone) >= reach:
                zone.stage += 1
                say_zone(log, events, FVG_TOUCH + zone.stage - 1, scale, side, zone, 0)
            shelve_gap(gaps, zone, age_bars)


@kernel
def invert_gaps(
    gaps: Row, scale: int, inverse_age_bars: int, t: int, close: float, log: Row, events: Rows
) -> None:
    """End the inverse gaps that the newest candle closed beyond, and invert the filled ones."""
    zone = gaps.scratch[0]
    for number in range(2):
        side = 1 - 2 * number
        shelf = gaps.inverse[number]
        while shelf.n > 0 and shelf.rows[shelf.n - 1].key > side * close:
            shelf.n -= 1
            say_zone(log, events, IFVG_END, scale, side, shelf.rows[shelf.n], 0)
    for number in range(2):
        side = 1 - 2 * number
        shelf = gaps.filled[number]
        while shelf.n > 0 and shelf.rows[shelf.n - 1].key > side * close:
            shelf.n -= 1
            gaps.scratch[0] = shelf.rows[shelf.n]
            zone.stage = INVERSE
            zone.side = -side
            zone.made = t
            say_zone(log, events, IFVG, scale, -side, zone, 0)
            shelve_gap(gaps, zone, inverse_age_bars)


@kernel
def expire_shelf(shelf: Row, kind: int, scale: int, limit: int, t: int, log: Row, events: Rows) -> int:
    """End the gaps of one shelf that are too old; return the candle at which the next one will be."""
    due = _NEVER
    place = 0
    while place < shelf.n:
        zone = shelf.rows[place]
        if t - zone.made > limit:
            say_zone(log, events, kind, scale, zone.side, zone, EXPIRED)
            shelf.n = remove_row(shelf.rows, shelf.n, place)
        else:
            due = min(due, zone.made + limit + 1)
            place += 1
    return due


@kernel
def expire_gaps(gaps: Row, scale: int, p: Row, t: int, log: Row, events: Rows) -> None:
    """End the gaps that are too old for this candle."""
    for number in range(3):
        limit = p.inverse_age_bars if number == 2 else p.gap_age_bars
        if limit == 0 or t < gaps.due[number]:
            continue
        if number == 0:
            gaps.is_changed[0] = 1
            gaps.is_changed[1] = 1
        shelves = gaps.wicks if number == 0 else (gaps.filled if number == 1 else gaps.inverse)
        kind = IFVG_END if number == 2 else GAP_EXPIRED
        first = expire_shelf(shelves[0], kind, scale, limit, t, log, events)
        second = expire_shelf(shelves[1], kind, scale, limit, t, log, events)
        gaps.due[number] = min(first, second)


@kernel
def follow_gaps(gaps: Row, scale: int, p: Row, chart: Row, log: Row, events: Rows) -> None:
    """Take all plain gaps of earlier candles through the newest one."""
    t, now = chart.n_candles - 1, chart.now
    expire_gaps(gaps, scale, p, t, log, events)
    fill_gaps(gaps, scale, p.gap_age_bars, now, log, events)
    invert_gaps(gaps, scale, p.inverse_age_bars, t, now.close, log, events)


@kernel
def add_gap(gaps: Row, scale: int, p: Row, chart: Row, log: Row, events: Rows) -> None:
    """Follow the gap that the newest candle made, if any, from the next candle on."""
    side = gap_side(chart)
    if side != 0:
        zone = gaps.scratch[0]
        write_gap(chart, side, zone)
        say_zone(log, events, GAP, scale, side, zone, 0)
        shelve_gap(gaps, zone, p.gap_age_bars)


@kernel
def close_strong_gaps(gaps: Row, chart: Row, log: Row, events: Rows) -> None:
    """End the gaps above the threshold that the newest candle filled."""
    for number in range(2):
        side = 1 - 2 * number
        shelf = gaps.shelves[number]
        reach = chart.now.low if side > 0 else -chart.now.high
        while shelf.n > 0 and shelf.rows[shelf.n - 1].key > reach:
            shelf.n -= 1
            say_zone(log, events, FVG_CLOSED, SCALE_NONE, side, shelf.rows[shelf.n], 0)


@kernel
def add_strong_gap(gaps: Row, is_auto: bool, chart: Row, log: Row, events: Rows) -> None:
    """Keep up the mean body, and say the gap of the newest candle if its middle candle was strong enough."""
    if chart.n_candles < 2:
        return
    middle, now, before = chart.middle, chart.now, chart.before
    # The size of the open, not its sign: the rule is the same for prices turned upside down.
    move = (middle.close - middle.open) / abs(middle.open)
    gaps.body_total += abs(move)
    gaps.n_bodies += 1
    if chart.n_candles < 3:
        return
    threshold = 2.0 * (gaps.body_total / gaps.n_bodies) if is_auto else 0.0
    side = 0
    if now.low > before.high and middle.close > before.high and move > threshold:
        side = 1
    elif now.high < before.low and middle.close < before.low and -move > threshold:
        side = -1
    if side != 0:
        zone = gaps.scratch[0]
        write_gap(chart, side, zone)
        say_zone(log, events, FVG, SCALE_NONE, side, zone, 0)
        far = zone.bottom if side > 0 else zone.top
        gaps.n_dropped += put_gap(gaps.shelves[(1 - side) // 2], zone, side * far)
