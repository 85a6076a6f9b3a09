"""
Journals that released versions wrote, opened by this one: brought forward, stepped whole, and gone on with.

Each is what `papertape run --venue sim` of that version left of two synthetic markets (`tape synth noise --rows 400
--timeframe 1m --seed 1` for AAA and BBB; ema_cross 3 and 8, short too, sizing by fraction), stopped or at the tape's end.
A version that decides otherwise says so in its changelog; what must never happen is that a journal cannot be read.
"""

import lzma
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import NAME, Journal
from papertape.daemon.journal.export import identity_of
from papertape.daemon.journal.identity import Identity
from papertape.daemon.journal.schema import VERSION
from papertape.daemon.runtime.daemon import Hooks
from papertape.daemon.runtime.recovery import Recovered
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.jit import Rows
from tests.support.helpers import interleave, random_candles
from tests.support.journals import recorded, served

RELEASED = sorted((Path(__file__).parent / "released").glob("*.db.xz"))
MINUTE_MS = 60_000
FILLS = "SELECT candle_ms, symbol, side, price FROM fills ORDER BY candle_ms, symbol, side"


def put(path: Path, state: Path) -> int:
    """Unpack a journal into a state directory and return its version."""
    state.mkdir()
    (state / NAME).write_bytes(lzma.decompress(path.read_bytes()))
    return int(rows(state, "PRAGMA user_version")[0][0])


def rows(state: Path, query: str) -> list[Any]:
    """Return what plain SQL reads, whatever the version."""
    connection = sqlite3.connect(state / NAME)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def account(state: Path) -> Identity:
    """Return the account that a journal is about, with this machine's place for it."""
    with Journal.open(state, 0) as journal:
        about = identity_of(journal)
    daemon = about.config.daemon.model_copy(update={"state": state, "port": 0})
    return about._replace(config=about.config.model_copy(update={"daemon": daemon}))


def later(after_ms: int, n: int) -> Rows:
    """Return candles of both markets that nobody has seen yet."""
    tapes = [random_candles(n, seed, "1m") for seed in (5, 6)]
    for tape in tapes:
        tape["open_ms"] = after_ms + np.arange(1, n + 1) * MINUTE_MS
    return interleave(tapes)


def test_every_version_but_this_one_is_there() -> None:
    """Version 1 was written by no daemon; raising the number without a journal of the one before fails here."""
    assert [path.name for path in RELEASED] == [f"journal_{n}.db.xz" for n in range(2, VERSION)]


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.name[:9])
def test_its_models_were_let_in_by_their_gate(path: Path, tmp_path: Path) -> None:
    """The first of them names no policy, for there was none to be chosen; what is the default now was not theirs."""
    put(path, tmp_path / "state")

    about = account(tmp_path / "state")

    assert about.config.learning.policy == "model"
    assert Identity.from_json(about.as_json(), 9) == about


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.name[:9])
def test_it_is_stepped_whole_and_gone_on_with(path: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    version, before = put(path, state), rows(state, FILLS)
    n_inputs = len(rows(state, "SELECT 1 FROM inputs"))
    heard: list[Recovered] = []
    about = account(state)
    with Journal.read(state) as journal:
        last_ms = max(int(i.event["open_ms"][-1]) for i in journal.inputs() if i.kind == "candles")

    daemon = served(state, recorded(later(last_ms, 40)), Hooks(on_recovered=heard.append), about=about)

    assert version < VERSION == rows(state, "PRAGMA user_version")[0][0]
    assert heard[0].stepped == n_inputs > 150
    after = rows(state, FILLS)[: len(before)]
    assert len(before) > 40
    assert [fill[:3] for fill in after] == [fill[:3] for fill in before]
    np.testing.assert_allclose([fill[3] for fill in after], [fill[3] for fill in before], rtol=1e-6)
    assert int(daemon.engine.last_open_ms[0]) == last_ms + 40 * MINUTE_MS
    assert verify_state(state).is_equal
