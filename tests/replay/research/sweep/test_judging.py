"""Windows of a trial: what it had in each, and when it is given up, as optuna's own pruner has it."""

import itertools
import json
from typing import Any

import numpy as np
import optuna
import pytest

from papertape.engine.errors import ConfigError
from papertape.replay.config import make_config
from papertape.replay.research.sweep.judging import Judging, WindowWatch, floors_of, means_of, windows_over
from papertape.replay.research.sweep.trial import TrialCall, TrialRunner
from papertape.replay.research.trials.identity import configuration_digest
from papertape.replay.tapes.synthetic import synthesize

TAPE = synthesize("regimes", 480, "1h", seed=5)
HOUR_MS = 3_600_000
FIRST_MS = int(TAPE.candles["open_ms"][0])
BOUNDS = tuple(FIRST_MS + HOUR_MS * 120 * k for k in range(5))
FAST: dict[str, Any] = {"strategy.parameters.fast": 5, "strategy.parameters.slow": 15}


def config(**more: Any) -> Any:
    return make_config(
        {
            "strategy": {"name": "ema_cross"},
            "account": {"sizing": "all_in"},
            "signals": {"use_ml": False},
            **more,
        }
    )


def test_trials_are_given_up_where_optuna_would() -> None:
    """The floors of finished trials against MedianPruner, told the same means, for many trials that end at any window."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    random = np.random.default_rng(4)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    finished: list[list[float]] = []
    ended = set()
    for _ in range(60):
        values: list[float | None] = random.normal(0.0, 1.0, 4).tolist()
        judging = Judging("sharpe", 1, BOUNDS, floors_of(finished, 4))
        trial = study.ask()
        for window in range(1, 4):
            trial.report(means_of(1, values[:window])[-1], window)
            is_behind = judging.is_behind(values[:window])
            assert is_behind == trial.should_prune()
            if is_behind:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            finished.append(means_of(1, values))
            study.tell(trial, finished[-1][-1])
        ended.add(window)
    assert ended == {1, 2, 3}
    assert 5 < len(finished) < 60


@pytest.mark.parametrize(("sign", "is_behind"), [(1, True), (-1, False)])
def test_less_is_better_where_the_metric_says_so(sign: int, is_behind: bool) -> None:
    floors = floors_of([[sign * 0.5] * 4] * 5, 4)

    assert Judging("x", sign, BOUNDS, floors).is_behind([0.4]) is is_behind


def test_a_window_without_a_value_is_behind_whatever_is_asked() -> None:
    judging = Judging("x", 1, BOUNDS, [-9.0, -9.0, None])

    assert [judging.is_behind(values) for values in ([None], [1.0, None], [1.0, 1.0, None])] == [
        True,
        True,
        False,
    ]
    assert not judging.is_behind([0.0, 0.0, 0.0, None])  # the last: there is nothing left to save
    assert means_of(-1, [1.0, 3.0, None, 5.0]) == [-1.0, -2.0]


def test_windows_are_alike_and_end_with_the_candles() -> None:
    assert windows_over(config(), [TAPE], 4) == BOUNDS
    uneven = windows_over(config(), [TAPE], 7)
    steps = {b - a for a, b in itertools.pairwise(uneven)}
    assert steps == {68 * HOUR_MS, 69 * HOUR_MS}
    assert (uneven[0], uneven[-1]) == (BOUNDS[0], BOUNDS[-1])
    for windows in (1, 481, -3):
        with pytest.raises(ConfigError, match=r"--windows .*: between 2 and 480"):
            windows_over(config(), [TAPE], windows)


def test_a_trial_that_is_not_given_up_is_the_one_without_windows() -> None:
    plain = TrialRunner(config(), [TAPE]).run(3, FAST)

    judged = TrialRunner(config(), [TAPE]).run(3, FAST, None, Judging("total_return", 1, BOUNDS))

    assert judged.is_lane
    assert judged._replace(wall_s=0.0, values=()) == plain._replace(wall_s=0.0)
    # Returns of the parts make up the whole, since each begins with what the account had.
    assert all(value is not None for value in judged.values)
    grown = np.prod([1.0 + value for value in judged.values if value is not None])
    assert grown == pytest.approx(1.0 + (plain.metrics["total_return"] or 0.0), rel=1e-12)


@pytest.mark.parametrize("windows", [1, 3])
def test_one_that_is_given_up_is_the_replay_that_ends_there(windows: int) -> None:
    floors = [None] * (windows - 1) + [1e9]
    runner = TrialRunner(config(), [TAPE])

    row = runner.run(3, FAST, None, Judging("total_return", 1, BOUNDS, floors))

    ends = np.datetime64(BOUNDS[windows] - 1, "ms").item().isoformat() + "+00:00"
    short = TrialRunner(config(data={"end": ends}), [TAPE])
    alone = short.run(3, FAST)
    assert (row.outcome, len(row.values)) == ("pruned", windows)
    assert row.reason.startswith(f"after window {windows} of 4: total_return ")
    assert (row.digest, row.metrics, row.returns, row.configuration) == (
        alone.digest,
        alone.metrics,
        alone.returns,
        alone.configuration,
    )
    assert row.configuration != configuration_digest(config())
    assert runner.run(4, FAST).digest != row.digest  # nothing of it stays behind


def test_a_trial_beside_shared_candles_is_judged_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    judging = Judging("sharpe", 1, BOUNDS, [None, 1e9])
    shared = [
        TrialRunner(config(), [TAPE]).run(3, FAST, None, one)
        for one in (judging, judging._replace(floors=()))
    ]
    monkeypatch.setattr("papertape.replay.research.sweep.trial.is_shareable", lambda spec: False)

    alone = [
        TrialRunner(config(), [TAPE]).run(3, FAST, None, one)
        for one in (judging, judging._replace(floors=()))
    ]

    assert [row.outcome for row in alone] == ["pruned", "done"]
    assert [row.is_lane for row in (*alone, *shared)] == [False, False, True, True]
    assert [row._replace(wall_s=0.0, is_lane=True) for row in alone] == [
        row._replace(wall_s=0.0) for row in shared
    ]


def test_a_lane_that_cannot_go_on_is_stepped_from_its_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    judging, windows = Judging("total_return", 1, BOUNDS, [None, None, None]), []
    as_lane = TrialRunner(config(), [TAPE]).run(3, FAST, None, judging)
    begin_again = WindowWatch.begin_again

    def counted(watch: WindowWatch) -> None:
        windows.append(len(watch.values))
        begin_again(watch)

    monkeypatch.setattr(WindowWatch, "begin_again", counted)
    # Room for what happens in a window or two, and no more.
    monkeypatch.setattr("papertape.engine.lanes.runs._MOST_ROWS", 24)

    as_stepped = TrialRunner(config(), [TAPE]).run(3, FAST, None, judging)

    assert [seen > 0 for seen in windows] == [True]
    assert not as_stepped.is_lane
    assert as_stepped._replace(wall_s=0.0, is_lane=True) == as_lane._replace(wall_s=0.0)


def test_a_call_travels_as_text() -> None:
    for call in (TrialCall(1, FAST), TrialCall(2, FAST, 5, Judging("sharpe", 1, BOUNDS, (None, 0.5)))):
        again = TrialCall.of_json(json.dumps(call))
        assert json.dumps(again) == json.dumps(call)
        assert type(again.judging) is type(call.judging)
