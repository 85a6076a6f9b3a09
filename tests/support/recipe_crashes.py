"""
The process of `crashes` for an account whose recipe passes and fades: a market with an edge that ends, and the real decisions.

Labels end when the market has moved so much, and rows at which neither side pays are a class of their own. Quarters of an hour
go on as the one before did, until they begin to turn. Models are logistic and trained in the daemon's own process on what its
journal holds, judged and decided as its training process does it.
"""

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.learning.dataset import gather
from papertape.daemon.learning.trainer import TrainingRequest
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows
from papertape.engine.model import read_artefact
from papertape.engine.spec import Market
from papertape.replay.config import make_config
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.challenge import Champion, challenge
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.settings import LearningSettings, settings_of
from papertape.replay.learning.walk_forward import Walked, walk
from papertape.replay.tapes.store import Store
from tests.support.crashes import obey
from tests.support.helpers import START_MS, interleave
from tests.support.journals import PERPETUAL, SYMBOLS, recorded

QUARTER_MS = 900_000
DAY = 96  # candles
N, ENDS = 12 * DAY + DAY // 2, 9 * DAY + DAY // 2
FEATURES = ("log_return_1", "rsi_14")
BATCH, SNAPSHOT_AT = 48, (8 * DAY, 11 * DAY)


def market(seed: int) -> Rows:
    """Return candles whose moves lean to the side of the one before, and to the other one after the edge has ended."""
    random = np.random.default_rng(seed)
    moves = np.zeros(N)
    for t in range(1, N):
        lean = 0.7 if t < ENDS else -0.7
        moves[t] = lean * moves[t - 1] + random.normal(0.0, 0.003)
    close = 100.0 * np.exp(np.cumsum(moves))
    rows = np.zeros(N, CANDLE)
    rows["open_ms"] = START_MS + QUARTER_MS * np.arange(N)
    rows["close"], rows["volume"] = close, 10.0
    rows["open"] = np.concatenate([[100.0], close[:-1]])
    rows["high"], rows["low"] = (edge(rows["open"], rows["close"]) for edge in (np.maximum, np.minimum))
    return rows


ALONE = [market(4 + number) for number in range(len(SYMBOLS))]
ROWS = interleave(ALONE)


def account(state: Path) -> Identity:
    """Return the account, which trusts its recipe alone."""
    values: dict[str, Any] = {
        "daemon": {"state": str(state), "keep_snapshots": 2},
        "strategy": {"name": "confluence", "parameters": {"confidence_threshold": 0.3}},
        "signals": {"use_smc": False, "model": "logistic", "retrain_every": "1d", "model_features": FEATURES},
        "learning": {
            "policy": "recipe",
            "label": "variance",
            "no_trade": True,
            "horizon_bars": 3,
            "window_days": 4.0,
            "gate_days": 2.5,
            "activation_delay_s": 1_800.0,
        },
        "drift": {"is_watched": False},
        "live": {"venue": "test", "symbols": SYMBOLS, "timeframe": "15m", "history_bars": 0},
    }
    return Identity(
        make_config(values), "test", "15m", tuple(Market(symbol, **PERPETUAL) for symbol in SYMBOLS)
    )


def settings(state: Path) -> LearningSettings:
    """Return how its models are trained."""
    about = account(state)
    return settings_of(about.config, about.spec)


class Here:
    """Makes each attempt in this process, from the journal as it was at the due time."""

    def __init__(self, state: Path) -> None:
        self.state, self.settings = state, settings(state)

    async def attempt(self, request: TrainingRequest) -> Attempt:
        with Journal.read(self.state) as journal:
            found = gather(self.state, journal, request.due_ms, self.settings, Store(self.state))
        champion = None
        if request.champion:
            champion = Champion(request.champion_version, read_artefact(request.champion))
        return challenge(
            found.rows,
            request.due_ms,
            self.settings,
            champion,
            train_model,
            trigger=request.trigger,
            last=request.last,
        )


def replayed(state: Path, due_ms: tuple[int, ...]) -> Walked:
    """Return what a replay's learning pass comes to at the same due times."""
    rows = dataset_of(SYMBOLS, ALONE, "15m", "15m", FEATURES)
    return walk(TrainingJob(settings(state), due_ms, rows, is_walk=True), train_model)


def run_daemon(state: Path) -> Coroutine[Any, Any, None]:
    """Run a daemon from wherever its journal ends to the end of the candles."""
    daemons: list[RunningDaemon] = []
    starts: list[int] = []

    async def hold(instant: int) -> None:
        if starts[0] + instant in SNAPSHOT_AT:
            await daemons[0].snapshot()

    def ready(daemon: RunningDaemon) -> None:
        daemons.append(daemon)
        starts.append(int(daemon.engine.account["instants"][0]))

    async def run() -> None:
        open_feed = recorded(ROWS, BATCH, hold=hold)
        hooks = Hooks(on_ready=ready, trainer=Here(state))
        await serve(account(state), open_feed, hooks, is_virtual=True)

    return run()


def main() -> None:
    """Load kernels and what trains, then obey."""
    replayed(Path(), (START_MS + 8 * DAY * QUARTER_MS,))
    obey(run_daemon)


if __name__ == "__main__":
    main()
