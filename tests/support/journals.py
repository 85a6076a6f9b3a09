"""What tests of the daemon share: an account on two markets, its candles, its engine, and what a journal holds."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from papertape.daemon.app import OpenFeed, serve
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.feeds.protocol import FeedSource, FeedStart
from papertape.daemon.journal import InlineWriter, Journal, encode, schema, write_report
from papertape.daemon.journal.identity import Identity
from papertape.daemon.journal.tables import TABLES
from papertape.daemon.learning.trainer import TrainingRequest
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.recovery import begin
from papertape.engine.core import Engine
from papertape.engine.jit import Rows
from papertape.engine.model import MODEL_FEATURES, ModelRecord, write_artefact
from papertape.engine.spec import Market
from papertape.replay.config import make_config
from papertape.replay.learning.attempt import Attempt
from tests.support.helpers import interleave, random_candles

SYMBOLS = ("AAA", "BBB")
WITH_STRUCTURE = "PAPERTAPE_TEST_STRUCTURE"
WITH_ORDERS = "PAPERTAPE_TEST_ORDERS"
PERPETUAL = {"is_perpetual": True, "tick_size": 0.01, "lot_size": 0.001}


def identity(**sections: Any) -> Identity:
    """Return an account that trades often: quarter-hour candles, hourly decisions."""
    strategy: dict[str, Any] = {"name": "confluence", "parameters": {"confidence_threshold": 0.3}}
    account: dict[str, Any] = {}
    if WITH_ORDERS in os.environ:
        strategy = {"name": "tests.support.every_order:AskingEveryOrder"}
        account = {"fee_function": "tests.support.every_order:fee"}
    values = {
        "strategy": strategy,
        "account": account,
        "data": {"timeframe": "1h"},
        # Its state is most of a snapshot: the suites that are about it switch it on, in their processes too.
        "signals": {"use_smc": WITH_STRUCTURE in os.environ, "retrain_every": "never"},
        "live": {"venue": "test", "symbols": SYMBOLS, "timeframe": "15m", "history_bars": 0},
        **sections,
    }
    markets = tuple(Market(symbol, **PERPETUAL) for symbol in SYMBOLS)
    return Identity(make_config(values), "test", "15m", markets)


def candles(n: int, seed: int = 30) -> Rows:
    """Return `n` instants of both markets."""
    return interleave([random_candles(n, seed + s, "15m") for s in range(len(SYMBOLS))])


# A reference that no market can follow: everything lies in its lowest bin.
FAR = {
    "edges": [1e9 + n for n in range(9)],
    "shares": [0.1] * 10,
    "rows": 2_000,
    "effect": 1.0,
    "freedom": 9.0,
}


def model_bytes(seed: int, *, is_watched: bool = False) -> bytes:
    """Return the artefact of a small real model with opinions of its own; is_watched: drift is plain to see."""
    record = ModelRecord("logistic", MODEL_FEATURES, "1h", 12)
    if is_watched:
        inputs = dict.fromkeys(record.columns, FAR)
        probability = {**FAR, "edges": [n / 10.0 for n in range(1, 10)]}
        reference = {"inputs": inputs, "probability": probability, "base_rate": 0.5}
        record = replace(record, reference=reference)
    n = len(record.columns)
    random = np.random.default_rng(seed)
    tensors = {
        "mean": np.zeros((1, n)),
        "scale": np.full((1, n), 10.0),
        "coefficients": random.normal(0.0, 1.0, n),
        "intercept": np.zeros(1),
        "temperature": np.ones(1),
    }
    return write_artefact(record, tensors)


def filled(
    state: Path, rows: Rows, batch: int = 40, received_ms: int = 0, account: Identity | None = None
) -> Engine:
    """Journal and step candles as a daemon would, without one, and return the engine."""
    state.mkdir(exist_ok=True)
    about = account or identity()
    engine = Engine(about.spec)
    with Journal.open(state, 0) as journal:
        journal.commit([begin(about) if account else lambda j: j.set_meta(identity=about.as_json())])
        writer = InlineWriter(journal)
        for start in range(0, len(rows), batch):
            event = rows[start : start + batch]
            asyncio.run(writer.submit(lambda j, e=event: j.add_input(encode(e), received_ms)))
            report = engine.step(event)
            writer.post(lambda j, r=report: write_report(j.connection, r, j.sequence, engine.symbols))
    return engine


def derived(state: Path) -> dict[str, list[Any]]:
    """Return every derived table without the number of the input: that depends on batching."""
    keys = {**{table.name: table.key for table in TABLES}, "closes": "symbol, time_ms"}
    with Journal.read(state) as journal:
        found = {}
        for name, key in keys.items():
            columns = [row[1] for row in journal.all(f"PRAGMA table_info({name})")]
            names = ", ".join(f'"{column}"' for column in columns if column != "input")
            found[name] = journal.all(f"SELECT {names} FROM {name} ORDER BY {key}")  # noqa: S608
        return found


def change_to_version_3(state: Path) -> None:
    """Make a file as version 3 wrote it: without closes and market structure."""
    with closing(sqlite3.connect(state / "journal.db", isolation_level=None)) as connection:
        for statement in (
            "DROP TABLE shadows",
            "DROP TABLE chapters",
            "DROP TABLE command_keys",
            "DROP TABLE closes",
            "DROP VIEW events_quote",
            "DROP TABLE events",
            "DELETE FROM meta WHERE key = 'close_columns'",
            "PRAGMA user_version = 3",
        ):
            connection.execute(statement)


def change_to_version_1(state: Path) -> None:
    """Make a file as version 1 wrote it: the statements of that version, the same inputs."""
    path = state / "journal.db"
    path.rename(state / "new.db")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(schema.STATEMENTS[1])
    connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.execute("ATTACH ? AS new", (str(state / "new.db"),))
    for table in ("meta", "inputs", "snapshots"):
        connection.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")  # noqa: S608
    connection.execute(
        "INSERT INTO job_runs (job, started_ms, outcome, detail) VALUES ('backup', 1, 'done', '')"
    )
    connection.commit()
    connection.close()
    (state / "new.db").unlink()


class Scripted:
    """A trainer whose answers are known beforehand: the n-th attempt of a journal brings model n, or what is said of it."""

    def __init__(self, outcomes: dict[int, str] | None = None, *, is_watched: bool = False) -> None:
        self.outcomes, self.is_watched = outcomes or {}, is_watched
        self.requests: list[TrainingRequest] = []
        self.release: asyncio.Event | None = None

    async def attempt(self, request: TrainingRequest) -> Attempt:
        self.requests.append(request)
        if self.release is not None:
            await self.release.wait()
        outcome = self.outcomes.get(request.number, "promoted")
        data = b""
        if outcome in ("promoted", "rejected"):
            data = model_bytes(request.number, is_watched=self.is_watched)
        return Attempt(
            request.due_ms,
            request.effective_ms,
            request.trigger,
            outcome,
            f"it was {outcome}",
            kind="logistic",
            champion=request.champion_version,
            gate={"majority": 0.5},
            wall_s=1.5,
            artefact=data,
        )


class Recorded:
    """A live feed over recorded candles, from behind the newest that the journal has; it can be held up."""

    def __init__(
        self, rows: Rows, batch: int, hold: Callable[[int], Any] | None = None, taken: int = 0
    ) -> None:
        """Make it; taken: instants before these, so that batches end where they would have without a break."""
        self.rows, self.batch, self.hold = rows, batch, hold
        self.taken = taken

    async def __aiter__(self) -> AsyncIterator[Rows]:
        done, n, last = 0, len(SYMBOLS), len(self.rows) // len(SYMBOLS)
        while done < last:
            if self.hold is not None:
                await self.hold(done)
            end = done + self.batch - (self.taken + done) % self.batch
            yield self.rows[n * done : n * end]
            done = min(end, last)


def recorded(
    rows: Rows,
    batch: int = 20,
    now_ms: int = 0,
    hold: Callable[[int], Any] | None = None,
    starts: list[FeedStart] | None = None,
) -> OpenFeed:
    """Return how to open recorded candles as a live feed, `batch` instants at a time, by a clock that stands still."""

    @asynccontextmanager
    async def open_feed(start: FeedStart) -> AsyncIterator[FeedSource]:
        if starts is not None:
            starts.append(start)
        after_ms = -1 if start.after_ms is None else start.after_ms
        left = rows[rows["open_ms"] > after_ms]
        taken = (len(rows) - len(left)) // len(SYMBOLS)
        yield FeedSource(Recorded(left, batch, hold, taken), lambda: now_ms)

    return open_feed


def served(
    state: Path,
    open_feed: OpenFeed,
    hooks: Hooks | None = None,
    about: Identity | None = None,
    chapter: Opening | None = None,
) -> RunningDaemon:
    """Run a daemon to its end, commits in its own thread, and return it as it stood then."""
    about = about or identity(daemon={"state": str(state)})
    return asyncio.run(serve(about, open_feed, hooks, is_virtual=True, chapter=chapter))


async def until(condition: Callable[[], bool], turns: int = 100_000) -> None:
    """Let other tasks run until something is so; fail when it does not become so."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("what was waited for did not happen")
