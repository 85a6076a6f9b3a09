"""The machine of the watch on drift: what it asks for, step by step, whoever hosts it."""

import json
from typing import Any

import numpy as np
import pytest

from papertape.engine.events import Action
from papertape.engine.model.drift.detectors import DETECTORS
from papertape.engine.model.drift.policy import RETRAIN, SMALLER, STOP, DriftOptions
from papertape.engine.model.drift.watch import DriftMachine, DriftOrder

HOUR_MS = 3_600_000
OPTIONS = DriftOptions(least_blocks=2, page_hinkley=1.0, adwin_delta=0.9, again_bars=50, calm_bars=1_000)
REFERENCE: dict[str, Any] = {
    "inputs": {"x": {"edges": [0.0], "shares": [0.5, 0.5]}},
    "probability": {"edges": [0.5], "shares": [0.5, 0.5]},
    "base_rate": 0.5,
}


def machine() -> DriftMachine:
    return DriftMachine(HOUR_MS, horizon_bars=1, check_bars=10, options=OPTIONS)


def look(watch: DriftMachine, hour: int, p: float) -> None:
    """Look at an hour after ten rises that were foreseen with a probability: 0.9 is good, 0.1 is an alarm."""
    bars = np.arange(hour - 10, hour)
    n = watch.rows_at(hour * HOUR_MS)
    rows = {"S": np.tile([[-1.0], [1.0]], (n, 1))[:n]}
    resolved = (bars, np.full(10, p), np.ones(10))
    watch.look(hour * HOUR_MS, resolved, rows, {"S": np.full(n, p)})


def orders(watch: DriftMachine) -> list[DriftOrder]:
    found = []
    while (order := watch.next_order()) is not None:
        found.append(order)
    return found


def alarm(watch: DriftMachine) -> None:
    """Let a detector have spoken since the look before; what makes one speak is tested beside the detectors."""
    assert watch.monitor is not None
    watch.monitor._alarms[DETECTORS[0]] = 1


def alarmed() -> tuple[DriftMachine, int]:
    """Return a watch that has seen a change, and the hour of that look."""
    watch = machine()
    watch.took_over(1, 0, REFERENCE)
    look(watch, 10, 0.9)
    alarm(watch)
    look(watch, 20, 0.9)
    return watch, 20


def test_nothing_is_looked_at_or_asked_for_before_the_first_model() -> None:
    watch = machine()

    assert (watch.next_ms, watch.is_due(10**15), watch.has_looked) == (None, False, False)
    assert orders(watch) == []
    assert not watch.take_wish()


def test_looks_come_from_the_take_over_on_every_so_many_closes() -> None:
    watch = machine()

    watch.took_over(1, 7 * HOUR_MS + 123, REFERENCE)  # between two closes

    assert watch.next_ms == 17 * HOUR_MS
    assert not watch.is_due(17 * HOUR_MS - 1)
    assert watch.is_due(17 * HOUR_MS)
    assert watch.rows_at(17 * HOUR_MS) == 10
    assert not watch.has_looked
    look(watch, 17, 0.9)
    assert (watch.next_ms, watch.has_looked) == (27 * HOUR_MS, True)


def test_a_change_wants_smaller_positions_and_one_training() -> None:
    watch, _ = alarmed()

    assert watch.policy.level == RETRAIN
    assert orders(watch) == [DriftOrder(Action.SCALE, 0.5)]
    assert orders(watch) == []
    assert watch.take_wish()
    assert not watch.take_wish()


def test_a_model_that_takes_over_ends_what_drift_began_and_a_refused_one_does_not() -> None:
    (promoted, hour), (refused, _) = alarmed(), alarmed()
    for watch in (promoted, refused):
        orders(watch)

    promoted.took_over(2, (hour + 5) * HOUR_MS, REFERENCE)
    refused.refused((hour + 5) * HOUR_MS)

    assert orders(promoted) == [DriftOrder(Action.SCALE, 1.0)]
    assert promoted.next_ms == (hour + 15) * HOUR_MS
    assert orders(refused) == []
    assert refused.policy.level == SMALLER
    assert refused.policy.retrained_bar == hour + 5  # where it took effect, not where it was due
    assert refused.next_ms == (hour + 10) * HOUR_MS


@pytest.mark.parametrize("later", [45, 51])
def test_a_change_soon_after_a_training_stops_entries_and_a_later_one_trains_again(later: int) -> None:
    watch, hour = alarmed()
    watch.take_wish()
    watch.refused(hour * HOUR_MS)
    orders(watch)
    state = watch.save()
    watch = machine()
    watch.load(state, REFERENCE)
    alarm(watch)

    look(watch, hour + later, 0.02)

    is_soon = later <= OPTIONS.again_bars
    assert (watch.policy.level == STOP) == is_soon
    assert watch.take_wish() == (not is_soon)
    assert orders(watch) == ([DriftOrder(Action.PAUSE)] if is_soon else [])


def test_a_model_without_a_reference_is_not_called_fine() -> None:
    watch = machine()
    watch.took_over(1, 0, {})

    assert watch.look(10 * HOUR_MS, (np.zeros(0, np.int64), np.zeros(0), np.zeros(0)), {}, {}) is None
    assert not watch.has_looked
    assert watch.next_ms == 20 * HOUR_MS


def test_a_saved_machine_goes_on_as_it_was() -> None:
    watch, hour = alarmed()
    again = machine()

    again.load(json.loads(json.dumps(watch.save())), REFERENCE)

    assert again.save() == watch.save()
    for one in (watch, again):
        look(one, hour + 10, 0.3)
    assert again.save() == watch.save()
    assert orders(again) == orders(watch)
