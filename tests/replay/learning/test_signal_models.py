"""Models that are asked whether a strategy's signal pays: what they learn from, how they are judged, and what they take over."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.events import NewModel
from papertape.engine.jit import FloatArray
from papertape.engine.model.artefact import read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.drift.policy import DriftOptions
from papertape.engine.records import LONG, SHORT
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies import Confluence
from papertape.engine.strategies.own_signals import can_short_of, question_of
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.evidence import opinions, outcomes
from papertape.replay.learning.feasible import refuse_few_signals
from papertape.replay.learning.jobs.job import TrainingJob, read_job, write_job
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.policy import recipe_digest
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.learning.unseen.comparison import compare_models, settings_for
from papertape.replay.learning.walk_forward import Walked, walk
from tests.support.helpers import random_candles
from tests.support.planted_rows import due_times, planted_rows, quick_settings

EVEN = 0.4  # 2 lost or 3 won
EDGE = 0.02  # of the gate's plain rule


def signal_settings(**changes: Any) -> LearningSettings:
    values = {"label": "bracket", "asks": "signal", "signals_of": "planted:0", **changes}
    return quick_settings(**values)


def signal_rows(edge: float = 0.6, seed: int = 1) -> Dataset:
    """
    Return rows with a signal at six closes of ten, which pays where the second column is above 0 and costs elsewhere.

    The first column of `planted_rows` says where the next candle goes; here nobody is told it, and the signal goes with it or
    against it, as the second one says.
    """
    rows = planted_rows(edge=edge, seed=seed)
    random = np.random.default_rng(seed + 100)
    is_there = random.random(rows.close.shape) < 0.6
    side = np.where(is_there, np.sign(rows.x[..., 0] * rows.x[..., 1]), 0.0)
    x: FloatArray = rows.x.copy()
    x[..., 0] = random.normal(size=rows.close.shape)
    return rows._replace(x=x, side=side)


def walked(rows: Dataset, **changes: Any) -> Walked:
    settings = signal_settings(**changes)
    return walk(TrainingJob(settings, due_times(), rows, is_walk=True), train_model)


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return signal_rows()


@pytest.fixture(scope="module")
def found(rows: Dataset) -> Walked:
    return walked(rows)


def paid(rows: Dataset, settings: LearningSettings) -> tuple[FloatArray, FloatArray]:
    """Return what each signal's trade earned before costs, followed candle by candle, and the row of its end; NaN for none."""
    n, horizon = len(rows.time_ms), settings.horizon_bars
    earned, end = np.full(n, np.nan), np.full(n, np.nan)
    assert rows.side is not None
    for t in np.flatnonzero(rows.side[0, : n - horizon]).tolist():
        side, entry, atr = rows.side[0, t], rows.open[0, t + 1], rows.atr[0, t]
        stop, target = entry - side * 2.0 * atr, entry + side * 3.0 * atr
        for j in range(t + 1, t + 1 + horizon):
            worst, best = (rows.low[0, j], rows.high[0, j])[:: int(side)]
            if side * (rows.open[0, j] - stop) <= 0 or side * (rows.open[0, j] - target) >= 0:
                leave = rows.open[0, j]
            elif side * (worst - stop) <= 0:
                leave = stop
            elif side * (best - target) >= 0:
                leave = target
            elif j == t + horizon:
                leave = rows.close[0, j]
            else:
                continue
            earned[t], end[t] = side * (leave / entry - 1.0), j
            break
    return earned, end


def test_a_condition_in_which_signals_pay_is_found_and_judged_on_signals_alone(
    rows: Dataset, found: Walked
) -> None:
    settings, first = signal_settings(), found.attempts[0]
    assert first.outcome == "promoted"
    assert first.record["label"] == {
        "kind": "bracket",
        "horizon_bars": 2,
        "stop_atr": 2.0,
        "target_atr": 3.0,
        "asks": "signal",
        "cost": 0.0002,
        "signals_of": "planted:0",
    }
    assert rows.side is not None
    earned, end = paid(rows, settings)
    gate_ms = first.due_ms - settings.gate_ms
    begin, due = np.searchsorted(rows.time_ms, [gate_ms, first.due_ms], "right")
    said = opinions(read_artefact(first.artefact), rows, gate_ms)[0]
    assert np.array_equal(np.isfinite(said[begin:]), rows.side[0, begin:] != 0.0)
    judged = begin + np.flatnonzero(end[begin:] < due)
    taken = judged[said[judged] >= EVEN + EDGE]
    numbers = first.gate["contenders"]["challenger"]
    assert (numbers["rows"], numbers["trades"]) == (len(judged), len(taken))
    assert numbers["net_return"] == pytest.approx(np.mean(earned[taken] - settings.cost))
    first_row = int(np.searchsorted(rows.time_ms, gate_ms - settings.window_ms, "right"))
    learnt = first_row + np.flatnonzero(end[first_row:begin] < begin)
    assert first.gate["majority"] == pytest.approx(np.mean(earned[learnt] > settings.cost))


