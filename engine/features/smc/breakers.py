"""
Breakers and mitigation blocks: an order block that is closed through works the other way.

It is a breaker if price, from the candle that made the block to the one that closed through it, exceeded the swing
pivot on the block's side as known before this candle: it took the outer liquidity first. Mitigation of order blocks
plays no part, upside-down zones are left out, and the newest 100 of either kind are kept.
"""

from typing import Final

from papertape.engine.features.smc.emit import say_zone
from papertape.engine.features.smc.events import BREAKER, FLIP_END, MITIGATION_BLOCK, SCALE_INTERNAL
from papertape.engine.features.smc.price_levels import ZONE, add_row, oldest_row, remove_row
from papertape.engine.features.smc.recent import is_exceeded
from papertape.engine.jit import Row, Rows, kernel, record

FLIP_CAPACITY: Final = 100

_WATCH: Final = record(("n", "i8"), ("rows", ZONE, (FLIP_CAPACITY,)))
FLIPS: Final = record(
    ("n_dropped", "i8"),
    ("blocks", _WATCH, (2,)),  # bullish, bearish; by far edge
    ("flipped", _WATCH, (2,)),
)


@kernel
def put_watch(watches: Rows, number: int, zone: Row, key: float) -> int:
    """Add a zone to one of two shelves that share a capacity; return how many were dropped for it."""
    dropped = 0
    if watches[0].n + watches[1].n >= FLIP_CAPACITY:
        first = oldest_row(watches[0].rows, watches[0].n)
        second = oldest_row(watches[1].rows, watches[1].n)
        is_first = watches[1].n == 0 or (
            watches[0].n > 0 and watches[0].rows[first].made <= watches[1].rows[second].made
        )
        if is_first:
            watches[0].n = remove_row(watches[0].rows, watches[0].n, first)
        else:
            watches[1].n = remove_row(watches[1].rows, watches[1].n, second)
        dropped = 1
    watches[number].n = add_row(watches[number].rows, watches[number].n, zone, key)
    return dropped


@kernel
def flip_blocks(flips: Row, outer: Row, chart: Row, log: Row, events: Rows) -> None:
    """End flipped zones that are closed through, then flip the blocks that are."""
    close = chart.now.close
    for number in range(2):
        side = 1 - 2 * number
        watch = flips.flipped[number]
        while watch.n > 0 and watch.rows[watch.n - 1].key > side * close:
            watch.n -= 1
            zone = watch.rows[watch.n]
            say_zone(log, events, FLIP_END, SCALE_INTERNAL, side, zone, 0)
    for number in range(2):
        side = 1 - 2 * number
        watch = flips.blocks[number]
        while watch.n > 0 and watch.rows[watch.n - 1].key > side * close:
            watch.n -= 1
            zone = watch.rows[watch.n]
            kind = kind_of_flip(zone, outer.pivots[number], chart)
            zone.side = -side
            say_zone(log, events, kind, SCALE_INTERNAL, -side, zone, 0)
            zone.made = chart.n_candles - 1
            key = zone.bottom if side < 0 else -zone.top
            flips.n_dropped += put_watch(flips.flipped, 1 - number, zone, key)


@kernel
def kind_of_flip(zone: Row, pivot: Row, chart: Row) -> int:
    """Return BREAKER if the outer pivot was exceeded since the block was made, otherwise MITIGATION_BLOCK."""
    if pivot.was_known == 0:
        return MITIGATION_BLOCK
    t = chart.n_candles - 1
    is_taken = is_exceeded(chart, zone.made, t, zone.side, pivot.price_before)
    return BREAKER if is_taken else MITIGATION_BLOCK


@kernel
def watch_blocks(flips: Row, blocks: Row) -> None:
    """Watch the internal blocks made at this candle from the next one on."""
    for number in range(2):
        zone = blocks.made[number]
        if blocks.is_made[number] == 0 or zone.top < zone.bottom:
            continue
        key = zone.bottom if number == 0 else -zone.top
        flips.n_dropped += put_watch(flips.blocks, number, zone, key)
