"""
Calm: how late the event loop is, and how long a final candle waits for its report, while another process keeps a core busy.

A whole daemon (feed, journal with its commits to the disk, engine, tables) follows the local exchange through sockets
at 120 times its speed, so that two candles of every symbol become final each second; the loop and the disk are real.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from daemon.app import FeedStart, Source, serve
from daemon.feeds.delta import DeltaFeed
from daemon.identity import Identity
from daemon.running import Daemon, Hooks
from engine.report import Report
from engine.spec import Market
from replay.clock import Clock
from replay.config import make_config
from replay.delta_rest import DeltaRest
from replay.synthetic import synthesize
from replay.venue import Venue

SPEED: Final = 120.0
HISTORY: Final = 600  # candles, so that every feature has a value
MUST_LAG_MS: Final = 25.0
MUST_LATENCY_MS: Final = 5.0
_PROBE_S: Final = 0.01


class Timed:
    """A feed that notes when each batch was handed over."""

    def __init__(self, feed: Any) -> None:
        self.feed = feed
        self.handed_ns = 0

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for event in self.feed:
            self.handed_ns = time.perf_counter_ns()
            yield event


async def _run(n_symbols: int, seconds: float, state: Path) -> tuple[list[float], list[float]]:
    tapes = [synthesize("regimes", HISTORY + 3_000, "1m", seed=s, symbol=f"S{s:02}") for s in range(n_symbols)]  # fmt: skip
    start_ms = int(tapes[0].candles["open_ms"][HISTORY])
    clock = Clock(start_ms, SPEED)
    venue = Venue(tapes, clock, start_ms=start_ms)
    await venue.start()
    symbols = tuple(tape.symbol for tape in tapes)
    urls = {name: getattr(venue, name) for name in ("rest_url", "compact_url", "legacy_url")}
    values = {
        "live": {"symbols": symbols, "history_bars": HISTORY - 1, **urls},
        "daemon": {"state": str(state)},
    }
    markets = tuple(Market(symbol, is_perpetual=True) for symbol in symbols)
    about = Identity(make_config(values), "sim", "1m", markets)
    timed: list[Timed] = []
    lags_ms: list[float] = []
    latencies_ms: list[float] = []

    @asynccontextmanager
    async def open_feed(start: FeedStart) -> AsyncIterator[Source]:
        async with DeltaRest(venue.rest_url, clock) as rest:
            feed = DeltaFeed(
                about.config.live, start.symbols, clock, rest, after_ms=start.after_ms,
                on_notice=start.on_notice, stats=start.stats,
            )  # fmt: skip
            timed.append(Timed(feed))
            yield Source(timed[0], clock.now_ms)

    def sink(report: Report) -> None:
        if report.candles == n_symbols:  # one instant: history comes in thousands
            latencies_ms.append((time.perf_counter_ns() - timed[0].handed_ns) / 1e6)

    async def probe(daemon: Daemon) -> None:
        loop = asyncio.get_running_loop()
        while daemon.journal_feed.is_warming:  # noqa: ASYNC110 - nothing tells when it is over
            await asyncio.sleep(0.1)
        latencies_ms.clear()
        end = loop.time() + seconds
        while (now := loop.time()) < end:
            await asyncio.sleep(_PROBE_S)
            lags_ms.append((loop.time() - now - _PROBE_S) * 1e3)
        daemon.stop()

    try:
        async with asyncio.timeout(seconds + 90.0):
            await serve(about, open_feed, Hooks(sinks=[sink], services=[probe]))
    finally:
        await venue.stop()
    return lags_ms, latencies_ms


def calm(n_symbols: int, seconds: float = 8.0) -> dict[str, Any]:
    """Return the loop's lag and the latency of decisions with this many symbols, in ms."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with tempfile.TemporaryDirectory() as folder:
            lags, latencies = asyncio.run(_run(n_symbols, seconds, Path(folder)))
    finally:
        busy.kill()
        busy.wait()
    lag_p99 = float(np.percentile(lags, 99))
    p50, p99 = (float(value) for value in np.percentile(latencies, [50, 99]))
    return {
        "work": f"{n_symbols} symbols beside a busy core",
        "instants": len(latencies),
        "loop_lag_ms_p99": lag_p99,
        "latency_ms_p50": p50,
        "latency_ms_p99": p99,
        "is_met": lag_p99 < MUST_LAG_MS,
    }
