"""
The clock: kill zones in New York's civil time, and the high and low of the period before.

A kill zone opens with the first candle that opens inside (start included, end excluded) and closes with the candle that
ends at or after its end, or else with the first candle outside. A period (4 hours, day, week from Monday, month, all UTC)
is complete when a candle of a later one opens; the first of a tape counts only if the tape began with it.
"""

from typing import Final

import numpy as np

from papertape.engine.features.smc.calendar import days_of, new_york_offset_ms, year_month
from papertape.engine.features.smc.emit import say, say_level
from papertape.engine.features.smc.events import (
    KILL_ZONE_CLOSE,
    KILL_ZONE_OPEN,
    PERIOD,
    PERIOD_4H,
    PERIOD_BROKEN,
    SCALE_DAY,
    SCALE_NONE,
    SCALE_SESSION,
    SCALE_WEEK,
    ZONE_ASIA,
)
from papertape.engine.features.smc.liquidity import add_outer
from papertape.engine.features.smc.parameters import N_KILL_ZONES
from papertape.engine.jit import Row, Rows, kernel, record

N_PERIODS: Final = 4

_KILL_ZONE: Final = record(
    ("is_open", "i8"),
    ("day", "i8"),  # of New York, counted from 1970-01-01
    ("high", "f8"),
    ("low", "f8"),
    ("bar", "i8"),
    ("formed_ms", "i8"),
    ("closed_bar", "i8"),  # one more than the candle that closed it; the rest is what it was then
    ("closed_high", "f8"),
    ("closed_low", "f8"),
    ("first_bar", "i8"),
    ("first_ms", "i8"),
)
_PERIOD: Final = record(
    ("bucket_ms", "i8"),
    ("is_whole", "i8"),
    ("is_started", "i8"),
    ("bar", "i8"),  # first candle of the period that is forming
    ("formed_ms", "i8"),
    ("high", "f8"),
    ("low", "f8"),
    ("is_known", "i8"),  # the two below are those of a complete period
    ("previous_high", "f8"),
    ("previous_low", "f8"),
    ("previous_bar", "i8"),  # its first candle
    ("previous_ms", "i8"),
    ("is_broken", "i8", (2,)),  # high, low
)
CLOCK_STATE: Final = record(
    ("offset_ms", "i8"),
    ("offset_until_ms", "i8"),  # the offset holds to the end of this UTC hour
    ("kill_zones", _KILL_ZONE, (N_KILL_ZONES,)),
    ("periods", _PERIOD, (N_PERIODS,)),
)


@kernel
def local_ms(clock: Row, open_ms: int) -> int:
    """Return New York's time; the offset changes at full hours only, so it is looked up once an hour."""
    if open_ms >= clock.offset_until_ms or open_ms < clock.offset_until_ms - 3_600_000:
        clock.offset_ms = new_york_offset_ms(open_ms)
        clock.offset_until_ms = open_ms // 3_600_000 * 3_600_000 + 3_600_000
    return open_ms + clock.offset_ms  # type: ignore[no-any-return]


@kernel
def step_kill_zones(clock: Row, p: Row, chart: Row, log: Row, events: Rows) -> None:
    """Open, stretch and close the kill zones with the newest candle."""
    now = chart.now
    local = local_ms(clock, now.open_ms)
    day = local // 86_400_000
    at_ms = local - day * 86_400_000
    for number in range(N_KILL_ZONES):
        zone = clock.kill_zones[number]
        start_ms, end_ms = p.zone_start[number] * 60_000, p.zone_end[number] * 60_000
        is_inside = start_ms <= at_ms < end_ms
        if zone.is_open != 0 and (not is_inside or zone.day != day):
            close_kill_zone(zone, number, log, events)
        if not is_inside:
            continue
        if zone.is_open == 0:
            zone.is_open = 1
            zone.day = day
            zone.high = now.high
            zone.low = now.low
            zone.bar = chart.n_candles - 1
            zone.formed_ms = now.open_ms
            say(
                log, events, KILL_ZONE_OPEN, SCALE_NONE, 0, zone.bar, zone.formed_ms, np.nan,
                np.nan, np.nan, np.nan, -1, ZONE_ASIA + number,
            )  # fmt: skip
        zone.high = max(zone.high, now.high)
        zone.low = min(zone.low, now.low)
        if at_ms + p.length_ms >= end_ms:
            close_kill_zone(zone, number, log, events)


