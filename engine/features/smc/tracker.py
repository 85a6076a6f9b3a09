"""
The whole of market structure for one symbol and timeframe, one closed candle at a time.

The order of work is part of the definitions: what earlier candles left is judged first (gaps, levels, inducement,
legs), then pivots are confirmed, then breaks are found, then blocks are made, flipped and mitigated, and the gap
that this candle made comes last. The higher timeframe gets a candle when its bucket closes: with the candle that
reaches its end, or, if that one is missing, before the first candle of a later bucket is looked at.
"""

from typing import Final

import numpy as np

from papertape.engine.candles import bucket_start
from papertape.engine.features.smc.blocks import BLOCKS, add_blocks, mitigate_blocks, touch_blocks
from papertape.engine.features.smc.breakers import FLIPS, flip_blocks, watch_blocks
from papertape.engine.features.smc.displacement import IMPULSE, find_displacement, find_shift
from papertape.engine.features.smc.emit import LOG, SILENT, say, say_level
from papertape.engine.features.smc.events import (
    EQUAL_HIGHS,
    EQUAL_LOWS,
    HTF_BIAS,
    SCALE_EQUAL,
    SCALE_HTF,
    SCALE_INTERNAL,
    SCALE_NONE,
    SCALE_SWING,
)
from papertape.engine.features.smc.gaps import (
    GAPS,
    STRONG_GAPS,
    add_gap,
    add_strong_gap,
    close_strong_gaps,
    follow_gaps,
)
from papertape.engine.features.smc.liquidity import LIQUIDITY, add_liquidity, add_outer, judge_liquidity
from papertape.engine.features.smc.parameters import PARAMETERS
from papertape.engine.features.smc.recent import CHART, QUOTE, take_candle
from papertape.engine.features.smc.retracement import (
    INDUCEMENT,
    LEG,
    set_inducement,
    start_inducement,
    start_leg,
    watch_inducement,
    watch_leg,
)
from papertape.engine.features.smc.sessions import (
    CLOCK_STATE,
    add_clock_levels,
    step_kill_zones,
    step_periods,
)
from papertape.engine.features.smc.structure import find_breaks
from papertape.engine.features.smc.swings import (
    QUEUE,
    TRACKER,
    find_pivot,
    queue_candle,
    remember_pivots,
    start_tracker,
)
from papertape.engine.jit import Row, Rows, kernel, record

# What both timeframes have: candles, pivots on two scales, swing and internal blocks, plain gaps.
STRUCTURE: Final = record(
    ("chart", CHART),
    ("queues", QUEUE, (2,)),  # standing highs, standing lows
    ("swing", TRACKER),
    ("internal", TRACKER),
    ("swing_blocks", BLOCKS),
    ("internal_blocks", BLOCKS),
    ("gaps", GAPS),
)
TRAIL: Final = record(("is_known", "i8", (2,)), ("top", "f8"), ("bottom", "f8"))
BUCKET: Final = record(("bucket_ms", "i8"), ("n_candles", "i8"), ("closed_ms", "i8"), ("quote", QUOTE))
MARKET_STATE: Final = record(
    ("parameters", PARAMETERS), ("log", LOG), ("quote", QUOTE), ("main", STRUCTURE),
    ("equal", TRACKER), ("trail", TRAIL), ("strong_gaps", STRONG_GAPS), ("impulse", IMPULSE),
    ("liquidity", LIQUIDITY), ("flips", FLIPS), ("inducement", INDUCEMENT), ("leg", LEG),
    ("clock", CLOCK_STATE), ("bucket", BUCKET), ("higher", STRUCTURE), ("higher_trend_bar", "i8"),
)  # fmt: skip


@kernel
def start_market(state: Row) -> None:
    """Set up the trackers; the parameters are there already."""
    p = state.parameters
    start_tracker(state.main.swing, p.swing_bars, SCALE_SWING)
    start_tracker(state.main.internal, p.internal_bars, SCALE_INTERNAL)
    start_tracker(state.equal, p.equal_bars, SILENT)
    start_tracker(state.higher.swing, p.higher_swing_bars, SCALE_HTF)
    start_tracker(state.higher.internal, p.higher_internal_bars, SILENT)
    for number in range(2):
        state.liquidity.swept[number] = -(1 << 40)
    state.log.length_ms = p.length_ms


