"""
The alert path from end to end: a feed falls silent, and a webhook hears of it; it speaks again, and the webhook hears that.

Prometheus and Alertmanager are real and have deploy's own rules and routes; only waits and places are this test's. It takes
wall time, because they have no other: about fifteen seconds.
"""

import asyncio
import re
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROMETHEUS, ALERTMANAGER = shutil.which("prometheus"), shutil.which("prometheus-alertmanager")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        PROMETHEUS is None or ALERTMANAGER is None,
        reason="not installed (Debian packages prometheus and prometheus-alertmanager)",
    ),
]


def free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def changed(path: Path, pairs: tuple[tuple[str, str], ...]) -> str:
    """Return a file of deploy with this test's places and waits."""
    text = path.read_text(encoding="utf-8")
    for before, after in pairs:
        assert before in text, before
        text = text.replace(before, after)
    return text


class Desk:
    """A daemon as Prometheus sees it, and the receiver of alerts, on one port."""

    def __init__(self) -> None:
        self.silent_s = 0.0
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def metrics(self, request: web.Request) -> web.Response:
        heard_s = time.time() - self.silent_s
        line = f'papertape_feed_last_message_timestamp_seconds{{feed="delta",symbol="X"}} {heard_s}\n'
        return web.Response(text=f"{line}papertape_ready 1\n")

    async def hook(self, request: web.Request) -> web.Response:
        for alert in (await request.json())["alerts"]:
            self.heard.put_nowait(alert)
        return web.Response()

    async def next(self, name: str, status: str) -> dict[str, Any]:
        """Wait for an alert in a state."""
        while True:
            alert = await asyncio.wait_for(self.heard.get(), 60.0)
            if (alert["labels"]["alertname"], alert["status"]) == (name, status):
                return alert


def write_files(folder: Path, desk: int, manager: int) -> None:
    (folder / "rules").mkdir()
    for rules in (DEPLOY / "prometheus/rules").glob("*.yml"):
        text = re.sub(r"for: \d+[smhd]", "for: 1s", rules.read_text(encoding="utf-8"))
        (folder / "rules" / rules.name).write_text(text, encoding="utf-8")
    (folder / "token").write_text("t" * 32, encoding="utf-8")
    places = (
        ("papertape:9464", f"127.0.0.1:{desk}"),
        ("alertmanager:9093", f"127.0.0.1:{manager}"),
        ("/run/secrets/papertape_token", str(folder / "token")),
        ("scrape_interval: 15s", "scrape_interval: 1s"),
        ("scrape_timeout: 10s", "scrape_timeout: 1s"),
        ("evaluation_interval: 30s", "evaluation_interval: 1s"),
    )
    text = changed(DEPLOY / "prometheus/prometheus.yml", places)
    (folder / "prometheus.yml").write_text(text, encoding="utf-8")
    hook = f'  - name: critical\n    webhook_configs:\n      - url: "http://127.0.0.1:{desk}/hook"'
    routes = (
        ("  - name: critical", hook),
        ("group_wait: 10s", "group_wait: 1s"),
        ("group_interval: 5m", "group_interval: 1s"),
    )
    text = changed(DEPLOY / "alertmanager/alertmanager.yml", routes)
    (folder / "alertmanager.yml").write_text(text, encoding="utf-8")


@asynccontextmanager
async def running(*words: str) -> AsyncIterator[None]:
    """Run a program of our own and end it, and only it."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*words, stdout=quiet, stderr=quiet)
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20.0)


@asynccontextmanager
async def everything(folder: Path) -> AsyncIterator[Desk]:
    desk, (desk_port, manager_port, prometheus_port) = Desk(), free_ports(3)
    write_files(folder, desk_port, manager_port)
    app = web.Application()
    app.add_routes([web.get("/metrics", desk.metrics), web.post("/hook", desk.hook)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", desk_port).start()
    manager = (
        str(ALERTMANAGER),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address=127.0.0.1:{manager_port}",
        "--cluster.listen-address=",
    )
    scraper = (
        str(PROMETHEUS),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{prometheus_port}",
    )
    try:
        async with running(*manager), running(*scraper):
            yield desk
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
async def test_a_feed_that_falls_silent_reaches_the_webhook_and_so_does_its_return(tmp_path: Path) -> None:
    async with everything(tmp_path) as desk:
        await asyncio.sleep(9.0)  # the first scrape waits five seconds
        before = [desk.heard.get_nowait()["labels"]["alertname"] for _ in range(desk.heard.qsize())]
        desk.silent_s = 300.0
        alert = await desk.next("FeedStale", "firing")
        desk.silent_s = 0.0
        over = await desk.next("FeedStale", "resolved")

    assert "FeedStale" not in before
    assert alert["labels"]["severity"] == "critical"
    assert alert["labels"]["symbol"] == over["labels"]["symbol"] == "X"
    assert alert["annotations"]["runbook"] == "deploy/runbook.md#feedstale"
    assert "nothing heard of X" in alert["annotations"]["summary"]
