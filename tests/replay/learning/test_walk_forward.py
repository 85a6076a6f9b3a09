"""The learning pass: what an attempt may look at, what it ends with, and that the future changes nothing."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import DataError
from papertape.engine.model.artefact import read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.drift.policy import DriftOptions
from papertape.engine.model.scores import scores
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies import make_strategy
from papertape.replay.backtesting.prepare import model_events
from papertape.replay.backtesting.run import replay
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.challenge import Champion, challenge
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.evidence import opinions, outcomes
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.settings import DAY_MS, LearningSettings
from papertape.replay.learning.walk_forward import Walked, walk
from tests.support.helpers import START_MS, needs_lightgbm, random_candles
from tests.support.planted_rows import HOUR_MS, due_times, planted_rows, quick_settings


def walked(rows: Dataset, due: tuple[int, ...] = due_times(), **changes: Any) -> Walked:
    job = TrainingJob(quick_settings(**changes.pop("settings", {})), due, rows, is_walk=True, **changes)
    return walk(job, train_model)


def decided(attempt: Attempt) -> dict[str, Any]:
    """Return everything that an attempt decided, without what is measured afterwards."""
    values = asdict(attempt)
    del values["wall_s"], values["shadow"]
    return values


@pytest.fixture(scope="module")
def planted() -> Walked:
    return walked(planted_rows())


def test_an_edge_is_found_and_its_models_take_over_in_order(planted: Walked) -> None:
    first = planted.attempts[0]

    assert first.outcome == "promoted"
    assert first.reason.startswith("promoted: ")
    assert [attempt.due_ms for attempt in planted.attempts] == list(due_times())
    promoted = [attempt for attempt in planted.attempts if attempt.is_promoted]
    # A version is the number of those that took over before, and the gate met the newest of them.
    for attempt in planted.attempts:
        assert attempt.champion == sum(other.due_ms < attempt.due_ms for other in promoted)
        assert ("champion" in attempt.gate["contenders"]) == (attempt.champion > 0)
    events = model_events([(attempt.effective_ms, attempt.artefact) for attempt in promoted])
    assert [model.version for _, model in events] == list(range(1, len(promoted) + 1))


def test_noise_takes_over_nowhere_and_is_still_measured() -> None:
    found = walked(planted_rows(edge=0.0, seed=5))

    assert {attempt.outcome for attempt in found.attempts} == {"rejected"}
    assert all(attempt.shadow["challenger"]["rows"] > 0 for attempt in found.attempts[:-1])
    pooled = found.summary["contenders"]
    assert set(pooled) == {"challenger", "logistic", "majority"}
    assert pooled["challenger"]["accuracy"] == pytest.approx(0.5, abs=0.06)


def test_shadow_scores_are_of_the_rows_between_two_attempts() -> None:
    rows = planted_rows()
    found = walked(rows)

    first, second = found.attempts[:2]
    inside = (rows.time_ms > first.due_ms) & (rows.time_ms <= second.due_ms)
    artefact = read_artefact(first.artefact)
    said = opinions(artefact, rows, first.due_ms)[0, inside]
    entry, later = np.roll(rows.open[0], -1)[inside], np.roll(rows.close[0], -2)[inside]
    assert first.shadow["challenger"]["rows"] == inside.sum() == 240
    assert first.shadow["challenger"]["accuracy"] == np.mean((said >= 0.5) == (later > entry))
    # the shadow record by hand: a side where it leans by two points, looked at again when both outcomes are known
    followed = outcomes(rows, quick_settings())
    free, net = 0, []
    for row, p in zip(np.flatnonzero(inside), said, strict=True):
        if row >= free and abs(p - 0.5) >= 0.02:
            gross = (followed.long_return if p > 0.5 else followed.short_return)[0, row]
            net.append(gross - quick_settings().cost)
            free = row + 2  # labels of two hours
    assert len(net) > 20
    assert first.shadow["challenger"]["paper_trades"] == len(net)
    assert first.shadow["challenger"]["paper_return"] == pytest.approx(sum(net))
    pooled = found.summary["contenders"]["challenger"]
    every = [attempt.shadow["challenger"] for attempt in found.attempts if attempt.shadow]
    assert pooled["paper_trades"] == sum(each["paper_trades"] for each in every)
    total = sum(attempt.shadow["challenger"]["rows"] for attempt in found.attempts if attempt.shadow)
    assert found.summary["contenders"]["challenger"]["rows"] == total


@needs_lightgbm
@pytest.mark.parametrize("several", ["seeds", "windows"])
def test_the_spread_over_members_is_told_of_the_gates_rows_and_of_those_after_it(several: str) -> None:
    rows = planted_rows()
    sizes = {"trees": 6, "depth": 2}
    settings = quick_settings(kind="lightgbm", sizes=sizes, options={several: 2})
    found = walk(TrainingJob(settings, due_times()[:2], rows, is_walk=True), train_model)

    first, second = found.attempts
    made, y = read_artefact(first.artefact), outcomes(rows, settings).y[0]
    assert made.record.members == 2
    assert read_artefact(first.baseline).record.members == 1

    def alone(after_ms: int, until_ms: int, known_ms: int) -> list[float]:
        inside = (rows.time_ms > after_ms) & (rows.time_ms <= until_ms) & np.isfinite(y)
        inside &= rows.time_ms + 2 * HOUR_MS <= known_ms  # labels of two hours
        each = [opinions(made.member(n), rows, after_ms)[0, inside] for n in range(2)]
        return [scores(y[inside], p).log_loss for p in each]

    in_gate = alone(first.due_ms - settings.gate_ms, first.due_ms, first.due_ms)
    told = first.gate["seeds"]
    assert told["seed_log_loss"] == pytest.approx(np.mean(in_gate))
    assert told["seed_log_loss_highest"] == pytest.approx(max(in_gate))
    later = alone(first.due_ms, second.due_ms, int(rows.time_ms[-1]))
    shadow = first.shadow["challenger"]
    assert shadow["seed_log_loss"] == pytest.approx(np.mean(later))
    assert shadow["log_loss"] <= shadow["seed_log_loss"]
    assert shadow["seed_spread"] > 0.0
    pooled, both = found.summary["contenders"]["challenger"], (shadow, second.shadow["challenger"])
    assert pooled["seeds"] == 2
    expected = np.average([s["seed_spread"] for s in both], weights=[s["rows"] for s in both])
    assert pooled["seed_spread"] == pytest.approx(expected)


def test_the_end_of_the_tape_changes_no_earlier_decision(planted: Walked) -> None:
    cut = walked(planted_rows().until(due_times()[2]), due_times()[:3])

    assert list(map(decided, cut.attempts)) == list(map(decided, planted.attempts[:3]))


def test_a_scrambled_future_changes_no_earlier_decision(planted: Walked) -> None:
    rows = planted_rows()
    later = rows.time_ms > due_times()[2]
    random = np.random.default_rng(3)
    changed = {}
    for name in ("open", "high", "low", "close", "atr"):
        values = getattr(rows, name).copy()
        values[:, later] = random.uniform(50.0, 150.0, later.sum())
        changed[name] = values
    x = rows.x.copy()
    x[:, later] = random.normal(size=x[:, later].shape)

    scrambled = walked(rows._replace(x=x, **changed))

    assert list(map(decided, scrambled.attempts[:3])) == list(map(decided, planted.attempts[:3]))
    assert decided(scrambled.attempts[3]) != decided(planted.attempts[3])


def test_what_judges_is_not_learnt_from() -> None:
    rows = planted_rows()
    due_ms = due_times()[0]
    given: list[Dataset] = []

    def spy(seen: Dataset, settings: LearningSettings, kind: str, *rest: Any) -> bytes:
        given.append(seen)
        return train_model(seen, settings, kind, *rest)

    attempt = challenge(rows, due_ms, quick_settings(), None, spy)

    gate_ms = due_ms - 15 * DAY_MS
    assert {(int(r.time_ms[0]), int(r.time_ms[-1])) for r in given} == {
        (gate_ms - 40 * DAY_MS + HOUR_MS, gate_ms)
    }
    # The last two of the 360 rows do not know their outcome by then, and neither does the last candle's own row.
    assert attempt.gate["rows"] == 358
    assert read_artefact(attempt.artefact).record.end_ms == gate_ms


def test_rows_that_the_champion_has_learnt_from_judge_nobody() -> None:
    rows = planted_rows()
    due_ms = due_times()[2]
    trained = train_model(rows.until(due_ms - 14 * DAY_MS), quick_settings(), "logistic", None, None, None)

    plain = challenge(rows, due_ms, quick_settings(), None, train_model)
    against = challenge(rows, due_ms, quick_settings(), Champion(4, read_artefact(trained)), train_model)

    assert plain.gate["rows"] - against.gate["rows"] == 24
    assert against.champion == against.record["parent"] == 4


def test_too_few_rows_are_skipped_and_the_sentence_counts_the_days() -> None:
    attempt = challenge(planted_rows(), due_times()[0] - 30 * DAY_MS, quick_settings(), None, train_model)

    assert attempt.outcome == "skipped"
    assert attempt.reason == (
        "15.0 of 40 days to learn from lie before the 15 of the gate; at least 50% are needed"
    )


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (DataError("every label is 1"), "failed", "every label is 1"),
        (MemoryError(), "failed", "needs more than 4,096 MB"),
        (TimeoutError(), "timeout", "longer than 600 s"),
    ],
)
def test_a_training_that_fails_is_an_outcome(error: Exception, outcome: str, said: str) -> None:
    def fails(*_: Any) -> bytes:
        raise error

    attempt = challenge(planted_rows(), due_times()[0], quick_settings(), None, fails)

    assert (attempt.outcome, attempt.artefact) == (outcome, b"")
    assert said in attempt.reason


def test_a_delay_is_added_to_the_due_time_and_decides_nothing(planted: Walked) -> None:
    late = walked(planted_rows(), settings={"activation_delay_ms": HOUR_MS})

    for attempt, undelayed in zip(late.attempts, planted.attempts, strict=True):
        assert attempt.effective_ms == undelayed.effective_ms + HOUR_MS
        assert attempt.artefact == undelayed.artefact


def test_an_interrupted_walk_goes_on_behind_its_last_attempt(tmp_path: Path, planted: Walked) -> None:
    job = TrainingJob(quick_settings(), due_times(), planted_rows(), is_walk=True)
    calls: list[int] = []

    def dies_in_the_third(rows: Dataset, *rest: Any) -> bytes:
        calls.append(int(rows.time_ms[-1]))
        if len(set(calls)) == 3:
            raise KeyboardInterrupt
        return train_model(rows, *rest)

    with pytest.raises(KeyboardInterrupt):
        walk(job, dies_in_the_third, tmp_path)
    calls.clear()
    again = walk(job, lambda rows, *rest: (calls.append(0), train_model(rows, *rest))[1], tmp_path)

    assert len(calls) == 3  # of five attempts two were kept
    assert list(map(decided, again.attempts)) == list(map(decided, planted.attempts))


def test_lost_attempts_keep_their_reason_and_the_champion_stays(planted: Walked) -> None:
    third = due_times()[2]

    found = walked(planted_rows(), lost={third: ("timeout", "training took longer than 5 s")})

    assert list(map(decided, found.attempts[:2])) == list(map(decided, planted.attempts[:2]))
    assert found.attempts[2].outcome == "timeout"
    assert found.attempts[3].champion == found.attempts[2].champion


def test_two_symbols_are_judged_together() -> None:
    rows = planted_rows(n_symbols=2)

    attempt = challenge(rows, due_times()[0], quick_settings(), None, train_model)

    assert attempt.gate["rows"] == 2 * 358
    assert attempt.outcome == "promoted"


def test_the_walk_says_what_the_replay_says_bit_for_bit() -> None:
    """Rows through the engine's own lanes, absent candles, two models, and the warm-up of a swap."""
    candles = np.delete(random_candles(1_500, 8), slice(700, 703))
    features = ("log_return_1", "rsi_14@4h", "candle_shape")
    rows = dataset_of(["X"], [candles], "1h", "1h", features)
    settings = replace(quick_settings(), features=features)
    swaps = [int(rows.time_ms[600]), int(rows.time_ms[1_100])]
    models = [(ms, train_model(rows.until(ms), settings, "logistic", None, None, None)) for ms in swaps]
    spec = EngineSpec(
        markets=[Market("X")],
        strategy=make_strategy("ema_cross", {}),
        timeframe="1h",
        base_timeframe="1h",
        model_features=features,
    )

    told = replay(spec, [candles], models=models).recorder.predictions

    first, second = (opinions(read_artefact(data), rows, ms)[0] for ms, data in models)
    expected = np.where(rows.time_ms > swaps[1], second, first)
    place = np.searchsorted(rows.time_ms, told["time_ms"])
    np.testing.assert_array_equal(told["probability"], expected[place])
    np.testing.assert_array_equal(told["close"], rows.close[0, place])
    np.testing.assert_array_equal(told["atr"], rows.atr[0, place])
    assert np.isfinite(told["probability"]).all()
    assert len(told) == 1_500 - 601 - 3  # after the first swap, but for the absent ones


