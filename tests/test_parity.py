"""
Parity: the same candles, configuration and strategy give the same decisions and fills, bit for bit.

Over every strategy: any batching, a restart anywhere, another hash seed, time zone, locale or thread count, without the
compiler, and the same strategy written in Python.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.core import Engine
from papertape.engine.jit import Rows
from papertape.engine.records import FLAT, KEEP, LONG, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import BracketW2, Confluence, Decision, EmaCross, RsiReversion
from tests.support.helpers import interleave, random_candles, run_all

ROOT = Path(__file__).resolve().parents[1]
PERPETUAL = {"is_perpetual": True, "tick_size": 0.01, "lot_size": 0.001}

STRATEGIES: dict[str, Callable[[], object]] = {
    "confluence": lambda: Confluence(confidence_threshold=0.3),
    "ema_cross": lambda: EmaCross(5, 12, allow_short=True),
    "bracket_w2": BracketW2,
    "rsi_reversion": lambda: RsiReversion(entry=30.0),
}


def make_engine(name: str, symbols: int = 1, base: str = "15m", frame: str = "1h") -> Engine:
    sizing = "all_in" if name == "ema_cross" else "risk"
    return Engine(
        EngineSpec(
            markets=[Market(f"S{i}", **PERPETUAL) for i in range(symbols)],
            strategy=STRATEGIES[name](),
            timeframe=frame,
            base_timeframe=base,
            settings=Settings(sizing, 0.01, leverage_cap=3.0),
            extra_features=("adx_14@4h", "donchian_20", "until_8", "until_24@4h"),
        )
    )


def candles_for(symbols: int, n: int = 3_000) -> Rows:
    return interleave([random_candles(n, seed=30 + s, timeframe="15m") for s in range(symbols)])


@pytest.mark.parametrize("symbols", [1, 5])
@pytest.mark.parametrize("name", STRATEGIES)
def test_batch_size_changes_nothing(name: str, symbols: int) -> None:
    candles = candles_for(symbols, 2_500 if symbols == 1 else 1_500)
    whole = make_engine(name, symbols)
    outcome = run_all(whole, candles)
    assert len(outcome.fills) > 3

    for batch in (1, 7, 64, 1_000):
        engine = make_engine(name, symbols)
        other = run_all(engine, candles, batch)

        assert engine.digest == whole.digest
        assert other.marks.tobytes() == outcome.marks.tobytes()
        assert other.trades.tobytes() == outcome.trades.tobytes()
        assert engine.snapshot() == whole.snapshot()


@settings(max_examples=12, deadline=None)
@given(
    name=st.sampled_from(sorted(STRATEGIES)), cut=st.integers(1, 1_999), batch=st.sampled_from([1, 13, 500])
)
def test_restart_at_any_candle_changes_nothing(name: str, cut: int, batch: int) -> None:
    candles = candles_for(2, 1_000)
    whole = make_engine(name, 2)
    run_all(whole, candles)

    before = make_engine(name, 2)
    run_all(before, candles[:cut], batch)
    after = make_engine(name, 2)
    after.restore(before.snapshot())
    run_all(after, candles[cut:], batch)

    assert after.digest == whole.digest
    assert after.snapshot() == whole.snapshot()


class PythonCross:
    """EmaCross, written by hand in Python."""

    features = ("ema_5:first", "ema_12:first")
    state_fields = ("bars",)

    def decide(self, view):  # type: ignore[no-untyped-def]
        bars = view.state.bars
        view.state.bars = bars + 1
        fast, slow = view["ema_5:first"], view["ema_12:first"]
        if bars < 12 or fast == slow:
            return Decision(FLAT)
        side = LONG if fast > slow else SHORT
        return Decision(side, score_technical=float(side))


class PythonW2:
    """BracketW2, written by hand in Python."""

    features = BracketW2().features
    state_fields = ("bars", "was_above")

    def decide(self, view):  # type: ignore[no-untyped-def]
        bars, was_above = view.state.bars, view.state.was_above
        is_above = view["ema_12:first"] > view["ema_26:first"]
        view.state.bars, view.state.was_above = bars + 1, float(is_above)
        atr = view["atr_14:first"]
        enter = (
            bars >= 40
            and is_above
            and not was_above
            and view["macd_12_26_9:first"] > view["macd_12_26_9:first_signal"]
            and 50 < view["rsi_14:first"] < 75
            and view["bollinger_20_2_middle"] < view.close < view["bollinger_20_2_upper"]
        )
        target = LONG if enter else (KEEP if is_above else FLAT)
        return Decision(target, 2 * atr, 3 * atr, score_technical=1.0)


@pytest.mark.parametrize(
    ("kernel", "python"), [(lambda: EmaCross(5, 12, allow_short=True), PythonCross), (BracketW2, PythonW2)]
)
def test_kernel_strategy_equals_the_same_strategy_in_python(
    kernel: Callable[[], object], python: Callable[[], object]
) -> None:
    candles = random_candles(4_000, seed=77)
    digests = []
    for make in (kernel, python):
        sizing = Settings("all_in" if make is not BracketW2 and make is not PythonW2 else "risk")
        spec = EngineSpec([Market("X", **PERPETUAL)], make(), "1h", "1h", settings=sizing)
        outcome = run_all(Engine(spec), candles, 997)
        assert len(outcome.fills) > 10
        digests.append(outcome.engine.digest)

    assert digests[0] == digests[1]


PROGRAM = """
import sys
sys.path.insert(0, "tests")
from test_parity import STRATEGIES, candles_for, make_engine
from tests.support.helpers import run_all
for name in sorted(STRATEGIES):
    engine = make_engine(name, 2)
    run_all(engine, candles_for(2, int(sys.argv[1])), 100)
    print(name, engine.digest)
