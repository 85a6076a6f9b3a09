"""
`papertape run --venue sim` trades every idiom of the page, in Python and as a kernel: both journal the tape, with one digest,
and are replayed alike.

All in this process, so that what the engine compiles is loaded once; `test_a_user_s_process_trades_one` starts one as a user does.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.journal.export import identity_of
from papertape.engine.core import Engine
from papertape.engine.jit import Rows, join_rows
from papertape.replay.tapes.store import Tape, write_tape
from tests.support.commands import invoke
from tests.support.helpers import random_candles
from tests.test_idioms import BLOCKS, IN_PYTHON

# An audit is a process of its own that comes to the same as `verify` below: one for each idiom in Python, and one for a kernel
# in `test_a_user_s_process_trades_one`.
UNAUDITED = ("--set", "daemon.audit_every_s=86400")


class Span(NamedTuple):
    """Of which candles, how many the exchange has when the daemon starts, and how many it streams."""

    timeframe: str
    history: int
    live: int


def span(name: str) -> Span:
    """Return what an idiom is shown: where it reads longer candles, enough of them before it trades."""
    return Span("1m", 150, 150) if name.startswith("HigherTimeframe") else Span("1m", 60, 60)


def tapes(name: str) -> list[Tape]:
    """Return candles of a random market, of two for the pair."""
    timeframe, history, live = span(name)
    symbols = ("BTCUSDT", "ETHUSDT") if name == "PairOfSymbols" else ("BTCUSDT",)
    return [
        Tape(random_candles(history + live, seed, timeframe), "binance-usdm", symbol, timeframe)
        for seed, symbol in enumerate(symbols, 4)
    ]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """
    Return a folder with the page's program, in which commands are given.

    Of every second that passes the exchange has something to say, so four hours are five minutes here.
    """
    (tmp_path / "idioms.py").write_text("\n\n".join(BLOCKS).replace("@4h", "@5m"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "idioms", raising=False)
    return tmp_path


def words(name: str, used: Sequence[Tape], state: str) -> list[str]:
    """Write the tapes and return the command that trades an idiom on them."""
    given = []
    for tape in used:
        write_tape(tape, Path(f"{tape.symbol}.parquet"))
        given += ["--tape", f"{tape.symbol}.parquet"]
    settings = {
        "strategy.name": f"idioms:{name}",
        "account.sizing": "fraction",
        "daemon.port": "0",
        "live.history_bars": span(name).history,
        "live.tape_times": "recorded",
    }
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return ["run", "--venue", "sim", "--speed", "100000", "--state", state, *given, *changes]


def stepped_again(state: Path) -> tuple[Rows, str, int]:
    """Return the candles of a journal, and digest and number of fills of a new engine after all that it says."""
    with Journal.read(state) as journal:
        inputs = [found.event for found in journal.inputs()]
        about = identity_of(journal)
        n_fills = journal.one("SELECT count(*) FROM fills")[0]
    engine = Engine(about.spec)
    for event in inputs:
        engine.step(event)
    rows = join_rows([event for event in inputs if isinstance(event, np.ndarray)])
    return rows, engine.digest, n_fills


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PYTHON)
def test_an_idiom_trades_against_the_local_exchange(name: str, folder: Path) -> None:
    used = tapes(name)
    digests = []
    for each, audited in ((name, ()), (f"{name}Kernel", UNAUDITED)):
        said = invoke(*words(each, used, each), *audited)

        rows, digest, n_fills = stepped_again(folder / each)
        assert n_fills >= 1, said
        assert f"digest {digest[:16]}" in said
        verdict = invoke("verify", each, "--trust-code")
        assert verdict.startswith("equal: ")
        assert f"digest {digest[:16]}" in verdict
        for number, tape in enumerate(used):
            own = rows[(rows["symbol"] == number) & (rows["volume"] > 0.0)]
            assert len(own) >= len(tape.candles) - 5
            want = tape.candles[np.searchsorted(tape.candles["open_ms"], own["open_ms"])]
            for column in ("open_ms", "open", "high", "low", "close"):
                assert own[column].tolist() == want[column].tolist()
        digests.append(digest)
    assert digests[0] == digests[1]


@pytest.mark.slow
def test_a_user_s_process_trades_one(folder: Path) -> None:
    command = words("BreakEvenKernel", tapes("BreakEven"), "state")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "papertape.daemon.cli", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"digest {stepped_again(folder / 'state')[1][:16]}" in done.stdout
