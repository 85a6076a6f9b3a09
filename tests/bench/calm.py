"""
Calm: how late the event loop is, and how long a final candle waits for its report, while another process keeps a core busy.

A whole daemon (feed, journal with its commits to the disk, engine, tables) follows the local exchange through sockets
at 120 times its speed, so that two candles of every symbol become final each second; the loop and the disk are real.
The other process is an endless loop, or the training process at work on three months of hours.

`python -m tests.bench.calm`: the second kind, in a process of its own, whose memory is then the daemon's with the exchange.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from papertape.daemon.app import serve
from papertape.daemon.feeds.delta.feed import DeltaFeed
from papertape.daemon.feeds.protocol import FeedSource, FeedStart
from papertape.daemon.journal.identity import Identity
from papertape.daemon.metrics.runtime import resident_bytes
from papertape.daemon.monitoring.observer import Operation
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.engine.report import Report
from papertape.engine.spec import Market
from papertape.replay.config import make_config
from papertape.replay.config.spec import spec_for
from papertape.replay.exchange import Venue
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.jobs.job import CHILD, TrainingJob, write_job
from papertape.replay.learning.settings import settings_of
from papertape.replay.runtime.clock import Clock
from papertape.replay.sources.delta_rest import DeltaRest
from papertape.replay.tapes.synthetic import synthesize

SPEED: Final = 120.0
HISTORY: Final = 600  # candles, so that every feature has a value
MUST_LAG_MS: Final = 25.0
MUST_MEMORY_MB: Final = 250.0
MOST_S: Final = 300.0
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


Watch = Callable[[RunningDaemon, list[float]], Awaitable[None]]


async def run(n_symbols: int, state: Path, watch: Watch, port: int | None = None) -> None:
    """
    Run a daemon until it has been watched.

    watch  is called with the daemon and the latencies of its decisions in ms, which grow, once its history is in
    port   what it tells the world on; none: it tells nobody
    """
    tapes = [
        synthesize("regimes", HISTORY + 3_000, "1m", seed=s, symbol=f"S{s:02}") for s in range(n_symbols)
    ]
    start_ms = int(tapes[0].candles["open_ms"][HISTORY])
    clock = Clock(start_ms, SPEED)
    venue = Venue(tapes, clock, start_ms=start_ms)
    await venue.start()
    symbols = tuple(tape.symbol for tape in tapes)
    urls = {name: getattr(venue, name) for name in ("rest_url", "compact_url", "legacy_url")}
    values = {
        "live": {"symbols": symbols, "history_bars": HISTORY - 1, **urls},
        "daemon": {"state": str(state), **({"port": port} if port else {}), "log": "json"},
    }
    markets = tuple(Market(symbol, is_perpetual=True) for symbol in symbols)
    about = Identity(make_config(values), "sim", "1m", markets)
    timed: list[Timed] = []
    latencies_ms: list[float] = []

    @asynccontextmanager
    async def open_feed(start: FeedStart) -> AsyncIterator[FeedSource]:
        async with DeltaRest(venue.rest_url, clock) as rest:
            feed = DeltaFeed(about.config.live, start, clock, rest)
            timed.append(Timed(feed))
            yield FeedSource(timed[0], clock.now_ms)

    def sink(report: Report) -> None:
        if report.candles == n_symbols:  # one instant: history comes in thousands
            latencies_ms.append((time.perf_counter_ns() - timed[0].handed_ns) / 1e6)

    async def probe(daemon: RunningDaemon) -> None:
        while daemon.journal_feed.is_warming:  # noqa: ASYNC110 - nothing tells when it is over
            await asyncio.sleep(0.1)
        latencies_ms.clear()
        await watch(daemon, latencies_ms)
        daemon.stop()

    hooks = Hooks(sinks=[sink], services=[probe])
    try:
        async with asyncio.timeout(MOST_S):
            await serve(about, open_feed, Operation(about.config, about).hang_on(hooks) if port else hooks)
    finally:
        await venue.stop()


def calm(n_symbols: int, seconds: float = 8.0) -> dict[str, Any]:
    """Return the loop's lag and the latency of decisions with this many symbols, in ms."""
    spin = [sys.executable, "-c", "while True: pass"]
    return _beside(spin, f"{n_symbols} symbols beside a busy core", n_symbols, seconds)


def training(n_symbols: int = 3, seconds: float = 12.0) -> dict[str, Any]:
    """Return the same beside the training process, and the most memory that this process had meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_job(folder, _job())
        work = f"{n_symbols} symbols while a model trains"
        row = _beside([*CHILD, str(folder)], work, n_symbols, seconds)
    row["is_met"] = row["is_met"] and row["resident_mb"] < MUST_MEMORY_MB
    return row


def in_a_process() -> dict[str, Any]:
    """Return what `training` does in a process of its own: nothing else is in its memory."""
    command = [sys.executable, "-m", "tests.bench.calm"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _job() -> TrainingJob:
    """Return a training that outlasts the measurement: cnn_lstm on a window of ninety days and a gate of thirty."""
    tape = synthesize("regimes", 24 * 120 + 200, "1h", seed=7, symbol="S00")
    account = make_config({"learning": {"epochs": 10_000, "patience": 10_000}})
    spec = spec_for(account, (Market("S00", is_perpetual=True),), "1h")
    settings = settings_of(account, spec)
    rows = dataset_of(("S00",), [tape.candles], "1h", "1h", settings.features)
    return TrainingJob(settings, (int(rows.time_ms[-1]),), rows)


def _beside(command: list[str], work: str, n_symbols: int, seconds: float) -> dict[str, Any]:
    """Measure beside a process, which is ended then."""
    lags: list[float] = []
    latencies: list[float] = []

    async def watch(daemon: RunningDaemon, latencies_ms: list[float]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (now := loop.time()) < end:
            await asyncio.sleep(_PROBE_S)
            lags.append((loop.time() - now - _PROBE_S) * 1e3)
        latencies.extend(latencies_ms)

    other = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(run(n_symbols, Path(folder), watch))
        assert other.poll() is None, "the other process ended before the measurement did"
    finally:
        other.kill()
        other.wait()
    lag_p99 = float(np.percentile(lags, 99))
    p50, p99 = (float(value) for value in np.percentile(latencies, [50, 99]))
    return {
        "work": work,
        "instants": len(latencies),
        "loop_lag_ms_p99": lag_p99,
        "latency_ms_p50": p50,
        "latency_ms_p99": p99,
        "resident_mb": resident_bytes(os.getpid()) / 1e6,
        "is_met": lag_p99 < MUST_LAG_MS,
    }


if __name__ == "__main__":
    print(json.dumps(training()))  # noqa: T201
