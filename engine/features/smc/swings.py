"""
Pivots: a candle whose high no later one has reached for n candles, alternating with lows.

A candidate stands while every later high is strictly below its own: one queue of standing candidates per side serves
all sizes, because the candle n bars ago is a pivot exactly if it still stands. Each candle enters and leaves the queue
once. Ties make no pivot; nothing is asked of the candles before: the alternation of legs does that work.
"""

from typing import Final

import numpy as np

from papertape.engine.features.smc.emit import say_level
from papertape.engine.features.smc.events import HIGHER_HIGH, HIGHER_LOW, LOWER_HIGH, LOWER_LOW, SWING
from papertape.engine.features.smc.recent import RING, true_price
from papertape.engine.jit import Row, Rows, kernel, record

_QUEUE: Final = 256  # a power of two above LONGEST_PIVOT

QUEUE: Final = record(
    ("head", "i8"),
    ("tail", "i8"),
    ("bars", "i8", (_QUEUE,)),
    ("values", "f8", (_QUEUE,)),
    ("is_standing", "i8", (_QUEUE,)),  # by candle number
)
PIVOT: Final = record(
    ("is_known", "i8"),
    ("price", "f8"),
    ("bar", "i8"),
    ("formed_ms", "i8"),
    ("is_crossed", "i8"),
    ("was_known", "i8"),  # the same two at the candle before
    ("price_before", "f8"),
)
TRACKER: Final = record(
    ("bars", "i8"),
    ("scale", "i8"),
    ("leg", "i8"),  # -1 down, +1 up
    ("trend", "i8"),
    ("last_break", "i8"),  # candle of the newest break; -1 = none yet
    ("fresh", "i8", (2,)),  # a pivot high, low became known at this candle
    ("broke", "i8", (2,)),  # the kind of break up, down at this candle; 0 = none
    ("before", "f8", (2,)),  # price of the pivot before the newest
    ("before_bar", "i8", (2,)),
    ("pivots", PIVOT, (2,)),  # newest high, newest low
)


@kernel
def start_tracker(tracker: Row, bars: int, scale: int) -> None:
    """Set a tracker up for pivots of one size."""
    tracker.bars = bars
    tracker.scale = scale
    tracker.leg = -1
    tracker.last_break = -1
    tracker.before_bar[0] = -1
    tracker.before_bar[1] = -1


@kernel
def queue_candle(queue: Row, t: int, value: float) -> None:
    """Add a candle to the candidates and drop those it reaches."""
    mask = _QUEUE - 1
    while queue.tail > queue.head and queue.values[(queue.tail - 1) & mask] <= value:
        queue.tail -= 1
        queue.is_standing[queue.bars[queue.tail & mask] & mask] = 0
    queue.bars[queue.tail & mask] = t
    queue.values[queue.tail & mask] = value
    queue.is_standing[t & mask] = 1
    queue.tail += 1
    if queue.bars[queue.head & mask] <= t - mask:
        queue.head += 1


@kernel
def remember_pivots(tracker: Row) -> None:
    """Keep what was known at the candle before, and clear what this candle will say."""
    for number in range(2):
        pivot = tracker.pivots[number]
        pivot.was_known = pivot.is_known
        pivot.price_before = pivot.price
        tracker.fresh[number] = 0
        tracker.broke[number] = 0


@kernel
def find_pivot(tracker: Row, chart: Row, queues: Rows, log: Row, events: Rows) -> None:
    """Decide whether the candle `bars` ago is a pivot."""
    bar = chart.n_candles - 1 - tracker.bars
    if bar < 0:
        return
    mask = _QUEUE - 1
    side = 0
    if queues[0].is_standing[bar & mask] != 0:
        side = 1
    elif queues[1].is_standing[bar & mask] != 0:
        side = -1
    if side == 0 or tracker.leg == -side:
        return
    tracker.leg = -side
    number = (1 - side) // 2
    pivot = tracker.pivots[number]
    parsed = chart.ring[bar & (RING - 1)]
    before, before_bar = np.nan, -1
    if pivot.is_known != 0:
        before, before_bar = pivot.price, pivot.bar
    tracker.before[number] = before
    tracker.before_bar[number] = before_bar
    pivot.is_known = 1
    pivot.price = true_price(parsed, side)
    pivot.bar = bar
    pivot.formed_ms = parsed.open_ms
    pivot.is_crossed = 0
    tracker.fresh[number] = 1
    # The first of its kind counts as a lower high or a higher low.
    if side > 0:
        tag = HIGHER_HIGH if pivot.price > before else LOWER_HIGH
    else:
        tag = LOWER_LOW if pivot.price < before else HIGHER_LOW
    say_level(
        log,
        events,
        SWING,
        tracker.scale,
        side,
        bar,
        pivot.formed_ms,
        pivot.price,
        pivot.price - before,
        before_bar,
        tag,
    )
