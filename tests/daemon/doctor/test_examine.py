"""History and doctor against the local exchange: every fault of its REST side, every answer to an open question."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.doctor.exam import Exam
from papertape.daemon.doctor.examine import examine_venue
from papertape.daemon.doctor.finding import Finding, FindingStatus
from papertape.daemon.doctor.fixtures import Fixtures
from papertape.engine.candles import MINUTE_MS
from papertape.engine.jit import Rows
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_profiles import find_profile
from papertape.replay.sources.delta_rest import DeltaRest
from papertape.replay.sources.download import Wanted, fetch_first
from papertape.replay.sources.sources import DeltaSource
from papertape.replay.tapes.store import Store, Tape
from tests.support.helpers import START_MS, random_candles
from tests.support.loopback import in_virtual_time

venue_room = pytest.importorskip("papertape.replay.exchange", reason="the local exchange is not there")

NOW_MS = START_MS + 3_000 * MINUTE_MS + 31_000
REST_FAULTS = (
    "rest_429",
    "rest_500",
    "rest_502",
    "rest_503",
    "rest_timeout",
    "rest_slow",
    "rest_truncated",
    "down",
)


def tapes() -> list[Tape]:
    """Return a busy market and one that trades in two minutes of five."""
    busy, thin = random_candles(4_000, 1, "1m"), random_candles(4_000, 2, "1m")
    closes = thin["close"].copy()
    for i in np.flatnonzero(np.random.default_rng(3).random(len(thin)) < 0.6):
        last = closes[i - 1] if i else closes[0]
        closes[i] = last
        for name in ("open", "high", "low", "close"):
            thin[name][i] = last
        thin["volume"][i] = 0.0
    return [Tape(busy, "synthetic", "BTCUSD", "1m"), Tape(thin, "synthetic", "THINUSD", "1m")]


def with_venue(body: Callable[[Any, Clock], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        clock = Clock(NOW_MS)
        venue = venue_room.Venue(tapes(), clock, **options)
        await venue.start()
        try:
            return await body(venue, clock)
        finally:
            await venue.stop()

    return in_virtual_time(main())


def same(rows: Rows, tape: Tape, last_ms: int) -> bool:
    """Return whether candles are a tape's, volumes to what contracts can say."""
    truth = tape.candles[tape.candles["open_ms"] <= last_ms][-len(rows) :]
    prices = all(
        np.array_equal(rows[name], truth[name]) for name in ("open_ms", "open", "high", "low", "close")
    )
    return prices and len(truth) == len(rows)


def test_history_is_the_tape_that_the_venue_streams() -> None:
    async def body(venue: Any, clock: Clock) -> Rows:
        async with DeltaRest(venue.rest_url, clock) as rest:
            return await rest.candles("BTCUSD", "1m", START_MS, clock.now_ms())

    rows = with_venue(body)

    assert len(rows) == 3_000
    assert same(rows, tapes()[0], NOW_MS - MINUTE_MS - 31_000)


@pytest.mark.parametrize("kind", REST_FAULTS)
def test_a_fault_of_the_history_delays_it_and_changes_nothing(kind: str) -> None:
    async def body(venue: Any, clock: Clock) -> tuple[Rows, int]:
        async with DeltaRest(venue.rest_url, clock, jitter=lambda: 1.0) as rest:
            rows = await rest.candles("BTCUSD", "1m", START_MS, NOW_MS)
            return rows, clock.now_ms() - NOW_MS

    faults = venue_room.Faults.single(kind, NOW_MS, 10_000)
    rows, waited_ms = with_venue(body, faults=faults)

    assert same(rows[:3_000], tapes()[0], NOW_MS - MINUTE_MS - 31_000)
    assert len(rows) == 3_000
    assert waited_ms > 3_000


def test_a_clock_that_is_wrong_is_measured() -> None:
    async def body(venue: Any, clock: Clock) -> float | None:
        async with DeltaRest(venue.rest_url, clock) as rest:
            await rest.products()
            return rest.clock_offset_ms

    faults = venue_room.Faults.single("clock_skew", NOW_MS, amount=5_000)

    assert with_venue(body, faults=faults) == pytest.approx(5_000, abs=3)


def test_a_download_through_faults_is_the_tape(tmp_path: Path) -> None:
    async def body(venue: Any, clock: Clock) -> Tape:
        source = DeltaSource(clock, rest_url=venue.rest_url)
        wanted = Wanted("1m", START_MS, NOW_MS)
        return (await fetch_first([(source, "BTCUSD")], wanted, Store(tmp_path))).tape

    faults = venue_room.Faults.single("rest_503", NOW_MS + 20, 5_000)

    assert same(with_venue(body, faults=faults).candles, tapes()[0], NOW_MS - MINUTE_MS - 31_000)


def examine(minutes: float = 4.0, **options: Any) -> dict[str, Finding]:
    async def body(venue: Any, clock: Clock) -> list[Finding]:
        profile = find_profile(
            "india", rest_url=venue.rest_url, compact_url=venue.compact_url, legacy_url=venue.legacy_url
        )
        exam = Exam(profile, thin="THINUSD", minutes=minutes, is_required=True)
        with Fixtures(None) as fixtures:
            return await examine_venue(exam, clock, fixtures)

    found = with_venue(body, **options)
    return {row.check if row.row in ("venue", "stream") else row.row: row for row in found}


@pytest.mark.parametrize(
    ("switch", "row", "told"),
    [
        ({}, "2", "3 of 3 equal the history"),
        ({"has_cst": False}, "1", "the client derives it"),
        ({"final_frame": "missing"}, "2", "0 of 2 equal"),
        ({"final_frame": "late"}, "2", "3 came after the next one's first"),
        ({"no_trade": "null"}, "3", "null prices"),
        ({"no_trade": "flat"}, "3", "flat, volume 0"),
        ({"publishing": "always"}, "4", "repeat the one before"),
        ({"heartbeat": "bare"}, "5", "30.0 s (median)"),
        ({"heartbeat": "stops"}, "5", "none in the last 2"),
        ({"rest_cap": 2000}, "7", "2001 of 5000 bars"),
        ({"rest_lag_s": 4.0}, "7", "a minute is final"),
        ({"trades_list": "object"}, "13", "object with trades"),
        ({"week_start": "thursday"}, "10", "Thursday"),
        ({"has_padding": False}, "7", "0 of 3 future ones invented"),
    ],
)
def test_every_answer_to_an_open_question_is_told_and_none_is_a_failure(
    switch: dict[str, Any], row: str, told: str
) -> None:
    found = examine(switches=venue_room.Switches(**switch))

    assert told in found[row].observed
    assert not [f for f in found.values() if f.status is FindingStatus.FAILED]


@pytest.mark.parametrize(
    "kind", ["abort", "close", "half_open", "silence", "garbage", "rest_503", "delisting", "never_ack"]
)
def test_a_venue_in_trouble_is_examined_to_the_end(kind: str) -> None:
    found = examine(faults=venue_room.Faults.single(kind, NOW_MS + 60_000))

    assert {str(number) for number in range(1, 16)} <= set(found)
