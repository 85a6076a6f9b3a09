"""
The candles of one timeframe as market structure needs them: the newest three whole, a ring of ranges, two ATR.

The ring holds parsed candles: high and low of a wild candle (range of `wild_factor` ATR or more) are exchanged, so
that a search for the lowest low hardly ever chooses it; the higher of the two is always the true high. It reaches
back 4,096 candles; a search that would go farther begins there and is counted.
"""

from typing import Final

from papertape.engine.jit import Row, kernel, record

RING: Final = 4096

BAR: Final = record(("open_ms", "i8"), ("high", "f8"), ("low", "f8"))
QUOTE: Final = record(("open_ms", "i8"), ("open", "f8"), ("high", "f8"), ("low", "f8"), ("close", "f8"))
CHART: Final = record(
    ("n_candles", "i8"),  # taken in, the newest included
    ("now", QUOTE),
    ("middle", QUOTE),  # the candle before
    ("before", QUOTE),  # and the one before that
    ("long_atr", "f8"),  # a plain sum while it warms up
    ("short_atr", "f8"),
    ("short_atr_before", "f8"),  # of the candle before; a sum while it warms up
    ("range_total", "f8"),  # of true ranges from candle 1 on
    ("n_short", "i8"),  # searches that the ring cut short
    ("ring", BAR, (RING,)),
)


@kernel
def step_wilder(average: float, reach: float, t: int, period: int) -> float:
    """Return Wilder's average at candle t; before candle period - 1 the sum so far."""
    if t < period - 1:
        return average + reach
    if t == period - 1:
        return (average + reach) / period
    return average + (reach - average) / period


@kernel
def take_candle(chart: Row, p: Row, quote: Row) -> None:
    """Make a candle the newest one."""
    t = chart.n_candles
    chart.n_candles = t + 1
    chart.before = chart.middle
    chart.middle = chart.now
    chart.now = quote
    high, low = quote.high, quote.low
    reach = high - low
    if t > 0:
        close = chart.middle.close
        reach = max(reach, abs(high - close), abs(low - close))
        chart.range_total += reach
    chart.short_atr_before = chart.short_atr
    chart.short_atr = step_wilder(chart.short_atr, reach, t, p.short_atr_bars)
    chart.long_atr = step_wilder(chart.long_atr, reach, t, p.long_atr_bars)
    if p.is_mean_range != 0:
        is_wild = t > 0 and high - low >= p.wild_factor * (chart.range_total / t)
    else:
        is_wild = t >= p.long_atr_bars - 1 and high - low >= p.wild_factor * chart.long_atr
    bar = chart.ring[t & (RING - 1)]
    bar.open_ms = quote.open_ms
    bar.high = low if is_wild else high
    bar.low = high if is_wild else low


@kernel
def search_from(chart: Row, bar: int) -> int:
    """Return `bar`, or the oldest candle that the ring still holds, which is counted."""
    oldest = chart.n_candles - RING
    if bar < oldest:
        chart.n_short += 1
        return oldest  # type: ignore[no-any-return]
    return bar


@kernel
def extreme_parsed(chart: Row, first: int, last: int, side: int) -> int:
    """Return the candle of first … last with the lowest (side +1) or highest (-1) parsed price; the first on ties."""
    best = search_from(chart, first)
    for number in range(best + 1, last + 1):
        bar, champion = chart.ring[number & (RING - 1)], chart.ring[best & (RING - 1)]
        if side > 0:
            if bar.low < champion.low:
                best = number
        elif bar.high > champion.high:
            best = number
    return best


@kernel
def true_price(bar: Row, side: int) -> float:
    """Return the true high (side +1) or low (-1) of a parsed candle."""
    return max(bar.high, bar.low) if side > 0 else min(bar.high, bar.low)  # type: ignore[no-any-return]


@kernel
def is_exceeded(chart: Row, first: int, last: int, side: int, price: float) -> bool:
    """Return whether a high of first … last is above a price (side +1), or a low below it (-1)."""
    for number in range(search_from(chart, first), last + 1):
        if side * true_price(chart.ring[number & (RING - 1)], side) > side * price:
            return True
    return False


@kernel
def extreme_true(chart: Row, first: int, last: int, side: int) -> int:
    """Return the candle of first … last with the highest high (side +1) or lowest low (-1); the first on ties."""
    best = search_from(chart, first)
    champion = side * true_price(chart.ring[best & (RING - 1)], side)
    for number in range(best + 1, last + 1):
        price = side * true_price(chart.ring[number & (RING - 1)], side)
        if price > champion:
            champion = price
            best = number
    return best
