"""One sentence where a traceback was: ports, limits, interrupts, malformed requests, venues that are away."""

import asyncio
import errno
import io
import logging
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ccxt
import pandas as pd
import pytest

import papertape.daemon.venues
import papertape.replay.sources.ccxt_markets
from papertape.daemon import cli
from papertape.daemon.commands.doctor import _show
from papertape.daemon.commands.output import console
from papertape.daemon.commands.signals import _study_table
from papertape.daemon.doctor.finding import Finding, FindingStatus
from papertape.daemon.feeds.backoff import Backoff
from papertape.daemon.journal.sqlite_errors import as_sentence
from papertape.daemon.monitoring.log import set_up_logging
from papertape.daemon.runtime.audit import Auditor
from papertape.daemon.venues import live_identity, refuse_contract
from papertape.engine.errors import ConfigError
from papertape.replay.config import make_config
from papertape.replay.exchange import Venue
from papertape.replay.runtime.clock import Clock
from papertape.replay.runtime.listening import http_log
from papertape.replay.sources.delta_products import Product
from papertape.replay.sources.errors import RestRefused, RestUnavailable
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize
from tests.support.commands import Inside
from tests.support.fake_ccxt import FakePerpetuals
from tests.support.journals import identity
from tests.support.loopback import in_virtual_time

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def taken() -> Iterator[int]:
    """Yield a port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def command(*arguments: str, cwd: Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, its files limited to so many bytes."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "papertape.daemon.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=limited,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        pytest.param(("sim", "--port"), "--port", marks=pytest.mark.slow),
        (("run", "--venue", "sim", "--speed", "100000", "--set", "data.start=2023-12-31",
          "--set", "signals.use_ml=false", "--state", "s", "--set"), "daemon.port"),
    ],
    ids=["sim", "run"],
)  # fmt: skip
def test_a_port_that_is_taken(words: tuple[str, ...], setting: str, taken: int, tmp_path: Path) -> None:
    last = f"daemon.port={taken}" if words[0] == "run" else str(taken)

    done = command(*words, last, cwd=tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"papertape: {setting} {taken}: 127.0.0.1 cannot listen there: address already in use; "
        "stop what uses the port or choose another (0: any)"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.asyncio
async def test_an_exchange_that_cannot_listen_leaves_nothing_behind(taken: int) -> None:
    venue = Venue([synthesize("noise", 100, "1m", symbol="BTCUSDT")], Clock(0))

    with pytest.raises(ConfigError, match="--legacy-port"):
        await venue.start(legacy_port=taken)

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            OSError(errno.EFBIG, "File too large", "a.nbi"),
            "a.nbi: file too large; raise the limit on the size of files (ulimit -f)",
        ),
        (
            OSError(errno.EFBIG, "File too large"),
            "file too large; raise the limit on the size of files (ulimit -f)",
        ),
        (
            OSError(errno.EMFILE, "Too many open files"),
            "too many open files; raise the limit on open files (ulimit -n)",
        ),
        (OSError(errno.EIO, "Input/output error", "x"), "x: input/output error"),
        (OSError("no reason"), "no reason"),
        (OSError(), "oserror"),
    ],
)
def test_whatever_the_system_refuses(error: OSError, said: str) -> None:
    assert cli._sentence(error) == said


@pytest.mark.slow
def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    done = command(
        "run", "--venue", "sim", "--state", "s", "--set", "daemon.port=0", cwd=tmp_path, limit=8192
    )

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("papertape: s/journal.db: a file may have 8,192 bytes here (ulimit -f)")


def test_an_error_of_the_disk_is_not_blamed_on_a_limit_that_is_none() -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = "SQLITE_IOERR_WRITE"

    said = str(as_sentence(Path("journal.db"), error))

    assert ("ulimit" in said) is (resource.getrlimit(resource.RLIMIT_FSIZE)[0] >= 0)


# Interrupts itself when a module is about to be imported.
INTERRUPTED = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from papertape.daemon.cli import main
sys.argv = ["papertape", "sim"]
main()
"""