@kernel
def step_market(state: Row, events: Rows) -> None:
    """Take in `state.quote` as the newest closed candle and say what it made known."""
    p, log, main = state.parameters, state.log, state.main
    chart = main.chart
    if chart.n_candles == 0:
        start_market(state)
    log.bar = chart.n_candles
    log.known_ms = state.quote.open_ms + p.length_ms
    close_overdue(state, events)
    take_candle(chart, p, state.quote)
    set_atr(log, chart, p)
    step_kill_zones(state.clock, p, chart, log, events)
    step_periods(state.clock, chart, log, events)
    stretch_trail(state.trail, chart.now)
    close_strong_gaps(state.strong_gaps, chart, log, events)
    find_displacement(state.impulse, p, chart, log, events)
    level_scale = SCALE_SWING if p.is_swing_liquidity != 0 else SCALE_INTERNAL
    judge_liquidity(state.liquidity, level_scale, p.return_bars, chart, log, events)
    watch_inducement(state.inducement, chart, log, events)
    watch_leg(state.leg, p, chart, log, events)
    begin_candle(main, p, log, events)
    remember_pivots(state.equal)
    find_pivot(state.equal, chart, main.queues, log, events)
    reset_trail(state.trail, main.swing)
    find_equal(state.equal, p, chart, state.liquidity, log, events)
    add_clock_levels(state.liquidity, state.clock, chart.n_candles - 1)
    add_pivots(state, level_scale, events)
    set_inducement(state.inducement, main.internal, main.swing, chart, log, events)
    find_breaks(main.internal, main.swing, True, p.is_confluence != 0, chart, log, events)
    find_breaks(main.swing, main.swing, False, False, chart, log, events)
    find_shift(state.impulse, p, main.internal, chart, log, events)
    start_inducement(state.inducement, main.swing, chart, log, events)
    start_leg(state.leg, main.internal, chart)
    finish_candle(main, p, log, events)
    flip_blocks(state.flips, main.swing, chart, log, events)
    watch_blocks(state.flips, main.internal_blocks)
    add_strong_gap(state.strong_gaps, p.is_auto_threshold != 0, chart, log, events)
    fill_bucket(state, events)


@kernel
def set_atr(log: Row, chart: Row, p: Row) -> None:
    """Let strengths be told in the short ATR of the candle before."""
    is_ready = chart.n_candles - 1 >= p.short_atr_bars
    log.atr = chart.short_atr_before if is_ready else np.nan


@kernel
def begin_candle(structure: Row, p: Row, log: Row, events: Rows) -> None:
    """Judge gaps and blocks of earlier candles, and confirm pivots of both scales."""
    chart, queues = structure.chart, structure.queues
    swing, internal = structure.swing, structure.internal
    t, now = chart.n_candles - 1, chart.now
    gap_scale = SCALE_HTF if swing.scale == SCALE_HTF else SCALE_NONE
    follow_gaps(structure.gaps, gap_scale, p, chart, log, events)
    touch_blocks(structure.swing_blocks, swing.scale, chart, log, events)
    touch_blocks(structure.internal_blocks, internal.scale, chart, log, events)
    queue_candle(queues[0], t, now.high)
    queue_candle(queues[1], t, -now.low)
    remember_pivots(swing)
    remember_pivots(internal)
    find_pivot(swing, chart, queues, log, events)
    find_pivot(internal, chart, queues, log, events)


@kernel
def finish_candle(structure: Row, p: Row, log: Row, events: Rows) -> None:
    """Make and mitigate blocks of both scales, and follow the gap that the candle made."""
    chart, swing, internal = structure.chart, structure.swing, structure.internal
    is_by_close = p.is_close_mitigation != 0
    add_blocks(structure.internal_blocks, internal, chart, log, events)
    add_blocks(structure.swing_blocks, swing, chart, log, events)
    mitigate_blocks(structure.internal_blocks, internal.scale, is_by_close, chart, log, events)
    mitigate_blocks(structure.swing_blocks, swing.scale, is_by_close, chart, log, events)
    gap_scale = SCALE_HTF if swing.scale == SCALE_HTF else SCALE_NONE
    add_gap(structure.gaps, gap_scale, p, chart, log, events)


