"""Halts between candles: what is due when, cut where it belongs."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from papertape.daemon.feeds.halts import Halts, Telling, WithHalts
from papertape.engine.candles import CANDLE
from papertape.engine.events import Cause, Halt, MarketChange
from papertape.engine.jit import Rows

MINUTE = 60_000
T = 1_795_428_900_000


def instants(n: int, first: int = 0) -> Rows:
    """Return minutes of two symbols."""
    rows = np.zeros(2 * n, CANDLE)
    rows["open_ms"] = T + MINUTE * np.repeat(np.arange(first, first + n), 2)
    rows["symbol"] = np.tile([0, 1], n)
    return rows


def told(halts: Halts, rows: Rows) -> list[object]:
    """Return events as numbers of instants, and halts as they are."""
    return [event if isinstance(event, tuple) else len(event) // 2 for event in halts.between(rows)]


def test_a_halt_comes_before_the_first_candle_that_closes_after_it() -> None:
    halts = Halts(["A", "B"], MINUTE)
    halts.tell(Cause.MARKET, "B", T + 2 * MINUTE + 5_000, is_on=True)
    halts.tell(Cause.MARKET, "B", T + 4 * MINUTE + 1, is_on=False)

    begins = Halt(T + 2 * MINUTE + 5_000, 1, Cause.MARKET, True)
    ends = Halt(T + 4 * MINUTE + 1, 1, Cause.MARKET, False)
    assert told(halts, instants(6)) == [2, begins, 2, ends, 2]
    assert told(halts, instants(1, 6)) == [1]


def test_what_is_known_at_a_close_waits_for_the_next_candle() -> None:
    halts = Halts(["A", "B"], MINUTE)
    halts.tell(Cause.MARKET, "A", T + MINUTE, is_on=True)

    assert told(halts, instants(1)) == [1]
    assert told(halts, instants(1, 1)) == [Halt(T + MINUTE, 0, Cause.MARKET, True), 1]


def test_a_symbol_that_goes_inside_a_candle_is_gone_from_the_next_one_on() -> None:
    halts = Halts(["A", "B"], MINUTE)
    halts.tell(Cause.GONE, "A", T + 20_000, is_on=True)

    assert told(halts, instants(2)) == [1, Halt(T + 20_000, 0, Cause.GONE, True), 1]


def test_skewed_clocks_count_at_once() -> None:
    halts = Halts(["A", "B"], MINUTE)
    halts.tell(Cause.CLOCK, "", T + 7 * MINUTE, is_on=True)

    assert told(halts, instants(1)) == [Halt(T + 7 * MINUTE, -1, Cause.CLOCK, True), 1]


def test_of_what_changes_twice_inside_a_candle_only_the_newest_is_said() -> None:
    halts = Halts(["A", "B"], MINUTE)
    assert not halts.tell(Cause.MARKET, "A", T, is_on=False)  # all is well at the start: no news
    assert halts.tell(Cause.MARKET, "A", T + 1, is_on=True)
    assert not halts.tell(Cause.MARKET, "A", T + 2, is_on=True)
    assert halts.tell(Cause.MARKET, "A", T + 3, is_on=False)

    assert told(halts, instants(1)) == [Halt(T + 3, 0, Cause.MARKET, False), 1]


@pytest.mark.asyncio
async def test_a_feed_is_cut_where_whoever_looks_finds_a_halt() -> None:
    async def feed() -> AsyncIterator[Rows]:
        for number in range(3):
            yield instants(1, number)

    halts = Halts(["A", "B"], MINUTE)
    halts.tell(Cause.GONE, "B", 0, is_on=True)
    skews = iter([False, True, True])

    def look() -> None:
        halts.tell(Cause.CLOCK, "", T, is_on=next(skews))

    events = [event async for event in WithHalts(feed(), halts, look)]

    found = [event if isinstance(event, Halt) else "candles" for event in events]
    assert found == [
        Halt(0, 1, Cause.GONE, True),
        Halt(T, -1, Cause.CLOCK, False),
        "candles",
        Halt(T, -1, Cause.CLOCK, True),
        "candles",
        "candles",
    ]


def test_what_is_known_of_a_market_comes_before_the_first_candle_that_closes_after_it() -> None:
    halts = Halts(["A", "B"], MINUTE)
    telling = Telling({"tick_size": 1.0}, ((T + 5 * MINUTE, {"tick_size": 2.0}),))
    halts.tell_market("B", T + MINUTE + 1, telling)
    halts.tell_market("B", T + 2 * MINUTE, telling)  # no news

    now = MarketChange(T + MINUTE + 1, 1, {"tick_size": 1.0})
    later = MarketChange(T + 5 * MINUTE, 1, {"tick_size": 2.0})
    assert told(halts, instants(7)) == [1, now, 4, later, 2]


def test_what_is_known_newly_takes_the_place_of_what_was_to_come() -> None:
    halts = Halts(["A", "B"], MINUTE)
    halts.tell_market("A", T, Telling({"tick_size": 1.0}, ((T + MINUTE, {"tick_size": 2.0}),)))
    halts.tell(Cause.MARKET, "A", T, is_on=True)
    halts.tell_market("A", T, Telling({"tick_size": 3.0}))

    found = told(halts, instants(3))

    assert found == [Halt(T, 0, Cause.MARKET, True), MarketChange(T, 0, {"tick_size": 3.0}), 3]


def test_a_row_holds_from_its_time_also_where_its_market_is_read_again_before_its_candle() -> None:
    """Read at the start, and again after an outage of five minutes in which the row came to hold."""
    before, row, other = ({"tick_size": size} for size in (1.0, 2.0, 3.0))
    row_ms = T + 2 * MINUTE
    holds = MarketChange(row_ms, 1, row)
    for now, news in ((row, []), (other, [MarketChange(T + 5 * MINUTE + 1, 1, other)])):
        halts = Halts(["A", "B"], MINUTE)
        halts.tell_dated("B", [(row_ms, row)])
        halts.tell_market("B", T + 1, Telling(before, ((row_ms, row),)))
        assert told(halts, instants(1)) == [MarketChange(T + 1, 1, before), 1]

        halts.tell_market("B", T + 5 * MINUTE + 1, Telling(now))

        assert told(halts, instants(6, 1)) == [1, holds, *([3, *news, 2] if news else [5])]
