"""`prove` finds ten planted leaks and flags nothing honest."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import leaks
from helpers import random_candles

from papertape.engine.candles import HOUR_MS
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.features import FEATURES
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies import STRATEGIES, make_strategy
from papertape.replay.prove import Proof, feature_subject, prove, scramble, strategy_subject

CANDLES = random_candles(500, seed=60)


def prove_feature(name: str) -> Proof:
    return prove(name, feature_subject(name, HOUR_MS), CANDLES, n_cuts=12)


@pytest.mark.parametrize("function", leaks.LEAKS, ids=lambda f: f.__name__)
def test_planted_leak_is_found(function: Callable[..., object]) -> None:
    proof = prove_feature(f"leaks:{function.__name__}")

    assert proof.leak is not None
    assert proof.leak.time_ms <= int(CANDLES["open_ms"][proof.leak.cut - 1]) + HOUR_MS
    assert proof.leak.known_then != proof.leak.said_later


@pytest.mark.parametrize("function", leaks.HONEST, ids=lambda f: f.__name__)
def test_honest_function_passes(function: Callable[..., object]) -> None:
    proof = prove_feature(f"leaks:{function.__name__}")

    assert proof.leak is None
    assert proof.compared > 1_000


@pytest.mark.parametrize("name", FEATURES)
def test_every_built_in_feature_passes(name: str) -> None:
    assert prove_feature(name).leak is None


def strategy_proof(make: Callable[[], object]) -> Proof:
    def spec() -> EngineSpec:
        return EngineSpec([Market("X", is_perpetual=True)], make(), "4h", "1h")

    return prove("strategy", strategy_subject(spec), CANDLES, n_cuts=6)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_built_in_strategy_passes(name: str) -> None:
    proof = strategy_proof(lambda: make_strategy(name, {}))

    assert proof.leak is None
    assert proof.compared > 1_000


def test_honest_strategy_passes_and_one_that_remembers_does_not() -> None:
    leaks.Remembers.seen.clear()

    assert strategy_proof(leaks.Honest).leak is None
    assert strategy_proof(leaks.Remembers).leak is not None


def test_scramble_changes_everything_after_the_cut_and_nothing_before() -> None:
    changed = scramble(CANDLES, 200, np.random.default_rng(1))

    assert changed[:200].tobytes() == CANDLES[:200].tobytes()
    assert (changed["close"][200:] != CANDLES["close"][200:]).all()
    assert (changed["high"] >= np.maximum(changed["open"], changed["close"])).all()
    assert (changed["low"] <= np.minimum(changed["open"], changed["close"])).all()


def test_too_few_candles_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="fewer than the 50"):
        prove("x", feature_subject("ema_12", HOUR_MS), CANDLES[:49])
    with pytest.raises(ConfigError, match="has no 'next_retur': did you mean 'next_return'"):
        feature_subject("leaks:next_retur", HOUR_MS)
    with pytest.raises(ConfigError, match="cannot be imported"):
        feature_subject("no_such_module:f", HOUR_MS)
