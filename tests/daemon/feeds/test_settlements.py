"""Settlements between candles: each once, after the candles that have closed by then; missed ones are asked for, never guessed."""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.feeds.protocol import Notice
from papertape.daemon.feeds.settlements import ChargedFunding, Perpetual, WithSettlements
from papertape.engine.errors import DataError
from papertape.engine.events import Cause, Event, Funding, Halt, SeriesRows
from papertape.engine.jit import Rows
from papertape.engine.records import FUNDING_RATE
from papertape.replay.importers.series import read_series
from papertape.replay.sources.delta_rest import RateSettlement
from tests.support.helpers import START_MS, interleave, make_candles

HOUR_MS = 3_600_000
MINUTE_MS = 60_000
EIGHT_MS = START_MS + 8 * HOUR_MS  # 08:00, on the grid of eight hours


class History:
    """Knows some settlements and marks; counts what it is asked."""

    def __init__(
        self, rates: dict[int, float], marks: dict[int, float] | None = None, fails: bool = False
    ) -> None:
        self.rates, self.known_marks, self.fails = rates, marks or {}, fails
        self.asked: list[tuple[int, int]] = []

    async def funding(
        self, symbol: str, first_ms: int, last_ms: int, *, interval_s: int
    ) -> list[RateSettlement]:
        self.asked.append((first_ms, last_ms))
        if self.fails:
            raise DataError("the venue does not answer")
        return [RateSettlement(t, rate) for t, rate in self.rates.items() if first_ms <= t <= last_ms]

    async def marks(self, symbol: str, first_ms: int, last_ms: int) -> dict[int, float]:
        return {t: mark for t, mark in self.known_marks.items() if first_ms <= t <= last_ms}

    def is_due(self, symbol: str, time_ms: int) -> bool:
        return True


def minutes(first_ms: int, n: int, price: float = 100.0, symbols: int = 1) -> Rows:
    tape = make_candles([(price,) * 4] * n)
    tape["open_ms"] = first_ms + np.arange(n) * MINUTE_MS
    return tape if symbols == 1 else interleave([tape] * symbols)


async def told(
    batches: Sequence[Any],
    history: History,
    stream: dict[int, list[ChargedFunding]] | None = None,
    settled_ms: int | None = None,
    symbols: tuple[str, ...] = ("X",),
    hours: float = 8,
) -> tuple[list[Event], list[Notice]]:
    """Return what comes of batches; `stream`: what is heard before the batch of a number."""
    heard: deque[ChargedFunding] = deque()
    notices: list[Notice] = []

    class Feed:
        async def __aiter__(self) -> AsyncIterator[Event]:
            for number, batch in enumerate(batches):
                heard.extend((stream or {}).get(number, ()))
                yield batch

    perpetuals = {symbol: Perpetual(i, settled_ms) for i, symbol in enumerate(symbols)}
    feed = WithSettlements(
        Feed(),
        heard,
        perpetuals,
        history,
        MINUTE_MS,
        lambda symbol: round(hours * 3600),
        notices.append,
        lambda: 0,
    )
    return [event async for event in feed], notices


