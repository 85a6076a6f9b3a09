"""
Soak: simulated days of five symbols through sockets, scraped every ten minutes; memory, open files and tasks stay flat.

`make soak` runs ten days; PAPERTAPE_SOAK_HOURS sets another length.
"""

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from papertape.daemon.monitoring.observer import Operation
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.replay.runtime.clock import Clock
from tests.support.streams import Scenario, identity, streamed, tape

HOURS = float(os.environ.get("PAPERTAPE_SOAK_HOURS", "240"))
SCRAPE_S = 600.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# the tables of sinks are on the disk; what is left is noise of the allocator
MOST_GROWTH_MB_PER_DAY = 2.0


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES / 2**20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def soak(hours: float, state: Path) -> np.ndarray[Any, Any]:
    """Run a daemon for simulated hours; return (memory in MB, open files, tasks, families scraped) at each scrape."""
    n = round(hours * 60)
    rows: list[tuple[float, ...]] = []
    port = free_port()

    async def scrape(daemon: RunningDaemon, clock: Clock) -> None:
        url = f"http://127.0.0.1:{port}/metrics"
        while True:
            await clock.sleep(SCRAPE_S)
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                text = await answer.text()
            assert answer.status == 200
            files = len(os.listdir("/proc/self/fd"))
            rows.append((resident_mb(), files, len(asyncio.all_tasks()), text.count("# TYPE papertape_")))

    scenario = Scenario([tape(name, n, seed) for seed, name in enumerate("ABCDE")], beside=scrape)
    about = identity(scenario, state)
    daemon = about.config.daemon.model_copy(update={"port": port})
    about = about._replace(config=about.config.model_copy(update={"daemon": daemon}))
    operation = Operation(about.config, about, is_paced=True)
    done = streamed(scenario, state, operation.hang_on(Hooks()))
    assert int(done.engine.account[0].instants) == n
    return np.array(rows)


def assert_flat(rows: np.ndarray[Any, Any]) -> None:
    """Compare the second half of a soak with its first."""
    half = len(rows) // 2
    memory, files, tasks, families = rows.T
    days = np.arange(len(rows)) * SCRAPE_S / 86_400.0
    slope = float(np.polyfit(days[half:], memory[half:], 1)[0])
    grown = float(np.median(memory[-half // 2 :]) - np.median(memory[half : half + half // 2]))
    assert slope < MOST_GROWTH_MB_PER_DAY or grown < 2.0, f"{slope:.2f} MB a day, {grown:.1f} MB"
    assert files[half:].max() <= files[:half].max()
    assert tasks[half:].max() <= tasks[:half].max()
    assert (families == families[0]).all()
    assert families[0] > 50


@pytest.mark.slow
def test_an_afternoon_is_flat(tmp_path: Path) -> None:
    assert_flat(soak(4.0, tmp_path))


@pytest.mark.soak
def test_days_are_flat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = soak(HOURS, tmp_path)

    with capsys.disabled():
        print(f"\nmemory {rows[0][0]:.0f} → {rows[-1][0]:.0f} MB, files {rows[-1][1]:.0f}")  # noqa: T201
    assert_flat(rows)
