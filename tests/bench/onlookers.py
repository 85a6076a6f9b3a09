"""
What a scrape, pages that open and streams do to the latency of decisions: one daemon, in turn left alone and looked at.

The daemon is that of `tests.bench.calm`, with its server. The crowd is a process of its own: a scrape every second, two pages a
second that ask what the page asks when it opens, five streams. `python -m tests.bench.onlookers`: the line alone.
"""

import asyncio
import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import aiohttp
import numpy as np

from papertape.daemon.runtime.daemon import RunningDaemon
from tests.bench.calm import MUST_LAG_MS, run
from tests.support.loopback import free_port

ROUNDS: Final = 4
STREAMS: Final = 5
PAGES_PER_S: Final = 2.0
# What a page that opens asks.
QUESTIONS: Final = (
    "markets", "candles?symbol=S00&limit=500", "trades?limit=200", "trades?symbol=S00&limit=300", "orders?symbol=S00&limit=500",
    "fills?symbol=S00&limit=500", "structure?symbol=S00", "features?symbol=S00", "equity", "decisions?limit=60", "fills?limit=60",
    "trades?limit=60", "orders?limit=60", "limits?limit=60", "models?limit=60", "refusals", "attempts?limit=12", "drift?limit=1",
    "jobs?limit=6", "audits?limit=4", "notices?limit=8",
)  # fmt: skip


def beside(n_symbols: int = 3, seconds: float = 6.0) -> dict[str, Any]:
    """Return the latency of decisions in ms without and with a crowd, in turn in one run, and their ratios."""
    alone: list[float] = []
    watched: list[float] = []
    answered = 0
    port = free_port()

    async def watch(daemon: RunningDaemon, latencies_ms: list[float]) -> None:
        nonlocal answered
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.onlookers",
            str(port),
            str(seconds),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdout.readline()  # it is there
        for _ in range(ROUNDS):
            latencies_ms.clear()
            await asyncio.sleep(seconds)
            alone.extend(latencies_ms)
            latencies_ms.clear()
            process.stdin.write(b"\n")
            answered += int(await process.stdout.readline())
            watched.extend(latencies_ms)
        process.stdin.close()
        await process.wait()

    # What the daemon logs is no line of the table.
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        asyncio.run(run(n_symbols, Path(folder), watch, port))
    (p50, p99), (p50_watched, p99_watched) = (
        np.percentile(values, [50, 99]).tolist() for values in (alone, watched)
    )
    return {
        "work": f"{n_symbols} symbols, looked at",
        "instants": len(alone) + len(watched),
        "answers_per_s": answered / (ROUNDS * seconds),
        "latency_ms_p50": p50,
        "latency_ms_p99": p99,
        "looked_at_ms_p50": p50_watched,
        "looked_at_ms_p99": p99_watched,
        "ratio_p50": p50_watched / p50,
        "ratio_p99": p99_watched / p99,
        "is_met": p99_watched < MUST_LAG_MS,
    }


async def _crowd(port: int, seconds: float) -> None:
    """Look on for so many seconds whenever a line comes in, and print how many answers came."""
    print("there", flush=True)  # noqa: T201
    while await asyncio.to_thread(sys.stdin.readline):
        counts = {"answers": 0}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            tasks = [asyncio.create_task(_stream(http, counts)) for _ in range(STREAMS)]
            tasks += [asyncio.create_task(_scrape(http, counts)), asyncio.create_task(_pages(http, counts))]
            await asyncio.sleep(seconds)
            for task in tasks:
                assert not task.done(), task.exception()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        print(counts["answers"], flush=True)  # noqa: T201


async def _ask(http: aiohttp.ClientSession, path: str, counts: dict[str, int]) -> None:
    async with http.get(path) as answer:
        await answer.read()
        assert answer.status == 200, (path, await answer.text())
    counts["answers"] += 1


async def _scrape(http: aiohttp.ClientSession, counts: dict[str, int]) -> None:
    while True:
        await _ask(http, "/metrics", counts)
        await asyncio.sleep(1.0)


async def _pages(http: aiohttp.ClientSession, counts: dict[str, int]) -> None:
    while True:
        await _ask(http, "/", counts)
        await asyncio.gather(*(_ask(http, f"/api/v1/{what}", counts) for what in QUESTIONS))
        await asyncio.sleep(1.0 / PAGES_PER_S)


async def _stream(http: aiohttp.ClientSession, counts: dict[str, int]) -> None:
    async with http.ws_connect("/api/v1/stream", protocols=("papertape",)) as socket:
        async for _ in socket:
            counts["answers"] += 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(_crowd(int(sys.argv[1]), float(sys.argv[2])))
    else:
        print(json.dumps(beside()))  # noqa: T201
