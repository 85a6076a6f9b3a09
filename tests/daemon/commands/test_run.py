"""The daemon against the local exchange, through real sockets: what it does live is what a replay of the tape does."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.retraining import News
from papertape.daemon.runtime.daemon import JOB_NAMES, Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.daemon.venues import opener, sim_identity, unlike_tapes
from papertape.engine.candles import MINUTE_MS
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.replay.config import load_config
from papertape.replay.runtime.loops import PacedLoop
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.helpers import needs_torch

pytest.importorskip("papertape.replay.exchange", reason="the local exchange is not in this checkout")
pytest.importorskip("papertape.daemon.feeds.delta.feed", reason="Delta's feed is not in this checkout")

N = 70


def tapes() -> list[Tape]:
    """Return two markets of one-minute candles, one with a gap."""
    first, second = (synthesize("regimes", N, "1m", seed=s, symbol=f"S{s}USD") for s in (4, 5))
    keep = np.ones(N, np.bool_)
    keep[[40, 41]] = False
    return [first, Tape(second.candles[keep].copy(), second.venue, second.symbol, "1m")]


def account(state: Path, *changes: str) -> Identity:
    values = [
        "live.venue=sim",
        "live.candles=poll",
        "live.history_bars=0",
        f"daemon.state={state}",
        "strategy.name=ema_cross",
        "strategy.parameters.fast=3",
        "strategy.parameters.slow=8",
        "account.sizing=fraction",
    ]
    return sim_identity(load_config(None, [*values, *changes]), tapes())


def run(about: Identity, hooks: Hooks | None = None) -> RunningDaemon:
    """Run a daemon to the end of the tapes, as fast as it goes."""
    with asyncio.Runner(loop_factory=lambda: PacedLoop(1e9)) as runner:
        work = serve(about, opener(about, tapes()), hooks, is_virtual=True)
        return runner.run(work)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([], []),
        (['live.symbols=["S5USD", "S4USD"]', "live.timeframe=1m"], []),
        (
            ['live.symbols=["S4USD", "S5US"]', "live.timeframe=5m"],
            [
                "live.symbols: the local exchange streams the tapes, S4USD, S5USD, and not S4USD, S5US",
                "live.timeframe: the tapes' candles are of 1m, which is followed, and not 5m",
            ],
        ),
    ],
)
def test_what_the_tapes_do_not_have_is_told(changes: list[str], told: list[str]) -> None:
    assert list(unlike_tapes(load_config(None, changes).live, tapes())) == told


def replayed(about: Identity, state: Path) -> str:
    """Return the digest of an engine over the candles that the daemon journalled."""
    engine = Engine(about.spec)
    with Journal.read(state) as journal:
        for found in journal.inputs():
            engine.step(found.event)
    return engine.digest


def received(state: Path) -> Any:
    with Journal.read(state) as journal:
        return np.concatenate([found.event for found in journal.inputs() if found.kind == "candles"])


@pytest.mark.parametrize(
    "change", ["market.leverage=5", "market.brackets=[{up_to=5e4, leverage=5, maintenance_rate=0.01}]"]
)
def test_a_market_that_cannot_be_leaves_no_folder(tmp_path: Path, change: str) -> None:
    with pytest.raises(ConfigError, match="a spot market has no margin"):
        run(account(tmp_path / "state", change))

    assert not (tmp_path / "state").exists()


def test_live_through_sockets_is_the_replay_of_the_tape(tmp_path: Path) -> None:
    about = account(tmp_path)

    daemon = run(about)

    rows = received(tmp_path)
    for index, tape in enumerate(tapes()):
        mine = rows[(rows["symbol"] == index) & (rows["volume"] > 0.0)]
        _, here, there = np.intersect1d(mine["open_ms"], tape.candles["open_ms"], return_indices=True)
        assert len(here) == len(mine) > N - 5
        for name in ("open", "high", "low", "close"):
            assert mine[name][here].tolist() == tape.candles[name][there].tolist()
    assert daemon.engine.digest == replayed(about, tmp_path)
    assert verify_state(tmp_path).is_equal
    with Journal.read(tmp_path) as journal:
        assert journal.one("SELECT count(*) FROM fills")[0] > 3
        assert journal.one("SELECT count(*) FROM missed_decisions")[0] == 0


@pytest.mark.slow
def test_stopped_and_started_against_the_exchange_it_ends_the_same(tmp_path: Path) -> None:
    whole = run(account(tmp_path / "whole"))

    async def stop_soon(daemon: RunningDaemon) -> None:
        start = daemon.tables.stepped
        while daemon.tables.stepped < start + 20:  # noqa: ASYNC110 - of the exchange's time
            await asyncio.sleep(1.0)
        daemon.stop()
        await asyncio.Event().wait()

    for _ in range(2):
        run(account(tmp_path / "parts"), Hooks(services=[stop_soon]))
    daemon = run(account(tmp_path / "parts"))

    assert daemon.engine.digest == whole.engine.digest
    assert verify_state(tmp_path / "parts").is_equal


@pytest.mark.slow
def test_at_speed_jobs_run_and_the_audit_agrees(tmp_path: Path) -> None:
    """They did not at any speed but one: no snapshot, no audit, and their keys were dead."""
    about = account(tmp_path, "daemon.snapshot_every_s=120", "daemon.audit_every_s=120")
    with asyncio.Runner(loop_factory=lambda: PacedLoop(1e9)) as runner:
        work = serve(about, opener(about, tapes()), is_virtual=True, has_jobs=True)
        daemon = runner.run(work)

    with Journal.read(tmp_path) as journal:
        runs = journal.all("SELECT job, outcome, count(*) FROM job_runs GROUP BY 1, 2")
        # 70 minutes from 00:00: the daily ones are due at 00:05, 00:20 and 00:40.
        assert {job: outcome for job, outcome, _ in runs} == dict.fromkeys(JOB_NAMES, "done")
        assert {row[0] for row in journal.all("SELECT outcome FROM audits")} == {"equal"}
    assert daemon.engine.digest == replayed(about, tmp_path)


@needs_torch
@pytest.mark.slow
def test_the_training_process_works_beside_the_local_exchange(tmp_path: Path) -> None:
    """Nothing stands in: the exchange's time stands still while the real process trains."""
    tape = synthesize("regimes", 930, "1m", seed=3, symbol="S3USD")
    changes = [
        "live.venue=sim",
        "live.candles=poll",
        "live.history_bars=0",
        f"daemon.state={tmp_path}",
        "signals.use_smc=false",
        "signals.model=cnn_lstm",
        "signals.retrain_every=300m",
        "learning.window_days=0.35",
        "learning.gate_days=0.1",
        "learning.horizon_bars=4",
        "learning.epochs=2",
        "learning.sizes={hidden=4,channels=4}",
        "drift.check_bars=24",
    ]
    about = sim_identity(load_config(None, changes), [tape])
    news: list[News] = []

    with asyncio.Runner(loop_factory=lambda: PacedLoop(1e9)) as runner:
        hooks = Hooks(on_retrain=news.append)
        daemon = runner.run(serve(about, opener(about, [tape]), hooks, is_virtual=True))

    ended = [n.attempt for n in news if n.attempt is not None]
    first_ms, last_ms = (int(tape.candles["open_ms"][n]) for n in (0, -1))
    every_ms = 300 * MINUTE_MS  # counted from 1970
    due_ms = range(first_ms - first_ms % every_ms + every_ms, last_ms + MINUTE_MS + 1, every_ms)
    assert [attempt.due_ms for attempt in ended] == list(due_ms)
    trained = [attempt for attempt in ended if attempt.outcome in ("rejected", "promoted")]
    assert trained[-1] is ended[-1]
    for attempt in ended[: -len(trained)]:  # at first there is too little to learn from
        assert "are needed" in attempt.reason or "usable rows" in attempt.reason
    assert all(attempt.gate["contenders"]["challenger"]["rows"] > 50 for attempt in trained)
    assert all(attempt.record["kind"] == "cnn_lstm" for attempt in trained)
    assert ModelStore(tmp_path / "models").versions() == list(range(1, len(trained) + 1))
    assert daemon.engine.digest == replayed(about, tmp_path)
    assert verify_state(tmp_path).is_equal
