"""Series before candles: known when they came, not known when they did not, and told once, also after a crash."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from papertape.daemon.feeds.protocol import Notice, NoticeKind
from papertape.daemon.feeds.series import LiveSeries, WithSeries, told_until, wanted_kinds
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Event, SeriesRows
from papertape.engine.records import INDEX_PRICE, LONG_SHORT_RATIO, MARK_PRICE, OPEN_INTEREST, SERIES
from papertape.engine.spec import EngineSpec, Market
from tests.support.helpers import START_MS, make_candles

MINUTE_MS = 60_000
NEVER = int(np.iinfo(np.int64).min)


def live(*kinds: int, told_ms: int = NEVER, fresh_ms: int = 60_000) -> tuple[LiveSeries, list[Notice]]:
    notices: list[Notice] = []
    asked = {("X", kind): told_ms for kind in kinds}
    return LiveSeries(("W", "X"), asked, MINUTE_MS, notices.append, fresh_ms=fresh_ms), notices


def at(minute: float) -> int:
    return START_MS + round(minute * MINUTE_MS)


def told(series: LiveSeries, *minutes: int) -> list[tuple[Any, ...]]:
    """Return what is told at closes as (minute, symbol, kind, value, open, high, low); None for what is not known."""
    closes = [at(minute) for minute in minutes]
    rows = series.until(closes, closes[-1] + 1_000)
    return [
        (
            (row[0] - START_MS) / MINUTE_MS,
            row[1],
            row[2],
            *(None if math.isnan(x) else x for x in list(row)[3:]),
        )
        for row in rows.tolist()
    ]


def test_only_series_that_features_are_made_of_are_asked_for() -> None:
    columns = (
        "ema_12",
        "mark_premium@4h",
        "W:open_interest_change_24",
        "funding",
        "candle_mine",
        "model_probability",
    )

    assert wanted_kinds(columns) == {MARK_PRICE, OPEN_INTEREST}
    assert wanted_kinds(("index", "long_short_ratio")) == {INDEX_PRICE, LONG_SHORT_RATIO}
    assert wanted_kinds(("rsi_14",)) == frozenset()


def test_a_value_is_known_when_it_came_and_the_newest_of_a_candle_is_told() -> None:
    series, notices = live(INDEX_PRICE)
    for minute, price in ((0.2, 100.0), (0.9, 101.0), (1.0, 102.0), (1.5, 103.0)):
        series.tell("X", INDEX_PRICE, price, at(minute))
    series.tell("W", INDEX_PRICE, 5.0, at(0.5))  # nobody asks for it
    series.tell("X", OPEN_INTEREST, 5.0, at(0.5))

    # What comes at the very close of a candle belongs to the next one.
    assert told(series, 1) == [(0.9, 1, INDEX_PRICE, 101.0, 101.0, 101.0, 101.0)]
    assert told(series, 2) == [(1.5, 1, INDEX_PRICE, 103.0, 103.0, 103.0, 103.0)]
    assert notices == []


def test_a_late_candle_sees_what_was_known_at_its_close_and_not_what_came_since() -> None:
    series, _ = live(OPEN_INTEREST)
    for minute in (0.5, 1.5, 2.5):
        series.tell("X", OPEN_INTEREST, 10.0 + minute, at(minute))

    assert [row[3] for row in told(series, 1, 2)] == [10.5, 11.5]
    assert [row[3] for row in told(series, 3)] == [12.5]


def test_what_stays_away_is_a_gap_that_is_told_once_and_ends_with_the_next_value() -> None:
    series, notices = live(OPEN_INTEREST)
    series.tell("X", OPEN_INTEREST, 7.0, at(0.5))

    assert [row[3] for row in told(series, 1)] == [7.0]
    assert told(series, 2) == [(2.0, 1, OPEN_INTEREST, None, None, None, None)]  # 90 seconds old
    assert told(series, 3) == told(series, 4) == []
    assert [(n.kind, n.symbol, n.time_ms) for n in notices] == [(NoticeKind.GAP, "X", at(2) + 1_000)]
    assert "open_interest: nothing fresh has come" in notices[0].detail

    series.tell("X", OPEN_INTEREST, 8.0, at(4.25))
    assert told(series, 5) == [(4.25, 1, OPEN_INTEREST, 8.0, 8.0, 8.0, 8.0)]
    assert told(series, 7) == [(7.0, 1, OPEN_INTEREST, None, None, None, None)]
    assert len(notices) == 2


def test_a_value_that_is_still_fresh_goes_on_without_being_told_again() -> None:
    series, notices = live(OPEN_INTEREST, fresh_ms=120_000)
    series.tell("X", OPEN_INTEREST, 7.0, at(0.5))

    assert [row[3] for row in told(series, 1)] == [7.0]
    assert told(series, 2) == []  # 90 seconds
    assert [row[3] for row in told(series, 3)] == [None]  # 150 seconds
    assert len(notices) == 1


def test_a_mark_that_came_without_a_pause_has_a_range_and_another_has_none() -> None:
    series, _ = live(MARK_PRICE)
    for second in range(2, 60, 2):
        series.tell("X", MARK_PRICE, 100.0 + (second % 20 - 10), at(second / 60))
    for second in (2, 10, 30, 40, 50, 58):  # twenty seconds of silence
        series.tell("X", MARK_PRICE, 100.0, at(1 + second / 60))

    assert told(series, 1) == [(1.0, 1, MARK_PRICE, 108.0, 92.0, 108.0, 90.0)]
    assert told(series, 2) == [(pytest.approx(1 + 58 / 60), 1, MARK_PRICE, *[100.0] * 4)]


def test_a_mark_that_comes_late_or_ends_early_has_no_range() -> None:
    for seconds in (range(20, 60, 2), range(0, 40, 2)):
        series, _ = live(MARK_PRICE)
        for second in seconds:
            series.tell("X", MARK_PRICE, 100.0 + second, at(second / 60))

        (row,) = told(series, 1)
        assert row[0] < 1.0
        assert row[3:] == (100.0 + seconds[-1],) * 4


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -1.0, None, 0.0], ids=["nan", "infinite", "negative", "none", "zero"]
)
def test_what_no_price_can_be_is_passed_over(value: float | None) -> None:
    series, _ = live(MARK_PRICE)
    series.tell("X", MARK_PRICE, value, at(0.5))

    assert told(series, 1) == []


def test_a_start_after_downtime_says_that_the_old_value_is_not_known() -> None:
    series, notices = live(INDEX_PRICE, told_ms=at(0.9))
    series.tell("X", INDEX_PRICE, 100.0, at(9.5))

    # Nine candles of history: the value from before must not be carried over them.
    assert told(series, *range(2, 10)) == [(2.0, 1, INDEX_PRICE, None, None, None, None)]
    assert [row[3] for row in told(series, 10)] == [100.0]
    assert [n.time_ms for n in notices] == [at(9) + 1_000]  # of history nothing is told


def test_what_was_journalled_before_a_crash_is_not_told_again() -> None:
    series, _ = live(MARK_PRICE, told_ms=at(5.0))  # its candle was not journalled any more
    series.tell("X", MARK_PRICE, 100.0, at(4.9))

    assert told(series, 5) == []
    assert told(series, 6) == [(6.0, 1, MARK_PRICE, None, None, None, None)]


class Reader:
    features = ("mark_premium", "open_interest", "macd_12_26_9")  # one of several columns

    def decide(self, view: Any) -> None:
        return None


def test_an_engine_says_what_it_was_told_and_takes_what_comes_next() -> None:
    engine = Engine(EngineSpec((Market("W"), Market("X")), Reader(), "1m", "1m"))
    assert told_until(engine) == {(s, k): NEVER for s in "WX" for k in (MARK_PRICE, OPEN_INTEREST)}
    row = np.zeros(1, SERIES)
    row[0] = (at(3), 1, OPEN_INTEREST, 5.0, 5.0, 5.0, 5.0)
    engine.step(SeriesRows(row))

    found = told_until(engine)

    assert found["X", OPEN_INTEREST] == at(3)
    assert found["W", OPEN_INTEREST] == NEVER
    series = LiveSeries(engine.symbols, found, MINUTE_MS, lambda _: None)
    series.tell("X", OPEN_INTEREST, 6.0, at(3.5))
    engine.step(SeriesRows(series.until([at(4)], at(4))))
    assert told_until(engine)["X", OPEN_INTEREST] == at(3.5)
    with pytest.raises(DataError, match="does not come after"):
        engine.step(SeriesRows(row))


@pytest.mark.asyncio
async def test_series_stand_before_their_candles_and_a_fault_of_whoever_asks_ends_the_feed() -> None:
    series, _ = live(INDEX_PRICE)
    tape = make_candles([(100.0,) * 4] * 3)
    tape["open_ms"] = START_MS + np.arange(3) * MINUTE_MS

    class Feed:
        async def __aiter__(self) -> AsyncIterator[Event]:
            for number in range(3):
                series.tell("X", INDEX_PRICE, 100.0 + number, at(number + 0.5))
                yield tape[number : number + 1]

    events = [event async for event in WithSeries(Feed(), series, MINUTE_MS, lambda: at(9))]
    shape = [event.rows["value"].tolist() if isinstance(event, SeriesRows) else "candle" for event in events]
    assert shape == [[100.0], "candle", [101.0], "candle", [102.0], "candle"]

    async def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _ = [event async for event in WithSeries(_Slow(tape), series, MINUTE_MS, lambda: 0, broken)]


class _Slow:
    def __init__(self, tape: Any) -> None:
        self.tape = tape

    async def __aiter__(self) -> AsyncIterator[Event]:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        yield self.tape