def broken(at_day: int) -> Dataset:
    """Return rows whose edge turns round on a day."""
    good, bad = planted_rows(4_800, seed=2), planted_rows(4_800, seed=2, edge=-0.6)
    later = good.time_ms > START_MS + at_day * DAY_MS
    changed = {}
    for name in ("open", "high", "low", "close"):
        before, after = getattr(good, name)[0], getattr(bad, name)[0]
        scale = good.close[0, ~later][-1] / bad.close[0, ~later][-1]
        changed[name] = np.where(later, after * scale, before)[None]
    return good._replace(**changed)


WATCHED = {"check_bars": 24, "drift": asdict(DriftOptions(again_bars=24 * 90))}


def test_an_edge_that_turns_is_noticed_and_has_a_model_trained_early() -> None:
    found = walked(broken(90), due_times(60, 60), settings=WATCHED)

    assert found.attempts[0].outcome == "promoted"
    early = found.attempts[1]
    assert early.trigger == "drift"
    assert early.due_ms - START_MS > 90 * DAY_MS
    assert found.summary["drift"][0]["level"] in ("retrain", "smaller", "warn")
    asked = [look["time_ms"] for look in found.summary["drift"] if look["is_retrain_due"]]
    assert asked[0] == early.due_ms
    sizes = [command for command in found.commands if command[1] == "scale"]
    assert sizes[0][0] <= early.due_ms
    assert sizes[0][2] == 0.5
    assert sizes[0][3].startswith("drift ")