@kernel
def stretch_trail(trail: Row, now: Row) -> None:
    """Let the newest candle stretch the trailing range, as far as it is known."""
    if trail.is_known[0] != 0:
        trail.top = max(trail.top, now.high)
    if trail.is_known[1] != 0:
        trail.bottom = min(trail.bottom, now.low)


@kernel
def reset_trail(trail: Row, swing: Row) -> None:
    """Let a new swing pivot begin its side of the trailing range."""
    if swing.fresh[0] != 0:
        trail.is_known[0] = 1
        trail.top = swing.pivots[0].price
    if swing.fresh[1] != 0:
        trail.is_known[1] = 1
        trail.bottom = swing.pivots[1].price


@kernel
def find_equal(tracker: Row, p: Row, chart: Row, liquidity: Row, log: Row, events: Rows) -> None:
    """Say that a new pivot is level with the one before of its kind; without a long ATR nothing is."""
    if chart.n_candles < p.long_atr_bars:
        return
    for number in range(2):
        pivot, before = tracker.pivots[number], tracker.before[number]
        if tracker.fresh[number] == 0:
            continue
        if not abs(pivot.price - before) < p.equal_atr * chart.long_atr:
            continue
        say(
            log,
            events,
            EQUAL_HIGHS if number == 0 else EQUAL_LOWS,
            SCALE_NONE,
            1 - 2 * number,
            pivot.bar,
            pivot.formed_ms,
            max(pivot.price, before),
            min(pivot.price, before),
            pivot.price,
            pivot.price - before,
            tracker.before_bar[number],
            0,
        )
        side, t = 1 - 2 * number, chart.n_candles - 1
        add_outer(liquidity, pivot.price, pivot.bar, pivot.formed_ms, side, SCALE_EQUAL, t)


@kernel
def add_pivots(state: Row, scale: int, events: Rows) -> None:
    """Hand new pivots to liquidity, with the tolerance of pools at this candle."""
    p, chart, main = state.parameters, state.main.chart, state.main
    tracker = main.swing if p.is_swing_liquidity != 0 else main.internal
    is_ready = chart.n_candles >= p.long_atr_bars
    tolerance = p.pool_atr * chart.long_atr if is_ready else np.nan
    add_liquidity(state.liquidity, tracker, tolerance, scale, chart.n_candles - 1, state.log, events)


@kernel
def close_overdue(state: Row, events: Rows) -> None:
    """Close the bucket whose last candle is missing, before a candle of a later one is looked at."""
    bucket, length_ms = state.bucket, state.parameters.higher_ms
    if bucket.n_candles > 0 and bucket_start(state.quote.open_ms, length_ms) != bucket.bucket_ms:
        close_bucket(state, events)


@kernel
def fill_bucket(state: Row, events: Rows) -> None:
    """Add the newest candle to the forming candle of the higher timeframe, and close it at its end."""
    p, bucket, quote = state.parameters, state.bucket, state.quote
    start_ms = bucket_start(quote.open_ms, p.higher_ms)
    big = bucket.quote
    if bucket.n_candles == 0:
        bucket.bucket_ms = start_ms
        big.open_ms = start_ms
        big.open = quote.open
        big.high = quote.high
        big.low = quote.low
    big.high = max(big.high, quote.high)
    big.low = min(big.low, quote.low)
    big.close = quote.close
    bucket.n_candles += 1
    if quote.open_ms + p.length_ms >= start_ms + p.higher_ms:
        close_bucket(state, events)


@kernel
def close_bucket(state: Row, events: Rows) -> None:
    """Take the higher timeframe's candle through its structure; say when its swing trend turns."""
    p, log, higher = state.parameters, state.log, state.higher
    state.bucket.n_candles = 0
    trend = higher.swing.trend
    take_candle(higher.chart, p, state.bucket.quote)
    set_atr(log, higher.chart, p)
    begin_candle(higher, p, log, events)
    find_breaks(higher.internal, higher.swing, True, p.is_confluence != 0, higher.chart, log, events)
    find_breaks(higher.swing, higher.swing, False, False, higher.chart, log, events)
    finish_candle(higher, p, log, events)
    if higher.swing.trend != trend:
        state.higher_trend_bar = log.bar
        newest = higher.chart.now
        say_level(
            log,
            events,
            HTF_BIAS,
            SCALE_HTF,
            higher.swing.trend,
            higher.chart.n_candles - 1,
            newest.open_ms,
            np.nan,
            np.nan,
            -1,
            0,
        )