def test_signals_that_pay_by_chance_alone_take_over_nothing() -> None:
    noise = walked(signal_rows(edge=0.0, seed=6))

    assert {attempt.outcome for attempt in noise.attempts} == {"rejected"}
    assert all(attempt.shadow["challenger"]["rows"] > 0 for attempt in noise.attempts[:-1])


def test_the_shadow_record_takes_signals_one_after_the_other(rows: Dataset, found: Walked) -> None:
    settings, (first, second) = signal_settings(), found.attempts[:2]
    inside = np.flatnonzero((rows.time_ms > first.due_ms) & (rows.time_ms <= second.due_ms))
    said = opinions(read_artefact(first.artefact), rows, first.due_ms)[0]
    earned, known = paid(rows, settings)[0], outcomes(rows, settings).known[0]

    free, net = 0, []
    for t in inside:
        if t >= free and said[t] >= EVEN + EDGE and np.isfinite(earned[t]):
            net.append(earned[t] - settings.cost)
            free = known[t]
    paper = first.shadow["challenger"]
    assert paper["paper_trades"] == len(net) > 20
    assert paper["paper_return"] == pytest.approx(sum(net))


def test_later_signals_and_candles_change_no_earlier_attempt(rows: Dataset, found: Walked) -> None:
    third = found.attempts[2]
    after = rows.time_ms > third.due_ms
    assert rows.side is not None
    side, close = rows.side.copy(), rows.close.copy()
    side[:, after], close[:, after] = -side[:, after], 1.01 * close[:, after]

    other = walked(rows._replace(side=side, close=close)).attempts
    for before, now in zip(found.attempts[:3], other, strict=False):
        assert (before.outcome, before.gate, before.artefact) == (now.outcome, now.gate, now.artefact)
    assert found.attempts[3].gate != other[3].gate


def test_a_recipe_adds_up_evidence_on_signals_and_is_another_with_another_question(
    rows: Dataset, found: Walked
) -> None:
    recipe = walked(rows, policy="recipe")
    assert [attempt.outcome for attempt in recipe.attempts].count("promoted") >= 1
    last = recipe.attempts[-1].gate["recipe"]
    assert last["state"]["is_passed"]
    assert last["state"]["rows"] < 0.7 * 40 * 24  # signals, not closes
    digests = {
        recipe_digest(signal_settings(**change))
        for change in ({}, {"cost": 0.001}, {"signals_of": "planted:1"}, {"asks": "side"})
    }
    assert len(digests) == 4
    plain = quick_settings()
    assert recipe_digest(plain) == recipe_digest(replace(plain, cost=0.5, signals_of=""))


def test_the_watch_compares_every_close_and_knows_of_no_outcome(rows: Dataset) -> None:
    drift = DriftOptions().__class__.__dataclass_fields__
    values = {name: getattr(DriftOptions(), name) for name in drift}
    watched = walked(rows, drift=values, check_bars=24)

    reference = watched.attempts[0].record["reference"]
    metrics = watched.attempts[0].record["metrics"]
    assert reference["inputs"]["rsi_14"]["rows"] > 1.4 * metrics["rows_train"]
    levels = {look["level"] for look in watched.summary["drift"]}
    assert levels <= {"none", "warn"}, watched.summary["drift"]


def test_a_job_carries_signals_and_the_question(rows: Dataset, tmp_path: Any) -> None:
    job = TrainingJob(signal_settings(), due_times(), rows)
    write_job(tmp_path, job)

    again = read_job(tmp_path)
    assert np.array_equal(again.rows.side, rows.side)  # type: ignore[arg-type]
    assert again.settings == job.settings
    write_job(tmp_path, replace(job, rows=rows._replace(side=None)))
    assert read_job(tmp_path).rows.side is None


def test_too_few_signals_are_told_with_the_number_that_is_missing(rows: Dataset) -> None:
    assert rows.side is not None
    due, settings = due_times(), signal_settings()
    refuse_few_signals(rows, due, settings)
    sparse = np.where(np.arange(rows.side.shape[1]) % 4 == 0, rows.side, 0.0)
    some = rows._replace(side=sparse)
    span = settings.gate_ms // 3_600_000
    places = [int(np.searchsorted(rows.time_ms, ms, "right")) for ms in due]
    most = max(int(np.count_nonzero(sparse[0, at - span : at])) for at in places)

    with pytest.raises(ConfigError) as caught:
        refuse_few_signals(some, due, settings)
    assert str(caught.value).startswith(
        f"learning.gate_days: 15 days hold at most {most} closes with a signal of the strategy, {200 - most} fewer than the "
        f"200 that the gate needs (signals.model_asks); write about {np.ceil(15 * 200 / most):g}, or "
    )
    refuse_few_signals(some, due, replace(settings, policy="recipe"))  # whose gate decides nothing
    never = rows._replace(side=np.zeros_like(rows.side))
    with pytest.raises(ConfigError, match=r"window_days: 40 days hold at most 0 closes.* 150 fewer than"):
        refuse_few_signals(never, due, replace(settings, policy="recipe"))
    refuse_few_signals(rows._replace(side=None), due, quick_settings())


