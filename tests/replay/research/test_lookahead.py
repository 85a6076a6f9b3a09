"""`prove` finds planted leaks, flags nothing honest, and says what it cannot prove."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import leaks

from papertape.engine.broker.working.instructions import PLACE
from papertape.engine.broker.working.orders import (
    CANCELLED,
    EXPIRED,
    FILLED,
    MOVED,
    ORDER_EVENT,
    PLACED,
    REFUSED,
    TRIGGERED,
    WORKING,
)
from papertape.engine.candles import HOUR_MS
from papertape.engine.errors import ConfigError, DataError, StrategyError
from papertape.engine.features import FEATURES, matrix
from papertape.engine.jit import Rows
from papertape.engine.records import DECISION, FILL, FLAT, LONG, MARK
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import STRATEGIES, Decision, make_strategy
from papertape.replay.research.cuts import even_cuts, telling_cuts
from papertape.replay.research.feature_subjects import feature_subject
from papertape.replay.research.lookahead import Proof, prove, scramble
from papertape.replay.research.subjects import Said, statements, strategy_subject
from papertape.replay.tapes.tables import candle_frame
from tests.support.helpers import random_candles
from tests.support.pair import Pair
from tests.support.portfolios import Portfolio, run

CANDLES = random_candles(500, seed=60)
SHORT = CANDLES[:200]


def prove_feature(name: str, candles: Rows = CANDLES) -> Proof:
    is_ours = ":" not in name or name.endswith(":first")
    # Every cut of a user's function is three processes, and it is cut behind every candle besides.
    return prove(name, feature_subject(name, HOUR_MS), candles, 12 if is_ours else 2)


@pytest.mark.parametrize("function", leaks.LEAKS, ids=lambda f: f.__name__)
def test_planted_leak_is_found(function: Callable[..., object]) -> None:
    proof = prove_feature(f"leaks:{function.__name__}")

    assert proof.leak is not None
    assert proof.leak.time_ms <= int(CANDLES["open_ms"][proof.leak.cut - 1]) + HOUR_MS
    assert proof.leak.known_then != proof.leak.said_later


@pytest.mark.parametrize("function", leaks.HONEST, ids=lambda f: f.__name__)
def test_honest_function_passes(function: Callable[..., object]) -> None:
    proof = prove_feature(f"leaks:{function.__name__}", SHORT)

    assert proof.leak is None
    assert proof.compared > 1_000


@pytest.mark.parametrize("name", FEATURES)
def test_every_built_in_feature_passes(name: str) -> None:
    assert prove_feature(name).leak is None


def strategy_proof(make: Callable[[], object], *, is_ours: bool = False) -> Proof:
    def spec() -> EngineSpec:
        return EngineSpec([Market("X", is_perpetual=True)], make(), "4h", "1h")

    subject = strategy_subject(spec, is_ours=is_ours)
    return prove("strategy", subject, CANDLES if is_ours else SHORT, 6 if is_ours else 2)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_built_in_strategy_passes(name: str) -> None:
    proof = strategy_proof(lambda: make_strategy(name, {}), is_ours=True)

    assert proof.leak is None
    assert proof.compared > 1_000


def test_honest_strategy_passes_and_one_that_looks_past_its_view_does_not() -> None:
    honest = strategy_proof(leaks.Honest)

    assert honest.is_proven
    assert honest.cut_off == len(SHORT)
    assert strategy_proof(leaks.ReadsAhead).leak is not None


@pytest.mark.parametrize("kind", leaks.ORDERS, ids=lambda k: k.__name__)
def test_an_order_that_knows_the_next_candle_is_found_though_it_never_fills(kind: type[object]) -> None:
    proof = strategy_proof(kind)

    assert proof.leak is not None
    assert proof.leak.name.startswith(("order", "instruction"))


PAIR = [CANDLES, random_candles(len(CANDLES), seed=62)]


def pair_proof(make: Callable[[], object], tapes: list[Rows] = PAIR) -> Proof:
    def spec() -> EngineSpec:
        markets = [Market(name, is_perpetual=True) for name in ("AAA", "BBB")]
        account = Settings("fraction", leverage_cap=3.0)
        return EngineSpec(markets, make(), "1h", "1h", settings=account)

    return prove("strategy", strategy_subject(spec), tapes, 4)


def test_another_symbols_future_is_found() -> None:
    proof = pair_proof(leaks.OtherAhead)

    assert proof.leak is not None
    assert proof.leak.name.startswith(("order", "instruction"))


def test_a_join_that_reads_one_candle_ahead_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine at fault: the other symbol's value is that of its next candle."""
    right = matrix.as_of_traded

    def ahead(*arguments: Any) -> None:
        right(*arguments)
        *_, closed, target, row = arguments
        target[row, : closed - 1] = target[row, 1:closed].copy()

    monkeypatch.setattr(matrix, "as_of_traded", ahead)

    assert pair_proof(lambda: Pair("BBB")).leak is not None


