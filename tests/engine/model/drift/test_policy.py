"""The policy on drift, walked through by hand."""

from dataclasses import replace

import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.model.drift.policy import (
    OK,
    RETRAIN,
    SMALLER,
    STOP,
    WARN,
    DriftOptions,
    PolicyState,
    Signs,
    advance,
    retrained,
)

OPTIONS = DriftOptions(calm_bars=10, again_bars=50)
QUIET, WARNED, SEVERE, ALARMED = Signs(), Signs(True), Signs(True, True), Signs(True, False, True)


FRESH = PolicyState()


def walk(*steps: tuple[int, Signs], state: PolicyState = FRESH) -> list[int]:
    levels = []
    for bar, signs in steps:
        state = advance(state, signs, bar, OPTIONS)
        levels.append(state.level)
    return levels


def test_levels_rise_at_once_and_fall_a_step_at_a_time_after_quiet() -> None:
    assert walk((0, QUIET), (1, WARNED), (2, SEVERE)) == [OK, WARN, SMALLER]
    assert walk((0, SEVERE), (9, QUIET), (10, QUIET), (19, QUIET), (20, QUIET), (30, QUIET)) == [
        SMALLER,
        SMALLER,
        WARN,
        WARN,
        OK,
        OK,
    ]


def test_a_lower_sign_keeps_the_level_from_falling_below_it_and_the_same_sign_renews_it() -> None:
    assert walk((0, SEVERE), (10, WARNED), (20, WARNED), (29, QUIET), (30, QUIET)) == [
        SMALLER,
        WARN,
        WARN,
        WARN,
        OK,
    ]
    assert walk((0, SEVERE), (8, SEVERE), (12, QUIET), (18, QUIET)) == [SMALLER, SMALLER, SMALLER, WARN]


def test_an_alarm_asks_for_a_training_until_one_was_tried() -> None:
    state = advance(FRESH, ALARMED, 5, OPTIONS)
    assert (state.level, state.is_retrain_due) == (RETRAIN, True)
    assert advance(state, QUIET, 8, OPTIONS).is_retrain_due

    refused = retrained(state, 9, is_promoted=False)
    assert (refused.level, refused.is_retrain_due, refused.retrained_bar) == (SMALLER, False, 9)
    promoted = retrained(state, 9, is_promoted=True)
    assert (promoted.level, promoted.is_retrain_due, promoted.retrained_bar) == (OK, False, 9)


def test_an_alarm_soon_after_a_training_stops_and_quiet_brings_it_back() -> None:
    state = retrained(advance(FRESH, ALARMED, 5, OPTIONS), 9, is_promoted=True)

    stopped = advance(state, ALARMED, 59, OPTIONS)
    assert (stopped.level, stopped.is_paused, stopped.is_retrain_due) == (STOP, True, False)
    later = advance(state, ALARMED, 60, OPTIONS)
    assert (later.level, later.is_retrain_due) == (RETRAIN, True)
    # Severe features alone do not hold a stop; after ten quiet bars positions are smaller, then a warning, then all is well.
    assert walk((68, SEVERE), (69, SEVERE), (79, QUIET), (89, QUIET), state=stopped) == [
        STOP,
        SMALLER,
        WARN,
        OK,
    ]


def test_a_repeated_alarm_renews_a_stop_and_in_time_asks_for_a_training_again() -> None:
    state = PolicyState(STOP, asked_bar=20, retrained_bar=9)

    again = advance(state, ALARMED, 29, OPTIONS)
    assert (again.level, again.asked_bar, again.is_retrain_due) == (STOP, 29, False)
    much_later = advance(state, ALARMED, 70, OPTIONS)
    assert (much_later.level, much_later.is_retrain_due) == (STOP, True)
    assert retrained(much_later, 71, is_promoted=True).level == OK
    assert retrained(much_later, 71, is_promoted=False).level == STOP


def test_a_training_that_drift_did_not_ask_for_does_not_arm_the_stop() -> None:
    state = retrained(FRESH, 9, is_promoted=True)

    assert advance(state, ALARMED, 10, OPTIONS).level == RETRAIN


def test_what_is_switched_off_is_not_reached() -> None:
    still = replace(OPTIONS, is_retraining=False)
    found = advance(FRESH, ALARMED, 5, still)
    assert (found.level, found.is_retrain_due) == (SMALLER, False)

    going = replace(OPTIONS, is_stopping=False)
    state = retrained(advance(FRESH, ALARMED, 5, going), 9, is_promoted=True)
    assert advance(state, ALARMED, 10, going).level == RETRAIN


def test_size_factor_applies_from_smaller_on() -> None:
    factors = [PolicyState(level).size_factor(OPTIONS) for level in range(5)]

    assert factors == [1.0, 1.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    "changes",
    [
        {"warn_psi": 0.0},
        {"severe_psi": 0.05},
        {"chance": 0.0},
        {"severe_share": 0.0},
        {"least_rows": 10},
        {"adwin_delta": 1.0},
        {"page_hinkley": 0.0},
        {"size_factor": 1.1},
        {"calm_bars": 0},
        {"again_bars": 0},
        {"least_blocks": 1},
        {"page_hinkley_delta": -0.1},
    ],
)
def test_options_out_of_range_are_refused(changes: dict[str, float]) -> None:
    (name,) = changes
    with pytest.raises(ConfigError, match=f"drift: {name}"):
        DriftOptions(**changes)  # type: ignore[arg-type]