def spec_of(**parameters: Any) -> EngineSpec:
    strategy = Confluence(use_smc=False, confidence_threshold=0.3, **parameters)
    markets = [Market("A", is_perpetual=True), Market("B")]
    features = ("log_return_1", "rsi_14")
    return EngineSpec(markets, strategy, "2h", "1h", model_features=features)


def test_signals_of_rows_are_what_an_engine_without_a_model_decides() -> None:
    spec = spec_of(model_use="filter", model_asks="signal")
    candles = [random_candles(1_500, seed) for seed in (3, 4)]
    wanted: dict[str, list[int]] = {"A": [], "B": []}
    engine = Engine(spec)
    engine.watch_answers = lambda symbol, wishes, _: wanted[spec.symbols[symbol]].extend(
        wishes["target"].tolist()
    )
    both = np.stack(candles, axis=1).reshape(-1)
    both["symbol"] = np.tile([0, 1], 1_500)
    engine.step(both)

    rows = dataset_of(spec.symbols, candles, "1h", "2h", spec.model_features, asker=spec)
    assert rows.side is not None
    for side, symbol in zip(rows.side, spec.symbols, strict=True):
        entered = np.array(wanted[symbol])
        shorts = SHORT if symbol == "A" else 9  # nothing is sold short on a spot market
        expected = np.where((entered == LONG) | (entered == shorts), entered, 0)
        assert np.array_equal(side, expected)
        assert np.count_nonzero(side) > 100
    cut = dataset_of(spec.symbols, [c[:901] for c in candles], "1h", "2h", spec.model_features, asker=spec)
    assert np.array_equal(cut.side, rows.side[:, : len(cut.time_ms)])  # type: ignore[arg-type]
    bare = dataset_of(spec.symbols, candles, "1h", "2h", spec.model_features)
    assert bare.side is None
    assert bare.columns == rows.columns
    np.testing.assert_array_equal(bare.x, rows.x)


def test_an_engine_refuses_the_model_of_another_question(rows: Dataset, found: Walked) -> None:
    asks_signal, asks_side = (
        Engine(replace(spec_of(**more), timeframe="1h"))
        for more in ({"model_use": "filter", "model_asks": "signal"}, {"model_use": "filter"})
    )
    spec = asks_signal.spec
    asked = question_of(spec.every_turn, can_short_of(spec.markets, spec.settings.allow_short))
    about_another = found.attempts[0].artefact
    answers_signal, answers_side = (
        walk(TrainingJob(how, due_times()[:1], rows), train_model).attempts[0].artefact
        for how in (signal_settings(signals_of=asked.signals_of), quick_settings())
    )

    question = r"model 1: it says wh.*and this strategy asks wh.*model_asks"
    for engine, data, told in (
        (asks_signal, answers_side, question),
        (asks_side, answers_signal, question),
        (asks_signal, about_another, r"signals of planted:0 pay, and those here are of confluence:"),
    ):
        before = engine.snapshot()
        with pytest.raises(DataError, match=told):
            engine.step(NewModel(1, data))
        assert engine.snapshot() == before
    asks_signal.step(NewModel(1, answers_signal))
    asks_side.step(NewModel(1, answers_side))


def test_models_are_compared_on_the_signals_that_they_are_about(rows: Dataset, found: Walked) -> None:
    model = read_artefact(found.attempts[0].artefact)
    settings = settings_for(model, signal_settings(cost=0.5))

    assert (settings.asks, settings.cost) == ("signal", 0.0002)
    compared = compare_models(model, model, rows, settings)
    assert compared.difference.value == 0.0
    assert rows.side is not None
    after = rows.time_ms > model.record.end_ms
    assert compared.scores[0]["rows"] == np.isfinite(outcomes(rows, settings).y[0, after]).sum()
    assert compared.scores[0]["rows"] <= np.count_nonzero(rows.side[0, after])
    for other in (quick_settings(), signal_settings(signals_of="planted:1")):
        with pytest.raises(DataError, match=r"whether signals of planted:0 pay, and the configu"):
            settings_for(model, other)
