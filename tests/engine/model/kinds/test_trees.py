"""Boosted trees: the kernel is the library to the last bit, the same rows give the same bytes, and nothing is learnt from noise."""

import builtins
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.jit import FloatArray
from papertape.engine.model import TrainingOptions, read_artefact, train
from papertape.engine.model.inference.current import read_rows
from papertape.engine.model.kinds import trees
from papertape.engine.model.scores import scores
from papertape.engine.model.training.boosting import NO_LIGHTGBM, Examples, arrays, fit_trees
from papertape.engine.model.training.prepare import prepare
from papertape.engine.model.training.torch_fit import Epoch, FitWatch
from tests.support.helpers import needs_lightgbm
from tests.support.planted import FEATURES, bayes_log_loss, planted
from tests.support.stepping import rows, stepped

pytestmark = needs_lightgbm
OPTIONS = TrainingOptions(kind="lightgbm", features=FEATURES, label="direction", horizon_bars=1)


def examples(n: int, seed: int, edge: float = 1.0) -> Examples:
    """Return rows whose first two inputs multiplied lean the outcome, of unequal weight."""
    random = np.random.default_rng(seed)
    x = rows(n, 5, seed)
    y = (edge * x[:, 0] * x[:, 1] + random.logistic(size=n) > 0.0).astype(np.float64)
    return Examples(x, y, random.uniform(0.1, 1.0, n))


def in_order(tensors: Mapping[str, FloatArray], sizes: Mapping[str, int]) -> dict[str, FloatArray]:
    return {name: tensors[name] for name in trees.shapes(5, sizes)}


@pytest.mark.parametrize(("n_trees", "depth"), [(1, 1), (7, 3), (40, 4), (20, 8)])
def test_the_kernel_says_what_the_library_says_to_the_last_bit(n_trees: int, depth: int) -> None:
    import lightgbm

    learnt = examples(1_500, 1)
    settings = {
        "objective": "binary",
        "max_depth": depth,
        "num_leaves": 2**depth,
        "min_data_in_leaf": 3,
        "verbosity": -1,
        "num_threads": 1,
    }
    booster = lightgbm.train(settings, lightgbm.Dataset(learnt.x, learnt.y), n_trees)
    grown = [entry["tree_structure"] for entry in booster.dump_model()["tree_info"]]
    sizes = {"trees": n_trees + 2, "depth": depth}  # two of them stay empty

    tensors = arrays(grown, sizes) | {"bias": np.array([0.25])}

    # rows that it saw, which lie on its thresholds' sides, others, and the extremes that the clip leaves
    x = np.concatenate([learnt.x, rows(500, 5, 2), np.full((1, 5), 8.0), np.full((1, 5), -8.0)])
    z = stepped(trees, in_order(tensors, sizes), x, sizes)
    want = np.asarray(booster.predict(x, raw_score=True)) + 0.25
    assert z.tobytes() == want.tobytes()
    assert len(np.unique(z)) > min(n_trees, 30)


def test_any_number_of_threads_gives_the_same_trees_and_another_seed_others() -> None:
    parts = (examples(2_000, 1), examples(500, 2))

    def fitted(seed: int, threads: int) -> bytes:
        options = TrainingOptions(kind="lightgbm", seed=seed, sizes={"trees": 8}, patience=100)
        tensors = fit_trees(parts, options, threads=threads).tensors
        return b"".join(value.tobytes() for value in tensors.values())

    one = fitted(1, 1)
    assert fitted(1, 3) == fitted(1, 1) == one
    assert fitted(2, 1) != one


def test_trees_stop_where_later_rows_gain_no_more_and_when_time_is_up() -> None:
    parts = (examples(2_000, 1), examples(500, 2))
    told: list[Epoch] = []

    found = fit_trees(
        parts, TrainingOptions(kind="lightgbm", sizes={"trees": 400}), watch=FitWatch(told.append)
    )
    assert found.stopped == "patience"
    assert found.epochs == found.best + 10 == len(told)
    assert found.best == 1 + int(np.argmin([epoch.loss_validate for epoch in told]))
    assert found.loss_validate == min(epoch.loss_validate for epoch in told)
    assert not found.tensors["values"][found.best :].any()

    cut = fit_trees(parts, TrainingOptions(kind="lightgbm"), watch=FitWatch(None, lambda: True))
    assert (cut.stopped, cut.best) == ("time", 0)
    rate = np.average(parts[0].y, weights=parts[0].weights)
    assert cut.tensors["bias"] == pytest.approx([np.log(rate / (1.0 - rate))])
    assert not cut.tensors["values"].any()


@pytest.mark.parametrize("edge", [1.5, 0.0])
def test_an_edge_is_found_and_noise_teaches_next_to_nothing(edge: float) -> None:
    data = train(planted(3_000, edge=edge), OPTIONS).data
    unseen = planted(4_000, edge=edge, seed=2)
    ready = prepare(unseen, OPTIONS)

    p, _ = read_rows(read_artefact(data), unseen.symbols[0], ready.x[0])

    is_labelled = ~np.isnan(ready.y[0])
    found = scores(ready.y[0][is_labelled], p[is_labelled]).log_loss
    # 4,000 rows know a log-loss to ±0.01; steps in place of a line, learnt from 2,100 rows, cost some more
    best = bayes_log_loss(edge)
    assert best - 0.02 < found < best + (0.05 if edge else 0.01)


def test_each_symbol_may_have_trees_of_its_own() -> None:
    dataset = planted(1_500, n_symbols=2)

    artefact = read_artefact(
        train(dataset, TrainingOptions(**{**OPTIONS.to_json(), "is_per_symbol": True})).data
    )

    one, other = (artefact.weights_for(symbol) for symbol in dataset.symbols)
    assert artefact.tensors["values"].shape == (2, 100, 16)
    assert one.tobytes() != other.tobytes()


def test_without_the_library_it_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def lacking(name: str, *rest: Any) -> Any:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ConfigError) as refused:
        train(planted(), OPTIONS)

    assert str(refused.value) == NO_LIGHTGBM
