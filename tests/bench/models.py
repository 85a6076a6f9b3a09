"""
What models cost: a kernel step of each kind beside torch stepping one row at a time, an epoch of training, and a replay.

Sizes are the kinds' defaults, on 32 inputs. Times are of the processor and the best of several runs, so that a busy machine
counts less; one thread. Every step is compared with torch before anything is timed.
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
from papertape.engine.model.kinds import cnn_lstm, lstm, transformer
from tests.bench.candles import make
from tests.bench.work import TECHNICAL, everything

N_INPUTS: Final = 32
# Microseconds a step may take, by kind; candles per second of a replay that must be reached, and what we aim at.
STEP_US: Final = {lstm: 1.0, cnn_lstm: 2.5, transformer: 10.0}
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


def replay(n: int, runs: int) -> dict[str, Any]:
    """Measure an engine with every feature, structure and a cnn_lstm on every candle."""
    requests = _requests()
    columns = tuple(plan_features(requests, 60_000).columns)[:N_INPUTS]
    record = ModelRecord("cnn_lstm", requests, "1m", 24, inputs=columns, sizes=dict(cnn_lstm.SIZES))
    tensors = {
        "mean": np.zeros((1, N_INPUTS)),
        "scale": np.full((1, N_INPUTS), 1e3),
        "temperature": np.ones(1),
        **cnn_lstm.initial(N_INPUTS, cnn_lstm.SIZES, 7),
    }
    artefact = write_artefact(record, tensors)
    candles = make(n)
    answered = [0]

    def run(has_model: bool) -> None:
        spec = everything(use_smc=True)
        engine = Engine(replace(spec, model_features=requests) if has_model else spec)
        if has_model:
            engine.step(NewModel(1, artefact))
        answered[0] = 0
        for first in range(0, n, _BLOCK):
            report = engine.step(candles[first : first + _BLOCK])
            answered[0] += int(np.isfinite(report.predictions["probability"]).sum())

    without, with_model = (best_of(lambda has=has: run(has), runs) for has in (False, True))
    assert answered[0] > 0.9 * n
    return {
        "work": "replay with cnn_lstm on every candle",
        "candles_per_s": n / with_model,
        "without_model_per_s": n / without,
        "must": REPLAY[0],
        "aim": REPLAY[1],
        "is_met": n / with_model >= REPLAY[0],
    }


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
    return [*lines, replay(n, max(2, runs // 2))]
