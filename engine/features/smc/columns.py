"""
What features say about the state of market structure, one column each; all but the last are without a unit.

Distances are in short ATR of the newest candle, from its close to the near edge, 0 inside, and at most 20, which is also
said when there is nothing on that side. Bars are at most 500, likewise. Signs: +1 bullish, -1 bearish, 0 neither.

    trend_swing, trend_internal, trend_higher     direction of the newest break
    break_swing_bars, break_internal_bars         since that break
    position, zone, equilibrium                   in the trailing range: 0 bottom … 1 top; zone +1 premium, -1 discount
    block, gap, inverse, level, pool, higher_block, higher_gap  _below, _above   nearest live one
    stop_below, stop_above                        to the far edge of the nearest block
    reaction                                      the candle reached a live zone and closed back on its near side
    sweep_up_bars, sweep_down_bars                since a sweep that points up, down
    displacement                                  signed body of the newest of the last three candles, in ATR, at most 5
    shift_up_bars, shift_down_bars                since a market structure shift
    entry, retracement                            the leg is in its entry zone; how much of the leg is given back, 0 … 2
    inducement                                    taken within the last 20 candles, by direction
    day_high, day_low, week_high, week_low        of the period before, signed distance from the close; 0 while unknown
    asia, london_open, new_york, london_close     1 while the kill zone is open
    bullish_count, bearish_count                  how many of ten conditions speak for a side
    atr                                           the unit of the distances, in quote per base
"""

from typing import Final

import numpy as np

from papertape.engine.jit import FloatArray, Row, kernel

COLUMNS: Final = (
    "trend_swing", "trend_internal", "trend_higher", "break_swing_bars", "break_internal_bars",
    "position", "zone", "equilibrium",
    "block_below", "block_above", "gap_below", "gap_above", "inverse_below", "inverse_above",
    "level_below", "level_above", "pool_below", "pool_above",
    "higher_block_below", "higher_block_above", "higher_gap_below", "higher_gap_above",
    "stop_below", "stop_above", "reaction", "sweep_up_bars", "sweep_down_bars", "displacement",
    "shift_up_bars", "shift_down_bars", "entry", "retracement", "inducement",
    "day_high", "day_low", "week_high", "week_low",
    "asia", "london_open", "new_york", "london_close", "bullish_count", "bearish_count", "atr",
)  # fmt: skip
(
    TREND_SWING, TREND_INTERNAL, TREND_HIGHER, BREAK_SWING_BARS, BREAK_INTERNAL_BARS,
    POSITION, ZONE_SIDE, EQUILIBRIUM,
    BLOCK_BELOW, BLOCK_ABOVE, GAP_BELOW, GAP_ABOVE, INVERSE_BELOW, INVERSE_ABOVE,
    LEVEL_BELOW, LEVEL_ABOVE, POOL_BELOW, POOL_ABOVE,
    HIGHER_BLOCK_BELOW, HIGHER_BLOCK_ABOVE, HIGHER_GAP_BELOW, HIGHER_GAP_ABOVE,
    STOP_BELOW, STOP_ABOVE, REACTION, SWEEP_UP_BARS, SWEEP_DOWN_BARS, DISPLACED,
    SHIFT_UP_BARS, SHIFT_DOWN_BARS, ENTRY, RETRACEMENT, INDUCED,
    DAY_HIGH, DAY_LOW, WEEK_HIGH, WEEK_LOW,
    ASIA, LONDON_OPEN, NEW_YORK, LONDON_CLOSE, BULLISH_COUNT, BEARISH_COUNT, UNIT,
) = range(len(COLUMNS))  # fmt: skip

FARTHEST: Final = 20.0  # ATR
OLDEST: Final = 500.0  # bars
_RECENT: Final = 20.0  # bars


@kernel
def zone_of(top: float, bottom: float, price: float) -> int:
    """Return 1 premium (top 5 %), -1 discount (bottom 5 %), 2 equilibrium (47.5 … 52.5 %), bounds included, else 0."""
    if price >= 0.95 * top + 0.05 * bottom:
        return 1
    if price <= 0.95 * bottom + 0.05 * top:
        return -1
    if 0.525 * bottom + 0.475 * top <= price <= 0.525 * top + 0.475 * bottom:
        return 2
    return 0


@kernel
def in_atr(distance: float, atr: float) -> float:
    """Return a distance in ATR between 0 and FARTHEST; NaN, none, and a market that does not move are far."""
    if not distance < FARTHEST * atr:
        return FARTHEST
    return max(distance, 0.0) / atr


@kernel
def bars_since(t: int, bar: int) -> float:
    """Return how many candles ago something was, at most OLDEST."""
    return min(float(t - bar), OLDEST)


