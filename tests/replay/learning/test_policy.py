"""What lets a model take over: each policy on the same rows, and a recipe that passes, fades and is demoted."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.gate.recipe import RecipeState
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies import make_strategy
from papertape.replay.backtesting.models import policy_of, why_none
from papertape.replay.backtesting.prepare import model_events
from papertape.replay.backtesting.run import replay
from papertape.replay.config import make_config
from papertape.replay.learning.attempt import Attempt, Learned
from papertape.replay.learning.feasible import check_learning
from papertape.replay.learning.jobs.job import TrainingJob, read_job, write_job
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.policy import Shown, recipe_digest, unseen_rows, weigh
from papertape.replay.learning.settings import DAY_MS
from papertape.replay.learning.walk_forward import Walked, walk
from tests.support.helpers import START_MS, random_candles
from tests.support.planted_rows import due_times, planted_rows, quick_settings

ENDS = START_MS + 80 * DAY_MS
FIVE = due_times(60, 110)


def ending_rows() -> Dataset:
    """Return rows whose edge ends after eighty days: what foretold a rise foretells a fall."""
    rows = planted_rows(2_700)
    x = rows.x.copy()
    after = rows.time_ms > ENDS
    x[:, after, 0] *= -1.0
    return rows._replace(x=x)


def walked(policy: str, rows: Dataset, **changes: Any) -> Walked:
    settings = quick_settings(policy=policy, **changes)
    return walk(TrainingJob(settings, FIVE, rows, is_walk=True), train_model)


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return ending_rows()


@pytest.fixture(scope="module")
def recipe(rows: Dataset) -> Walked:
    return walked("recipe", rows)


def state_of(attempt: Attempt) -> RecipeState:
    return RecipeState.from_json(attempt.gate["recipe"]["state"])


def test_a_recipe_passes_on_what_its_models_had_not_seen_and_fades_when_the_edge_ends(recipe: Walked) -> None:
    outcomes = [attempt.outcome for attempt in recipe.attempts]
    # Nothing is known at the first; at 70 and 80 days the model before has been right for ten days, at 90 no more.
    assert outcomes[:4] == ["rejected", "promoted", "promoted", "demoted"]
    first, second, _, fourth = recipe.attempts[:4]
    assert first.reason == "refused: the recipe's evidence is 1 of 20 on 0 rows that its models had not seen"
    assert second.reason.startswith("promoted: the recipe has passed; its evidence is ")
    assert "has faded" in fourth.reason
    assert [state_of(a).passes for a in recipe.attempts[:4]] == [0, 1, 1, 1]
    assert state_of(fourth).fades == 1
    assert [a.champion for a in recipe.attempts[:5]] == [0, 0, 1, 2, 0]
    assert "champion" not in fourth.shadow


def test_the_way_of_the_evidence_is_that_of_its_states(recipe: Walked) -> None:
    for before, after in zip(recipe.attempts, recipe.attempts[1:], strict=False):
        points = after.gate["recipe"]["points"]
        assert before.due_ms < points[0][0] <= points[-1][0] <= after.due_ms
        assert points[-1][1] == after.gate["recipe"]["capital"]
        assert len(points) == state_of(after).blocks - state_of(before).blocks


def test_candles_after_the_due_time_change_no_evidence(rows: Dataset, recipe: Walked) -> None:
    second = recipe.attempts[1]
    last = Shown.of(recipe.attempts[0])
    settings = quick_settings(policy="recipe")
    assert weigh(rows.until(second.due_ms), settings, last) == second.gate["recipe"]

    unseen = unseen_rows(rows.until(second.due_ms), settings, last)
    counted = unseen.bar >= unseen.since_bar
    assert rows.time_ms[unseen.bar[counted]].min() > last.due_ms
    # Its middle is told by rows that it has not learnt from.
    said = np.isfinite(unseen.p)
    assert rows.time_ms[unseen.bar[said]].min() > last.due_ms - settings.gate_ms


def test_evidence_of_another_recipe_counts_for_nothing(rows: Dataset, recipe: Walked) -> None:
    second = recipe.attempts[1]
    last = Shown.of(recipe.attempts[0])
    other = quick_settings(policy="recipe", window_ms=30 * DAY_MS)

    found = weigh(rows.until(second.due_ms), other, last)
    assert RecipeState.from_json(found["state"]) == RecipeState()
    assert recipe_digest(other) != recipe_digest(quick_settings())
    assert recipe_digest(quick_settings(policy="shadow", cost=0.5)) == recipe_digest(quick_settings())


@pytest.mark.parametrize(
    ("policy", "outcome", "word"), [("newest", "promoted", "newest: "), ("shadow", "rejected", "shadow: ")]
)
def test_the_other_policies_weigh_the_same_evidence(
    policy: str, outcome: str, word: str, rows: Dataset, recipe: Walked
) -> None:
    found = walked(policy, rows)

    assert {attempt.outcome for attempt in found.attempts} == {outcome}
    assert all(attempt.reason.startswith(word) for attempt in found.attempts)
    assert policy_of(found.attempts) == policy
    capitals = [attempt.gate["recipe"]["capital"] for attempt in found.attempts]
    assert capitals == [attempt.gate["recipe"]["capital"] for attempt in recipe.attempts]
    if policy == "shadow":
        told = why_none(Learned(found.attempts, [], {}, 0.0))
        assert told == "of 6 that were trained none trades, by policy shadow; "


def test_a_demotion_leaves_an_engine_without_a_model_and_batches_change_nothing(recipe: Walked) -> None:
    learned = Learned(recipe.attempts, [], {}, 0.0)
    schedule = [(START_MS + 40 * 3_600_000 * (i + 1), data) for i, (_, data) in enumerate(learned.schedule)]
    assert [bool(data) for _, data in schedule] == [True, True, False]
    assert [event.version for _, event in model_events(learned.schedule)] == [1, 2, 0]
    # The models know when their rows ended; these candles are earlier, so they are told to be older.
    candles = random_candles(200)
    spec = EngineSpec(
        markets=[Market("S0")],
        strategy=make_strategy("confluence", {"use_smc": False}),
        timeframe="1h",
        base_timeframe="1h",
        model_features=("log_return_1", "rsi_14"),
    )
    later = candles.copy()
    later["open_ms"] += FIVE[-1] - START_MS
    schedule = [(at + FIVE[-1] - START_MS, data) for at, data in schedule]

    run = replay(spec, [later], models=schedule)

    told = run.recorder.predictions
    end_ms = schedule[-1][0]
    assert len(told)
    assert told["time_ms"].max() == end_ms
    assert int(run.engine.account[0].model_version) == 0
    assert run.engine.model.artefact is None


def test_a_job_carries_what_the_recipe_has_shown(rows: Dataset, recipe: Walked, tmp_path: Any) -> None:
    second = recipe.attempts[1]
    job = TrainingJob(quick_settings(policy="recipe"), (FIVE[1],), rows, last=Shown.of(recipe.attempts[0]))
    write_job(tmp_path, job)
    again = read_job(tmp_path)
    assert again.last == job.last

    # One attempt, as a daemon has it made, decides what the walk decided.
    (alone,) = walk(replace(again, lost={}), train_model).attempts
    assert (alone.outcome, alone.reason) == (second.outcome, second.reason)
    assert alone.gate["recipe"] == second.gate["recipe"]


@pytest.mark.parametrize(
    ("policy", "every", "is_refused"),
    [("recipe", "1d", True), ("recipe", "25h", False), ("model", "1d", False)],
)
def test_a_recipe_that_can_never_be_judged_is_told_at_once(
    policy: str, every: str, *, is_refused: bool
) -> None:
    config = make_config(
        {
            "strategy": {"name": "confluence"},
            "signals": {"retrain_every": every},
            "learning": {"policy": policy, "horizon_bars": 24},
        }
    )
    if is_refused:
        with pytest.raises(ConfigError, match="24 closes of 1h lie between them, 1 fewer than the 25"):
            check_learning(config)
    else:
        check_learning(config)