def shape(events: Sequence[Event]) -> list[Any]:
    """Return candles by their first and last close in minutes from 08:00, and everything else as it is."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, np.ndarray):
            closes = (event["open_ms"][[0, -1]] + MINUTE_MS - EIGHT_MS) // MINUTE_MS
            found.append((int(closes[0]), int(closes[1])))
        else:
            found.append(event)
    return found


@pytest.mark.asyncio
async def test_what_was_missed_is_fetched_and_stands_behind_its_candle() -> None:
    history = History({EIGHT_MS: 0.0002, EIGHT_MS + 8 * HOUR_MS: -0.0001}, {EIGHT_MS: 101.0})
    down = minutes(EIGHT_MS - 2 * MINUTE_MS, 600)  # the candles that a restart fetches

    events, notices = await told([down], history, settled_ms=EIGHT_MS - 3 * MINUTE_MS)

    # The rate of 08:00 at its mark; 16:00 without one, at the last close.
    assert shape(events) == [
        (-1, 0),
        Funding(EIGHT_MS, 0, 0.0002, 101.0),
        (1, 480),
        Funding(EIGHT_MS + 8 * HOUR_MS, 0, -0.0001, 100.0),
        (481, 598),
    ]
    assert history.asked == [(EIGHT_MS, EIGHT_MS + 8 * HOUR_MS)]
    assert notices == []


@pytest.mark.asyncio
async def test_what_the_stream_told_is_not_asked_for_and_waits_for_its_candle() -> None:
    history = History({})
    heard = {1: [ChargedFunding("X", EIGHT_MS, 0.0003, 99.0)]}
    batches = [
        minutes(EIGHT_MS + i * MINUTE_MS, 1) for i in (-2, -1, 0, 1)
    ]  # told before the candle that closes at 08:00

    events, _ = await told(batches, history, heard)

    assert shape(events) == [(-1, -1), (0, 0), Funding(EIGHT_MS, 0, 0.0003, 99.0), (1, 1), (2, 2)]
    assert history.asked == []


@pytest.mark.asyncio
async def test_one_that_is_told_late_again_or_was_journalled_already_is_charged_once() -> None:
    history = History({EIGHT_MS: 0.0002}, {EIGHT_MS: 100.0})
    late = {2: [ChargedFunding("X", EIGHT_MS, 0.0003, 99.0)] * 2}
    batches = [minutes(EIGHT_MS + i * MINUTE_MS, 1) for i in (-1, 0, 1)]

    events, _ = await told(batches, history, late)
    again, _ = await told(batches[1:], history, late, settled_ms=EIGHT_MS)

    assert [event for event in events if isinstance(event, Funding)] == [Funding(EIGHT_MS, 0, 0.0002, 100.0)]
    assert not any(isinstance(event, Funding) for event in again)


@pytest.mark.asyncio
@pytest.mark.parametrize("fails", [False, True])
async def test_what_nobody_knows_is_told_and_not_charged(fails: bool) -> None:
    unknown = {1: [ChargedFunding("X", EIGHT_MS, None, 99.0)]}
    batches = [minutes(EIGHT_MS + i * MINUTE_MS, 1) for i in (-1, 0)]

    events, notices = await told(batches, History({}, fails=fails), unknown)

    first, gap, second = events
    assert isinstance(gap, SeriesRows)
    (row,) = gap.rows
    assert (row.known_ms, row.symbol, row.kind) == (EIGHT_MS + 1, 0, 0)
    assert np.isnan(row.value)
    assert shape([first, second]) == [(0, 0), (1, 1)]
    assert notices[-1].detail == f"the funding rate of {EIGHT_MS} ms is not known; nothing is charged"
    assert len(notices) == 1 + fails


@pytest.mark.asyncio
async def test_of_an_unknown_rate_the_history_is_asked() -> None:
    unknown = {1: [ChargedFunding("X", EIGHT_MS, None, 99.0)]}
    batches = [minutes(EIGHT_MS + i * MINUTE_MS, 1) for i in (-1, 0)]

    events, _ = await told(batches, History({EIGHT_MS: 0.0005}, {EIGHT_MS: 98.0}), unknown)

    assert events[1] == Funding(EIGHT_MS, 0, 0.0005, 98.0)


@pytest.mark.asyncio
@pytest.mark.parametrize("rate", [0.2001, -0.35])
@pytest.mark.parametrize("source", ["stream", "history"])
async def test_a_rate_that_no_file_may_have_is_said_and_not_charged(
    rate: float, source: str, tmp_path: Path
) -> None:
    heard = {1: [ChargedFunding("X", EIGHT_MS, rate, 99.0)]} if source == "stream" else {}
    history = History({EIGHT_MS: rate} if source == "history" else {})
    batches = [minutes(EIGHT_MS + i * MINUTE_MS, 1) for i in (-1, 0)]
    (tmp_path / "x.csv").write_text(f"{EIGHT_MS},{rate}\n")

    events, notices = await told(batches, history, heard)

    with pytest.raises(DataError, match=r"is not between -0\.2 and 0\.2"):
        read_series(tmp_path / "x.csv", "X", FUNDING_RATE)
    assert isinstance(events[1], SeriesRows)
    assert np.isnan(events[1].rows["value"]).all()
    assert f"the funding rate of {EIGHT_MS} ms, {rate:g}, is beyond 0.2; it is not taken" in [
        notice.detail for notice in notices
    ]


@pytest.mark.asyncio
async def test_of_a_rate_that_cannot_be_the_history_is_asked_and_the_largest_is_charged() -> None:
    heard = {1: [ChargedFunding("X", EIGHT_MS, 20.0, 99.0)]}  # percent in place of a fraction
    batches = [minutes(EIGHT_MS + i * MINUTE_MS, 1) for i in (-1, 0)]

    events, notices = await told(batches, History({EIGHT_MS: 0.2}, {EIGHT_MS: 98.0}), heard)

    assert events[1] == Funding(EIGHT_MS, 0, 0.2, 98.0)
    assert len(notices) == 1


@pytest.mark.asyncio
async def test_several_symbols_are_cut_at_whole_instants_in_the_order_of_their_names() -> None:
    history = History({EIGHT_MS: 0.0001}, {EIGHT_MS: 100.0})
    halt = ("a halt", "passes")

    events, _ = await told([minutes(EIGHT_MS - MINUTE_MS, 3, symbols=2), halt], history, symbols=("A", "B"))

    assert shape(events) == [
        (0, 0),
        Funding(EIGHT_MS, 0, 0.0001, 100.0),
        Funding(EIGHT_MS, 1, 0.0001, 100.0),
        (1, 2),
        halt,
    ]
    assert [len(event) for event in events if isinstance(event, np.ndarray)] == [2, 4]


@pytest.mark.asyncio
async def test_an_interval_that_has_become_shorter_is_followed_as_it_is_told() -> None:
    told_ms = EIGHT_MS + HOUR_MS
    heard = {1: [ChargedFunding("X", told_ms, 0.0004, 99.0)]}
    batches = [minutes(told_ms - MINUTE_MS, 1), minutes(told_ms, 2)]

    events, _ = await told(batches, History({}), heard)

    assert shape(events) == [(60, 60), Funding(told_ms, 0, 0.0004, 99.0), (61, 62)]


@pytest.mark.asyncio
async def test_a_symbol_that_is_gone_settles_no_more_until_it_is_back() -> None:
    times = [EIGHT_MS + hours * HOUR_MS for hours in (0, 8, 16)]
    history = History(dict.fromkeys(times, 0.0001), dict.fromkeys(times, 100.0))
    batches: list[Any] = []
    for t, is_on in zip(times, (False, True, False), strict=True):
        batches += [Halt(t - 2 * MINUTE_MS, 0, Cause.GONE, is_on), minutes(t - 2 * MINUTE_MS, 4)]

    events, notices = await told(batches, history)

    charged = [event.time_ms for event in events if isinstance(event, Funding)]
    assert charged == [times[0], times[2]]
    assert history.asked == [(times[0], times[0]), (times[2], times[2])]
    assert notices == []
