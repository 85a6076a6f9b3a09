"""
Liquidity: pivots as levels that price sweeps or runs, and pools of pivots at one price.

A level is usable from the candle after it became known, and reached when a high is above it (a low below). If that
candle closes strictly back inside, it was swept by the wick; otherwise it waits, and the first close back inside within
`return_bars` makes it a sweep by return, none makes it a run. A sweep points where price is expected to turn, a run
where it went. Every level ends in exactly one of these, unless the shelf was full: at most 200 levels wait per side,
and the oldest is dropped and counted.

The same rule serves equal highs and lows, the high and low of the day and week before, and those of kill zones; they
have a shelf of their own, and each says by its scale what made it.

A pool begins with one pivot and a tolerance frozen at that moment; later pivots within it join. It is said when the
second member is confirmed and when it grows, and it ends like a level at its outer edge. At most 64 are open per side.
"""

from typing import Final

import numpy as np

from papertape.engine.features.smc.emit import say
from papertape.engine.features.smc.events import (
    BY_RETURN,
    BY_WICK,
    LEVEL_RUN,
    LEVEL_SWEEP,
    POOL,
    POOL_GROWN,
    POOL_RUN,
    POOL_SWEEP,
    RUN,
    SWEEP,
)
from papertape.engine.features.smc.price_levels import ZONE, add_row, fill_zone, oldest_row, remove_row
from papertape.engine.jit import Row, Rows, kernel, record

LEVEL_CAPACITY: Final = 200
POOL_CAPACITY: Final = 64
_PENDING: Final = 256

_LEVELS: Final = record(
    ("n", "i8"),
    ("n_pending", "i8"),
    ("rows", ZONE, (LEVEL_CAPACITY,)),  # by price; `stage` counts the members, `level` is the edge
    ("pending", ZONE, (_PENDING,)),  # passed, without a verdict; `reference` is the candle that passed it
)
LIQUIDITY: Final = record(
    ("n_dropped", "i8"),
    ("scratch", ZONE, (1,)),
    ("swept", "i8", (2,)),  # newest candle whose verdict was a sweep up, down (the expected turn); -1 = none
    ("has_pool", "i8", (2,)),  # of two members or more, above, below
    ("nearest_pool", "f8", (2,)),
    ("levels", _LEVELS, (2,)),  # above, below
    ("pools", _LEVELS, (2,)),
    ("outer", _LEVELS, (2,)),  # levels that are no pivots; `stage` is their scale
)
_OUTER: Final = -1  # in place of a scale: the level has its own


