"""
DeltaFeed against the local exchange over real sockets: the candles it gives are the exchange's own, whatever happens.

With PAPERTAPE_SEEDS (`make chaos`) sources other than the stream are tried with every way of the exchange as well.
"""

import asyncio
import contextlib
import os
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "papertape.replay.exchange.faults", reason="the local exchange is not part of this checkout"
)
pytest.importorskip(
    "papertape.replay.sources.delta_rest", reason="Delta's history is not part of this checkout"
)

from papertape.daemon.feeds.delta.feed import DeltaFeed
from papertape.daemon.feeds.protocol import FeedStart, Notice, NoticeKind
from papertape.engine.candles import FLAG_FILLED
from papertape.engine.jit import Rows
from papertape.replay.config.live import Live
from papertape.replay.exchange import FAULT_KINDS, Faults, Switches, Venue
from papertape.replay.exchange.faults import RECOVERABLE
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_rest import DeltaRest
from papertape.replay.tapes.synthetic import synthesize
from papertape.replay.tapes.tape import Tape
from tests.support.covering import covering
from tests.support.virtual_time import VirtualTimeLoop

MINUTE_MS = 60_000
START_MS = 1_795_428_900_000  # 2026-11-23 10:15 UTC
HISTORY = 30
SYMBOLS = ("BTCUSD", "ETHUSD")
COLUMNS = ["open_ms", "symbol", "open", "high", "low", "close", "volume"]


@dataclass
class Followed:
    """What a feed gave, and what was."""

    rows: Rows
    truth: Rows
    notices: list[Notice] = field(default_factory=list)

    def assert_equal(self) -> None:
        """Hold the feed to the exchange's candles, each exactly once and in order."""
        assert self.rows[COLUMNS].tolist() == self.truth[COLUMNS].tolist()


def follow(
    *,
    n: int = 5,
    switches: Switches = Switches(),  # noqa: B008 # a value
    faults: Faults | None = None,
    seed: int = 1,
    **live: Any,
) -> Followed:
    """Return what a feed makes of `n` minutes of two markets."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(_follow(n, switches, faults or Faults.none(), seed, live))


async def _follow(n: int, switches: Switches, faults: Faults, seed: int, live: dict[str, Any]) -> Followed:
    clock = Clock(START_MS)
    first_ms = START_MS - HISTORY * MINUTE_MS
    # Two minutes more than are compared, so that the last ones are followed by others.
    tapes = [
        synthesize("noise", HISTORY + n + 2, "1m", seed + i, symbol=symbol, start_ms=first_ms)
        for i, symbol in enumerate(SYMBOLS)
    ]
    tapes[1] = _quiet(tapes[1])
    venue = Venue(tapes, clock, switches=switches, faults=faults, start_ms=START_MS)
    await venue.start()
    notices: list[Notice] = []
    batches: list[Rows] = []
    urls = {"compact_url": venue.compact_url, "legacy_url": venue.legacy_url}
    settings = Live(symbols=SYMBOLS, history_bars=0, **{**urls, **live})
    last_ms = START_MS + (n - 1) * MINUTE_MS
    try:
        async with DeltaRest(venue.rest_url, clock, jitter=lambda: 0.5) as rest:
            feed = DeltaFeed(
                settings,
                FeedStart(tuple(SYMBOLS), START_MS - MINUTE_MS, notices.append),
                clock,
                rest,
                seed=seed,
            )
            async with clock.timeout(3_600.0), contextlib.aclosing(aiter(feed)) as candles:
                async for rows in candles:
                    batches.append(rows)
                    if rows["open_ms"][-1] >= last_ms:
                        break
    finally:
        await venue.stop()
    rows = np.concatenate(batches)
    return Followed(rows[rows["open_ms"] <= last_ms], _truth(venue, last_ms), notices)


def _truth(venue: Venue, last_ms: int) -> Rows:
    """Return the exchange's candles of all symbols by (open_ms, symbol), with flat ones where nothing traded."""
    columns = []
    for index, symbol in enumerate(SYMBOLS):
        known = venue.truth(symbol)
        close = float(known["close"][0])
        stamps = range(START_MS, last_ms + 1, MINUTE_MS)
        column = np.zeros(len(stamps), known.dtype)
        for number, stamp in enumerate(stamps):
            found = known[known["open_ms"] == stamp]
            column[number] = found[0] if len(found) else (stamp, 0, close, close, close, close, 0.0, 0)
            close = float(column["close"][number])
        column["symbol"] = index
        columns.append(column)
    return np.stack(columns, axis=1).reshape(-1)


