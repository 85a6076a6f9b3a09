"""`prove` finds ten planted leaks and flags nothing honest."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import leaks
from helpers import random_candles
from portfolios import Portfolio, run

from papertape.engine.candles import HOUR_MS
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.features import FEATURES
from papertape.engine.jit import Rows
from papertape.engine.records import FLAT, LONG
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import STRATEGIES, Decision, make_strategy
from papertape.replay.prove import (
    Proof,
    Said,
    feature_subject,
    prove,
    scramble,
    statements,
    strategy_subject,
)

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


def test_fills_are_compared_where_they_are_known() -> None:
    """What filled at an open is a statement of that open, what a bracket filled one of the close; both are there."""
    said = strategy_subject(lambda: EngineSpec([Market("X", is_perpetual=True)], leaks.Honest(), "1h", "1h"))(CANDLES)  # fmt: skip
    opened, closed = said["fill at an open.price"], said["fill of a bracket.price"]

    assert len(opened[1]) > 5
    assert len(closed[1]) > 5
    opens = dict(zip(CANDLES["open_ms"].tolist(), CANDLES["open"].tolist(), strict=True))
    costs = Market("X").half_spread_rate + Market("X").slippage_rate
    for time_ms, price in zip(*opened, strict=True):
        assert abs(price / opens[int(time_ms) - 1] - 1.0) == pytest.approx(costs, rel=1e-9)
    assert set(closed[0].tolist()) <= set((CANDLES["open_ms"] + HOUR_MS).tolist())


@pytest.mark.parametrize("peeks", [False, True])
def test_a_fill_that_knows_the_inside_of_its_candle_is_found(peeks: bool) -> None:
    """An engine that pays at an open with what the same candle brings later, in a caricature: it fills by the close."""

    def subject(candles: Rows) -> Said:
        times, rises = candles["open_ms"], candles["close"] > candles["open"]
        quantity = np.where(rises if peeks else candles["open"] > 100.0, 2.0, 1.0)
        return {"fill at an open.quantity": (times + 1, quantity)}

    proof = prove("engine", subject, CANDLES, n_cuts=8)

    assert (proof.leak is not None) == peeks
    if proof.leak is not None:
        assert proof.leak.kind == "look-ahead inside a candle"
        assert proof.leak.time_ms == int(CANDLES["open_ms"][proof.leak.cut]) + 1


@pytest.mark.parametrize("names", [("AAA", "BBB"), ("BBB", "AAA")])
def test_a_portfolio_passes_under_every_naming(names: tuple[str, str]) -> None:
    """The first symbol's targets lie inside candles at whose opens the second one is ordered."""
    other = random_candles(len(CANDLES), seed=61)
    script = {("FIRST", k): Decision(LONG, target_distance=1.0) for k in range(0, 500, 5)}
    script |= {("SECOND", k): Decision((FLAT, LONG)[k % 4 > 1]) for k in range(1, 500, 2)}

    def subject(candles: Rows) -> Said:
        portfolio = Portfolio(
            {"FIRST": candles, "SECOND": other[: len(candles)]},
            {symbol: {"is_perpetual": False} for symbol in ("FIRST", "SECOND")},
            Settings("all_in"),
            script,
        )
        _, outcome = run(portfolio, dict(zip(("FIRST", "SECOND"), names, strict=True)))
        return statements(outcome, HOUR_MS)

    proof = prove("portfolio", subject, CANDLES, n_cuts=4)

    assert proof.leak is None
    assert proof.compared > 1_000


def test_scramble_changes_everything_after_the_cut_and_nothing_before() -> None:
    changed = scramble(CANDLES, 200, np.random.default_rng(1))

    assert changed[:200].tobytes() == CANDLES[:200].tobytes()
    assert (changed["close"][200:] != CANDLES["close"][200:]).all()
    opened = scramble(CANDLES, 200, np.random.default_rng(1), keeps_open=True)
    assert opened["open"][200] == CANDLES["open"][200] != changed["open"][200]
    for found in (changed, opened):
        assert (found["high"] >= np.maximum(found["open"], found["close"])).all()
        assert (found["low"] <= np.minimum(found["open"], found["close"])).all()
    assert (changed["low"] <= np.minimum(changed["open"], changed["close"])).all()


def test_too_few_candles_and_wrong_shapes_are_refused() -> None:
    with pytest.raises(DataError, match="fewer than the 50"):
        prove("x", feature_subject("ema_12", HOUR_MS), CANDLES[:49])
    with pytest.raises(ConfigError, match="has no 'next_retur': did you mean 'next_return'"):
        feature_subject("leaks:next_retur", HOUR_MS)
    with pytest.raises(ConfigError, match="cannot be imported"):
        feature_subject("no_such_module:f", HOUR_MS)
