"""exp and the logistic function: right to the last place, and the same bits with and without the compiler."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from papertape.engine.model.functions import add_products, decay, exponential, sigmoid, tanh

ROOT = Path(__file__).resolve().parents[3]


@settings(deadline=None)  # the first call compiles
@given(st.floats(-700.0, 700.0))
def test_exponential_is_within_one_unit_in_the_last_place(x: float) -> None:
    exact = math.exp(x)

    assert abs(exponential(x) - exact) <= math.ulp(exact)


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_sigmoid_equals_another_implementation(z: float) -> None:
    assert sigmoid(z) == pytest.approx(float(expit(z)), rel=5e-16 * 4, abs=1e-300)


@settings(deadline=None)
@given(st.floats(-700.0, 700.0), st.floats(0.0, 1.0))
def test_sigmoid_never_falls(z: float, more: float) -> None:
    assert sigmoid(z + more) >= sigmoid(z) - 3e-16


def test_sigmoid_at_the_ends() -> None:
    assert sigmoid(0.0) == 0.5
    assert sigmoid(math.inf) == 1.0
    assert sigmoid(-math.inf) < 1e-300
    assert math.isnan(sigmoid(math.nan))


PROGRAM = """
import json
import numpy as np
from papertape.engine.model.functions import sigmoid
random = np.random.default_rng(3)
values = np.concatenate([random.normal(0.0, 3.0, 20_000), random.uniform(-750.0, 750.0, 20_000)])
values[:3] = np.nan, np.inf, -np.inf
print(json.dumps([float(sigmoid(float(z))).hex() for z in values]))
"""


def test_sigmoid_has_the_same_bits_without_the_compiler() -> None:
    said = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "NUMBA_DISABLE_JIT": off, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        ).stdout
        for off in ("0", "1")
    ]

    assert len(json.loads(said[0])) == 40_000
    assert said[0] == said[1]
    assert np.isfinite([float.fromhex(text) for text in json.loads(said[0])]).sum() == 40_000 - 1


@settings(deadline=None)
@given(st.floats(allow_nan=False))
def test_tanh_is_right_and_never_beyond_one(x: float) -> None:
    assert abs(tanh(x) - math.tanh(x)) < 1e-14
    assert abs(tanh(x)) <= 1.0
    assert tanh(-x) == -tanh(x)


@settings(deadline=None)
@given(st.floats(-1e-3, 1e-3))
def test_tanh_is_as_fine_near_zero(x: float) -> None:
    assert tanh(x) == pytest.approx(math.tanh(x), rel=1e-14, abs=1e-300)


@settings(deadline=None)
@given(st.floats(-1e300, 0.0))
def test_decay_is_right(x: float) -> None:
    assert abs(decay(x) - math.exp(x)) < 1e-13
    assert 0.0 < decay(x) <= 1.0


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 1000))
def test_sums_of_products_are_added_input_after_input(n: int, n_inputs: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    start, x, w = random.normal(size=n), random.normal(size=n_inputs), random.normal(size=(n_inputs, n))

    found = start.copy()
    add_products(found, x, w.reshape(-1))
    want = start.copy()
    for j in range(n_inputs):
        want = want + x[j] * w[j]
    assert found.tobytes() == want.tobytes()
