"""
Order blocks: the candle from which a break began, as a zone that waits for price to come back.

Among the candles from the broken pivot to the one before the break, the block is the one with the lowest parsed low
(highest high on a break down). It is touched when price reaches its near edge and mitigated beyond its far edge, by
wick or by close. At most 100 per scale live; then the oldest is dropped and counted. A block of wild candles only is
upside down; it is told like any other, never touched, and left out of the features.
"""

from typing import Final

from papertape.engine.features.smc.emit import say_zone
from papertape.engine.features.smc.events import ORDER_BLOCK, ORDER_BLOCK_MITIGATED, ORDER_BLOCK_TOUCHED
from papertape.engine.features.smc.price_levels import ZONE, add_row, fill_zone, oldest_row, remove_row
from papertape.engine.features.smc.recent import RING, extreme_parsed
from papertape.engine.jit import Row, Rows, kernel, record

BLOCK_CAPACITY: Final = 100

_SIDE: Final = record(
    ("n_fresh", "i8"),
    ("n_touched", "i8"),
    ("fresh", ZONE, (BLOCK_CAPACITY,)),  # by near edge
    ("touched", ZONE, (BLOCK_CAPACITY,)),  # by far edge
)
BLOCKS: Final = record(
    ("n_dropped", "i8"),
    ("is_made", "i8", (2,)),  # at this candle, by break up, down
    ("made", ZONE, (2,)),
    ("sides", _SIDE, (2,)),  # bullish, bearish
)


@kernel
def make_block(chart: Row, pivot: Row, side: int, zone: Row) -> None:
    """Write the block of a break of `pivot` at the newest candle."""
    t = chart.n_candles - 1
    bar = extreme_parsed(chart, pivot.bar, t - 1, side)
    parsed = chart.ring[bar & (RING - 1)]
    fill_zone(zone, parsed.high, parsed.low, bar, parsed.open_ms, t, side)
    zone.reference = pivot.bar


@kernel
def touch_blocks(blocks: Row, scale: int, chart: Row, log: Row, events: Rows) -> None:
    """Tell which blocks of earlier candles were reached at their near edge."""
    blocks.is_made[0] = 0
    blocks.is_made[1] = 0
    for number in range(2):
        side = 1 - 2 * number
        shelf = blocks.sides[number]
        reach = chart.now.low if side > 0 else -chart.now.high
        while shelf.n_fresh > 0 and shelf.fresh[shelf.n_fresh - 1].key >= reach:
            shelf.n_fresh -= 1
            zone = shelf.fresh[shelf.n_fresh]
            say_zone(log, events, ORDER_BLOCK_TOUCHED, scale, side, zone, 0)
            far = zone.bottom if side > 0 else -zone.top
            shelf.n_touched = add_row(shelf.touched, shelf.n_touched, zone, far)


@kernel
def add_blocks(blocks: Row, tracker: Row, chart: Row, log: Row, events: Rows) -> None:
    """Make the blocks of this candle's breaks."""
    for number in range(2):
        if tracker.broke[number] == 0:
            continue
        side = 1 - 2 * number
        zone = blocks.made[number]
        make_block(chart, tracker.pivots[number], side, zone)
        blocks.is_made[number] = 1
        say_zone(log, events, ORDER_BLOCK, tracker.scale, side, zone, 0)
        make_room(blocks)
        shelf = blocks.sides[number]
        if zone.top >= zone.bottom:
            near = zone.top if side > 0 else -zone.bottom
            shelf.n_fresh = add_row(shelf.fresh, shelf.n_fresh, zone, near)
        else:
            far = zone.bottom if side > 0 else -zone.top
            shelf.n_touched = add_row(shelf.touched, shelf.n_touched, zone, far)


@kernel
def make_room(blocks: Row) -> None:
    """Drop the oldest block of the scale if there is no room for one more."""
    first, second = blocks.sides[0], blocks.sides[1]
    count = first.n_fresh + first.n_touched + second.n_fresh + second.n_touched
    if count < BLOCK_CAPACITY:
        return
    blocks.n_dropped += 1
    best_made, best_shelf, best_place = 1 << 62, 0, 0
    for shelf_number in range(4):
        shelf = blocks.sides[shelf_number // 2]
        is_fresh = shelf_number % 2 == 0
        rows = shelf.fresh if is_fresh else shelf.touched
        n = shelf.n_fresh if is_fresh else shelf.n_touched
        if n > 0:
            place = oldest_row(rows, n)
            if rows[place].made < best_made:
                best_made, best_shelf, best_place = rows[place].made, shelf_number, place
    shelf = blocks.sides[best_shelf // 2]
    if best_shelf % 2 == 0:
        shelf.n_fresh = remove_row(shelf.fresh, shelf.n_fresh, best_place)
    else:
        shelf.n_touched = remove_row(shelf.touched, shelf.n_touched, best_place)


@kernel
def mitigate_blocks(blocks: Row, scale: int, is_by_close: bool, chart: Row, log: Row, events: Rows) -> None:
    """End the blocks that price passed through, those made at this candle included."""
    now = chart.now
    for number in range(2):
        side = 1 - 2 * number
        shelf = blocks.sides[number]
        price = now.close if is_by_close else (now.low if side > 0 else now.high)
        reach = side * price
        while shelf.n_touched > 0 and shelf.touched[shelf.n_touched - 1].key > reach:
            shelf.n_touched -= 1
            zone = shelf.touched[shelf.n_touched]
            say_zone(log, events, ORDER_BLOCK_MITIGATED, scale, side, zone, 0)
        if blocks.is_made[number] != 0:
            mitigate_fresh(shelf, blocks.made[number], scale, side, reach, log, events)


@kernel
def mitigate_fresh(
    shelf: Row, made: Row, scale: int, side: int, reach: float, log: Row, events: Rows
) -> None:
    """End a block on the candle that made it; it still lies among those that were not touched."""
    far = made.bottom if side > 0 else -made.top
    if far <= reach:
        return
    for place in range(shelf.n_fresh):
        if shelf.fresh[place].made == made.made:
            say_zone(log, events, ORDER_BLOCK_MITIGATED, scale, side, made, 0)
            shelf.n_fresh = remove_row(shelf.fresh, shelf.n_fresh, place)
            return
