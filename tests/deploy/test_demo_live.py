"""`make demo-live` from its start to Ctrl-C: a page with a model and trades, watchers where installed, and nothing left."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import CHROMIUM
from tests.support.live_pictures import photographed
from tests.support.previews import GRAFANA, results

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "demo_live.py"
HAS_WATCHERS = shutil.which("prometheus") and shutil.which("prometheus-alertmanager")


PATIENCE_S = 400.0  # for the last panel: jobs, drift and outcomes come within a minute or two where nobody else computes


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10.0) as answer:  # noqa: S310
        body = answer.read()
    return json.loads(body) if body[:1] in b"{[" else body.decode()


def occupy(taken: socket.socket, port: int) -> None:
    """Let a port be taken, by this or by whoever has it already."""
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with contextlib.suppress(OSError):
        taken.bind(("127.0.0.1", port))
        taken.listen()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(one) for task in tasks for one in (task / "children").read_text().split()]


def has_targets(address: str) -> bool:
    """Return whether Prometheus has scraped the daemon, has every rule and knows Alertmanager."""
    targets = fetch(f"{address}/api/v1/targets")["data"]["activeTargets"]
    managers = fetch(f"{address}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    return [target["health"] for target in targets] == ["up"] and len(managers) == 1


def panels_without_data(address: str) -> set[str]:
    """Return the panels of all dashboards of which Prometheus never had a number while we waited; a bad query raises."""
    boards = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted((GRAFANA / "dashboards").glob("*.json"))
    ]
    missing = {
        (board["title"], panel["id"]): panel
        for board in boards
        for panel in results.panels_of(board)
        if not results.is_row(panel)
    }
    assert len(missing) > 80
    begun_s, ask = time.time(), results.asking(address)
    while True:
        # A position and its levels come and go: seen once is enough.
        span = results.Span(begun_s - 60.0, time.time(), 5.0)
        for key, panel in list(missing.items()):
            if results.has_data(results.results_of(panel, ask, span)):
                del missing[key]
        left = {panel["title"] for panel in missing.values()}
        if not left or time.time() - begun_s > PATIENCE_S:
            return left
        time.sleep(3.0)


@pytest.mark.slow
def test_it_shows_a_model_and_trades_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as taken, socket.socket() as taken_later:
        occupy(taken, 9464)
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if "the daemon starts" in line:
                    occupy(taken_later, 9090)  # as another one that started a moment before
                if "the first trade is over" in line:
                    break
            text = "".join(lines)
            addresses = dict(re.findall(r"(\w+) +(http://127\.0\.0\.1:\d+)/", text))
            pids, page = children(process.pid), addresses["page"]
            assert page != "http://127.0.0.1:9464"
            assert addresses.get("prometheus") != "http://127.0.0.1:9090"
            assert '<script src="/assets/app.js?v=' in fetch(f"{page}/")
            assert fetch(f"{page}/status")["model"]["kind"] == "logistic"
            assert fetch(f"{page}/api/v1/trades?limit=5")["rows"]
            assert "takes over whatever it is worth" in str(fetch(f"{page}/api/v1/attempts"))
            if HAS_WATCHERS:
                deadline_s = time.monotonic() + 60.0
                while not has_targets(addresses["prometheus"]) and time.monotonic() < deadline_s:
                    time.sleep(0.5)
                assert has_targets(addresses["prometheus"])
                rules = fetch(f"{addresses['prometheus']}/api/v1/rules")["data"]["groups"]
                assert sum(len(group["rules"]) for group in rules) > 20
                assert panels_without_data(addresses["prometheus"]) == set()
            if CHROMIUM:
                asyncio.run(photographed(f"{page}/", tmp_path, tmp_path / "profile"))
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            code = process.wait(60.0)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60.0)
            process.stdout.close()
    assert "synthetic" in text
    assert code == 0
    assert "ending" in rest
    assert len(pids) == (3 if HAS_WATCHERS else 1)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    for port in re.findall(r"127\.0\.0\.1:(\d+)", text):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(port))) != 0


@pytest.mark.slow
def test_what_cannot_start_is_named_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "tapes").mkdir()
    (tmp_path / "tapes" / "broken.parquet").write_bytes(b"no tape")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--folder", str(tmp_path)], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 1
    assert "daemon ended by itself with 1" in done.stdout
    assert "broken.parquet" in done.stdout
