"""A strategy's own signals: those that an engine without a model acts on, in any batching, and none where a model has a hand in them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.errors import ConfigError, StrategyError
from papertape.engine.features import evaluate
from papertape.engine.jit import FloatArray, Rows, record
from papertape.engine.records import KEEP, LONG, SHORT
from papertape.engine.spec import Market
from papertape.engine.strategies import Confluence, EmaCross, RsiReversion
from papertape.engine.strategies.own_signals import (
    OwnSignals,
    can_short_of,
    even_chance,
    model_asks_of,
    question_of,
    refuse_two_questions,
    signals_name,
)
from papertape.engine.strategies.turns import Turn
from tests.support.helpers import random_candles

COLUMNS = ("log_return_1", "rsi_14")
N = 400


class Momentum:
    """Goes with every third candle that moved by more than `step`, and with what a model says only as it was told to."""

    name = "momentum"
    state_dtype = record(("closes", "i8"))
    features: Sequence[str] = ("log_return_1",)
    model_asks = "signal"

    def __init__(self, step: float = 0.001, hand: str = "filter") -> None:
        self.step, self.hand = step, hand

    def decide_batch(self, features: FloatArray, candles: Rows, n: int, state: Rows, decisions: Rows) -> None:
        if self.hand == "fails":
            raise ValueError("no such market")
        for k in range(n):
            state[0]["closes"] += 1
            moved, p = features[0, k], features[1, k]
            target = int(np.sign(moved)) if abs(moved) > self.step else KEEP
            if state[0]["closes"] % 3:
                target = KEEP
            if self.hand == "filter" and p < 0.5:
                target = KEEP
            if self.hand == "adds" and p > 0.9:
                target = LONG
            if self.hand == "turns" and p < 0.5 and target != KEEP:
                target = -target
            decisions[k]["target"] = target


def known(strategy: Any, **more: Any) -> tuple[OwnSignals, FloatArray, Rows]:
    candles = random_candles(N, 5)
    matrix = np.vstack([*(row for name in COLUMNS for row in evaluate(name, candles)), np.full(N, 0.3)])
    turns = more.get("turns", (Turn(0, strategy),))
    columns = ("log_return_1", "rsi_14", "model_probability")
    return OwnSignals(turns, ("X",), columns, (more.get("can_short", True),)), matrix, candles


def signals(found: tuple[OwnSignals, FloatArray, Rows], sizes: Sequence[int] = (N,)) -> FloatArray:
    own, matrix, candles = found
    parts, start = [], 0
    for size in sizes:
        end = start + size
        closes = candles["open_ms"][start:end] + 3_600_000
        part = np.ascontiguousarray(matrix[:, start:end])
        parts.append(own.of(0, part, candles[start:end], size, closes))
        start = end
    return np.concatenate(parts)


def by_hand(step: float) -> FloatArray:
    close = random_candles(N, 5)["close"]
    moved = np.concatenate([[np.nan], np.log(close[1:] / close[:-1])])
    every_third = np.arange(1, N + 1) % 3 == 0
    return np.where(every_third & (np.abs(moved) > step), np.sign(moved), 0.0)


def test_signals_are_what_is_entered_where_no_model_has_an_opinion() -> None:
    expected = by_hand(0.001)

    assert {1.0, -1.0, 0.0} == set(expected.tolist())
    assert np.array_equal(signals(known(Momentum())), expected)
    assert np.array_equal(signals(known(Momentum(hand="nothing"))), expected)
    assert np.array_equal(signals(known(Momentum(), can_short=False)), np.maximum(expected, 0.0))


@pytest.mark.parametrize("sizes", [(1,) * N, (7,) * 57 + (1,), (399, 1), (0, 200, 0, 200)])
def test_batches_change_nothing(sizes: tuple[int, ...]) -> None:
    assert np.array_equal(signals(known(Momentum()), sizes), by_hand(0.001))


def test_later_candles_change_no_earlier_signal() -> None:
    own, matrix, candles = known(Momentum())
    changed = matrix.copy()
    changed[:, 300:] = -changed[:, 300:]

    whole, other = (signals((own, matrix, candles)), signals((*known(Momentum())[:1], changed, candles)))
    assert np.array_equal(whole[:300], other[:300])
    assert not np.array_equal(whole, other)


def test_absent_candles_have_no_signal_and_a_symbol_that_begins_anew_counts_anew() -> None:
    own, matrix, candles = known(Momentum())
    candles = candles.copy()
    is_signal = by_hand(0.001) != 0.0
    candles["flag_bits"][np.flatnonzero(is_signal)[::2]] |= FLAG_ABSENT

    found = signals((own, matrix, candles))
    assert np.flatnonzero(found).tolist() == np.flatnonzero(is_signal)[1::2].tolist()
    own.restart(0)  # N closes are not a multiple of three: going on would count on
    assert np.array_equal(signals((own, matrix, random_candles(N, 5))), by_hand(0.001))


def test_each_turn_signals_from_the_close_after_its_start_on() -> None:
    start_ms = int(random_candles(N, 5)["open_ms"][200])  # the close of candle 199
    turns = (Turn(0, Momentum()), Turn(start_ms, Momentum(0.006)))

    found = signals(known(None, turns=turns))
    assert np.array_equal(found[:200], by_hand(0.001)[:200])
    assert np.array_equal(found[200:], by_hand(0.006)[200:])


@pytest.mark.parametrize("hand", ["adds", "turns"])
def test_a_model_that_has_a_hand_in_the_signal_is_refused(hand: str) -> None:
    with pytest.raises(ConfigError, match=r"momentum: with a model it enters what it would not"):
        signals(known(Momentum(hand=hand)))


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"momentum: ValueError: no such market"):
        signals(known(Momentum(hand="fails")))
    with pytest.raises(ConfigError, match=r"RsiReversion: it is shown its account.*decide_batch"):
        signals_name((Turn(0, RsiReversion()),), {})
    strange = Momentum()
    strange.model_asks = "weather"
    with pytest.raises(ConfigError, match=r"model_asks 'weather' is not one of side, signal"):
        model_asks_of(strange)
    with pytest.raises(ConfigError, match=r"one model answers one question"):
        refuse_two_questions([Confluence(), Confluence(model_asks="signal", model_use="filter")])


def test_signals_are_called_by_the_strategy_and_what_decides_in_it() -> None:
    one, same, other = (
        signals_name((Turn(0, EmaCross(*periods)),), {}) for periods in ((5, 20), (5, 20), (5, 21))
    )

    assert one.startswith("ema_cross:")
    assert one == same != other
    assert signals_name((Turn(0, EmaCross(5, 20)), Turn(9, EmaCross(5, 21))), {}) not in (one, other)
    # From when on the first turn decides changes no signal; when the next one takes over does.
    assert signals_name((Turn(7, EmaCross(5, 20)),), {}) == one
    switched = {signals_name((Turn(0, EmaCross(5, 20)), Turn(at, EmaCross(5, 21))), {}) for at in (8, 9)}
    assert len(switched) == 2


def test_signals_that_cannot_be_sold_short_are_others() -> None:
    turns = (Turn(0, EmaCross(5, 20)),)
    sides = (
        {"A": True, "B": True},
        {"A": False, "B": False},
        {"A": True, "B": False},
        {"A": False, "B": True},
    )

    assert len({signals_name(turns, one) for one in sides}) == 4
    assert signals_name(turns, {"B": False, "A": True}) == signals_name(turns, sides[2])
    markets = [Market("A", is_perpetual=True), Market("B"), Market("C", read_only=True)]
    asks = Confluence(model_use="filter", model_asks="signal")
    can_short = can_short_of(markets, True)
    assert can_short == {"A": True, "B": False}
    assert can_short_of(markets, False) == {"A": False, "B": False}
    asked = question_of((Turn(0, asks),), can_short)
    assert asked == ("signal", signals_name((Turn(0, asks),), can_short))
    assert question_of((Turn(0, Confluence()),), can_short) == ("side", "")


def test_a_bracket_evens_out_where_what_is_won_is_what_is_lost() -> None:
    p = even_chance(2.0, 3.0)
    assert p * 3.0 == pytest.approx((1.0 - p) * 2.0)
    assert SHORT == -LONG  # what sides are told in
