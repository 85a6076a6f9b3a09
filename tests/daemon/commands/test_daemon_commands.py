"""The daemon's commands as a user meets them: verify, journal, ctl, run, and the loop that runs at speed."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from papertape.daemon.commands.daemon_client import read_token
from papertape.daemon.journal.identity import Identity, same_account
from papertape.daemon.venues import sim_identity
from papertape.engine.errors import ConfigError, PapertapeError
from papertape.replay.config import load_config
from papertape.replay.importers.sample import sample_tape
from papertape.replay.runtime.loops import PacedLoop
from papertape.replay.tapes.store import Tape, read_tape, write_tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.commands import invoke
from tests.support.journals import candles, recorded, served

ROWS = candles(400)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the state directory of a daemon that ran and stopped."""
    folder = tmp_path_factory.mktemp("state")
    served(folder, recorded(ROWS))
    return folder


def test_verify_takes_a_state_directory(state: Path, tmp_path: Path) -> None:
    assert invoke("verify", str(state)).startswith("equal: 20 inputs, their hash chain, every record")
    told = json.loads(invoke("verify", str(state), "--json"))
    assert told["is_equal"] is True
    assert told["difference"] is None

    copy = tmp_path / "copy"
    copy.mkdir()
    source = sqlite3.connect(state / "journal.db")
    target = sqlite3.connect(copy / "journal.db")
    source.backup(target)
    with target:
        target.execute("UPDATE decisions SET confidence = 0.125 WHERE sequence = 0")
    source.close()
    target.close()

    assert "differs: input" in (told := invoke("verify", str(copy), code=1))
    assert "decisions 0, field confidence: the daemon has 0.125" in told


def test_journal_export_writes_tapes_that_replay(state: Path, tmp_path: Path) -> None:
    paths = json.loads(invoke("journal", "export", str(state), "--out", str(tmp_path), "--json"))

    first, second = (read_tape(Path(path)) for path in paths[:2])
    assert (first.symbol, second.symbol) == ("AAA", "BBB")
    assert first.candles["close"].tolist() == ROWS["close"][::2].tolist()
    assert {Path(path).name for path in paths[2:]} >= {"fills.parquet", "days.parquet"}

    saved = invoke("journal", "backup", str(state)).strip()
    assert saved.endswith("backup/journal-input-000000000020.db")
    assert Path(saved).is_file()


