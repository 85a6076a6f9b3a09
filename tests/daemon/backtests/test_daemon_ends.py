"""A daemon that ends while it has a backtest made, told to or killed: the process ends too, and what was cut off is listed as that."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest

from papertape.daemon.backtests.answers import BacktestState
from papertape.daemon.client import Client
from papertape.engine.errors import DataError
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize

TOKEN = "a-token-of-a-test"  # noqa: S105 # of this test
PATIENCE_S = 240.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], Any]) -> Any:
    """Wait until something is there that is true, and return it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(DataError):  # it does not answer yet
            if thing := found():
                return thing
        time.sleep(0.05)
    raise AssertionError("it was waited for in vain")


def workers(daemon: int) -> list[int]:
    """Return the processes that make a daemon's backtests."""
    tasks = Path(f"/proc/{daemon}/task").iterdir()
    pids = [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    return [pid for pid in pids if b"daemon.backtests.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def is_gone(pid: int) -> bool:
    """Return whether a process has ended; one whose parent was killed may wait to be collected by process 1."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


class Daemon:
    """A daemon's own process on the local exchange, and a client of it."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        options = {
            "daemon.port": port,
            "daemon.state": folder / "state",
            "data.store": folder / "tapes",
            "data.tapes": '["SYNTH"]',
            "strategy.name": "ema_cross",
            "signals.use_ml": "false",
            "live.history_bars": 100,
            "live.speed": 60,
        }
        words = [word for key, value in options.items() for word in ("--set", f"{key}={value}")]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "papertape.daemon.cli", "run", "--venue", "sim", *words],
            env={**os.environ, "PAPERTAPE_TOKEN": TOKEN, "PAPERTAPE_TRIALS": "off"},
            stdout=subprocess.DEVNULL,
        )
        self.client = Client(f"http://127.0.0.1:{port}", TOKEN)
        until(lambda: self.process.poll() is not None or self.client.status())
        assert self.process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind, whatever has happened."""
        self.process.kill()
        self.process.wait()
        with self.client:
            pass  # its connection is closed

    def begin(self) -> tuple[int, int]:
        """Start a backtest of the embedded sample; return its number and its process once it runs."""
        number = self.client.start_backtest({"data": {"tapes": []}, "strategy": {"name": "ema_cross"}}).number
        pid = until(lambda: workers(self.process.pid))[0]
        until(lambda: self.client.backtest(number).state is BacktestState.RUNNING)
        return number, pid

    def end(self, how: signal.Signals) -> int:
        """End the process and return its exit code."""
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)


@pytest.mark.slow
def test_a_backtest_ends_with_its_daemon_however_that_ends(tmp_path: Path) -> None:
    Store(tmp_path / "tapes").save(synthesize("noise", 40_000, "1m"))
    ended = []
    for how, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        with Daemon(tmp_path) as daemon:
            number, pid = daemon.begin()
            assert daemon.end(how) == code
            until(lambda pid=pid: is_gone(pid))
        result = tmp_path / "state/backtests" / f"{number:06d}" / "result"
        assert not (result / "result.json").exists()
        ended.append(number)

    with Daemon(tmp_path) as again:
        jobs = {job.number: job for job in again.client.backtests()}
        for number in ended:
            assert jobs[number].state is BacktestState.INTERRUPTED
            assert jobs[number].reason == "the daemon ended while it ran; start it again"
            assert jobs[number].digest == ""
            for ask in (again.client.backtest_result, again.client.compare_backtests):
                with pytest.raises(DataError, match=f"{number} is interrupted and has no result"):
                    ask(number)
        assert again.end(signal.SIGTERM) == 0
