"""Retraining beside the trading: due by the candles' clock, journalled, and the same after an outage or a kill."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.learning.model_store import ModelStore
from papertape.daemon.learning.retraining import News
from papertape.daemon.learning.trainer import TrainingRequest
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Action, Command, NewModel
from papertape.engine.model import read_artefact
from papertape.replay.learning.attempt import Attempt
from tests.support.journals import (
    SYMBOLS,
    Scripted,
    candles,
    derived,
    identity,
    model_bytes,
    recorded,
    served,
    until,
)

ROWS = candles(640)  # quarters of an hour: six days and sixteen hours from 2020-01-01
QUARTER_MS = 900_000
START_MS = int(ROWS["open_ms"][0])
DAY_MS = 96 * QUARTER_MS


def about(state: Path, cadence: str = "1d", **learning: Any) -> Identity:
    signals = {"use_smc": False, "retrain_every": cadence}
    return identity(daemon={"state": str(state)}, signals=signals, learning=learning)


def run(
    state: Path,
    trainer: Scripted,
    rows: Any = ROWS,
    batch: int = 40,
    cadence: str = "1d",
    hooks: Hooks | None = None,
    **learning: Any,
) -> RunningDaemon:
    hooks = hooks or Hooks()
    hooks.trainer = trainer
    return served(state, recorded(rows, batch), hooks, about(state, cadence, **learning))


def attempts(state: Path) -> list[Any]:
    with Journal.read(state) as journal:
        return journal.all(
            "SELECT due_ms, effective_ms, cause, outcome, reason, champion, version, wall_s FROM attempts ORDER BY id"
        )


def by_hand(models: dict[int, int]) -> Engine:
    """Return an engine over all candles; models: instants before which a model of this version takes over."""
    engine, done = Engine(identity().spec), 0
    for instant, version in models.items():
        engine.step(ROWS[2 * done : 2 * instant])
        engine.step(NewModel(version, stored(version)))
        done = instant
    engine.step(ROWS[2 * done :])
    return engine


def stored(version: int) -> bytes:
    """Return what a store makes of the n-th scripted model."""
    from papertape.engine.model import with_version

    return with_version(model_bytes(version), version)


def test_a_model_is_due_at_the_close_and_takes_over_before_the_next_candle(tmp_path: Path) -> None:
    trainer = Scripted({2: "rejected", 4: "failed"})

    daemon = run(tmp_path, trainer)

    days = [START_MS + DAY_MS * n for n in range(1, 7)]
    assert [request.due_ms for request in trainer.requests] == days
    assert [request.champion_version for request in trainer.requests] == [0, 1, 1, 3, 3, 4]
    assert attempts(tmp_path) == [
        (days[0], days[0], "schedule", "promoted", "it was promoted", 0, 1, 1.5),
        (days[1], days[1], "schedule", "rejected", "it was rejected", 1, 2, 1.5),
        (days[2], days[2], "schedule", "promoted", "it was promoted", 1, 3, 1.5),
        (days[3], days[3], "schedule", "failed", "it was failed", 3, 0, 1.5),
        (days[4], days[4], "schedule", "promoted", "it was promoted", 3, 4, 1.5),
        (days[5], days[5], "schedule", "promoted", "it was promoted", 4, 5, 1.5),
    ]
    store = ModelStore(tmp_path / "models")
    assert store.versions() == [1, 2, 3, 4, 5]
    assert store.promoted() == [1, 3, 4, 5]
    # The fifth attempt is the fourth model of the store, and the sixth the fifth.
    assert read_artefact(store.read(5)).tensors["coefficients"].tolist() == (
        read_artefact(model_bytes(6)).tensors["coefficients"].tolist()
    )
    assert int(daemon.engine.account[0].model_version) == 5
    assert verify_state(tmp_path).is_equal


def test_live_is_the_replay_with_the_same_models_at_the_same_closes(tmp_path: Path) -> None:
    daemon = run(tmp_path, Scripted(), cadence="2d", batch=7)

    # Intervals count from 1970: 2020-01-01 is day 18,262, an even one, so days 2, 4 and 6 after the start are due.
    plain = by_hand({192: 1, 384: 2, 576: 3})
    assert daemon.engine.digest == plain.digest
    assert daemon.engine.snapshot() == plain.snapshot()
    # one per market and hour from the first model on
    assert len(derived(tmp_path)["predictions"]) == 2 * (640 - 192) // 4


@pytest.mark.parametrize("batch", [1, 13, 320, 640])
def test_the_size_of_batches_changes_nothing(tmp_path: Path, batch: int) -> None:
    daemon = run(tmp_path, Scripted(), cadence="2d", batch=batch)

    assert daemon.engine.snapshot() == by_hand({192: 1, 384: 2, 576: 3}).snapshot()


def test_a_delay_lies_between_what_is_learnt_and_what_decides(tmp_path: Path) -> None:
    trainer = Scripted()

    daemon = run(tmp_path, trainer, cadence="2d", activation_delay_s=4 * 900.0)

    assert [r.effective_ms - r.due_ms for r in trainer.requests] == [4 * QUARTER_MS] * 3
    assert daemon.engine.snapshot() == by_hand({196: 1, 388: 2, 580: 3}).snapshot()


@pytest.mark.parametrize("cut", [191, 192, 193, 194, 384, 600])
def test_an_outage_over_a_retrain_leaves_the_state_of_none(tmp_path: Path, cut: int) -> None:
    """Down from the cut on; all that was missed comes at the next start as one batch, retrains included."""
    run(tmp_path, Scripted(), ROWS[: 2 * cut], cadence="2d", activation_delay_s=1_800.0)

    daemon = run(tmp_path, Scripted(), cadence="2d", batch=640, activation_delay_s=1_800.0)

    assert daemon.engine.snapshot() == by_hand({194: 1, 386: 2, 578: 3}).snapshot()
    assert [row[3] for row in attempts(tmp_path)] == ["promoted"] * 3
    assert ModelStore(tmp_path / "models").promoted() == [1, 2, 3]
    assert verify_state(tmp_path).is_equal


def test_a_stop_while_the_feed_waits_leaves_the_attempt_pending(tmp_path: Path) -> None:
    async def work() -> None:
        trainer = Scripted()
        trainer.release = asyncio.Event()
        daemons: list[RunningDaemon] = []

        def heard(news: News) -> None:
            asyncio.get_running_loop().call_later(0.05, daemons[0].stop)

        hooks = Hooks(on_ready=daemons.append, on_retrain=heard, trainer=trainer)
        await serve(about(tmp_path, "2d"), recorded(ROWS, 40), hooks, is_virtual=True)

    asyncio.run(asyncio.wait_for(work(), 30))
    assert [row[3] for row in attempts(tmp_path)] == ["pending"]

    daemon = run(tmp_path, Scripted(), cadence="2d")

    assert daemon.engine.snapshot() == by_hand({192: 1, 384: 2, 576: 3}).snapshot()
    assert [row[3] for row in attempts(tmp_path)] == ["promoted"] * 3


@pytest.mark.asyncio
async def test_candles_that_come_in_time_wait_for_no_training(tmp_path: Path) -> None:
    """Live, the candle after the due time is decided on at once; the model takes over when it is there."""

    async def work() -> RunningDaemon:
        trainer = Scripted()
        trainer.release = asyncio.Event()
        daemons: list[RunningDaemon] = []

        async def hold(instant: int) -> None:
            if instant == 240:  # two quarters of a day after the due time
                await until(lambda: stepped(daemons[0]) == 240)
                trainer.release.set()
                await until(lambda: stored_in(tmp_path) == [1])

        hooks = Hooks(on_ready=daemons.append, trainer=trainer)
        open_feed = recorded(ROWS[: 2 * 320], 40, now_ms=0, hold=hold)
        return await serve(about(tmp_path, "2d"), open_feed, hooks, is_virtual=False)

    daemon = await asyncio.wait_for(work(), 60)

    engine = Engine(identity().spec)
    for event in (ROWS[:480], NewModel(1, stored(1)), ROWS[480:640]):
        engine.step(event)
    assert daemon.engine.snapshot() == engine.snapshot()
    assert verify_state(tmp_path).is_equal


def stepped(daemon: RunningDaemon) -> int:
    return int(daemon.engine.account[0].instants)


def stored_in(state: Path) -> list[int]:
    return ModelStore(state / "models").promoted()


def ask_at(instant: int, said: list[str]) -> Callable[[list[RunningDaemon]], Any]:
    def holding(daemons: list[RunningDaemon]) -> Any:
        async def hold(at: int) -> None:
            if at == instant:
                await until(lambda: stepped(daemons[0]) == instant)
                for _ in range(2):
                    try:
                        said.append(daemons[0].retrain())
                    except DataError as error:
                        said.append(str(error))

        return hold

    return holding


def test_an_operator_asks_for_an_attempt_before_its_time(tmp_path: Path) -> None:
    said: list[str] = []
    daemons: list[RunningDaemon] = []
    trainer = Scripted()
    open_feed = recorded(ROWS, 40, hold=ask_at(240, said)(daemons))

    served(tmp_path, open_feed, Hooks(on_ready=daemons.append, trainer=trainer), about(tmp_path, "never"))

    assert said == ["it begins before the next candle", "an attempt is under way; ask again when it is over"]
    assert [row[:4] for row in attempts(tmp_path)] == [
        (START_MS + 240 * QUARTER_MS, START_MS + 240 * QUARTER_MS, "manual", "promoted")
    ]
    assert daemons[0].engine.snapshot() == by_hand({240: 1}).snapshot()


def test_an_account_without_models_says_so(tmp_path: Path) -> None:
    daemons: list[RunningDaemon] = []
    said: list[str] = []
    without = identity(daemon={"state": str(tmp_path)}, signals={"use_ml": False, "use_smc": False})

    open_feed = recorded(ROWS, hold=ask_at(200, said)(daemons))
    served(tmp_path, open_feed, Hooks(on_ready=daemons.append), without)

    assert said == ["this account uses no model: signals.use_ml is off"] * 2


def test_a_model_that_the_engine_would_refuse_is_a_failed_attempt(tmp_path: Path) -> None:
    class Foreign(Scripted):
        async def attempt(self, request: TrainingRequest) -> Attempt:
            found = await super().attempt(request)
            artefact = read_artefact(found.artefact)
            from papertape.engine.model import write_artefact

            data = write_artefact(replace(artefact.record, timeframe="4h"), artefact.tensors)
            return replace(found, artefact=data)

    daemon = run(tmp_path, Foreign(), ROWS[:600], cadence="2d")

    (row,) = attempts(tmp_path)
    assert row[3] == "failed"
    assert "trained on 4h candles, not on the strategy's 1h" in row[4]
    assert int(daemon.engine.account[0].model_version) == 0
    assert ModelStore(tmp_path / "models").champion() == 0


def test_a_champion_promoted_by_hand_takes_over_at_the_next_start(tmp_path: Path) -> None:
    run(tmp_path, Scripted(), ROWS[:500], cadence="2d")
    store = ModelStore(tmp_path / "models")
    store.add(model_bytes(9))
    store.promote(2)

    daemon = run(tmp_path, Scripted(), ROWS[:600], cadence="2d")

    engine = Engine(identity().spec)
    events = (ROWS[:384], NewModel(1, stored(1)), ROWS[384:500], NewModel(2, store.read(2)), ROWS[500:600])
    for event in events:
        engine.step(event)
    assert daemon.engine.snapshot() == engine.snapshot()


def test_news_of_an_attempt_when_it_begins_and_ends(tmp_path: Path) -> None:
    news: list[News] = []

    run(tmp_path, Scripted({1: "timeout"}), ROWS[:500], cadence="2d", hooks=Hooks(on_retrain=news.append))

    assert [(n.trigger, n.attempt.outcome if n.attempt else None) for n in news] == [
        ("schedule", None),
        ("schedule", "timeout"),
    ]
    assert news[0].started_ms == news[1].started_ms <= news[1].ended_ms


@pytest.mark.asyncio
async def test_history_warms_up_and_one_attempt_follows_it(tmp_path: Path) -> None:
    """Due times within the history pass; when it is over, what it holds is learnt from once."""
    trainer = Scripted()
    now_ms = START_MS + 400 * QUARTER_MS + 30_000  # instants before 399 are history
    live = {"venue": "test", "symbols": SYMBOLS, "timeframe": "15m", "history_bars": 400}
    signals = {"use_smc": False, "retrain_every": "1d"}
    account = identity(daemon={"state": str(tmp_path)}, signals=signals, live=live)

    hooks = Hooks(trainer=trainer)
    daemon = await serve(account, recorded(ROWS[: 2 * 500], 50, now_ms), hooks, is_virtual=True)

    assert [row[:4] for row in attempts(tmp_path)] == [
        (START_MS + 399 * QUARTER_MS, START_MS + 399 * QUARTER_MS, "catch_up", "promoted"),
        (START_MS + 5 * DAY_MS, START_MS + 5 * DAY_MS, "schedule", "promoted"),
    ]
    engine = Engine(account.spec)
    for event in (
        Command(Action.PAUSE),
        ROWS[:798],
        Command(Action.RESUME),
        NewModel(1, stored(1)),
        ROWS[798:960],
        NewModel(2, stored(2)),
        ROWS[960:1000],
    ):
        engine.step(event)
    assert daemon.engine.snapshot() == engine.snapshot()
    assert np.isfinite(daemon.engine.model.recent(0).probabilities[-1])
