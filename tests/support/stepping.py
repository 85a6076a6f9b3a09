"""What the tests of the kinds share: steps over a sequence, weights as tensors, the same in torch, without the compiler."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from papertape.engine.jit import FloatArray

ROOT = Path(__file__).resolve().parents[2]


def flat(kind: ModuleType, weights: Mapping[str, FloatArray]) -> FloatArray:
    """Return a weight vector in which the kind's own tensors begin at 3."""
    return np.concatenate([np.full(3, np.nan), *(value.reshape(-1) for value in weights.values())])


def zero_state(kind: ModuleType, n_inputs: int, sizes: Mapping[str, int]) -> FloatArray:
    """Return the state before the first close."""
    return np.zeros(kind.state_length(n_inputs, sizes))


def stepped(
    kind: ModuleType,
    weights: Mapping[str, FloatArray],
    x: FloatArray,
    sizes: Mapping[str, int],
    state: FloatArray | None = None,
) -> FloatArray:
    """Return the log-odds (time,) of rows (time, n_inputs), one kernel step after the other."""
    n_inputs = x.shape[1]
    if state is None:
        state = zero_state(kind, n_inputs, sizes)
    vector = flat(kind, weights)
    numbers = np.array([sizes[name] for name in kind.SIZES], np.int64)
    work = np.full(kind.work_length(n_inputs, sizes), np.nan)  # scratch: nothing in it is read
    return np.array([kind.step(row, n_inputs, vector, 3, numbers, state, work) for row in x])


def in_torch(
    kind: ModuleType, weights: Mapping[str, FloatArray], x: FloatArray, sizes: Mapping[str, int]
) -> FloatArray:
    """Return the same log-odds from `forward` in float64."""
    import torch

    with torch.no_grad():
        tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
        result: FloatArray = kind.forward(tensors, torch.from_numpy(x)[None], sizes)[0].numpy()
    return result


def rows(n: int, n_inputs: int, seed: int) -> FloatArray:
    """Return scaled inputs that wander, as features do, with a few at the clip."""
    random = np.random.default_rng(seed)
    x = np.empty((n, n_inputs))
    x[0] = random.normal(size=n_inputs)
    for t in range(1, n):
        x[t] = 0.9 * x[t - 1] + 0.44 * random.normal(size=n_inputs)
    return np.clip(x * np.exp(random.normal(0.0, 0.3, (n, 1))), -8.0, 8.0)


PROGRAM = """
import importlib
import numpy as np
from tests.support.stepping import rows, stepped
for name, sizes in {kinds}.items():
    kind = importlib.import_module("papertape.engine.model.kinds." + name)
    weights = {{name: value + 0.1 for name, value in kind.initial(5, sizes, 3).items()}}
    z = stepped(kind, weights, rows(50, 5, 4), sizes)
    assert np.isfinite(z).all() and len(set(z)) == 50
    print(z.tobytes().hex())
"""


def said_with_and_without_compiler(kinds: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return the bits of fifty steps of every kind (a line each), jitted and plain."""
    return [
        subprocess.run(
            [sys.executable, "-c", PROGRAM.format(kinds=dict(kinds))],
            env={**os.environ, "NUMBA_DISABLE_JIT": off, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        ).stdout
        for off in ("0", "1")
    ]


def dependence(kind: ModuleType, x: FloatArray, sizes: Mapping[str, int], of: int) -> FloatArray:
    """Return Σ |d z[of] / d x[t, ·]| for every row t, from torch: what a log-odds depends on."""
    import torch

    tensors = {k: torch.from_numpy(v) for k, v in kind.initial(x.shape[1], sizes, 1).items()}
    rows = torch.from_numpy(x)[None].requires_grad_()
    kind.forward(tensors, rows, sizes)[0, of].backward()
    assert rows.grad is not None
    result: FloatArray = rows.grad[0].abs().sum(dim=1).numpy()
    return result


def weight_gradients(
    kind: ModuleType, x: FloatArray, sizes: Mapping[str, int], precision: str
) -> dict[str, FloatArray]:
    """Return the gradients of Σ z² / n by the weights, computed in `float32` or `float64`."""
    import torch

    dtype = getattr(torch, precision)
    tensors = {
        name: torch.tensor(value, dtype=dtype, requires_grad=True)
        for name, value in kind.initial(x.shape[1], sizes, 1).items()
    }
    kind.forward(tensors, torch.tensor(x, dtype=dtype)[None], sizes).square().mean().backward()
    return {name: tensor.grad.double().numpy() for name, tensor in tensors.items()}  # type: ignore[union-attr]
