"""A tape streamed by the local venue through real sockets into a whole daemon, in virtual time; shared by the live suites."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from papertape.daemon.app import serve
from papertape.daemon.chapters.chapter import CHAPTER
from papertape.daemon.feeds.delta.feed import DeltaFeed
from papertape.daemon.feeds.halts import WithHalts
from papertape.daemon.feeds.protocol import FeedSource, FeedStart
from papertape.daemon.feeds.told_markets import ToldMarkets
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.venues import hear_products
from papertape.engine.core import Engine
from papertape.engine.events import Halt, MarketChange
from papertape.engine.jit import Rows, join_rows
from papertape.engine.spec import Market
from papertape.replay.backtesting.run import replay
from papertape.replay.config import make_config
from papertape.replay.exchange import Faults, Switches, Venue
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_rest import DeltaRest
from papertape.replay.tapes.store import Tape
from tests.support.helpers import random_candles
from tests.support.virtual_time import VirtualTimeLoop

LATEST_S = 24 * 3600.0  # of virtual time behind the tape's end: a daemon that is not done by then is stuck


class Scenario(NamedTuple):
    """
    What is streamed, and how.

    start     candles before it are the venue's history when the daemon starts
    faults    what goes wrong at the venue; times are ms after the first streamed candle
    beside    runs beside the daemon: what an operator does
    sections  of the configuration, in place of those here
    follows   whether what the venue says of ticks, fees and margins changes the account's markets
    """

    tapes: Sequence[Tape]
    start: int = 0
    protocol: str = "compact"
    candles: str = "stream"
    switches: Switches = Switches()
    live: dict[str, Any] = {}  # noqa: RUF012
    faults: Faults = Faults.none()
    beside: Callable[[RunningDaemon, Clock], Awaitable[None]] | None = None
    features: Sequence[str] = ("rsi_14@5m", "atr_14", "volume_z_20")
    seed: int = 1
    sections: dict[str, Any] = {}  # noqa: RUF012
    follows: bool = False


def tape(symbol: str, n: int, seed: int) -> Tape:
    """Return minutes of a random market with some that nobody traded in."""
    rows = random_candles(n, seed, "1m")
    return Tape(rows, "binance-usdm", symbol, "1m", source="made in a test")


def quiet(one: Tape, *minutes: int, has_rows: bool = True) -> Tape:
    """Return a tape in which nobody traded in some minutes: flat candles, or none at all."""
    rows = one.candles.copy()
    for at in sorted(minutes):
        for name in ("open", "high", "low", "close"):
            rows[name][at] = rows["close"][at - 1]
    rows["volume"][list(minutes)] = 0.0
    rows = rows if has_rows else np.delete(rows, list(minutes))
    return Tape(rows, one.venue, one.symbol, one.timeframe)


def identity(scenario: Scenario, state: Path) -> Identity:
    """Return an account that trades often on the tapes' markets."""
    symbols = sorted(tape.symbol for tape in scenario.tapes)
    values = {
        "strategy": {"name": "ema_cross", "parameters": {"fast": 3, "slow": 8, "allow_short": True}},
        "account": {"sizing": "fraction"},
        "data": {"timeframe": "1m"},
        "signals": {"extra_features": scenario.features},
        "live": {
            "symbols": symbols,
            "protocol": scenario.protocol,
            "candles": scenario.candles,
            "history_bars": 0,
            **scenario.live,
        },
        "daemon": {"state": str(state)},
        **scenario.sections,
    }
    markets = [Market(symbol, is_perpetual=True, tick_size=0.01) for symbol in symbols]
    return Identity(make_config(values), "sim", "1m", tuple(markets))


async def stream(scenario: Scenario, state: Path, hooks: Hooks | None = None) -> RunningDaemon:
    """Run venue and daemon until the daemon has the tapes' last candle, and return the daemon."""
    first_ms = int(scenario.tapes[0].candles["open_ms"][scenario.start])
    last_ms = max(int(tape.candles["open_ms"][-1]) for tape in scenario.tapes)
    clock = Clock(first_ms)
    moved = tuple(fault._replace(time_ms=first_ms + fault.time_ms) for fault in scenario.faults)
    faults = Faults(moved, scenario.faults.seed)
    venue = Venue(scenario.tapes, clock, switches=scenario.switches, faults=faults, seed=scenario.seed)
    await venue.start()
    about = identity(scenario, state)
    live = about.config.live.model_copy(
        update={"rest_url": venue.rest_url, "compact_url": venue.compact_url, "legacy_url": venue.legacy_url}
    )

    # Without history the account begins with the first candle that is streamed.
    before_ms = None if live.history_bars else first_ms - 60_000

    @asynccontextmanager
    async def open_feed(start: FeedStart) -> AsyncIterator[FeedSource]:
        async with DeltaRest(venue.rest_url, clock) as rest:
            feed = DeltaFeed(
                live,
                start if start.after_ms is not None else replace(start, after_ms=before_ms),
                clock,
                rest,
                seed=scenario.seed,
            )
            markets = ToldMarkets(about, start.on_notice, start.told, is_relative=True)
            look = partial(hear_products, feed, markets) if scenario.follows else lambda: None
            yield FeedSource(WithHalts(feed, feed.halts, look), clock.now_ms)

    async def until_done(daemon: RunningDaemon) -> None:
        while int(daemon.engine.last_open_ms[0]) < last_ms:
            await clock.sleep(5.0)
        daemon.stop()
        await asyncio.Event().wait()

    async def beside(daemon: RunningDaemon) -> None:
        if scenario.beside is not None:
            await scenario.beside(daemon, clock)
        await asyncio.Event().wait()

    given = hooks or Hooks()
    given.services = (*given.services, until_done, beside)
    try:
        async with clock.timeout((last_ms - first_ms) / 1000.0 + LATEST_S):
            return await serve(about, open_feed, given, is_virtual=True)
    finally:
        await venue.stop()


def streamed(scenario: Scenario, state: Path, hooks: Hooks | None = None) -> RunningDaemon:
    """Run `stream` in an event loop whose time jumps."""
    loop = VirtualTimeLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(stream(scenario, state, hooks))
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def replayed(scenario: Scenario, rows: Sequence[Rows] | None = None, events: Any = ()) -> Engine:
    """Return the engine after a plain replay of what was streamed, or of other candles."""
    cuts = rows or [tape.candles[scenario.start :] for tape in scenario.tapes]
    return replay(identity(scenario, Path("unused")).spec, cuts, events=events).engine


def halts_of(state: Path) -> list[tuple[int, Halt]]:
    """Return the halts of a journal, each with the close of the last candle before it."""
    return [(ms, event) for ms, event in _between_candles(state) if isinstance(event, Halt)]


def changes_of(state: Path) -> list[tuple[int, MarketChange]]:
    """Return likewise the changes of markets."""
    return [(ms, event) for ms, event in _between_candles(state) if isinstance(event, MarketChange)]


def _between_candles(state: Path) -> list[tuple[int, Any]]:
    found, reached_ms = [], 0
    with Journal.read(state) as journal:
        for each in journal.inputs():
            if each.kind == CHAPTER:
                continue  # no engine takes it by itself
            if isinstance(each.event, Halt | MarketChange):
                found.append((reached_ms, each.event))
            elif isinstance(each.event, np.ndarray):
                reached_ms = int(each.event["open_ms"][-1]) + 60_000
    return found


def journalled(state: Path) -> Rows:
    """Return every candle that a journal has, in order."""
    with Journal.read(state) as journal:
        return join_rows([i.event for i in journal.inputs() if isinstance(i.event, np.ndarray)])
