"""
What models cost: a kernel step of each kind beside torch stepping one row at a time, an epoch of training, and a replay.

Sizes are the kinds' defaults, on 32 inputs; trees are a hundred random ones, and a replay is measured with every kind. Times are of the processor and the best of several runs, so that a busy machine
counts less; one thread. Every step of a network is compared with torch before anything is timed.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any, Final

import numpy as np

from papertape.engine.core import Engine
from papertape.engine.events import NewModel
from papertape.engine.features import plan_features
from papertape.engine.jit import FloatArray
from papertape.engine.jit.dispatch import Kernel
from papertape.engine.model import ModelRecord, write_artefact
from papertape.engine.model.kinds import cnn_lstm, logistic, lstm, transformer, trees
from tests.bench.candles import make
from tests.bench.work import TECHNICAL, everything

N_INPUTS: Final = 32
# Microseconds a step may take, by kind; candles per second of a replay that must be reached, and what we aim at.
STEP_US: Final = {lstm: 1.0, cnn_lstm: 2.5, transformer: 10.0}
TREES_US: Final = 3.0  # of a hundred of them
REPLAY: Final = (0.2e6, 0.4e6)
_BLOCK: Final = 2048
_TRAINING_ROWS: Final = 2_160  # ninety days of hours


def best_of(work: Callable[[], Any], runs: int) -> float:
    """Return the fewest processor seconds of several runs after one that is not counted."""
    work()
    seconds = []
    for _ in range(runs):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def _aligned(weights: dict[str, FloatArray]) -> FloatArray:
    """Return a flat weight vector that begins where a vector register's line of memory does."""
    flat = np.concatenate([value.reshape(-1) for value in weights.values()])
    room = np.empty(len(flat) + 8)
    first = -room.ctypes.data // 8 % 8
    room[first : first + len(flat)] = flat
    return room[first : first + len(flat)]


def kernel_steps(kind: ModuleType, weights: dict[str, FloatArray], x: FloatArray) -> Any:
    """Return a function that steps from a zero state through all rows and returns the log-odds."""
    step = kind.step
    numbers = np.array(list(kind.SIZES.values()), np.int64)
    vector = _aligned(weights)
    state = np.zeros(kind.state_length(N_INPUTS, kind.SIZES))
    work = np.zeros(kind.work_length(N_INPUTS, kind.SIZES))

    @Kernel
    def loop(x, weights, sizes, state, work, z):  # type: ignore[no-untyped-def]
        for k in range(len(x)):
            z[k] = step(x[k], x.shape[1], weights, 0, sizes, state, work)

    def run() -> FloatArray:
        state[:] = 0.0
        z = np.zeros(len(x))
        loop(x, vector, numbers, state, work, z)
        return z

    return run


def torch_steps(weights: dict[str, FloatArray], x: FloatArray) -> Callable[[], None]:
    """
    Return a function that steps through all rows with torch's own LSTM cell, as a live loop over a trained net would.

    It stands beside every kind: a convolution or a transformer would need still more calls for a row.
    """
    import torch

    cell = torch.nn.LSTMCell(N_INPUTS, weights["recurrent_weights"].shape[0])
    output = torch.nn.Linear(weights["recurrent_weights"].shape[0], 1)
    rows = torch.from_numpy(x).float()

    def run() -> None:
        with torch.inference_mode():
            state = None
            for k in range(len(rows)):
                state = cell(rows[k : k + 1], state)
                output(state[0])

    return run


def step_costs(kind: ModuleType, torch_us: float, n: int, runs: int) -> dict[str, Any]:
    """Measure one kind, after its log-odds were found to equal torch's."""
    import torch

    weights = kind.initial(N_INPUTS, kind.SIZES, 7)
    x = np.clip(np.random.default_rng(7).normal(size=(n, N_INPUTS)), -8.0, 8.0)
    run = kernel_steps(kind, weights, x)
    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    with torch.inference_mode():
        want = kind.forward(tensors, torch.from_numpy(x)[None], kind.SIZES)[0].numpy()
    difference = float(np.abs(run() - want).max())
    assert difference < 1e-6
    us = best_of(run, runs) / n * 1e6
    return {
        "work": f"{kind.__name__.rsplit('.')[-1]} step, µs",
        "kernel": us,
        "torch_lstm": torch_us,
        "times_faster": torch_us / us,
        "must": STEP_US[kind],
        "aim": STEP_US[kind] / 2.0,
        "epoch_ms": epoch_ms(kind, runs),
        "is_met": us <= STEP_US[kind],
    }


def random_trees(n: int) -> dict[str, FloatArray]:
    """Return whole trees of random splits: no two rows go the same way, which is the worst there is for a processor."""
    random = np.random.default_rng(7)
    shapes = trees.shapes(N_INPUTS, {**trees.SIZES, "trees": n})
    values = {name: random.normal(size=shape) for name, shape in shapes.items()}
    values["split_inputs"] = random.integers(0, N_INPUTS, shapes["split_inputs"]).astype(float)
    return values