def _quiet(tape: Tape) -> Tape:
    """Return a tape that has not traded in the second and fourth minute after the start."""
    rows = np.delete(tape.candles, [HISTORY + 1, HISTORY + 3])
    return Tape(rows, tape.venue, tape.symbol, tape.timeframe)


@pytest.mark.parametrize("protocol", ["compact", "legacy"])
@pytest.mark.parametrize("candles", ["stream", "trades", "poll"])
def test_candles_equal_the_exchanges_from_every_source(protocol: str, candles: str) -> None:
    followed = follow(protocol=protocol, candles=candles)

    followed.assert_equal()
    is_quiet = followed.rows["volume"] == 0.0
    assert is_quiet.sum() == 2
    assert (followed.rows["flag_bits"][is_quiet] & FLAG_FILLED).all()


COMBINATIONS = list(Switches.combinations())
LAGS = list(Switches.combinations("has_cst", "final_frame", "rest_lag_s", "rest_lag", "has_padding"))
OTHERS = list(Switches.combinations("numbers", "heartbeat", "trail_ms", "publishing"))


@pytest.mark.parametrize("switches", [*COMBINATIONS[::31], *LAGS[::11], *OTHERS[::13]], ids=str)
def test_some_ways_of_the_exchange(switches: Switches) -> None:
    follow(switches=switches, n=5).assert_equal()


def with_other_sources(family: list[Switches]) -> list[tuple[Switches, str]]:
    """Return ways of the exchange with a source beside the stream: any three settings together, the source one of them."""
    ways = [(switches, candles) for switches in family for candles in ("trades", "poll")]
    if "PAPERTAPE_SEEDS" in os.environ:
        return ways
    return covering(ways, [(*astuple(switches), candles) for switches, candles in ways])


# The stream is what most questions are about.
WAYS = [
    way
    for family in (COMBINATIONS, LAGS, OTHERS)
    for way in (*((switches, "stream") for switches in family), *with_other_sources(family))
]


@pytest.mark.slow
@pytest.mark.parametrize(("switches", "candles"), WAYS, ids=str)
def test_every_way_of_the_exchange(switches: Switches, candles: str) -> None:
    follow(switches=switches, candles=candles, n=5).assert_equal()


# Books are not ours: what concerns only them is left to the exchange's own tests.
KINDS = sorted(set(FAULT_KINDS) - {"seq_gap", "wrong_cs"})


def single(kind: str, candles: str) -> Followed:
    """Follow the exchange through one fault in the middle of its second minute, and through what comes after."""
    return follow(faults=Faults.single(kind, START_MS + 95_000), candles=candles, n=8)


@pytest.mark.parametrize("kind", KINDS)
def test_single_fault(kind: str) -> None:
    single(kind, "stream").assert_equal()


# The others: tests/scenarios/test_faults.py, where a whole daemon has their candles.
@pytest.mark.slow
@pytest.mark.parametrize("candles", ["trades", "poll"])
@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(RECOVERABLE)))
def test_single_fault_of_other_sources(kind: str, candles: str) -> None:
    single(kind, candles).assert_equal()


def test_a_correction_after_emission_is_told_and_not_applied() -> None:
    # It concerns the last candle that ended a minute before: number 1, long emitted.
    faults = Faults.single("correction", START_MS + 200_000)

    followed = follow(faults=faults, n=6)

    followed.assert_equal()
    told = [n.open_ms for n in followed.notices if n.kind is NoticeKind.CORRECTION]
    assert told == [START_MS + MINUTE_MS, START_MS]  # the second market did not trade in number 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_mixture_of_faults(seed: int) -> None:
    faults = Faults.seeded(seed, START_MS, START_MS + 6 * MINUTE_MS, symbols=SYMBOLS)

    followed = follow(faults=faults, n=10, seed=seed)

    followed.assert_equal()