def test_a_changed_input_ends_with_the_exit_code_of_an_invariant(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    source, target = sqlite3.connect(state / "journal.db"), sqlite3.connect(copy / "journal.db")
    source.backup(target)
    with target:
        target.execute("UPDATE inputs SET payload = zeroblob(128) WHERE sequence = 4")
    source.close()
    target.close()

    done = subprocess.run(
        [sys.executable, "-m", "papertape.daemon.cli", "verify", str(copy)],
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 3
    assert "input 4 is missing or was changed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


class FakeDaemon:
    """An HTTP server in a thread that answers as the daemon's API does, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None, Any]] = []
        self.started = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.port = 0
        self.thread = threading.Thread(target=self._run)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        token = request.headers.get("Authorization")
        self.asked.append((request.method, request.path, token, body))
        if request.path.endswith("/kill"):
            return web.json_response({"detail": "the daemon is stopping"}, status=409)
        if request.path.endswith("/flatten"):
            return web.Response(text="<html>")
        return web.json_response({"sequence": 7})

    def _run(self) -> None:
        async def start() -> web.AppRunner:
            application = web.Application()
            application.router.add_route("*", "/{path:.*}", self.answer)
            runner = web.AppRunner(application)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            return runner

        runner = self.loop.run_until_complete(start())
        self.started.set()
        self.loop.run_forever()
        self.loop.run_until_complete(runner.cleanup())
        self.loop.close()


@pytest.fixture
def api() -> Iterator[FakeDaemon]:
    fake = FakeDaemon()
    fake.thread.start()
    assert fake.started.wait(10)
    yield fake
    fake.loop.call_soon_threadsafe(fake.loop.stop)
    fake.thread.join(10)


def test_ctl_sends_commands_with_the_token_and_tells_refusals(
    api: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"http://127.0.0.1:{api.port}"
    monkeypatch.setenv("PAPERTAPE_TOKEN", "from-the-environment")

    assert invoke("ctl", "pause", "--url", url, "--reason", "lunch").split() == ["sequence", "7"]
    assert json.loads(invoke("ctl", "status", "--url", url, "--json")) == {"sequence": 7}
    with pytest.raises(PapertapeError, match="commands/kill: the daemon is stopping"):
        invoke("ctl", "kill", "--url", url)
    with pytest.raises(PapertapeError, match="status 200 without JSON; something else answers there"):
        invoke("ctl", "flatten", "--url", url)

    assert api.asked[:3] == [
        ("POST", "/api/v1/commands/pause", "Bearer from-the-environment", {"reason": "lunch"}),
        ("GET", "/status", None, None),
        ("POST", "/api/v1/commands/kill", "Bearer from-the-environment", {}),
    ]


def test_ctl_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAPERTAPE_TOKEN", raising=False)
    with pytest.raises(ConfigError, match=r"no token: set daemon.token_file or \$PAPERTAPE_TOKEN"):
        read_token(None)
    with pytest.raises(ConfigError, match="No such file or directory"):
        read_token(tmp_path / "token")
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="it is empty"):
        read_token(tmp_path / "token")
    (tmp_path / "token").write_text(" secret \n")
    assert read_token(tmp_path / "token") == "secret"
    with pytest.raises(PapertapeError, match="is the daemon running there"):
        invoke("ctl", "status", "--url", "http://127.0.0.1:1")


def test_run_refuses_in_a_sentence_before_anything_starts(tmp_path: Path) -> None:
    at = ("--state", str(tmp_path / "state"))
    with pytest.raises(ConfigError, match="only the local exchange streams tapes; add --venue sim"):
        invoke("run", "--tape", "x", *at)
    with pytest.raises(ConfigError, match=r"live.symbols: name at least one, as the venue does"):
        invoke("run", *at)
    with pytest.raises(ConfigError, match=r"live\.speed"):
        invoke("run", "--venue", "sim", "--speed", "0", *at)
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
def test_run_says_what_of_its_tapes_the_local_exchange_leaves_out(tmp_path: Path) -> None:
    """Sixty minutes, and the last forty of them: of the first, twenty are left out."""
    whole = synthesize("noise", 60, "1m", symbol="A")
    write_tape(whole, tmp_path / "a.parquet")
    write_tape(Tape(whole.candles[20:].copy(), "synthetic", "B", "1m"), tmp_path / "b.parquet")
    tapes = ("--tape", str(tmp_path / "a.parquet"), "--tape", str(tmp_path / "b.parquet"))
    quick = ("--set", "strategy.name=ema_cross", "--set", "signals.use_ml=false")
    port = ("--set", "daemon.port=0")
    at = ("--state", str(tmp_path / "state"), "--set", "live.history_bars=10", *quick, *port)

    told = invoke("run", "--venue", "sim", "--speed", "100000", *tapes, *at)

    assert (
        "! A takes part in what all tapes share alone, 2020-01-01 00:20 … 2020-01-01 00:59; 20 candles of it beyond "
        "that, 2020-01-01 00:00 … 2020-01-01 00:19, are not streamed."
    ) in told
    assert "B takes part" not in told
    assert "stopped after input" in told


def test_the_local_exchange_has_the_markets_of_its_tapes() -> None:
    tape = sample_tape()
    about = sim_identity(load_config(None, ["market.taker_fee_rate=0.001"]), [tape])

    assert about.symbols == about.config.live.symbols == ("BTCUSDT",)
    assert (about.base_timeframe, about.venue) == ("1h", "binance-spot")
    assert about.markets[0].taker_fee_rate == 0.001
    assert same_account(Identity.from_json(about.as_json(), 9), about) == []
    other = sim_identity(
        load_config(None, ["market.taker_fee_rate=0.001", "signals.model_use=filter"]), [tape]
    )
    with pytest.raises(ConfigError, match=r"signals\.model_use: 'filter' is not 'component'"):
        same_account(about, other)
    assert about.kind_of("BTCUSDT") == "spot"


def test_a_paced_loop_passes_its_seconds_faster_and_never_because_of_work() -> None:
    speed = 2_000.0

    async def work() -> list[str]:
        order: list[str] = []

        async def wait(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            order.append(name)

        async with asyncio.timeout(100.0):  # of the loop: a twentieth of a second of ours
            time.sleep(0.1)  # noqa: ASYNC251 - work that takes longer than the timeout is no timeout
            await asyncio.gather(wait(30.0, "third"), wait(10.0, "first"), wait(20.0, "second"))
        return order

    with asyncio.Runner(loop_factory=lambda: PacedLoop(speed)) as runner:
        started_s = time.monotonic()
        assert runner.run(work()) == ["first", "second", "third"]
        assert runner.get_loop().time() == pytest.approx(30.0)
        runner.run(asyncio.sleep(1_000.0))
        assert runner.get_loop().time() == pytest.approx(1_030.0)
        assert time.monotonic() - started_s > 1_030.0 / speed - 0.05  # not faster than asked for
