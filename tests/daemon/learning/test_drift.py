"""What the watch on drift asks for, and what it leaves to the operator."""

from pathlib import Path
from typing import Any

import pytest

from papertape.daemon.journal import InlineWriter, Journal
from papertape.daemon.learning.drift import DriftCheck, DriftWatch
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.engine.broker.account import PAUSED_BY_COMMAND, PAUSED_BY_FAULT
from papertape.engine.core import Engine
from papertape.engine.events import OF_PAUSES, Action
from papertape.engine.model.drift.policy import OK, SMALLER, STOP, PolicyState
from papertape.replay.learning.settings import settings_of
from tests.support.journals import Scripted, candles, identity, recorded, served


def watch_on(journal: Journal) -> DriftWatch:
    """Return a watch on an engine without a model."""
    account = identity()
    spec = account.spec
    settings = settings_of(account.config, spec)
    nobody: Any = None  # no attempt is asked for here
    return DriftWatch(
        journal, Engine(spec), InlineWriter(journal), nobody, settings, lambda: False, lambda: 0
    )


def asked(watch: DriftWatch, level: int) -> list[tuple[Action, float]]:
    """Return the commands that follow from a level."""
    watch._machine._policy = PolicyState(level)
    return [(act.event.action, act.event.value) for act in watch._acts()]


@pytest.fixture
def journal(tmp_path: Path) -> Any:
    with Journal.open(tmp_path, 0) as opened:
        yield opened


def test_levels_become_commands_and_their_return_takes_them_back(journal: Journal) -> None:
    watch = watch_on(journal)

    assert asked(watch, OK) == []
    assert asked(watch, SMALLER) == [(Action.SCALE, 0.5)]
    assert asked(watch, STOP) == [(Action.PAUSE, 1.0)]
    assert asked(watch, STOP) == []
    assert asked(watch, OK) == [(Action.SCALE, 1.0), (Action.RESUME, OF_PAUSES)]


@pytest.mark.parametrize("action", [Action.PAUSE, Action.KILL])
def test_drift_does_not_end_the_pause_of_an_operator(journal: Journal, action: Action) -> None:
    watch = watch_on(journal)
    asked(watch, STOP)
    watch.on_operator(action)

    again = watch_on(journal)  # after a restart
    assert asked(again, OK) == [(Action.SCALE, 1.0)]

    assert asked(again, STOP) == [(Action.SCALE, 0.5), (Action.PAUSE, 1.0)]
    again.on_operator(Action.RESUME)
    assert asked(again, OK) == [(Action.SCALE, 1.0), (Action.RESUME, OF_PAUSES)]


def test_drift_does_not_end_the_pause_of_a_fault(journal: Journal) -> None:
    watch = watch_on(journal)
    asked(watch, STOP)
    account = watch._engine.account
    account["is_paused"] = PAUSED_BY_COMMAND | PAUSED_BY_FAULT

    assert asked(watch, OK) == [(Action.SCALE, 1.0)]

    asked(watch, STOP)
    account["is_paused"] = PAUSED_BY_COMMAND  # somebody let entries in, and drift stopped them anew
    assert asked(watch, OK) == [(Action.SCALE, 1.0), (Action.RESUME, OF_PAUSES)]


def test_other_commands_hold_nothing(journal: Journal) -> None:
    watch = watch_on(journal)
    asked(watch, STOP)

    watch.on_operator(Action.FLATTEN)
    watch.on_operator(Action.SCALE)

    assert (Action.RESUME, OF_PAUSES) in asked(watch, OK)


def test_features_are_watched_against_the_newest_training_without_a_champion(tmp_path: Path) -> None:
    """Every model was refused: features are measured all the same, and nothing is asked for or called fine."""
    looks: list[DriftCheck] = []
    about = identity(
        daemon={"state": str(tmp_path)},
        signals={"use_smc": False, "retrain_every": "1d"},
        drift={"check_bars": 6, "least_rows": 50},
    )
    trainer = Scripted(dict.fromkeys(range(1, 9), "rejected"), is_watched=True)
    rows = candles(480)  # five days of quarters of an hour

    def run(part: Any) -> RunningDaemon:
        hooks = Hooks(trainer=trainer, on_look=looks.append)
        return served(tmp_path, recorded(part, 40), hooks, about)

    run(rows[: 2 * 300])
    first = len(looks)
    daemon = run(rows)  # after a restart the window comes from the store

    assert 0 < first < len(looks)
    assert {look.version for look in looks} == {0}
    newest = looks[-1].figures
    assert newest is not None
    assert newest.features
    assert min(found.value for found in newest.features.values()) > 0.25  # the reference fits nothing
    assert (newest.prediction, newest.target) == (None, None)
    assert daemon.watch is not None
    assert daemon.watch.level is None
    assert daemon.watch.training_end_ms == 0  # as the scripted record says
    assert float(daemon.engine.account[0].size_factor) == 1.0
    with Journal.read(tmp_path) as journal:
        assert [row.kind for row in journal.inputs() if row.kind == "command"] == []
        assert journal.one("SELECT count(*) FROM drift_checks")[0] == 0


def test_a_level_is_told_once_the_model_in_force_was_looked_at(tmp_path: Path) -> None:
    about = identity(
        daemon={"state": str(tmp_path)},
        signals={"use_smc": False, "retrain_every": "2d"},
        drift={"check_bars": 30, "least_rows": 50},
    )

    def level_at(instants: int) -> tuple[int, int | None]:
        hooks = Hooks(trainer=Scripted(is_watched=True))
        daemon = served(tmp_path, recorded(candles(480)[: 2 * instants], 40), hooks, about)
        assert daemon.watch is not None
        return int(daemon.engine.account[0].model_version), daemon.watch.level

    # It takes over after two days, 192 quarters of an hour, and the first look is 30 hours later.
    assert level_at(190) == (0, None)
    assert level_at(300) == (1, None)
    version, level = level_at(320)
    assert version == 1
    assert level is not None
