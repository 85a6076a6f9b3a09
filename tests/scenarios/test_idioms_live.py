"""`papertape run --venue sim` trades every idiom of the page: what the daemon journalled is the tape and is replayed alike."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.engine.core import Engine
from papertape.engine.jit import Rows, join_rows
from papertape.replay.tapes.store import Tape, write_tape
from tests.support.helpers import random_candles
from tests.test_idioms import BLOCKS, NAMES

HISTORY, LIVE = (
    60,
    240,
)  # candles that the exchange has when the daemon starts, and those that it streams
HOURS = "HigherTimeframe"  # four hours are not known within the minutes that the others are given


def papertape(folder: Path, *arguments: str) -> str:
    """Run a command as a user does, in the folder with the page's program; return what it said."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "papertape.daemon.cli", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tapes(name: str) -> list[Tape]:
    """Return minutes of a random market, of two for the pair; hours of one in which four hours agree in time."""
    if name == HOURS:
        return [Tape(random_candles(150, 12, "1h"), "binance-usdm", "BTCUSDT", "1h")]
    symbols = ("BTCUSDT", "ETHUSDT") if name == "PairOfSymbols" else ("BTCUSDT",)
    return [
        Tape(random_candles(HISTORY + LIVE, seed, "1m"), "binance-usdm", symbol, "1m")
        for seed, symbol in enumerate(symbols, 3)
    ]


def stepped_again(state: Path) -> tuple[Rows, str, int]:
    """Return the candles of a journal, and digest and number of fills of a new engine after all that it says."""
    with Journal.read(state) as journal:
        inputs = [found.event for found in journal.inputs()]
        told = journal.meta("identity")
        n_fills = journal.one("SELECT count(*) FROM fills")[0]
    engine = Engine(Identity.from_json(told).spec)
    for event in inputs:
        engine.step(event)
    rows = join_rows([event for event in inputs if isinstance(event, np.ndarray)])
    return rows, engine.digest, n_fills


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("Kernel")])
def test_an_idiom_trades_against_the_local_exchange(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "idioms.py").write_text("\n\n".join(BLOCKS), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "idioms", raising=False)
    used, given = tapes(name), []
    for tape in used:
        write_tape(tape, tmp_path / f"{tape.symbol}.parquet")
        given += ["--tape", f"{tape.symbol}.parquet"]
    settings = {
        "strategy.name": f"idioms:{name}", "account.sizing": "fraction", "daemon.port": "0",
        "live.history_bars": HISTORY, "live.tape_times": "recorded",
    }  # fmt: skip
    changes = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    run = ("run", "--venue", "sim", "--speed", "100000", "--state", "state", *given, *changes)

    said = papertape(tmp_path, *run)
    verdict = papertape(tmp_path, "verify", "state", "--trust-code")

    rows, digest, n_fills = stepped_again(tmp_path / "state")
    assert n_fills >= 1, said
    assert f"digest {digest[:16]}" in said
    assert verdict.startswith("equal: ")
    assert f"digest {digest[:16]}" in verdict
    for number, tape in enumerate(used):
        own = rows[(rows["symbol"] == number) & (rows["volume"] > 0.0)]
        assert len(own) >= len(tape.candles) - 5
        want = tape.candles[np.searchsorted(tape.candles["open_ms"], own["open_ms"])]
        for column in ("open_ms", "open", "high", "low", "close"):
            assert own[column].tolist() == want[column].tolist()