@pytest.mark.parametrize(
    "module",
    [
        "typer",
        "rich",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("numba", "papertape.replay.exchange")),
    ],
)
def test_an_interrupt_while_a_command_is_loaded(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(module=module)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == "papertape: interrupted; nothing was written\n"
    assert done.returncode == 130


@pytest.mark.parametrize("words", [["config", "schema"], ["models", "list"]])  # plain, and by the console
def test_a_reader_that_has_read_enough_is_no_failure(tmp_path: Path, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-m", "papertape.daemon.cli", *words],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=100,
        check=False,
    )
    os.close(writer)

    assert (done.returncode, done.stderr) == (0, "")


def wait_for_line(stream: Any, start: str) -> str:
    """Return the first line that starts so."""
    for line in stream:
        if line.startswith(start):
            return str(line)
    raise AssertionError(f"no line starts with {start!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_the_local_exchange_stops_when_told_to(number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "papertape.daemon.cli", "sim"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        wait_for_line(process.stdout, "legacy_url")
        wait_for_line(process.stdout, "BTCUSDT until")
        time.sleep(0.2)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")
    assert out.startswith("stopped at 2020-02-")
    assert out.endswith("frames sent\n")


@pytest.mark.asyncio
async def test_an_interrupt_at_the_terminal_does_not_reach_the_audit_process(tmp_path: Path) -> None:
    """Ctrl-C goes to every process of the terminal's group; the child answered it with a traceback."""
    auditor = Auditor(tmp_path)
    process = await auditor._child()
    group = os.getpgid(process.pid)
    await auditor.close()

    assert group != os.getpgid(0)


MALFORMED = (
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /x HTTP/1.1\r\nHost: 127.0.0.1\r\nBad Header\r\n\r\n",
    b"GET http://[::1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
)


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Yield what is logged at debug and above, in the way of the daemon."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    set_up_logging(stream=stream, level=logging.DEBUG)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.asyncio
async def test_a_malformed_request_is_one_line_at_debug(logged: io.StringIO) -> None:
    venue = Venue([synthesize("noise", 100, "1m", symbol="BTCUSDT")], Clock(0))
    await venue.start()
    port = int(venue.rest_url.rpartition(":")[2])
    try:
        for request in MALFORMED:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            assert (await reader.readline()).startswith(b"HTTP/1.0 400")
            writer.close()
            await writer.wait_closed()
    finally:
        await venue.stop()

    told = [line for line in logged.getvalue().splitlines() if "malformed request" in line]
    assert len(told) == len(MALFORMED)
    assert all("[debug" in line and "127.0.0.1" in line for line in told)
    assert "Traceback" not in logged.getvalue()


def test_a_fault_of_ours_in_a_request_keeps_its_traceback(logged: io.StringIO) -> None:
    try:
        raise KeyError("ours")
    except KeyError as error:
        http_log().error("Error handling request from %s", "127.0.0.1", exc_info=error)

    assert "Traceback" in logged.getvalue()
    assert "[error" in logged.getvalue()


@pytest.mark.asyncio
@pytest.mark.parametrize(("venue", "ask"), [("delta", "_delta_identity"), ("kraken", "_ccxt_identity")])
async def test_a_venue_that_is_away_at_the_start_is_waited_for(
    venue: str, ask: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = identity(daemon={"state": str(tmp_path)})
    config = about.config.model_copy(update={"live": about.config.live.model_copy(update={"venue": venue})})
    answers: list[Any] = [RestUnavailable("no route"), RestUnavailable("busy"), about]
    told: list[str] = []

    async def answer(_: Any) -> Any:
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    monkeypatch.setattr(papertape.daemon.venues, ask, answer)
    monkeypatch.setattr(Backoff, "pause_s", lambda *_: 0.0)

    assert await live_identity(config, told.append) is about
    assert told == [f"{venue} cannot be reached and is waited for: {why}" for why in ("no route", "busy")]

    answers[:] = [RestRefused("no such symbol")]
    with pytest.raises(RestRefused):
        await live_identity(config, told.append)


@pytest.mark.asyncio
async def test_a_ccxt_venue_that_cannot_be_reached_is_a_sentence() -> None:
    """Nothing listens on this port of the loopback."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    config = identity(live={"venue": "binance", "symbols": ("BTCUSDT",), "rest_url": url}).config

    with pytest.raises(RestUnavailable, match=r"^binance load_markets: "):
        await papertape.daemon.venues._ccxt_identity(config)


@pytest.mark.parametrize(
    ("product", "said"),
    [
        (
            Product("BTCUSD"),
            "BTCUSD: the venue says that its tick_size is 0, which is none; markets.BTCUSD.tick_size sets",
        ),
        (Product("BTCUSD", tick_size=0.5, contract_value=0.0), "that its contract_value is 0, which is none"),
        (Product("BTCUSD", tick_size=0.5, is_inverse=True), "BTCUSD is an inverse contract"),
    ],
)
def test_a_contract_that_cannot_be_traded_is_a_sentence(product: Product, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        refuse_contract(make_config({}), "BTCUSD", product)
    if product.tick_size == 0.0:
        refuse_contract(make_config({"market": {"tick_size": 0.5}}), "BTCUSD", product)


def test_an_account_does_not_open_without_leverage_tiers_that_the_venue_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the configuration says what the table would."""
    told: list[str] = []
    waits, says = (
        identity(
            live={"venue": "okx", "symbols": ("BTC/USDT",)}, daemon={"state": str(tmp_path)}, market=market
        ).config
        for market in ({}, {"leverage": 5.0, "maintenance_rate": 0.02})
    )
    monkeypatch.setattr(Backoff, "pause_s", lambda *_: 0.0)

    async def main() -> Any:
        clock = Clock(1_795_428_931_000)
        venue = FakePerpetuals(clock, ["BTC/USDT"])
        venue.no_tiers = ccxt.ExchangeNotAvailable("okx 503")
        ccxt_markets = papertape.replay.sources.ccxt_markets
        monkeypatch.setattr(papertape.daemon.venues, "WallClock", lambda: clock)
        monkeypatch.setattr(ccxt_markets, "make_exchange", lambda *_, **__: venue)
        own = await live_identity(says, told.append)
        assert told == []
        venue.no_tiers, venue.tier_errors = (
            None,
            [ccxt.ExchangeNotAvailable("okx 503")] * 2,
        )  # it is asked twice
        return own, await live_identity(waits, told.append)

    own, found = in_virtual_time(main())

    assert told == [
        "okx cannot be reached and is waited for: okx fetch_leverage_tiers: okx 503; "
        "markets.SYMBOL.brackets or maintenance_rate would say margins in place of its table"
    ]
    assert [row.leverage for row in found.markets[0].brackets] == [100.0, 50.0]
    assert (own.markets[0].brackets, own.markets[0].maintenance_rate) == ((), 0.02)


def test_brackets_in_names_of_files_are_no_markup(tmp_path: Path, inside: Inside) -> None:
    (tmp_path / "[").mkdir()
    (tmp_path / "[" / "b].toml").write_text("")
    Store(tmp_path / "tapes").save(synthesize("noise", 5, "1h", symbol="A[red]"))
    (tmp_path / "tapes").joinpath("A[red]_1h.parquet").write_bytes(b"no tape")

    assert inside("config", "check", "[/b].toml", cwd=tmp_path).stdout == "[/b].toml: fine\n"
    assert inside("tape", "list", "--store", "[/x]", cwd=tmp_path).stdout.startswith("[/x]: no ")
    listed = inside("tape", "list", cwd=tmp_path).stdout
    assert [line.split()[0] for line in listed.splitlines()[1:3]] == ["A[red]_1h", "synthetic_A[red]_1h"]


def test_brackets_in_what_was_observed_or_studied_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    _show([Finding("machine", "room", "1 GiB", "2 GiB at /[/x]", FindingStatus.OK)], as_json=False)
    symbol = {"symbol": "A[/x]", "timeframe": "1h", "kind": "gap", "scale": "", "horizon_bars": 4}
    figures = [
        "count", "mean_bps", "random_bps", "excess_bps", "excess_low_bps", "excess_high_bps", "hit_rate",
        "random_hit_rate", "favourable_atr", "adverse_atr", "net_bps", "q_value", "is_discovery",
    ]  # fmt: skip
    console.print(_study_table(pd.DataFrame([symbol | dict.fromkeys(figures, 1)])))

    said = capsys.readouterr().out
    assert "2 GiB at /[/x]" in said
    assert "A[/x]" in said
