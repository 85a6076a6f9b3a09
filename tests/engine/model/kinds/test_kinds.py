"""What holds for every kind: torch and kernel agree, in any cut, with and without the compiler, and none looks ahead."""

import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.model.kinds import KINDS, cnn_lstm, lstm, transformer
from tests.support.helpers import needs_torch
from tests.support.stepping import (
    in_torch,
    rows,
    said_with_and_without_compiler,
    stepped,
    weight_gradients,
    zero_state,
)

N_INPUTS = 5
SMALL = {
    lstm: {"hidden": 6},
    cnn_lstm: {"channels": 5, "kernel": 3, "hidden": 6},
    transformer: {"layers": 2, "heads": 2, "width": 8, "window": 7},
}
SEQUENTIAL = pytest.mark.parametrize("kind", list(SMALL), ids=lambda kind: kind.__name__.rsplit(".")[-1])


@SEQUENTIAL
@pytest.mark.parametrize("scale", [1.0, 3.0])
@needs_torch
def test_torch_and_kernel_agree_over_ten_thousand_steps(kind: ModuleType, scale: float) -> None:
    """At scale 3 gates and softmax saturate; sums there are large, and so is what rounding does to them."""
    weights = {name: scale * value for name, value in kind.initial(32, kind.SIZES, 2).items()}
    x = rows(10_000, 32, 5)

    z = stepped(kind, weights, x, kind.SIZES)
    assert z.std() > 0.1
    assert np.abs(z - in_torch(kind, weights, x, kind.SIZES)).max() < 1e-9


@SEQUENTIAL
@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(0, 60), max_size=4), seed=st.integers(0, 1000))
def test_a_sequence_cut_anywhere_gives_the_same_bits(kind: ModuleType, cuts: list[int], seed: int) -> None:
    sizes = SMALL[kind]
    weights, x = kind.initial(N_INPUTS, sizes, seed), rows(60, N_INPUTS, seed)
    state = zero_state(kind, N_INPUTS, sizes)

    edges = [0, *sorted(cuts), 60]
    parts = [stepped(kind, weights, x[first:last], sizes, state) for first, last in itertools.pairwise(edges)]
    assert np.concatenate(parts).tobytes() == stepped(kind, weights, x, sizes).tobytes()


@SEQUENTIAL
def test_a_restored_state_is_the_whole_of_what_is_carried(kind: ModuleType) -> None:
    sizes = SMALL[kind]
    weights, x = kind.initial(N_INPUTS, sizes, 1), rows(40, N_INPUTS, 1)
    state = zero_state(kind, N_INPUTS, sizes)

    stepped(kind, weights, x[:25], sizes, state)
    restored = np.frombuffer(state.tobytes()).copy()
    rest = stepped(kind, weights, x[25:], sizes, restored)
    assert rest.tobytes() == stepped(kind, weights, x, sizes)[25:].tobytes()


def test_bits_are_the_same_without_the_compiler() -> None:
    names = {kind.__name__.rsplit(".")[-1]: sizes for kind, sizes in SMALL.items()}

    jitted, plain = said_with_and_without_compiler(names)
    assert [len(line) for line in jitted.splitlines()] == [50 * 8 * 2] * len(SMALL)
    assert jitted == plain


@SEQUENTIAL
@settings(deadline=None, max_examples=15)
@given(at=st.integers(0, 30), seed=st.integers(0, 1000))
@needs_torch
def test_what_comes_later_changes_nothing(kind: ModuleType, at: int, seed: int) -> None:
    sizes = SMALL[kind]
    weights, x = kind.initial(N_INPUTS, sizes, seed), rows(40, N_INPUTS, seed)
    changed = x.copy()
    changed[at:] = rows(40, N_INPUTS, seed + 1)[at:]

    for run in (stepped, in_torch):
        one, other = run(kind, weights, x, sizes), run(kind, weights, changed, sizes)
        np.testing.assert_array_equal(one[:at], other[:at])
        assert (one[at:] != other[at:]).any()


@SEQUENTIAL
@needs_torch
def test_a_batch_is_its_sequences_one_by_one(kind: ModuleType) -> None:
    import torch

    sizes = SMALL[kind]
    weights = kind.initial(N_INPUTS, sizes, 3)
    sequences = [rows(50, N_INPUTS, seed) for seed in range(4)]

    tensors = {name: torch.from_numpy(value) for name, value in weights.items()}
    together = kind.forward(tensors, torch.from_numpy(np.stack(sequences)), sizes).numpy()
    for x, z in zip(sequences, together, strict=True):
        np.testing.assert_allclose(z, stepped(kind, weights, x, sizes), rtol=0, atol=1e-11)


@SEQUENTIAL
@needs_torch
def test_single_precision_trains_on_the_same_gradients(kind: ModuleType) -> None:
    """In float32 torch takes another road through the LSTM than in float64."""
    x = rows(200, N_INPUTS, 6)

    exact = weight_gradients(kind, x, SMALL[kind], "float64")
    single = weight_gradients(kind, x, SMALL[kind], "float32")
    for name, gradient in exact.items():
        assert np.abs(gradient).max() > 0.0, name
        np.testing.assert_allclose(single[name], gradient, rtol=0, atol=1e-4 * np.abs(gradient).max())


@SEQUENTIAL
def test_starting_weights_have_the_shapes_and_a_sensible_scale(kind: ModuleType) -> None:
    weights = kind.initial(32, kind.SIZES, 4)

    shapes = kind.shapes(32, kind.SIZES)
    assert list(weights) == list(shapes)
    assert {name: value.shape for name, value in weights.items()} == shapes
    spread = stepped(kind, weights, rows(500, 32, 8), kind.SIZES).std()
    assert 0.02 < spread < 3.0


@pytest.mark.parametrize("name", list(KINDS))
def test_every_row_of_the_table_is_whole(name: str) -> None:
    kind = KINDS[name]

    assert kind.code in range(1, len(KINDS) + 1)
    assert len({row.code for row in KINDS.values()}) == len(KINDS)
    assert all(len(shape) > 0 for shape in kind.shapes(3, kind.sizes).values())
    assert {*kind.positive, *kind.places, *kind.output} <= set(kind.shapes(3, kind.sizes))


WITHOUT_TORCH = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda cls, name, *rest: None if name == "torch" else find(name, *rest))
"""


@pytest.mark.slow
def test_where_torch_is_not_installed_what_needs_it_is_skipped_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TORCH)
    here = Path(__file__).parent
    files = [str(here.parent / "training/test_torch_fit.py"), str(here / "test_transformer.py")]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-rs", *files],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        cwd=here.parents[3],
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout
    assert "networks are trained with torch (extra `train`), which is not installed" in done.stdout
    assert " skipped" in done.stdout.splitlines()[-1]
    assert " passed" in done.stdout.splitlines()[-1]  # the transformer's own, which need none
