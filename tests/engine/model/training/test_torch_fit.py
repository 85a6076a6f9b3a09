"""Training in torch: the same bytes again, after a cut, in the time allowed; and an edge only where there is one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.errors import ConfigError
from papertape.engine.model import TrainingOptions, read_artefact, train
from papertape.engine.model.calibrate import log_loss
from papertape.engine.model.training.diagnostics import log_odds, probabilities
from papertape.engine.model.training.prepare import Prepared, prepare, scaled, scaling, sequences
from papertape.engine.model.training.torch_fit import NETWORKS, Arrays, Epoch, TorchTrainer
from tests.support.helpers import needs_torch
from tests.support.planted import FEATURES, planted

pytestmark = needs_torch
SIZES: dict[str, dict[str, int]] = {
    "lstm": {"hidden": 4},
    "cnn_lstm": {"channels": 4, "hidden": 4},
    "transformer": {"layers": 1, "heads": 2, "width": 4, "window": 8},
}
OPTIONS = TrainingOptions(
    kind="lstm",
    features=FEATURES,
    sizes=SIZES["lstm"],
    label="direction",
    horizon_bars=1,
    embargo_bars=0,
    epochs=3,
    sequence=16,
    burn_in=8,
    device="cpu",
)
ROWS = 400


class Kept:
    """A checkpoint store in memory that copies what it is given."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Arrays, dict[str, Any]]] = {}

    def save(self, name: str, arrays: Arrays, values: dict[str, Any]) -> None:
        self.kept[name] = ({key: value.copy() for key, value in arrays.items()}, dict(values))

    def load(self, name: str) -> tuple[Arrays, dict[str, Any]] | None:
        return self.kept.get(name)


class Killed(Exception):
    """Stands for the end of the process."""


def kill_after(number: int) -> Callable[[Epoch], None]:
    def look(epoch: Epoch) -> None:
        if epoch.number == number:
            raise Killed

    return look


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_the_same_rows_and_seed_give_the_same_bytes_whatever_the_threads(kind: str) -> None:
    import torch

    options = replace(OPTIONS, kind=kind, sizes=SIZES[kind], epochs=4, learning_rate=2e-2)
    threads = torch.get_num_threads()

    first = train(planted(ROWS, n_symbols=2), options).data
    torch.set_num_threads(2)
    try:
        again = train(planted(ROWS, n_symbols=2), options).data
        other = train(planted(ROWS, n_symbols=2), replace(options, seed=8)).data
        assert torch.get_num_threads() == 2  # as it was found
    finally:
        torch.set_num_threads(threads)

    assert first == again
    assert read_artefact(first).tensors["output_weights"].tobytes() != (
        read_artefact(other).tensors["output_weights"].tobytes()
    )


@pytest.mark.parametrize("epoch", [1, 2])
def test_training_that_was_cut_off_ends_in_the_bytes_of_one_that_was_not(epoch: int) -> None:
    dataset, options = planted(ROWS, n_symbols=2), replace(OPTIONS, is_per_symbol=True)
    whole = train(dataset, options)
    store, seen = Kept(), []

    with pytest.raises(Killed):
        train(dataset, options, checkpoint=store, on_epoch=kill_after(epoch))
    resumed = train(dataset, options, checkpoint=store, on_epoch=seen.append)

    assert resumed == whole
    # The first symbol goes on behind its last epoch, the second begins.
    assert [(e.name, e.number) for e in seen] == [
        *(("AAAUSDT", number) for number in range(epoch + 1, 4)),
        *(("BBBUSDT", number) for number in range(1, 4)),
    ]


def test_checkpoint_of_another_training_is_left_alone() -> None:
    dataset, store = planted(ROWS), Kept()
    train(dataset, OPTIONS, checkpoint=store)

    other = replace(OPTIONS, learning_rate=1e-2)

    assert train(dataset, other, checkpoint=store) == train(dataset, other)


def test_time_limit_keeps_the_best_epoch_so_far_and_says_so() -> None:
    ticks = iter([0.0, 5.0, 11.0])
    options = replace(OPTIONS, time_limit_s=10.0)

    trained = train(planted(ROWS), options, elapsed_s=lambda: next(ticks))

    assert trained.report[0]["stopped"] == "time"
    assert trained.report[0]["epochs"] == 2
    metrics = read_artefact(trained.data).record.metrics
    assert (metrics["is_cut_short"], metrics["fit_epochs"]) == (1.0, 2.0)


