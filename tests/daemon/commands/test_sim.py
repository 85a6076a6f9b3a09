"""`papertape sim` as a user meets it: URLs, the tape to its end, faults from a seed, and refusals in one sentence."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from papertape.daemon.cli import app
from papertape.engine.errors import PapertapeError
from papertape.replay.exchange import Fault, Faults, Switches
from papertape.replay.importers.sample import sample_tape
from papertape.replay.tapes.store import Tape, write_tape
from papertape.replay.tapes.synthetic import synthesize

ROOT = Path(__file__).resolve().parents[3]
QUICK = ("--speed", "1000000", "--history", "10")


@pytest.fixture
def tape(tmp_path: Path) -> str:
    """Return the file of a synthetic tape of a hundred minutes."""
    path = tmp_path / "tape.parquet"
    write_tape(synthesize("noise", 100, "1m", symbol="BTCUSDT"), path)
    return str(path)


def sim(*arguments: str) -> str:
    """Run the command to its end and return what it printed."""
    done = CliRunner().invoke(app, ["sim", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_it_prints_its_urls_and_ends_with_the_tape(tape: str) -> None:
    told = sim("--tape", tape, *QUICK)

    assert "rest_url     http://127.0.0.1:" in told
    assert "compact_url  ws://127.0.0.1:" in told
    assert "legacy_url   ws://127.0.0.1:" in told
    assert "the tape is over: 2020-01-01 01:40" in told


def test_switches_are_read_from_texts() -> None:
    assert Switches.parse(["no_trade=flat", "has_cst=false", "late_ms=7", "rest_lag_s=1.5"]) == (
        Switches(no_trade="flat", has_cst=False, late_ms=7, rest_lag_s=1.5)
    )


def test_half_of_a_short_tape_is_history(tape: str) -> None:
    told = sim("--tape", tape, "--candles", "1", "--speed", "1000000", "--switch", "no_trade=null")

    assert "the tape is over: 2020-01-01 00:51" in told


def test_tapes_of_other_spans_are_told(tape: str, tmp_path: Path) -> None:
    """A hundred minutes from 00:00, streamed from 00:10 on; one of 00:20 … 00:59, and one that ends at 00:04."""
    rest = synthesize("noise", 100, "1m", symbol="BTCUSDT").candles
    files = []
    for symbol, rows in (("ETHUSDT", rest[20:60]), ("OLDUSDT", rest[:5])):
        files.append(str(tmp_path / f"{symbol}.parquet"))
        write_tape(Tape(rows.copy(), "synthetic", symbol, "1m"), Path(files[-1]))
    three = ("--tape", tape, "--tape", files[0], "--tape", files[1])

    told, as_json = sim(*three, *QUICK), json.loads(sim(*three, *QUICK, "--json"))

    said = [
        "ETHUSDT takes part from its first to its last candle, 2020-01-01 00:20 … 2020-01-01 00:59; "
        "no trade happens in it before and after.",
        "OLDUSDT ends before the stream begins, 2020-01-01 00:04: all of it is history.",
    ]
    assert [line.removeprefix("! ") for line in told.splitlines() if line[:2] == "! "] == said
    assert as_json["spans"] == said


def test_without_a_tape_it_streams_the_embedded_sample() -> None:
    told = json.loads(sim("--json", "--candles", "5", "--speed", "1000000", "--faults", "7"))

    assert told["symbols"] == ["BTCUSDT"]
    # 1,000 candles of history, then five hours.
    start_ms = int(sample_tape().candles["open_ms"][1000])
    assert told["end_ms"] == start_ms + 5 * 3_600_000
    assert [Fault(**fault) for fault in told["faults"]] == list(
        Faults.seeded(7, start_ms, told["end_ms"], symbols=["BTCUSDT"])
    )


def test_a_client_of_another_process_reads_and_plants_a_fault(tape: str) -> None:
    command = [sys.executable, "-m", "papertape.daemon.cli", "sim", "--tape", tape, "--history", "10"]
    with subprocess.Popen(
        [*command, "--now", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("}"):
                    break
            url = json.loads("".join(lines))["rest_url"]
            products = fetch(f"{url}/v2/products")
            now_s = int(time.time())
            span = f"start={now_s - 300}&end={now_s}"
            candles = fetch(f"{url}/v2/history/candles?symbol=BTCUSDT&resolution=1m&{span}")
            planted = fetch(f"{url}/_fake/fault", {"kind": "abort", "in_ms": 60_000})
        finally:
            process.kill()

    assert [product["symbol"] for product in products["result"]] == ["BTCUSDT"]
    assert 0 <= now_s - candles["result"][0]["time"] < 60, "--now: the forming candle is today's"
    assert planted["result"]["kind"] == "abort"


def fetch(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data)  # noqa: S310 - loopback, just printed
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return json.load(response)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--speed", "0"), "must be above 0"),
        (("--now", "--speed", "2"), "leave --speed out"),
        (("--switch", "no_trades=flat"), "did you mean 'no_trade'"),
        (("--switch", "no_trade=flt"), "unknown 'flt': did you mean 'flat'"),
        (("--switch", "late_ms=soon"), "'soon' is no int"),
        (("--switch", "has_cst=1"), "'1' is no bool"),
        (("--switch", "late_ms=-1"), "-1 is below 0"),
        (("--history", "100"), "has 100 candles; give fewer"),
    ],
)
def test_impossible_wishes_are_refused(tape: str, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(PapertapeError, match=words):
        CliRunner().invoke(app, ["sim", "--tape", tape, *arguments], catch_exceptions=False)
