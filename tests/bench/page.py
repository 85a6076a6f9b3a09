"""
How quickly a daemon's page draws over years of minutes: five million candles and a hundred thousand trades of one market.

The API is served by a process of its own; Chromium, without a graphics card, opens the page, draws the whole range and is
pushed about. `python -m tests.bench.page`: the line alone; nothing where no Chromium is installed.
"""

import asyncio
import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from papertape.daemon.journal import Journal
from papertape.daemon.metrics import Metrics, Scope
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.schemas import CommandDone, CommandName, CommandRequest
from papertape.daemon.monitoring.server import Server, Views
from papertape.engine.candles import MINUTE_MS
from tests.support.api import FIRST_MS, account, journal_of, multiply, no_status, walk
from tests.support.browser import CHROMIUM, Tab, browser_tab
from tests.support.journals import candles, filled

CANDLES: Final = 5_000_000
TRADES: Final = 100_000
MUST_CHART_MS: Final = 300.0
MUST_FRAMES_PER_S: Final = 55.0  # 60, less what a browser's own clock is off
PUSHED_S: Final = 3.0
OPENED: Final = 3  # the first one reads what later ones find kept
# Noted before the page's own scripts run: when its first candles are painted, how long answers are.
WATCH = """globalThis.NOTED = { chart: null, bytes: 0 };
new PerformanceObserver((list) => { for (const one of list.getEntries()) NOTED.bytes = Math.max(NOTED.bytes, one.encodedBodySize); }).observe({ type: "resource", buffered: true });
new MutationObserver(() => { if (NOTED.chart === null && document.getElementById("chart-state")?.hidden) { NOTED.chart = 0; requestAnimationFrame(() => setTimeout(() => { NOTED.chart = performance.now(); })); } })
  .observe(document, { subtree: true, childList: true, attributes: true });"""
# The chart is pushed to and fro by a candle a frame; the time of each frame is noted.
PUSH = """(() => { const scale = PAGE.candles.chart.timeScale(), times = [], { from, to } = scale.getVisibleLogicalRange();
  NOTED.frames = null; let n = 0;
  const step = (now) => { times.push(now); const by = Math.abs((n++ % 120) - 60); scale.setVisibleLogicalRange({ from: from - by, to: to - by });
    if (now - times[0] < PUSHED_MS) requestAnimationFrame(step); else NOTED.frames = times; };
  requestAnimationFrame(step); return 1; })()"""


def years(state: Path, n: int = CANDLES, trades: int = TRADES) -> None:
    """Write the journal: candles that walk, and trades spread over all of them."""
    filled(state, candles(500))
    journal_of(state, [walk(n, 1)], batch=5_000)
    multiply(state, "trades", trades)
    with Journal.open(state, 0) as journal, closing(journal.connection.cursor()) as cursor:
        apart = n * MINUTE_MS // trades
        cursor.execute(
            "UPDATE trades SET symbol = 'AAA', entry_ms = ? + number * ?, exit_ms = ? + number * ? + ?",
            (FIRST_MS, apart, FIRST_MS, apart, apart // 2),
        )


async def _serve(state: Path) -> None:
    """Serve the API over a journal until standard input ends."""

    async def refuse(name: CommandName, asked: CommandRequest, key: str | None) -> CommandDone:
        raise NotImplementedError

    metrics = Metrics(Scope(("AAA",), "1m", "1m", "USD", endpoints=Server.ENDPOINTS))
    views = Views(no_status, str, refuse, Api(account(state, ("AAA",)), no_status))
    async with Server(metrics, views, version="0") as server:
        print(server.port, flush=True)  # noqa: T201
        await asyncio.to_thread(sys.stdin.read)


async def _pushed(tab: Tab) -> Any:
    """Return the times between frames in ms while the chart is pushed about."""
    await tab.value(PUSH.replace("PUSHED_MS", str(1000.0 * PUSHED_S)))
    return np.diff(await tab.until("NOTED.frames"))


async def _look(state: Path, profile: Path) -> dict[str, float]:
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.page",
        str(state),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(await server.stdout.readline())}/"
    try:
        async with browser_tab(profile) as tab:
            await tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
            charts, bytes_ = [], 0
            for _ in range(OPENED):
                await tab.open(url, 1440)
                charts.append(await tab.until("NOTED.chart"))
                near = await _pushed(tab)
                begun = await tab.value("performance.now()")
                await tab.value(
                    "delete document.documentElement.dataset.ready, $('ranges').lastElementChild.click(), 1"
                )
                await tab.until("document.documentElement.dataset.ready")
                whole_ms = await tab.value("performance.now()") - begun
                far = await _pushed(tab)
                bytes_ = max(bytes_, await tab.value("NOTED.bytes"))
                assert tab.errors == []
                await tab.call("Page.navigate", url="about:blank")
                await tab.until("location.href === 'about:blank'")
    finally:
        server.stdin.close()
        await server.wait()
    return {
        "first_chart_ms_at_first": charts[0],
        "first_chart_ms": float(np.median(charts[1:])),
        "whole_range_ms": whole_ms,
        "frames_per_s": 1000.0 / float(np.mean(near)),
        "frame_ms_p99": float(np.percentile(near, 99)),
        "whole_range_frames_per_s": 1000.0 / float(np.mean(far)),
        "largest_answer_bytes": bytes_,
    }


def years_of_minutes() -> dict[str, Any]:
    """Return the line of the table; without a browser nothing is measured."""
    about = f"page, {CANDLES / 1e6:g} M candles, {TRADES:,} trades"
    if not CHROMIUM:
        return {"work": f"{about}: no chromium here, not measured", "is_met": True}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        years(Path(folder) / "state")
        found = asyncio.run(_look(Path(folder) / "state", Path(folder) / "profile"))
    is_met = (
        found["first_chart_ms"] < MUST_CHART_MS
        and found["frames_per_s"] > MUST_FRAMES_PER_S
        and found["largest_answer_bytes"] < 256_000
    )
    return {"work": about, **found, "is_met": is_met}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(_serve(Path(sys.argv[1])))
    else:
        print(json.dumps(years_of_minutes()))  # noqa: T201