@kernel
def nearest_block(blocks: Row, number: int, found: FloatArray) -> None:
    """Write near and far edge of the nearest live block of one side into `found`, if it is nearer than what is there."""
    side = 1 - 2 * number
    shelf = blocks.sides[number]
    if shelf.n_fresh > 0:
        take_nearer(shelf.fresh[shelf.n_fresh - 1], side, found)
    # Touched blocks are in the order of their far edges; there are few, and upside-down ones are among them.
    for place in range(shelf.n_touched):
        if shelf.touched[place].top >= shelf.touched[place].bottom:
            take_nearer(shelf.touched[place], side, found)


@kernel
def take_nearer(zone: Row, side: int, found: FloatArray) -> None:
    """Write near and far edge of a zone into `found` if it is nearer than what is there; NaN is nothing yet."""
    near = zone.top if side > 0 else zone.bottom
    if not side * found[0] >= side * near:
        found[0] = near
        found[1] = zone.bottom if side > 0 else zone.top


@kernel
def nearest_gap(gaps: Row, number: int) -> float:
    """Return the near edge of the nearest plain gap of one side that is not filled; NaN without one."""
    shelf = gaps.wicks[number]
    if shelf.n == 0:
        return np.nan
    if gaps.is_changed[number] == 0:
        return gaps.nearest[number]  # type: ignore[no-any-return]
    side = 1 - 2 * number
    best = np.nan
    # In the order of the edges that come next, so one that was touched may be nearer than the last.
    for place in range(shelf.n):
        zone = shelf.rows[place]
        near = zone.top if side > 0 else zone.bottom
        if not side * best >= side * near:
            best = near
    gaps.is_changed[number] = 0
    gaps.nearest[number] = best
    return best


@kernel
def nearest_inverse(gaps: Row, number: int) -> float:
    """Return the near edge of the nearest inverse gap that works for one side; NaN without one."""
    shelf = gaps.inverse[number]
    if shelf.n == 0:
        return np.nan
    zone = shelf.rows[shelf.n - 1]
    return zone.top if number == 0 else zone.bottom  # type: ignore[no-any-return]


@kernel
def nearest_level(shelf: Row) -> float:
    """Return the nearest level; NaN without one."""
    return shelf.rows[shelf.n - 1].level if shelf.n > 0 else np.nan


@kernel
def write_columns(state: Row, found: FloatArray, out: FloatArray, place: int) -> None:
    """
    Write every column of the newest candle into column `place` of `out`.

    found  shape (4,), scratch: near and far edge of the nearest block below, above
    """
    write_structure(state, out, place)
    write_zones(state, found, out, place)
    write_liquidity(state, out, place)
    write_recent(state, out, place)
    write_clock(state, out, place)
    write_counts(out, place)
    out[UNIT, place] = state.main.chart.short_atr


@kernel
def write_structure(state: Row, out: FloatArray, place: int) -> None:
    """Write trends, breaks and the place of the close in the trailing range."""
    main, trail = state.main, state.trail
    t, close = main.chart.n_candles - 1, main.chart.now.close
    out[TREND_SWING, place] = main.swing.trend
    out[TREND_INTERNAL, place] = main.internal.trend
    out[TREND_HIGHER, place] = state.higher.swing.trend
    swing, internal = main.swing.last_break, main.internal.last_break
    out[BREAK_SWING_BARS, place] = bars_since(t, swing) if swing >= 0 else OLDEST
    out[BREAK_INTERNAL_BARS, place] = bars_since(t, internal) if internal >= 0 else OLDEST
    position, zone = 0.5, 0
    if trail.is_known[0] != 0 and trail.is_known[1] != 0 and trail.top > trail.bottom:
        position = (close - trail.bottom) / (trail.top - trail.bottom)
        zone = zone_of(trail.top, trail.bottom, close)
    out[POSITION, place] = position
    out[ZONE_SIDE, place] = zone if zone < 2 else 0
    out[EQUILIBRIUM, place] = 1 if zone == 2 else 0


