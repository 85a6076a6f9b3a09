"""Lanes share answers and nothing else, and whatever cannot be one is left alone."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.risk.allocation import Allocation
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.core import Engine
from papertape.engine.features.reading import Reading
from papertape.engine.lanes import runs
from papertape.engine.lanes.runs import Lanes, is_lane
from papertape.engine.lanes.wishes import Wishes, WishRoom
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import BracketW2, EmaCross, RsiReversion
from papertape.engine.strategies.protocol import KernelStrategy
from papertape.engine.strategies.turns import Turn
from tests.engine.lanes.test_passing import assert_lane_is_stepped
from tests.support.helpers import random_candles

N = 700


def test_lanes_one_after_the_other_have_nothing_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    candles = random_candles(N, 3)
    lanes, asked, told = Lanes(Reading(("A",), "1h", candles)), 0, runs.wishes_of

    def counted(engine: Engine, strategy: KernelStrategy, room: WishRoom) -> Wishes:
        nonlocal asked
        asked += 1
        return told(engine, strategy, room)

    monkeypatch.setattr(runs, "wishes_of", counted)
    others = ((EmaCross(3, 8), 0.0, True), (EmaCross(3, 8), 0.001, False), (EmaCross(3, 9), 0.0, True))
    for strategy, fee_rate, is_asked in others:
        market = Market("A", taker_fee_rate=fee_rate)
        spec = EngineSpec([market], strategy, "1h", "1h", settings=Settings("fraction"))
        before = asked
        assert_lane_is_stepped(spec, candles, lanes)
        assert asked - before == is_asked


SPEC = EngineSpec([Market("A")], EmaCross(3, 8), "1h", "1h", settings=Settings("all_in"))


def test_an_engine_that_is_used_again_has_nothing_of_the_lane_before() -> None:
    candles = random_candles(N, 4)
    lanes = Lanes(Reading(("A",), "1h", candles))
    first, used = lanes.engine(SPEC), set()

    for strategy in (EmaCross(2, 40), EmaCross(2, 3, allow_short=True), EmaCross(3, 8)):
        spec = replace(SPEC, strategy=strategy)
        used.add(assert_lane_is_stepped(spec, candles, lanes))
        assert lanes.engine(spec) is first

    assert len(used) == 3
    # One that ends in the middle, by a fee that cannot be say, leaves nothing behind.
    lanes.engine(SPEC).outputs.counters[:] = 3
    assert_lane_is_stepped(SPEC, candles, lanes)
    # Whatever else differs, an engine of its own: another strategy, another account.
    others = replace(SPEC, strategy=BracketW2()), replace(SPEC, settings=Settings("fraction"))
    for other in others:
        assert_lane_is_stepped(other, candles, lanes)
    assert lanes.engine(SPEC) is not first


@pytest.mark.parametrize(
    "other",
    [
        {"markets": [Market("A"), Market("B")]},
        {"markets": [Market("A", is_perpetual=True, leverage=3.0)]},
        {"strategy": RsiReversion()},
        {"starts_ms": 5},
        {"turns": [Turn(7_200_000, EmaCross(3, 9))]},
        {"symbol_strategies": {"A": EmaCross(3, 9)}},
        {"model_features": ("rsi_14",)},
        {"settings": Settings("fraction"), "allocation": Allocation("equal", rebalance_hours=4)},
    ],
)
def test_what_is_looked_after_elsewhere_is_no_lane(other: dict[str, Any]) -> None:
    assert is_lane(SPEC)
    assert not is_lane(replace(SPEC, **other))


def fee_by_size(
    notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float
) -> float:
    return 0.5 * size


def test_what_turns_out_to_be_no_lane_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    candles = random_candles(N, 5)
    whole = Reading(("A",), "1h", candles)

    # Limits, which look at every close; a function for fees; more trades than there is room for.
    limited = replace(SPEC, limits=Limits(drawdown=0.5))
    assert not list(Lanes(whole).run(Engine(limited, whole)))
    counting = replace(SPEC, fee_function=fee_by_size)  # asks what a month traded
    assert not list(Lanes(whole).run(Engine(counting, whole)))
    monkeypatch.setattr(runs, "_MOST_ROWS", 6)
    assert not list(Lanes(whole).run(Engine(SPEC, whole)))


def test_an_answer_that_a_stretch_does_not_tell_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too small an entry is tried again at every close, with what is said there: known only where it is always the same."""
    candles = random_candles(N, 6)
    reading = Reading(("A",), "1h", candles)
    spec = replace(SPEC, markets=[Market("A", minimum_size=1e6)])
    told = runs.wishes_of

    def uneven(engine: Engine, strategy: KernelStrategy, room: WishRoom) -> Wishes:
        found = told(engine, strategy, room)
        return found._replace(is_even=np.zeros_like(found.is_even))

    assert list(Lanes(reading).run(Engine(spec, reading)))
    monkeypatch.setattr(runs, "wishes_of", uneven)

    assert not list(Lanes(reading).run(Engine(spec, reading)))
    # Where every entry comes to something, nothing more is asked than where stretches begin.
    assert list(Lanes(reading).run(Engine(SPEC, reading)))
