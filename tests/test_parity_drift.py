"""
Drift and retraining: a daemon does what a replay's learning pass says, whatever lies between a due time and the take-over.

Both halves are real and share no state: a daemon over recorded candles with its journal, and a walk over the rows of a
replay. What trains is a formula of the due time, and what it brings drifts at once, so that every level is reached.
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import papertape.replay.learning.walk_forward as walk_module
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.daemon.learning.trainer import TrainingRequest
from papertape.daemon.runtime.daemon import Hooks
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.drift.policy import DriftOptions
from papertape.replay.config.cadence import cadence
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.settings import LearningSettings, settings_of
from papertape.replay.learning.walk_forward import walk
from tests.support.journals import SYMBOLS, candles, identity, model_bytes, recorded, served

HOUR_MS = 3_600_000
ROWS = candles(1_000)  # quarters of an hour of two markets: 250 closes of the strategy
START_MS = int(ROWS["open_ms"][0])
END_MS = int(ROWS["open_ms"][-1]) + 900_000
NERVOUS = DriftOptions(
    least_rows=50, least_blocks=2, page_hinkley=1.0, adwin_delta=0.9, again_bars=30, calm_bars=12
)


class Did(NamedTuple):
    """What a half did: attempts (due, effective, trigger, outcome), commands and levels, each with its time."""

    attempts: list[tuple[int, int, str, str]]
    commands: list[tuple[int, str, float]]
    levels: list[tuple[int, int]]


def account(state: Path, every: str, delay_s: float, check_bars: int) -> Identity:
    drift = {"check_bars": check_bars, **asdict(NERVOUS)}
    return identity(
        daemon={"state": str(state)},
        signals={"use_smc": False, "retrain_every": every},
        learning={"activation_delay_s": delay_s, "horizon_bars": 3},
        drift=drift,
    )


def outcome_of(due_ms: int) -> str:
    """Return how an attempt ends: a formula of its due time."""
    return ("promoted", "rejected", "failed", "rejected", "skipped")[due_ms // HOUR_MS * 7 % 5]


def attempt_of(due_ms: int, effective_ms: int, trigger: str) -> Attempt:
    outcome = outcome_of(due_ms)
    data = b""
    if outcome in ("promoted", "rejected", "demoted"):
        data = model_bytes(due_ms // HOUR_MS % 97, is_watched=True)
    return Attempt(
        due_ms,
        effective_ms,
        trigger,
        outcome,
        f"it was {outcome}",
        kind="logistic",
        gate={"majority": 0.5},
        artefact=data,
        baseline=data,
    )


class Formula:
    """The daemon's trainer."""

    async def attempt(self, request: TrainingRequest) -> Attempt:
        return attempt_of(request.due_ms, request.effective_ms, request.trigger)


def live(about: Identity, state: Path, batch: int) -> Did:
    """Run the daemon and return what its journal says that it did."""
    served(state, recorded(ROWS, batch), Hooks(trainer=Formula()), about)
    assert verify_state(state).is_equal
    with Journal.read(state) as journal:
        attempts = journal.all(
            "SELECT due_ms, effective_ms, cause, outcome FROM attempts WHERE outcome <> 'pending' ORDER BY id"
        )
        looks = journal.all("SELECT time_ms, level FROM drift_checks ORDER BY time_ms")
        commands, reached_ms = [], 0
        for found in journal.inputs():
            if found.kind == "candles":
                reached_ms = found.last_ms + 900_000
            elif found.kind == "command":
                event = found.event
                commands.append((reached_ms, event.action.value, event.value))
    return Did([tuple(row) for row in attempts], commands, [tuple(row) for row in looks])