"""


def digests_in_a_process(n: int, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(n)],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,  # plain numba compiles for minutes
        check=True,
    )
    return done.stdout


def digests_here(n: int) -> str:
    lines = []
    for name in sorted(STRATEGIES):
        engine = make_engine(name, 2)
        run_all(engine, candles_for(2, n))
        lines.append(f"{name} {engine.digest}\n")
    return "".join(lines)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "99", "TZ": "America/St_Johns", "LC_ALL": "de_DE.UTF-8"},
        {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
    ],
)
def test_process_environment_changes_nothing(environment: dict[str, str]) -> None:
    assert digests_in_a_process(1_500, **environment) == digests_here(1_500)


@pytest.mark.parametrize("n", [400, pytest.param(900, marks=pytest.mark.slow)])
def test_plain_python_and_compiled_give_the_same_digests(n: int) -> None:
    assert digests_in_a_process(n, NUMBA_DISABLE_JIT="1") == digests_here(n)


@pytest.mark.slow
def test_kernels_that_plain_numba_compiled_give_the_same_digests() -> None:
    assert digests_in_a_process(900, PAPERTAPE_PLAIN_JIT="1") == digests_here(900)


def test_an_untraded_symbol_changes_no_fill_of_another() -> None:
    """Metamorphic: a second market on which nothing is allowed leaves the first one's fills as they were."""
    tapes = [random_candles(1_500, seed=s) for s in (40, 41)]
    alone = EngineSpec([Market("A", **PERPETUAL)], EmaCross(5, 12, allow_short=True), "1h", "1h")
    both = EngineSpec(
        [Market("A", **PERPETUAL), Market("B", **PERPETUAL, minimum_size=1e12)],
        EmaCross(5, 12, allow_short=True),
        "1h",
        "1h",
    )
    options = Settings("fraction", fixed_fraction=0.5)

    def fills(spec: EngineSpec, candles: Rows) -> Rows:
        spec = EngineSpec(spec.markets, spec.strategy, "1h", "1h", settings=options)
        return run_all(Engine(spec), candles).fills

    one, two = fills(alone, tapes[0]), fills(both, interleave(tapes))
    assert len(one) > 5
    for name in ("candle_ms", "side", "price", "quantity", "fee", "cash"):
        np.testing.assert_array_equal(one[name], two[name])


def test_prices_times_two_give_the_same_returns() -> None:
    """Metamorphic: prices and capital doubled, the same trades at twice the money."""
    candles = random_candles(2_000, seed=50)
    doubled = candles.copy()
    for name in ("open", "high", "low", "close"):
        doubled[name] *= 2.0

    def run(rows: Rows, capital: float) -> Rows:
        spec = EngineSpec([Market("X", is_perpetual=True)], BracketW2(), "1h", "1h", capital)
        return run_all(Engine(spec), rows).trades

    plain, dear = run(candles, 10_000.0), run(doubled, 20_000.0)
    assert len(plain) > 10
    np.testing.assert_allclose(dear["pnl"], 2 * plain["pnl"], atol=100)
    np.testing.assert_array_equal(dear["exit_reason"], plain["exit_reason"])
