"""The same checks for every row of the feature table: causal, batch-free, restorable, scaling, never NaN once warm."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.errors import ConfigError
from papertape.engine.features import FEATURES, evaluate, perceive, plan_features, read_request
from papertape.engine.features.smc import EVENT
from papertape.engine.jit import FloatArray, Rows
from tests.support.helpers import make_candles, random_candles

# Every feature with its defaults, every one that can with its other start, and short and long windows.
REQUESTS = [
    *(name for name, row in FEATURES.items() if not row.is_series),
    *(f"{name}:first" for name, row in FEATURES.items() if row.has_first),
    "ema_2",
    "sma_200",
    "aroon_50",
    "donchian_3",
    "stochastic_14_1_5",
    "keltner_10_20_1.5",
    "log_return_24",
]
ROOT = Path(__file__).resolve().parents[3]


def columns_of(candles: Rows) -> FloatArray:
    names = ("open_ms", "open", "high", "low", "close", "volume")
    return np.ascontiguousarray(np.stack([candles[name].astype(float) for name in names]))


def in_batches(request: str, candles: Rows, batch: int, restart_at: int = -1) -> FloatArray:
    """Compute a feature as the engine does: a sliding history that forgets, any batch size, one restart."""
    plan = plan_features((request,))
    whole = columns_of(candles)
    state = plan.initial_state()
    out = np.full((len(plan.columns), len(candles)), np.nan)
    for start in range(0, len(candles), batch):
        stop = min(start + batch, len(candles))
        if start <= restart_at < stop:
            state = np.frombuffer(bytearray(state.tobytes()), plan.state_dtype)
        kept = min(plan.look_back, start)
        history = np.full((6, kept + stop - start), np.nan)
        history[:] = whole[:, start - kept : stop]
        part = np.full((len(plan.columns), stop - start), np.nan)
        slab = state.view(np.float64).reshape(-1)
        nobody, written = np.zeros(1, EVENT), np.zeros(1, np.int64)
        perceive(history, kept, kept + stop - start, start, plan, slab, part, nobody, written)
        out[:, start:stop] = part
    return out


def same_bits(a: FloatArray, b: FloatArray) -> bool:
    return np.array_equal(a, b, equal_nan=True)


@pytest.mark.parametrize("request_text", REQUESTS)
def test_any_batching_and_a_restart_give_the_same_bits(request_text: str) -> None:
    candles = random_candles(701, seed=5)
    whole = evaluate(request_text, candles)

    for batch in (1, 7, 64, 701):
        assert same_bits(in_batches(request_text, candles, batch, restart_at=300), whole)


@pytest.mark.parametrize("request_text", REQUESTS)
def test_prefix_and_scrambled_future_change_nothing_before(request_text: str) -> None:
    candles = random_candles(400, seed=6)
    other = random_candles(400, seed=7)
    whole = evaluate(request_text, candles)

    for cut in (1, 2, 37, 199, 399):
        scrambled = candles.copy()
        scrambled[cut:] = other[cut:]
        assert same_bits(evaluate(request_text, candles[:cut]), whole[:, :cut])
        assert same_bits(evaluate(request_text, scrambled)[:, :cut], whole[:, :cut])


def _hostile() -> dict[str, Rows]:
    flat = make_candles([(100.0, 100.0, 100.0, 100.0)] * 400)
    silent = random_candles(400, seed=8)
    silent["volume"] = 0.0
    crash = random_candles(400, seed=9)
    for name in ("open", "high", "low", "close"):
        crash[name][250:] /= 100.0
    falling = make_candles([(p, p, p - 0.01, p - 0.01) for p in np.linspace(500.0, 100.0, 400)])
    return {"flat": flat, "no volume": silent, "crash": crash, "falling": falling}


@pytest.mark.parametrize("kind", ["flat", "no volume", "crash", "falling"])
@pytest.mark.parametrize("request_text", REQUESTS)
def test_nan_exactly_while_warming_up(request_text: str, kind: str) -> None:
    read = read_request(request_text)
    warm = 0 if read.is_first else read.feature.warm_up_bars(read.values)

    values = evaluate(request_text, _hostile()[kind])

    assert np.isnan(values[:, :warm]).all()
    assert np.isfinite(values[:, warm:]).all()


@pytest.mark.parametrize("request_text", REQUESTS)
def test_value_scales_with_prices_and_volumes_as_the_table_says(request_text: str) -> None:
    feature = read_request(request_text).feature
    candles = random_candles(400, seed=10)
    plain = evaluate(request_text, candles)

    dearer, busier = candles.copy(), candles.copy()
    for name in ("open", "high", "low", "close"):
        dearer[name] *= 4.0  # a power of two: the same digits
    busier["volume"] *= 4.0

    by_price, by_volume = evaluate(request_text, dearer), evaluate(request_text, busier)
    for row, suffix in enumerate(feature.outputs):
        power = 0 if suffix in feature.flat_outputs else feature.price_power
        np.testing.assert_allclose(by_price[row], plain[row] * 4.0**power, rtol=1e-12)
        np.testing.assert_allclose(by_volume[row], plain[row] * 4.0**feature.volume_power, rtol=1e-12)


@pytest.mark.parametrize("request_text", [r for r in REQUESTS if not read_request(r).feature.is_clocked])
def test_a_shift_of_the_clock_changes_nothing(request_text: str) -> None:
    candles = random_candles(300, seed=11)
    later = candles.copy()
    later["open_ms"] += 12_345_678

    assert same_bits(evaluate(request_text, later), evaluate(request_text, candles))


@settings(max_examples=30, deadline=None)
@given(
    prices=st.lists(st.sampled_from([1.0, 1.5, 2.0, 99.0]), min_size=1, max_size=80), batch=st.integers(1, 80)
)
def test_ties_and_jumps_in_any_batching(prices: list[float], batch: int) -> None:
    candles = make_candles([(p, p, p, p) for p in prices])

    for request in REQUESTS:
        whole = evaluate(request, candles)
        assert same_bits(in_batches(request, candles, batch), whole)
        assert not np.isinf(whole).any()


def test_compiled_and_plain_python_give_the_same_bits(tmp_path: Path) -> None:
    candles = random_candles(90, seed=12)
    np.save(tmp_path / "candles.npy", np.frombuffer(candles.tobytes(), np.uint8))
    program = (
        "import sys, numpy as np\n"
        "from papertape.engine.candles import CANDLE\n"
        "from papertape.engine.features import evaluate\n"
        "candles = np.frombuffer(bytearray(np.load(sys.argv[1]).tobytes()), CANDLE)\n"
        "np.savez(sys.argv[2], *[evaluate(name, candles) for name in sys.argv[3:]])\n"
    )
    out = tmp_path / "plain.npz"
    command = [
        sys.executable,
        "-W",
        "error",
        "-c",
        program,
        str(tmp_path / "candles.npy"),
        str(out),
        *REQUESTS,
    ]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}

    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=120)

    plain = np.load(out)
    for number, request in enumerate(REQUESTS):
        assert same_bits(plain[f"arr_{number}"], evaluate(request, candles)), request


@pytest.mark.parametrize(
    ("request_text", "message"),
    [
        ("emma_12", "did you mean 'ema'"),
        ("ema_0", "period 0 is not between 1 and 5000"),
        ("ema_2.5", "not a whole number"),
        ("ema_x", "unknown feature"),
        ("macd_12", "write macd_fast_slow_signal"),
        ("macd_26_12_9", "fast 26 is not below slow 12"),
        ("sma_20:first", "no variant 'first'"),
        ("rsi_14_3", "write rsi_period"),
        ("until_5", "hours 5 divide no day evenly and are no week"),
        ("until_0.5", "hours 0.5 is not between 1 and 168"),
    ],
)
def test_request_that_makes_no_sense_is_refused(request_text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        plan_features((request_text,))


def test_plan_folds_duplicates_and_names_columns() -> None:
    plan = plan_features(("ema_12", "macd_12_26_9", "ema_12"))

    assert plan.columns == ("ema_12", "macd_12_26_9", "macd_12_26_9_signal", "macd_12_26_9_histogram")
    assert plan_features(()).columns == ()