@pytest.mark.parametrize("peeks", [False, True])
def test_a_level_that_is_moved_by_the_same_candles_later_high_is_found(peeks: bool) -> None:
    """An engine at fault, in a caricature: a trail that is told at the open to stand below the high that comes after it."""

    def subject(candles: Rows) -> Said:
        orders = np.zeros(len(candles), ORDER_EVENT)
        orders["time_ms"], orders["status"], orders["fill"] = candles["open_ms"], MOVED, -1
        orders["price"] = candles["high" if peeks else "open"] - 1.0
        nothing = SimpleNamespace(
            decisions=np.zeros(0, DECISION), fills=np.zeros(0, FILL), marks=np.zeros(0, MARK)
        )
        nothing.orders = orders
        return statements(nothing, HOUR_MS)

    proof = prove("engine", subject, CANDLES, n_cuts=8)

    assert (proof.leak is not None) == peeks
    if proof.leak is not None:
        assert proof.leak.kind == "look-ahead inside a candle"
        assert proof.leak.name == "order at an open.price"


def test_what_happens_to_an_order_is_said_where_it_is_known() -> None:
    """At the close that asks, at the open before which it ends or moves, and otherwise when the candle has closed."""

    def spec() -> EngineSpec:
        markets = [Market(name, is_perpetual=True) for name in ("AAA", "BBB")]
        return EngineSpec(markets, leaks.HonestOrders(), "1h", "1h", settings=Settings("fraction"))

    said = strategy_subject(spec)(PAIR)
    closes, opens = CANDLES["open_ms"] + HOUR_MS, CANDLES["open_ms"] + 1

    for where, times, status in (
        ("at a close", closes, {PLACED, REFUSED}),
        ("at an open", opens, {MOVED, EXPIRED}),
        ("in a candle", closes, {TRIGGERED, FILLED, CANCELLED, MOVED, WORKING}),
    ):
        known, values = said[f"order {where}.status"]
        assert set(known.tolist()) <= set(times.tolist()), where
        assert (np.diff(known) >= 0).all(), where
        assert set(values.tolist()) <= status, where
        assert len(values) > 20, where
    asked = said["instruction.action"][1]
    answered = said["order at a close.status"][1]
    placed = np.count_nonzero(answered == PLACED)
    assert 100 < placed <= np.count_nonzero(asked == PLACE) <= len(answered)


@pytest.mark.slow
def test_honest_orders_on_two_symbols_pass() -> None:
    proof = pair_proof(leaks.HonestOrders)

    assert proof.is_proven
    assert proof.compared > 50_000
    assert proof.cut_off == len(CANDLES)


def test_several_tapes_are_cut_where_all_have_a_candle() -> None:
    thin = np.delete(PAIR[1], range(5, 500, 7))[3:]

    proof = pair_proof(leaks.HonestOrders, [PAIR[0], thin])

    assert proof.is_proven
    assert proof.candles == len(thin)
    with pytest.raises(DataError, match="no candle of the same time"):
        pair_proof(leaks.HonestOrders, [PAIR[0][:200], PAIR[1][200:]])


def test_strategy_that_keeps_what_it_saw_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"changed Remembers\.seen"):
        strategy_proof(leaks.Remembers)
    assert leaks.Remembers.seen == {}  # it ran elsewhere


@pytest.fixture
def future(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    candle_frame(CANDLES).to_csv(leaks.FUTURE)
    return tmp_path / leaks.FUTURE


def test_what_is_read_from_a_file_is_not_proven(future: Path) -> None:
    proofs = [prove_feature("leaks:from_file", SHORT), strategy_proof(leaks.ReadsFile)]

    for proof in proofs:
        assert proof.leak is None  # no cut reaches the file
        assert proof.reads == (str(future),)
        assert not proof.is_proven


def test_rare_leaks_need_the_candle_they_happen_at() -> None:
    """Even cuts pass by; one cut right behind the candle finds it."""
    row = 12 * 24 + 4  # the thirteenth at four, on a tape that begins with the month
    proof = prove_feature("leaks:rare_hour")

    assert row + 1 not in even_cuts(len(CANDLES), 12, np.random.default_rng(1))
    assert proof.leak is not None
    assert proof.leak.cut == row + 1


def test_cuts_begin_where_something_happens_and_come_to_every_candle() -> None:
    step = np.zeros(500)
    step[211:] = 1.0
    closes = CANDLES["open_ms"] + HOUR_MS
    said = {"step": (closes, step), "decision": (closes[[77]], np.ones(1))}

    cuts = telling_cuts(CANDLES, said, HOUR_MS, np.random.default_rng(1))

    assert {212, 78, int(np.argmax(CANDLES["volume"])) + 1} <= set(cuts[:6])
    assert sorted(cuts) == list(range(2, 500))


@pytest.mark.parametrize("path", ["os:system", "builtins:eval", "subprocess:Popen", "os:name"])
def test_what_is_no_function_of_candles_is_not_called(path: str) -> None:
    with pytest.raises(ConfigError, match="it was not called"):
        prove("x", feature_subject(path, HOUR_MS), CANDLES)


def test_error_of_a_function_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fails_at_once.py").write_text("def f(candles):\n    return candles['clothes']\n")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ConfigError, match="KeyError: 'clothes'"):
        prove("x", feature_subject("fails_at_once:f", HOUR_MS), CANDLES)


def test_fills_are_compared_where_they_are_known() -> None:
    """What filled at an open is a statement of that open, what a bracket filled one of the close; both are there."""
    said = strategy_subject(lambda: EngineSpec([Market("X", is_perpetual=True)], leaks.Honest(), "1h", "1h"))(
        CANDLES
    )
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
        prove_feature("leaks:next_retur")
    with pytest.raises(ConfigError, match="cannot be imported"):
        prove_feature("no_such_module:f")