def tree_costs(n: int, runs: int) -> dict[str, Any]:
    """Measure a step of a hundred trees, after they were walked node by node."""
    weights = random_trees(trees.SIZES["trees"])
    x = np.clip(np.random.default_rng(7).normal(size=(n, N_INPUTS)), -8.0, 8.0)
    run = kernel_steps(trees, weights, x)
    assert run()[:20].tolist() == [_walked(weights, row) for row in x[:20]]
    us = best_of(run, runs) / n * 1e6
    return {
        "work": "lightgbm step (100 trees), µs",
        "kernel": us,
        "must": TREES_US,
        "aim": TREES_US / 2.0,
        "is_met": us <= TREES_US,
    }


def _walked(weights: dict[str, FloatArray], row: FloatArray) -> float:
    """Return what whole trees say of a row, by comparing and descending."""
    total = 0.0
    for split, threshold, leaves in zip(
        weights["split_inputs"], weights["thresholds"], weights["values"], strict=True
    ):
        node = 0
        while node < len(split):
            node = 2 * node + 1 + int(row[int(split[node])] > threshold[node])
        total += leaves[node - len(split)]
    return float(total + weights["bias"][0])


def epoch_ms(kind: ModuleType, runs: int) -> float:
    """Return milliseconds of forward and backward over ninety days of hours in one sequence, in float32."""
    import torch

    weights = {
        name: torch.tensor(value, dtype=torch.float32, requires_grad=True)
        for name, value in kind.initial(N_INPUTS, kind.SIZES, 7).items()
    }
    x = torch.randn(1, _TRAINING_ROWS, N_INPUTS, generator=torch.Generator().manual_seed(7))
    y = (x[..., 0] > 0.0).float()

    def work() -> None:
        z = kind.forward(weights, x, kind.SIZES)
        torch.nn.functional.binary_cross_entropy_with_logits(z, y).backward()

    return best_of(work, runs) * 1e3


def _requests() -> tuple[str, ...]:
    """Return technical features that together give at least as many columns as a model reads."""
    for count in range(1, len(TECHNICAL) + 1):
        if len(plan_features(TECHNICAL[:count], 60_000).columns) >= N_INPUTS:
            return TECHNICAL[:count]
    raise AssertionError("too few technical features")


def _kinds() -> dict[str, tuple[dict[str, int], dict[str, FloatArray]]]:
    """Return sizes and weights of a model of every kind, by name."""
    networks = {"lstm": lstm, "cnn_lstm": cnn_lstm, "transformer": transformer}
    found = {
        name: (dict(kind.SIZES), kind.initial(N_INPUTS, kind.SIZES, 7)) for name, kind in networks.items()
    }
    shapes = logistic.shapes(N_INPUTS, {})
    found["logistic"] = ({}, {name: np.full(shape, 0.1) for name, shape in shapes.items()})
    found["lightgbm"] = (dict(trees.SIZES), random_trees(trees.SIZES["trees"]))
    return found


def replays(n: int, runs: int) -> list[dict[str, Any]]:
    """Measure an engine with every feature, structure and a model of each kind on every candle."""
    requests = _requests()
    columns = tuple(plan_features(requests, 60_000).columns)[:N_INPUTS]
    candles = make(n)
    answered = [0]

    def run(artefact: bytes | None) -> None:
        spec = everything(use_smc=True)
        engine = Engine(spec if artefact is None else replace(spec, model_features=requests))
        if artefact is not None:
            engine.step(NewModel(1, artefact))
        answered[0] = 0
        for first in range(0, n, _BLOCK):
            report = engine.step(candles[first : first + _BLOCK])
            answered[0] += int(np.isfinite(report.predictions["probability"]).sum())

    without = best_of(lambda: run(None), runs)
    lines = []
    for kind, (sizes, weights) in _kinds().items():
        record = ModelRecord(kind, requests, "1m", 24, inputs=columns, sizes=sizes)
        tensors = {
            "mean": np.zeros((1, N_INPUTS)),
            "scale": np.full((1, N_INPUTS), 1e3),
            "temperature": np.ones(1),
            **weights,
        }
        artefact = write_artefact(record, tensors)
        with_model = best_of(lambda data=artefact: run(data), runs)
        assert answered[0] > 0.9 * n
        # the transformer's step alone may take what a whole candle may
        must = REPLAY if kind != "transformer" else tuple(value / 2.0 for value in REPLAY)
        lines.append(
            {
                "work": f"replay with {kind} on every candle",
                "candles_per_s": n / with_model,
                "without_model_per_s": n / without,
                "must": must[0],
                "aim": must[1],
                "is_met": n / with_model >= must[0],
            }
        )
    return lines


def speeds(n: int = 100_000, runs: int = 5) -> list[dict[str, Any]]:
    """Return the lines of the table: every kind, then the replay of `n` candles."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    steps = max(1_000, n // 10)
    x = np.random.default_rng(7).normal(size=(steps // 5, N_INPUTS))
    stepping = torch_steps(lstm.initial(N_INPUTS, lstm.SIZES, 7), x)
    torch_us = best_of(stepping, 2) / len(x) * 1e6
    lines = [step_costs(kind, torch_us, steps, 2 * runs) for kind in STEP_US]
    torch.set_num_threads(before)
    lines.append(tree_costs(steps, 2 * runs))
    return [*lines, *replays(n, max(2, runs // 2))]