@kernel
def say_verdict(
    liquidity: Row,
    level: Row,
    side: int,
    is_sweep: bool,
    tag: int,
    is_pool: bool,
    scale: int,
    chart: Row,
    log: Row,
    events: Rows,
) -> None:
    """Say that a level above (side +1) or below (-1) was swept or run; pools of one member end in silence."""
    if is_pool and level.stage < 2:
        return
    direction = -side if is_sweep else side
    if scale == _OUTER:
        scale = level.stage
        kind = LEVEL_SWEEP if is_sweep else LEVEL_RUN
    elif is_sweep:
        liquidity.swept[(1 - direction) // 2] = chart.n_candles - 1
        kind = POOL_SWEEP if is_pool else SWEEP
    else:
        kind = POOL_RUN if is_pool else RUN
    say(
        log,
        events,
        kind,
        scale,
        direction,
        level.bar,
        level.formed_ms,
        level.top if is_pool else np.nan,
        level.bottom if is_pool else np.nan,
        level.level,
        chart.now.close - level.level,
        level.reference,
        tag,
    )


@kernel
def judge_levels(
    liquidity: Row,
    shelf: Row,
    side: int,
    is_pool: bool,
    scale: int,
    return_bars: int,
    chart: Row,
    log: Row,
    events: Rows,
) -> None:
    """Give the verdict on passed levels, then see which levels the newest candle passed."""
    t, close = chart.n_candles - 1, chart.now.close
    kept = 0
    for place in range(shelf.n_pending):
        level = shelf.pending[place]
        edge = -side * level.key  # keys carry the sign that sorts the nearest level last: this undoes it
        if side * close < edge * side:
            say_verdict(liquidity, level, side, True, BY_RETURN, is_pool, scale, chart, log, events)
        elif t - level.reference >= return_bars:
            say_verdict(liquidity, level, side, False, 0, is_pool, scale, chart, log, events)
        else:
            if kept != place:
                shelf.pending[kept] = level
            kept += 1
    shelf.n_pending = kept
    # The nearest level is the last row, so only levels that were passed are looked at, however many are kept.
    reach = -chart.now.high if side > 0 else chart.now.low
    n_before = shelf.n
    while shelf.n > 0 and shelf.rows[shelf.n - 1].key > reach:
        shelf.n -= 1
        level = shelf.rows[shelf.n]
        level.reference = t
        # Closed back on its own side at once: a sweep by the wick. Closed beyond: `return_bars` candles may still return.
        if -side * close > level.key:
            say_verdict(liquidity, level, side, True, BY_WICK, is_pool, scale, chart, log, events)
        elif shelf.n_pending < len(shelf.pending):
            shelf.pending[shelf.n_pending] = level
            shelf.n_pending += 1
        else:
            liquidity.n_dropped += 1
    if is_pool and shelf.n != n_before:
        find_nearest_pool(liquidity, (1 - side) // 2)


@kernel
def find_nearest_pool(liquidity: Row, number: int) -> None:
    """Look the nearest pool of two members or more up again, after a change on its shelf."""
    shelf = liquidity.pools[number]
    liquidity.has_pool[number] = 0
    for place in range(shelf.n - 1, -1, -1):
        if shelf.rows[place].stage >= 2:
            liquidity.has_pool[number] = 1
            liquidity.nearest_pool[number] = shelf.rows[place].level
            return


@kernel
def add_level(
    liquidity: Row, shelf: Row, price: float, bar: int, formed_ms: int, side: int, origin: int, t: int
) -> None:
    """Keep a price as a level from the next candle on; `origin` is its scale, 0 for a pivot."""
    if shelf.n == LEVEL_CAPACITY:
        # Full: the oldest goes, which may be the nearest; what is dropped is counted, for then the columns are not whole.
        shelf.n = remove_row(shelf.rows, shelf.n, oldest_row(shelf.rows, shelf.n))
        liquidity.n_dropped += 1
    zone = liquidity.scratch[0]
    fill_zone(zone, price, price, bar, formed_ms, t, side)
    zone.level = price
    zone.stage = origin
    shelf.n = add_row(shelf.rows, shelf.n, zone, -side * price)


@kernel
def add_outer(liquidity: Row, price: float, bar: int, formed_ms: int, side: int, origin: int, t: int) -> None:
    """Keep a level that is no pivot from the next candle on."""
    shelf = liquidity.outer[(1 - side) // 2]
    add_level(liquidity, shelf, price, bar, formed_ms, side, origin, t)


@kernel
def find_pool(shelf: Row, price: float) -> int:
    """Return the place of the oldest open pool that reaches over a price, or -1."""
    best = -1
    for place in range(shelf.n):
        pool = shelf.rows[place]
        is_inside = pool.bottom <= price <= pool.top
        if is_inside and (best < 0 or pool.made < shelf.rows[best].made):
            best = place
    return best


@kernel
def add_member(
    liquidity: Row, pivot: Row, side: int, tolerance: float, scale: int, t: int, log: Row, events: Rows
) -> None:
    """Let a confirmed pivot join a pool or begin one; without a tolerance (ATR undefined) it does neither."""
    shelf = liquidity.pools[(1 - side) // 2]
    place = find_pool(shelf, pivot.price)
    if place >= 0:
        pool = shelf.rows[place]
        pool.level += (pivot.price - pool.level) / (pool.stage + 1)
        pool.stage += 1
        find_nearest_pool(liquidity, (1 - side) // 2)
        kind = POOL if pool.stage == 2 else POOL_GROWN
        say(
            log,
            events,
            kind,
            scale,
            side,
            pool.bar,
            pool.formed_ms,
            pool.top,
            pool.bottom,
            pool.level,
            pool.stage * log.atr,  # the strength of a pool is its number of members
            pivot.bar,
            0,
        )
        return
    if not tolerance >= 0.0:
        return
    if shelf.n == POOL_CAPACITY:
        shelf.n = remove_row(shelf.rows, shelf.n, oldest_row(shelf.rows, shelf.n))
        find_nearest_pool(liquidity, (1 - side) // 2)
        liquidity.n_dropped += 1
    zone = liquidity.scratch[0]
    top, bottom = pivot.price + tolerance, pivot.price - tolerance
    fill_zone(zone, top, bottom, pivot.bar, pivot.formed_ms, t, side)
    zone.level = pivot.price
    zone.stage = 1
    shelf.n = add_row(shelf.rows, shelf.n, zone, -top if side > 0 else bottom)


@kernel
def judge_liquidity(liquidity: Row, scale: int, return_bars: int, chart: Row, log: Row, events: Rows) -> None:
    """Judge levels and pools of earlier candles at the newest one."""
    for number in range(2):
        side = 1 - 2 * number
        levels, pools = liquidity.levels[number], liquidity.pools[number]
        judge_levels(liquidity, levels, side, False, scale, return_bars, chart, log, events)
        judge_levels(liquidity, pools, side, True, scale, return_bars, chart, log, events)
        outer = liquidity.outer[number]
        judge_levels(liquidity, outer, side, False, _OUTER, return_bars, chart, log, events)


@kernel
def add_liquidity(
    liquidity: Row, tracker: Row, tolerance: float, scale: int, t: int, log: Row, events: Rows
) -> None:
    """Take in the pivots that became known at the newest candle."""
    for number in range(2):
        if tracker.fresh[number] != 0:
            side = 1 - 2 * number
            pivot = tracker.pivots[number]
            shelf = liquidity.levels[number]
            add_level(liquidity, shelf, pivot.price, pivot.bar, pivot.formed_ms, side, 0, t)
            add_member(liquidity, pivot, side, tolerance, scale, t, log, events)
