"""Models of several seeds as one: each member is the model of its seed alone, they speak as their mean, and their spread is told."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from papertape.engine.errors import DataError
from papertape.engine.model import Artefact, TrainingOptions, read_artefact, train
from papertape.engine.model.scores import scores, spread_over_seeds
from papertape.engine.model.training import train as training
from papertape.engine.model.training.diagnostics import probabilities
from papertape.engine.model.training.prepare import prepare, scaling
from tests.support.helpers import needs_lightgbm, needs_torch
from tests.support.planted import FEATURES, planted

LABEL: dict[str, Any] = {"features": FEATURES, "label": "direction", "horizon_bars": 1}
TREES = TrainingOptions(kind="lightgbm", sizes={"trees": 8, "depth": 2}, **LABEL)
LOGISTIC = TrainingOptions(kind="logistic", **LABEL)
NETWORK = TrainingOptions(
    kind="lstm", sizes={"hidden": 4}, epochs=2, sequence=16, burn_in=8, device="cpu", **LABEL
)
KINDS = [pytest.param(TREES, marks=needs_lightgbm), pytest.param(NETWORK, marks=needs_torch)]
KINDS_IDS = ["lightgbm", "lstm"]
ROWS = planted(600, n_symbols=2)


def said(made: Artefact) -> np.ndarray:
    return probabilities(made, ROWS.symbols, ROWS.inputs(made.record.inputs))


@pytest.mark.parametrize("is_per_symbol", [False, True])
@pytest.mark.parametrize("options", KINDS, ids=KINDS_IDS)
def test_each_member_is_the_model_of_its_seed_alone(options: TrainingOptions, is_per_symbol: bool) -> None:
    options = replace(options, is_per_symbol=is_per_symbol)

    made = read_artefact(train(ROWS, replace(options, seeds=3)).data)

    assert made.record.members == 3
    together = said(made)
    alone = []
    for number in range(3):
        seeded = replace(options, seed=options.seed + number)
        one = read_artefact(train(ROWS, seeded).data)
        for name in one.tensors.keys() - {"temperature"}:
            assert made.member(number).tensors[name].tobytes() == one.tensors[name].tobytes()
        alone.append(logit(said(one)) * one.tensors["temperature"].reshape(-1, 1))
    mean = np.mean(alone, axis=0) / made.tensors["temperature"].reshape(-1, 1)
    np.testing.assert_allclose(together, expit(mean), rtol=1e-9)


@pytest.mark.parametrize("options", KINDS, ids=KINDS_IDS)
def test_the_record_tells_the_spread_and_the_mean_is_no_worse_than_its_members(
    options: TrainingOptions,
) -> None:
    made = read_artefact(train(ROWS, replace(options, seeds=3)).data)

    metrics, ready = made.record.metrics, prepare(ROWS, options)
    part = ready.calibrate
    each = np.stack([said(made.member(number))[part] for number in range(3)])
    losses = [scores(ready.y[part], p).log_loss for p in each]
    assert metrics["calibrate_seeds"] == 3
    assert metrics["calibrate_seed_log_loss"] == pytest.approx(np.mean(losses))
    assert metrics["calibrate_seed_log_loss_highest"] == max(losses)
    assert metrics["calibrate_seed_spread"] == pytest.approx(each.std(axis=0).mean())
    assert metrics["calibrate_seed_spread"] > 0.0
    # the loss is convex in the log-odds, whose mean is what the ensemble says
    assert metrics["calibrate_log_loss"] <= metrics["calibrate_seed_log_loss"]


def on_newest(monkeypatch: pytest.MonkeyPatch, options: TrainingOptions, share: float) -> Artefact:
    """Train a single model on a training part from which older rows were taken beforehand, by its own scaling of the whole."""
    whole = prepare(ROWS, options)
    closes = np.flatnonzero(whole.train.any(axis=0))
    first = closes[len(closes) - round(share * len(closes))]
    cut = whole._replace(train=whole.train & (np.arange(whole.train.shape[1]) >= first))
    with monkeypatch.context() as patch:
        patch.setattr(training, "prepare", lambda *_: cut)
        patch.setattr(training, "scaling", lambda _: scaling(whole))
        return read_artefact(train(ROWS, options).data)


@pytest.mark.parametrize("options", [LOGISTIC, *KINDS], ids=["logistic", *KINDS_IDS])
def test_each_member_is_the_model_of_its_window_alone(
    options: TrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = read_artefact(train(ROWS, replace(options, windows=3)).data)

    assert made.record.members == made.record.metrics["calibrate_seeds"] == 3
    assert made.record.options["windows"] == 3
    alone = []
    for number, share in enumerate((1.0, 0.5, 0.25)):
        one = on_newest(monkeypatch, options, share)
        for name in one.tensors.keys() - {"temperature"}:
            assert made.member(number).tensors[name].tobytes() == one.tensors[name].tobytes()
        alone.append(logit(said(one)) * one.tensors["temperature"])
    assert np.ptp(np.stack(alone), axis=0).max() > 1e-3
    mean = np.mean(alone, axis=0) / made.tensors["temperature"]
    np.testing.assert_allclose(said(made), expit(mean), rtol=1e-9)


@needs_lightgbm
def test_all_seeds_learn_from_the_whole_part_before_any_learns_from_its_half() -> None:
    made = read_artefact(train(ROWS, replace(TREES, seeds=2, windows=2)).data)
    seeds = read_artefact(train(ROWS, replace(TREES, seeds=2)).data)
    windows = read_artefact(train(ROWS, replace(TREES, windows=2)).data)

    assert made.record.members == 4
    for number, one in ((0, seeds.member(0)), (1, seeds.member(1)), (2, windows.member(1))):
        for name in ("values", "bias"):
            assert made.member(number).tensors[name].tobytes() == one.tensors[name].tobytes()


def test_a_window_with_too_few_rows_is_refused_with_what_there_is_before_any_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(training, "_fit", lambda *_: pytest.fail("a training was begun"))

    with pytest.raises(
        DataError, match=r"\d+ usable rows to train on the newest 0.03125 of them are fewer than 50"
    ):
        train(ROWS, replace(LOGISTIC, windows=6))


@needs_lightgbm
@pytest.mark.parametrize("is_per_symbol", [False, True])
def test_shrinkage_draws_the_mean_and_every_member_by_the_same_share(is_per_symbol: bool) -> None:
    options = replace(TREES, seeds=2, is_per_symbol=is_per_symbol)
    plain = read_artefact(train(ROWS, options).data)
    drawn = read_artefact(train(ROWS, replace(options, shrink=True)).data)
    ready = prepare(ROWS, options)

    for symbol in range(2):
        chosen = symbol if is_per_symbol else slice(None)
        y, weights = (ready.y[chosen][ready.train[chosen]], ready.weights[chosen][ready.train[chosen]])
        base = logit(np.average(y, weights=weights))
        temperature = plain.tensors["temperature"].reshape(-1)[-1 if not is_per_symbol else symbol]
        shares = []
        for before, after in ((plain, drawn), *((plain.member(n), drawn.member(n)) for n in range(2))):
            beyond = logit(said(before)[symbol]) * temperature - base
            is_far = np.abs(beyond) > 1e-2
            shares.append((logit(said(after)[symbol]) - base)[is_far] / beyond[is_far])
        assert np.ptp(np.concatenate(shares)) < 1e-6
        assert 0.0 <= shares[0].mean() <= 1.0


@needs_torch
def test_every_member_has_its_share_of_the_time() -> None:
    """A clock that goes on by a second whenever it is looked at, and four of them for two models."""
    now_s = iter(range(100))
    options = replace(NETWORK, seeds=2, epochs=9, patience=9, time_limit_s=4.0)

    report = train(ROWS, options, elapsed_s=lambda: float(next(now_s))).report

    assert [(fit["name"], fit["epochs"], fit["stopped"]) for fit in report] == [
        ("model-1", 2, "time"),
        ("model-2", 1, "time"),
    ]


@needs_torch
def test_members_are_tuned_from_those_of_the_parent_and_from_nothing_else() -> None:
    parent = read_artefact(train(ROWS, replace(NETWORK, seeds=2)).data)
    tuned_options = replace(NETWORK, seeds=2, is_fine_tuned=True, epochs=1)

    made = read_artefact(train(ROWS, tuned_options, parent=parent).data)

    for number in range(2):
        alone = replace(NETWORK, seed=NETWORK.seed + number, is_fine_tuned=True, epochs=1)
        one = read_artefact(train(ROWS, alone, parent=parent.member(number)).data)
        name = "recurrent_weights"
        assert made.member(number).tensors[name].tobytes() == one.tensors[name].tobytes()
    with pytest.raises(DataError, match=r"the parent's seeds 2 is not 3; train afresh"):
        train(ROWS, replace(tuned_options, seeds=3), parent=parent)


def test_spread_by_hand() -> None:
    told = spread_over_seeds(np.array([1.0, 0.0]), np.array([[0.5, 0.5], [0.7, 0.5]]))

    half, other = np.log(2.0), 0.5 * (-np.log(0.7) + np.log(2.0))
    assert told["seeds"] == 2
    assert told["seed_spread"] == pytest.approx(0.5 * (0.1 + 0.0))
    assert told["seed_log_loss"] == pytest.approx(0.5 * (half + other))
    assert told["seed_log_loss_highest"] == pytest.approx(half)