def test_patience_ends_a_training_that_gets_no_better() -> None:
    # Steps of this size only throw the weights about; the best are those it began with or soon after.
    options = replace(OPTIONS, learning_rate=5.0, epochs=30, patience=2)

    fit = train(planted(ROWS, edge=0.0), options).report[0]

    assert fit["stopped"] == "patience"
    assert fit["epochs"] == fit["best"] + 2


def test_validation_loss_is_that_of_the_kernel_on_the_same_weights() -> None:
    dataset = planted(ROWS)
    options = replace(OPTIONS, burn_in=ROWS)  # windows that read all of the past, as the kernel does

    trained = train(dataset, options)

    artefact, ready = read_artefact(trained.data), prepare(dataset, options)
    z = log_odds(probabilities(artefact, dataset.symbols, ready.x))
    z *= artefact.tensors["temperature"][0]
    mask = ready.validate
    by_kernel = log_loss(z[mask], ready.y[mask], ready.weights[mask])
    assert trained.report[0]["loss_validate"] == pytest.approx(by_kernel, abs=2e-6)


def test_training_begins_at_the_base_rate_and_tuning_at_the_parent() -> None:
    dataset = planted(ROWS)
    parent = read_artefact(train(dataset, OPTIONS).data)
    # a learning rate that moves nothing, so the best weights are those it began with
    options = replace(OPTIONS, learning_rate=1e-12, epochs=1)
    ready = prepare(dataset, options)
    rate = np.average(ready.y[ready.train], weights=ready.weights[ready.train])

    fresh = read_artefact(train(dataset, options).data)
    tuned = read_artefact(train(dataset, replace(options, is_fine_tuned=True), parent=parent).data)

    assert np.abs(fresh.tensors["output_weights"]).max() < 1e-9
    assert fresh.tensors["output_bias"][0] == pytest.approx(np.log(rate / (1.0 - rate)), abs=1e-6)
    for name in NETWORKS["lstm"].initial(3, SIZES["lstm"], 7):
        assert tuned.tensors[name] == pytest.approx(parent.tensors[name], abs=1e-6)


def test_device_that_is_not_there_is_refused() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")

    with pytest.raises(ConfigError, match=r"training.device: there is no CUDA device here"):
        train(planted(ROWS), replace(OPTIONS, device="cuda"))


class Wavering:
    """An LSTM on a device that never says the same twice."""

    initial = staticmethod(NETWORKS["lstm"].initial)

    def __init__(self) -> None:
        self.n_calls = 0

    def forward(self, weights: Any, x: Any, sizes: Any) -> Any:
        self.n_calls += 1
        return NETWORKS["lstm"].forward(weights, x, sizes) + 0.01 * self.n_calls


@pytest.mark.parametrize(("network", "agrees"), [(NETWORKS["lstm"], True), (Wavering(), False)])
def test_device_whose_log_odds_are_not_those_of_the_cpu_is_noticed(network: Any, agrees: bool) -> None:
    import torch

    ready: Prepared = prepare(planted(ROWS), OPTIONS)
    x = scaled(ready.x, *scaling(ready))
    windows = tuple(sequences(x, ready, mask, 16, 8) for mask in (ready.train, ready.validate))
    start = network.initial(3, SIZES["lstm"], 7)

    trainer = TorchTrainer(network, start, windows, OPTIONS, "model", torch.device("cpu"))

    assert trainer.agrees_with_cpu() is agrees


@pytest.mark.parametrize(
    "kind", ["lstm", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("cnn_lstm", "transformer"))]
)
def test_planted_edge_is_learnt_and_shuffled_inputs_teach_nothing(kind: str) -> None:
    options = replace(OPTIONS, kind=kind, sizes={**SIZES[kind]}, epochs=40, patience=10, learning_rate=1e-2)
    dataset = planted(2_000)
    order = np.random.default_rng(3).permutation(2_000)
    shuffled = dataset._replace(x=dataset.x[:, order])

    metrics = read_artefact(train(dataset, options).data).record.metrics
    chance = read_artefact(train(shuffled, options).data).record.metrics

    # Bayes: 0.50 against 0.69 for the base rate; 300 rows know it to ±0.03.
    assert metrics["calibrate_log_loss"] < metrics["calibrate_log_loss_base_rate"] - 0.1
    assert chance["calibrate_log_loss"] > chance["calibrate_log_loss_base_rate"] - 0.02
