"""What the watch on drift asks for, and what it leaves to the operator."""

from pathlib import Path
from typing import Any

import pytest
from journals import identity

from papertape.daemon.drift_watch import DriftWatch
from papertape.daemon.journal import InlineWriter, Journal
from papertape.engine.core import Engine
from papertape.engine.events import Action
from papertape.engine.model.drift_policy import OK, SMALLER, STOP, PolicyState
from papertape.replay.learning.settings import settings_of


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
    assert asked(watch, OK) == [(Action.SCALE, 1.0), (Action.RESUME, 1.0)]


@pytest.mark.parametrize("action", [Action.PAUSE, Action.KILL])
def test_drift_does_not_end_the_pause_of_an_operator(journal: Journal, action: Action) -> None:
    watch = watch_on(journal)
    asked(watch, STOP)
    watch.on_operator(action)

    again = watch_on(journal)  # after a restart
    assert asked(again, OK) == [(Action.SCALE, 1.0)]

    assert asked(again, STOP) == [(Action.SCALE, 0.5), (Action.PAUSE, 1.0)]
    again.on_operator(Action.RESUME)
    assert asked(again, OK) == [(Action.SCALE, 1.0), (Action.RESUME, 1.0)]


def test_other_commands_hold_nothing(journal: Journal) -> None:
    watch = watch_on(journal)
    asked(watch, STOP)

    watch.on_operator(Action.FLATTEN)
    watch.on_operator(Action.SCALE)

    assert (Action.RESUME, 1.0) in asked(watch, OK)
