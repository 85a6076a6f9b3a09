"""
Breaks of structure: a close through the newest pivot that has not been crossed.

With the trend, or without one yet, it is a BOS, against it a CHoCH. Each pivot is broken at most once. The close
before must not have been beyond what the pivot's price was then, so a break is a crossing, not a place.
"""

from papertape.engine.features.smc.emit import say_level
from papertape.engine.features.smc.events import BOS, CHOCH
from papertape.engine.jit import Row, Rows, kernel


@kernel
def is_convincing(now: Row, side: int) -> bool:
    """Return whether the wick on the break's far side is the longer one (the confluence filter, as published)."""
    upper = now.high - max(now.close, now.open)
    lower = min(now.close, now.open - now.low)
    return upper > lower if side > 0 else upper < lower  # type: ignore[no-any-return]


@kernel
def find_breaks(
    tracker: Row, outer: Row, is_internal: bool, is_filtered: bool, chart: Row, log: Row, events: Rows
) -> None:
    """
    Find the breaks of one scale at the newest candle.

    outer  the swing scale; an internal pivot must differ in price from the swing pivot of its side, which must exist
    """
    now, close_before = chart.now, chart.middle.close
    for number in range(2):
        side = 1 - 2 * number
        pivot = tracker.pivots[number]
        if pivot.is_known == 0 or pivot.was_known == 0 or pivot.is_crossed != 0:
            continue
        if not side * now.close > side * pivot.price:
            continue
        if side * close_before > side * pivot.price_before:
            continue
        if is_internal:
            swing = outer.pivots[number]
            if swing.is_known == 0 or swing.price == pivot.price:
                continue
            if is_filtered and not is_convincing(now, side):
                continue
        pivot.is_crossed = 1
        kind = CHOCH if tracker.trend == -side else BOS
        tracker.trend = side
        tracker.last_break = chart.n_candles - 1
        tracker.broke[number] = kind
        say_level(
            log,
            events,
            kind,
            tracker.scale,
            side,
            pivot.bar,
            pivot.formed_ms,
            pivot.price,
            now.close - pivot.price,
            pivot.bar,
            0,
        )