def test_what_drift_does_before_a_time_depends_on_nothing_after_it() -> None:
    rows = broken(90)
    whole = walked(rows, due_times(60, 60), settings=WATCHED)
    cut_ms = whole.attempts[1].due_ms + 5 * DAY_MS

    cut = walked(rows.until(cut_ms), due_times(60, 60), settings=WATCHED)

    assert cut.commands == [command for command in whole.commands if command[0] <= cut_ms]
    earlier = [look for look in whole.summary["drift"] if look["time_ms"] <= cut_ms]
    assert cut.summary["drift"] == earlier
    upto = [attempt for attempt in whole.attempts if attempt.due_ms <= cut_ms]
    assert list(map(decided, cut.attempts)) == list(map(decided, upto))


def test_a_walk_with_drift_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    job = TrainingJob(quick_settings(**WATCHED), due_times(60, 60), broken(90), is_walk=True)
    whole = walk(job, train_model, tmp_path)

    def never(*_: Any) -> bytes:
        raise AssertionError("it was trained before")

    again = walk(job, never, tmp_path)

    assert list(map(decided, again.attempts)) == list(map(decided, whole.attempts))
    assert (again.commands, again.summary) == (whole.commands, whole.summary)


def test_nothing_is_watched_when_it_is_switched_off() -> None:
    found = walked(broken(90), due_times(60, 60), settings={"check_bars": 0})

    assert (len(found.attempts), found.commands, found.summary["drift"]) == (1, [], [])