@kernel
def write_zones(state: Row, found: FloatArray, out: FloatArray, place: int) -> None:
    """Write the distances to blocks and gaps of both timeframes, and whether the candle reacted at one."""
    main, higher, now = state.main, state.higher, state.main.chart.now
    atr = main.chart.short_atr
    reaction = 0
    for number in range(2):
        side = 1 - 2 * number
        edges = found[2 * number : 2 * number + 2]
        edges[0] = np.nan
        edges[1] = np.nan
        nearest_block(main.swing_blocks, number, edges)
        nearest_block(main.internal_blocks, number, edges)
        block, stop, gap = edges[0], edges[1], nearest_gap(main.gaps, number)
        edges[0] = np.nan
        nearest_block(higher.swing_blocks, number, edges)
        higher_block, higher_gap = edges[0], nearest_gap(higher.gaps, number)
        inverse = nearest_inverse(main.gaps, number)
        for column, edge in (
            (BLOCK_BELOW, block),
            (GAP_BELOW, gap),
            (INVERSE_BELOW, inverse),
            (HIGHER_BLOCK_BELOW, higher_block),
            (HIGHER_GAP_BELOW, higher_gap),
            (STOP_BELOW, stop),
        ):
            out[column + number, place] = in_atr(side * (now.close - edge), atr)
        reach = now.low if side > 0 else now.high
        is_reached = False
        for edge in (block, gap, higher_block, higher_gap):
            if side * reach <= side * edge and side * now.close >= side * edge:
                is_reached = True
        if is_reached:
            reaction += side
    out[REACTION, place] = reaction


@kernel
def write_liquidity(state: Row, out: FloatArray, place: int) -> None:
    """Write the distances to levels and pools, and how long ago a sweep was."""
    liquidity, chart = state.liquidity, state.main.chart
    t, close, atr = chart.n_candles - 1, chart.now.close, chart.short_atr
    level = nearest_level(liquidity.levels[0])
    out[LEVEL_ABOVE, place] = in_atr(level - close, atr)
    level = nearest_level(liquidity.levels[1])
    out[LEVEL_BELOW, place] = in_atr(close - level, atr)
    level = liquidity.nearest_pool[0] if liquidity.has_pool[0] != 0 else np.nan
    out[POOL_ABOVE, place] = in_atr(level - close, atr)
    level = liquidity.nearest_pool[1] if liquidity.has_pool[1] != 0 else np.nan
    out[POOL_BELOW, place] = in_atr(close - level, atr)
    out[SWEEP_UP_BARS, place] = bars_since(t, liquidity.swept[0])
    out[SWEEP_DOWN_BARS, place] = bars_since(t, liquidity.swept[1])


@kernel
def write_recent(state: Row, out: FloatArray, place: int) -> None:
    """Write what happened lately: displacement, shift, the leg of the newest break, the inducement."""
    impulse, leg, idm, chart = state.impulse, state.leg, state.inducement, state.main.chart
    t = chart.n_candles - 1
    newest = 0 if impulse.newest[0] > impulse.newest[1] else 1
    is_recent = t - impulse.newest[newest] < state.parameters.shift_bars
    size = min(impulse.strength[newest], 5.0) if is_recent else 0.0
    out[DISPLACED, place] = size * (1 - 2 * newest)
    out[SHIFT_UP_BARS, place] = bars_since(t, impulse.shift[0])
    out[SHIFT_DOWN_BARS, place] = bars_since(t, impulse.shift[1])
    out[ENTRY, place] = leg.side if leg.is_entered != 0 else 0
    length = leg.extreme - leg.origin
    given_back = 0.0
    if leg.side != 0 and length != 0.0:
        given_back = min(max((leg.extreme - chart.now.close) / length, 0.0), 2.0)
    out[RETRACEMENT, place] = given_back
    is_induced = idm.taken_side != 0 and t - idm.taken_bar < _RECENT
    out[INDUCED, place] = idm.taken_side if is_induced else 0


@kernel
def write_clock(state: Row, out: FloatArray, place: int) -> None:
    """Write the kill zones that are open and the distances to the previous day's and week's extremes."""
    clock, chart = state.clock, state.main.chart
    close, atr = chart.now.close, chart.short_atr
    for number in range(2):
        period = clock.periods[1 + number]
        for place_of in range(2):
            level = period.previous_high if place_of == 0 else period.previous_low
            distance = 0.0
            if period.is_known != 0 and atr > 0.0:
                distance = min(max((level - close) / atr, -FARTHEST), FARTHEST)
            out[DAY_HIGH + 2 * number + place_of, place] = distance
    for number in range(4):
        out[ASIA + number, place] = clock.kill_zones[number].is_open


@kernel
def write_counts(out: FloatArray, place: int) -> None:
    """Count the conditions that speak for either side."""
    for number in range(2):
        side = 1.0 - 2.0 * number
        count = 0
        for column in (TREND_SWING, TREND_INTERNAL, TREND_HIGHER, REACTION, ENTRY, INDUCED):
            count += int(side * out[column, place] > 0.0)
        count += int(side * (0.5 - out[POSITION, place]) > 0.0)
        count += int(side * out[DISPLACED, place] > 0.0)
        count += int(out[SWEEP_UP_BARS + number, place] < _RECENT)
        count += int(out[SHIFT_UP_BARS + number, place] < _RECENT)
        out[BULLISH_COUNT + number, place] = count