@kernel
def close_kill_zone(zone: Row, number: int, log: Row, events: Rows) -> None:
    """Say that a kill zone is over, with its high and low."""
    zone.is_open = 0
    zone.closed_bar = log.bar + 1
    zone.closed_high = zone.high
    zone.closed_low = zone.low
    zone.first_bar = zone.bar
    zone.first_ms = zone.formed_ms
    say(
        log, events, KILL_ZONE_CLOSE, SCALE_NONE, 0, zone.bar, zone.formed_ms, zone.high, zone.low,
        np.nan, zone.high - zone.low, -1, ZONE_ASIA + number,
    )  # fmt: skip


@kernel
def period_start(number: int, open_ms: int) -> int:
    """Return the first millisecond of the 4 hours (0), day (1), week (2) or month (3) that holds `open_ms`."""
    if number == 0:
        return open_ms // 14_400_000 * 14_400_000
    if number == 1:
        return open_ms // 86_400_000 * 86_400_000
    if number == 2:
        return (open_ms - 345_600_000) // 604_800_000 * 604_800_000 + 345_600_000  # Mondays
    year, month = year_month(open_ms // 86_400_000)
    return days_of(year, month, 1) * 86_400_000


@kernel
def step_periods(clock: Row, chart: Row, log: Row, events: Rows) -> None:
    """Switch the previous period with the first candle of a new one, and see whether its high or low was passed."""
    now, t = chart.now, chart.n_candles - 1
    for number in range(N_PERIODS):
        period = clock.periods[number]
        # Within one UTC day only the 4 hours can change.
        if number > 1 and period.is_started != 0 and clock.periods[1].bar != t:
            bucket_ms = period.bucket_ms
        else:
            bucket_ms = period_start(number, now.open_ms)
        if period.is_started == 0 or bucket_ms != period.bucket_ms:
            if period.is_started != 0 and period.is_whole != 0:
                switch_period(period, number, log, events)
            period.is_whole = int(period.is_started != 0 or now.open_ms == bucket_ms)
            period.is_started = 1
            period.bucket_ms = bucket_ms
            period.bar = t
            period.formed_ms = now.open_ms
            period.high = now.high
            period.low = now.low
        period.high = max(period.high, now.high)
        period.low = min(period.low, now.low)
        if period.is_known != 0:
            see_broken(period, 0, now.high, number, log, events)
            see_broken(period, 1, now.low, number, log, events)


@kernel
def switch_period(period: Row, number: int, log: Row, events: Rows) -> None:
    """Make the period that was forming the previous one."""
    period.is_known = 1
    period.previous_high = period.high
    period.previous_low = period.low
    period.previous_bar = period.bar
    period.previous_ms = period.formed_ms
    period.is_broken[0] = 0
    period.is_broken[1] = 0
    say(
        log, events, PERIOD, SCALE_NONE, 0, period.bar, period.formed_ms, period.high, period.low,
        np.nan, period.high - period.low, -1, PERIOD_4H + number,
    )  # fmt: skip


@kernel
def add_clock_levels(liquidity: Row, clock: Row, t: int) -> None:
    """Hand to liquidity the highs and lows of what ended with candle `t`: the day and week before, and kill zones."""
    for number in range(1, 3):
        period = clock.periods[number]
        if period.is_known != 0 and period.bar == t:
            origin = SCALE_DAY if number == 1 else SCALE_WEEK
            bar, formed_ms = period.previous_bar, period.previous_ms
            add_outer(liquidity, period.previous_high, bar, formed_ms, 1, origin, t)
            add_outer(liquidity, period.previous_low, bar, formed_ms, -1, origin, t)
    for number in range(N_KILL_ZONES):
        zone = clock.kill_zones[number]
        if zone.closed_bar == t + 1:
            bar, formed_ms = zone.first_bar, zone.first_ms
            add_outer(liquidity, zone.closed_high, bar, formed_ms, 1, SCALE_SESSION, t)
            add_outer(liquidity, zone.closed_low, bar, formed_ms, -1, SCALE_SESSION, t)


@kernel
def see_broken(period: Row, place: int, price: float, number: int, log: Row, events: Rows) -> None:
    """Say once that the high (place 0) or the low (1) of the previous period was passed."""
    side = 1 - 2 * place
    level = period.previous_high if place == 0 else period.previous_low
    if period.is_broken[place] == 0 and side * price > side * level:
        period.is_broken[place] = 1
        say_level(
            log,
            events,
            PERIOD_BROKEN,
            SCALE_NONE,
            side,
            period.bar,
            period.formed_ms,
            level,
            price - level,
            -1,
            PERIOD_4H + number,
        )