def walked(about: Identity, every: str, monkeypatch: pytest.MonkeyPatch) -> Did:
    """Walk over the rows of a replay and return what it says, looks included that changed nothing."""
    settings = settings_of(about.config, about.spec)
    rows = dataset_of(
        SYMBOLS, [ROWS[ROWS["symbol"] == i] for i in range(len(SYMBOLS))], "15m", "1h", settings.features
    )
    due = cadence(every)
    assert due is not None

    def scripted(
        _: Dataset, due_ms: int, how: LearningSettings, *rest: Any, trigger: str, **more: Any
    ) -> Attempt:
        return attempt_of(due_ms, due_ms + how.activation_delay_ms, trigger)

    levels: list[tuple[int, int]] = []
    look = walk_module.WalkDrift.look

    def noted(watch: Any) -> bool:
        time_ms, is_wanted = watch.next_ms, look(watch)
        levels.append((time_ms, watch._level))
        return is_wanted

    monkeypatch.setattr(walk_module, "challenge", scripted)
    monkeypatch.setattr(walk_module.WalkDrift, "look", noted)
    found = walk(
        TrainingJob(settings, tuple(due.between(START_MS, END_MS)), rows, "schedule", is_walk=True),
        train=None,  # type: ignore[arg-type] # nothing is trained here
    )
    ended = [a for a in found.attempts if a.effective_ms <= END_MS]
    return Did(
        [(a.due_ms, a.effective_ms, a.trigger, a.outcome) for a in ended],
        # A daemon knows a time by the candle that comes next.
        [
            (time_ms - time_ms % 900_000, action, value)
            for time_ms, action, value, _ in found.commands
            if time_ms <= END_MS
        ],
        levels,
    )


@pytest.mark.parametrize(
    ("every", "delay_s", "check_bars", "batch"),
    [
        ("1d", 0.0, 3, 40),
        pytest.param("1d", 3_600.0, 3, 40, marks=pytest.mark.slow),
        pytest.param("1d", 5 * 3_600.0, 2, 7, marks=pytest.mark.slow),
        # It takes effect between two closes of the strategy, and of the candles.
        pytest.param("12h", 1_500.0, 3, 1_000, marks=pytest.mark.slow),
        # The delay is longer than the cadence: what is due meanwhile is passed over.
        ("6h", 7.5 * 3_600.0, 2, 40),
        # Due between two closes.
        pytest.param("30 5 * * *", 9_000.0, 4, 13, marks=pytest.mark.slow),
    ],
)
def test_a_daemon_watches_and_retrains_as_the_replay_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: str, delay_s: float, check_bars: int, batch: int
) -> None:
    about = account(tmp_path, every, delay_s, check_bars)

    daemon = live(about, tmp_path, batch)
    replay = walked(about, every, monkeypatch)

    assert daemon.attempts == replay.attempts
    assert daemon.levels == replay.levels
    assert daemon.commands == replay.commands
    # It is about something: drift asked for trainings, and the size went down and up again.
    assert Counter(trigger for _, _, trigger, _ in daemon.attempts)["drift"] >= 1
    assert {value for _, action, value in daemon.commands if action == "scale"} == {0.5, 1.0}
    assert len(np.unique([level for _, level in daemon.levels])) >= 3


def test_a_model_that_leaves_leaves_in_daemon_and_replay_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second attempt is a demotion: from its time on there is no model, and nothing to watch, until the next one."""
    names = ("promoted", "demoted")
    monkeypatch.setitem(globals(), "outcome_of", lambda due_ms: names[due_ms // HOUR_MS // 24 % 2])
    about = account(tmp_path, "1d", 3_600.0, 3)

    daemon = live(about, tmp_path, 40)
    replay = walked(about, "1d", monkeypatch)

    assert daemon == replay
    assert Counter(outcome for *_, outcome in daemon.attempts)["demoted"] >= 2
    with Journal.read(tmp_path) as journal:
        swaps = [row.event for row in journal.inputs() if row.kind == "model"]
    assert {(swap.version == 0, swap.artefact == b"") for swap in swaps} == {(True, True), (False, False)}
