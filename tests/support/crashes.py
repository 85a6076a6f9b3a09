"""
A process that kills copies of itself: it loads everything once, then forks a child for each order it is given.

An order is one line of JSON: {"state": DIR, "crash": "NAME:N", "every", "on" or "", "log": FILE or ""}. The child runs a
daemon over the same candles, acts and chores each time, and dies at the named point; the answer is its exit status, or
the signal that stopped it, and it goes on from there when it is ordered on.
"""

import asyncio
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from papertape.daemon.app import serve
from papertape.daemon.journal import crash_points, encode
from papertape.daemon.journal.identity import Identity
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.maintenance import backup, compaction, day_summary
from papertape.engine.core import Engine
from papertape.engine.events import Action, Command, Event, Funding, NewModel
from papertape.engine.model import with_version
from papertape.engine.model.drift.detectors import Detectors
from papertape.engine.model.drift.policy import DriftOptions
from tests.support.journals import WITH_STRUCTURE, Scripted, candles, identity, model_bytes, recorded

ROWS = candles(640)
START_MS = int(ROWS["open_ms"][0])
ON = "on"  # an order: let the child that was stopped go on
BATCH = 40  # instants
KEEP_DAYS = 2
# Due after two days and after four, by intervals counted from 1970, and in force half an hour later. The second attempt
# does not pass its gate; the third, after six days, does.
CADENCE, DELAY_S = "2d", 1_800.0
PROMOTED = {194: 1, 578: 3}  # instants before which a model of the store takes over
# The models know a market that is far from this one: positions are halved at the first look that sees enough rows of
# both markets, 36 closes behind the first model, and are whole again with the next one, the operator's.
DRIFT = {"check_bars": 12, "least_rows": 50}
POLICY = {192 + 4 * 36: Command(Action.SCALE, 0.5), 440: Command(Action.SCALE, 1.0)}

# What happens beside the candles, by the instant before which it happens.
ACTS: dict[int, Event] = {
    120: NewModel(11, model_bytes(11)),
    200: Funding(START_MS + 200 * 900_000, 0, 1e-4, 101.5),
    280: Command(Action.PAUSE),
    360: Command(Action.RESUME),
    440: NewModel(12, model_bytes(12)),
    520: Command(Action.FLATTEN),
}
CHORES = (160, 320, 480, 600)  # instants before which snapshot, compaction, backup and the summary run


def undisturbed() -> Engine:
    """Return the engine after everything, without a daemon."""
    engine, done = Engine(identity().spec), 0
    models = [(at, NewModel(n, trained(n))) for at, n in PROMOTED.items()]
    for instant, event in sorted([*models, *ACTS.items(), *POLICY.items()], key=lambda act: act[0]):
        engine.step(ROWS[2 * done : 2 * instant])
        engine.step(event)
        done = instant
    engine.step(ROWS[2 * done :])
    return engine


def trained(version: int) -> bytes:
    """Return what the store makes of the model of an attempt."""
    return with_version(model_bytes(version, is_watched=True), version)


def account(state: Path) -> Identity:
    """Return the account whose daemon dies."""
    signals = {"use_smc": WITH_STRUCTURE in os.environ, "retrain_every": CADENCE}
    return identity(
        daemon={"state": str(state), "keep_snapshots": 2},
        signals=signals,
        learning={"activation_delay_s": DELAY_S, "horizon_bars": 4},
        drift=DRIFT,
    )


async def run_daemon(state: Path) -> None:
    """Run a daemon from wherever its journal ends to the end of the candles, doing what is to be done on the way."""
    daemons: list[RunningDaemon] = []
    starts: list[int] = []

    async def hold(instant: int) -> None:
        daemon, here = daemons[0], starts[0] + instant
        if here in ACTS and not await was_done(daemon, ACTS[here]):
            await daemon.offer(ACTS[here])
        if here in CHORES:
            await daemon.snapshot()
            await compaction(state, daemon.writer, KEEP_DAYS)
            await backup(state, here)
            await day_summary(state, daemon.writer)

    def ready(daemon: RunningDaemon) -> None:
        daemons.append(daemon)
        starts.append(int(daemon.engine.account["instants"][0]))

    open_feed = recorded(ROWS, BATCH, hold=hold)
    hooks = Hooks(on_ready=ready, trainer=Scripted({2: "rejected"}, is_watched=True))
    await serve(account(state), open_feed, hooks, is_virtual=True)


async def was_done(daemon: RunningDaemon, event: Event) -> bool:
    """Return whether an event came after the newest candles: the operator asks again only for what was not accepted."""

    def newest(journal: Any) -> Any:
        return journal.all(
            "SELECT kind, payload FROM inputs WHERE sequence > "
            "(SELECT max(sequence) FROM inputs WHERE kind = 'candles')"
        )

    return encode(event)[:2] in await daemon.writer.submit(newest)


def child(order: dict[str, Any], run: Callable[[Path], Coroutine[Any, Any, None]]) -> None:
    """Obey one order in a process of its own."""
    os.environ[crash_points.CRASH] = order["crash"]
    os.environ[crash_points.CRASH_LOG] = order["log"]
    crash_points.arm()
    try:
        asyncio.run(run(Path(order["state"])))
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def obey(run: Callable[[Path], Coroutine[Any, Any, None]]) -> None:
    """Obey orders until there are no more; what all of them need has been loaded."""
    stopped = 0  # the child that stands at a point, if one does
    for line in sys.stdin:
        order = json.loads(line)
        if order["crash"] == ON:
            pid, stopped = stopped, 0
            os.kill(pid, signal.SIGCONT)
        else:
            pid = os.fork()
            if pid == 0:
                child(order, run)
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            stopped = pid
            answer = -os.WSTOPSIG(status)
        else:
            answer = os.waitstatus_to_exitcode(status)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    if stopped:
        os.kill(stopped, signal.SIGKILL)


def main() -> None:
    """Load kernels, what drift is detected with, and what Parquet is written with; then obey."""
    undisturbed()
    Detectors(DriftOptions())
    importlib.import_module("pandas")
    obey(run_daemon)


if __name__ == "__main__":
    main()
