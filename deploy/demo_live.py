"""
`make demo-live`: the local exchange and the daemon, and Prometheus and Alertmanager where they are installed, on 127.0.0.1.

    .venv/bin/python deploy/demo_live.py --folder state/demo-live

The market is synthetic and says so (deploy/demo-live.toml). Rules and routes are those of deploy/; what differs is written
below the folder: addresses, and no token, which a daemon on this machine asks nobody for who only reads. Usual ports are
taken where they are free. Started again it goes on where it was; without the folder it begins anew.

Ctrl-C (or SIGTERM, SIGHUP) ends everything that was started and waits for it; the daemon finishes its candle. Whatever ends by itself
ends the rest and is named with the last lines of its log; so does the market after ten hours.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
PAPERTAPE = Path(sys.executable).with_name("papertape")
LOCAL = "127.0.0.1"
USUAL_PORTS = (9464, 9090, 9093)  # daemon, Prometheus, Alertmanager
ROWS = 3660 + 72_000  # the history, and ten hours of streaming
STOP_S = 30.0  # of wall time for one program to end by itself
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TAIL = 15  # lines of a log that are shown


class Stopped(Exception):
    """Somebody asked for the end."""


class Ended(Exception):
    """A program ended by itself."""


class Desk:
    """What was started, in order, with the folder of its logs and files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun_s = time.monotonic()
        self.is_told = (
            False  # to stop; a flag, so that nothing is cut off between starting a program and knowing it
        )
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def say(self, line: str) -> None:
        """Print a line with the seconds since the start."""
        sys.stdout.write(f"[{time.monotonic() - self.begun_s:3.0f} s] {line}\n")
        sys.stdout.flush()

    def start(self, name: str, words: Sequence[str | Path]) -> None:
        """Start a program in a session of its own: the terminal's Ctrl-C is for us, and we end it in order."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(  # noqa: S603 # words of our own
                [str(word) for word in words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Note that somebody asked for the end."""
        self.is_told = True

    def look(self) -> None:
        """Raise Stopped when somebody asked for the end, Ended when a program is gone."""
        if self.is_told:
            raise Stopped
        for name, process in self._running.items():
            if process.poll() is not None:
                path = self.folder / f"{name}.log"
                lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
                told = "\n".join(f"    {line}" for line in lines)
                raise Ended(f"{name} ended by itself with {process.returncode}, {path}:\n{told}")

    def wait(self, seconds: float = 0.25) -> None:
        """Let time pass while everything runs."""
        time.sleep(seconds)
        self.look()

    def stop(self) -> None:
        """End all that runs and wait for it; what does not end in time is killed."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for name, process in self._running.items():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self.say(f"{name} did not end within {STOP_S:g} s and was killed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; 0 when somebody told, 1 when something ended by itself."""
    parser = argparse.ArgumentParser(description="The local exchange and the daemon, to look at.")
    parser.add_argument("--folder", type=Path, default=Path("state/demo-live"))
    desk = Desk(parser.parse_args(arguments).folder)
    desk.folder.mkdir(parents=True, exist_ok=True)
    for number in SIGNALS:
        signal.signal(number, desk.on_signal)
    code = 0
    try:
        _run(desk)
    except Stopped:
        desk.say("ending …")
    except (Ended, OSError, subprocess.CalledProcessError) as error:
        code = 0 if desk.is_told else 1  # a child of this terminal may have heard the Ctrl-C, too
        desk.say("ending …" if desk.is_told else f"{error}")
    finally:
        desk.stop()  # another Ctrl-C is a flag as well and leaves nothing behind
    desk.say(f"ended; what it wrote is in {desk.folder} and goes on with the same command")
    return code


def _run(desk: Desk) -> None:
    """Start everything, tell where it is and what it does, and watch it."""
    (daemon,) = free_ports(USUAL_PORTS[:1])
    desk.say("a synthetic market is made: no candle of it ever traded")
    _make_market(desk.folder)
    desk.look()
    token = _token_file(desk.folder)
    desk.say("the daemon starts; the first time its kernels are compiled, a minute's work for two cores")
    _start_daemon(desk, daemon, token)
    address = f"http://{LOCAL}:{daemon}"
    while _get(f"{address}/healthz") is None:
        desk.wait()
    desk.say(f"page          {address}/")
    desk.say(f"metrics       {address}/metrics")
    # Looked for only now: while kernels were compiled somebody else may have taken the usual ones.
    prometheus, manager = free_ports(USUAL_PORTS[1:])
    _start_watchers(desk, daemon, prometheus, manager)
    desk.say(f"controls ask for the token in {token}")
    _tell_progress(desk, address)
    while True:
        desk.wait(1.0)


def _make_market(folder: Path) -> None:
    """Make the tape that the local exchange streams, once; equal seeds give equal candles."""
    tapes = folder / "tapes"
    if any(tapes.glob("*.parquet")):
        return
    words = ("tape", "synth", "edge", "--rows", str(ROWS), "--timeframe", "1m", "--seed", "7")
    subprocess.run([PAPERTAPE, *words, "--store", tapes], check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def _token_file(folder: Path) -> Path:
    """Return where the token is that the page's controls ask for."""
    path = folder / "token"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    return path


def _start_daemon(desk: Desk, port: int, token: Path) -> None:
    tape = next((desk.folder / "tapes").glob("*.parquet"))
    changes = {"daemon.state": desk.folder / "daemon", "daemon.port": port, "daemon.token_file": token}
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={value}")]
    desk.start("daemon", [PAPERTAPE, "run", HERE / "demo-live.toml", "--tape", tape, *words])


def _start_watchers(desk: Desk, daemon: int, prometheus: int, manager: int) -> None:
    """Start Prometheus with deploy's rules, and Alertmanager with its routes, where they are installed."""
    programs = {
        "prometheus": shutil.which("prometheus"),
        "alertmanager": shutil.which("prometheus-alertmanager") or shutil.which("alertmanager"),
    }
    for name, program in programs.items():
        if program is None:
            desk.say(f"{name:13} not installed (Debian packages prometheus, prometheus-alertmanager)")
    if (program := programs["alertmanager"]) is not None:
        words = (
            f"--config.file={HERE / 'alertmanager/alertmanager.yml'}",
            f"--storage.path={desk.folder / 'alerts'}",
            f"--web.listen-address={LOCAL}:{manager}",
            "--cluster.listen-address=",
        )
        desk.start("alertmanager", (program, *words))
        desk.say(f"alertmanager  http://{LOCAL}:{manager}/  (it tells nobody: name a receiver of yours)")
    if (program := programs["prometheus"]) is not None:
        path = desk.folder / "prometheus.yml"
        path.write_text(prometheus_text(daemon, manager), encoding="utf-8")
        words = (
            f"--config.file={path}",
            f"--storage.tsdb.path={desk.folder / 'metrics'}",
            f"--web.listen-address={LOCAL}:{prometheus}",
            "--storage.tsdb.retention.time=2h",
        )
        desk.start("prometheus", (program, *words))
        desk.say(f"prometheus    http://{LOCAL}:{prometheus}/alerts")


def prometheus_text(daemon: int, manager: int) -> str:
    """Return deploy's configuration with this machine's addresses, a quicker pace and no token."""
    text = (HERE / "prometheus/prometheus.yml").read_text(encoding="utf-8")
    for before, after in (
        ("papertape:9464", f"{LOCAL}:{daemon}"),
        ("alertmanager:9093", f"{LOCAL}:{manager}"),
        ("rules/*.yml", f"{HERE / 'prometheus/rules'}/*.yml"),
        ("    authorization:\n      credentials_file: /run/secrets/papertape_token\n", ""),
        ("scrape_interval: 15s", "scrape_interval: 5s"),
        ("scrape_timeout: 10s", "scrape_timeout: 5s"),
        ("evaluation_interval: 30s", "evaluation_interval: 5s"),
    ):
        if before not in text:
            raise OSError(f"{HERE / 'prometheus/prometheus.yml'}: {before!r} is not in it any more")
        text = text.replace(before, after)
    return text


def _tell_progress(desk: Desk, address: str) -> None:
    """Say when history is in, a model is in force and a position was traded."""
    desk.say("history comes in, and a model is trained on it …")
    while not (version := _status(address).get("model", {}).get("version")):
        desk.wait()
    desk.say(f"model {version} is in force: a logistic one of this synthetic market; it takes over because")
    desk.say(
        "  it is the newest, whatever the gate says (learning.policy), and is trained anew every 6 minutes"
    )
    while not _rows(address, "trades"):
        desk.wait()
    desk.say("the first trade is over; Ctrl-C ends all of it")


def _status(address: str) -> dict[str, Any]:
    found = _get(f"{address}/status")
    return found if isinstance(found, dict) else {}


def _rows(address: str, table: str) -> list[Any]:
    found = _get(f"{address}/api/v1/{table}?limit=1")
    return list(found.get("rows", ())) if isinstance(found, dict) else []


def _get(url: str) -> Any:
    """Return what an address of ours answers as JSON; None while it does not."""
    try:
        with urllib.request.urlopen(url, timeout=5.0) as answer:  # noqa: S310 # loopback
            return json.load(answer)
    except (OSError, ValueError, urllib.error.URLError):
        return None


def free_ports(usual: Sequence[int]) -> list[int]:
    """Return the usual ports where nobody listens, and others in place of those that are taken."""
    with contextlib.ExitStack() as held:
        found = []
        for port in usual:
            for wanted in (port, 0):
                probe = held.enter_context(socket.socket())
                with contextlib.suppress(OSError):
                    # As a server binds it: one that ended a moment ago does not hold it.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((LOCAL, wanted))
                    found.append(int(probe.getsockname()[1]))
                    break
        return found


if __name__ == "__main__":
    sys.exit(main())
