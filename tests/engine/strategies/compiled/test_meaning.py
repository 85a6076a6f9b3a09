"""What a call means is the same in a kernel and in Python: the same instruction, or refused by both."""

import contextlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from papertape.engine.broker.working.instructions import INSTRUCTION, MOST_INSTRUCTIONS
from papertape.engine.broker.working.orders import tag_code
from papertape.engine.candles import HOUR_MS
from papertape.engine.errors import StrategyError
from papertape.engine.jit import Rows
from papertape.engine.strategies.compiled import records as called
from papertape.engine.strategies.compiled.meaning import moved, understand
from papertape.engine.strategies.instructions import Instructions

NOW_MS = 1_600_000_000_000
METHODS = {called.BUY: "buy", called.SELL: "sell", called.EXIT: "exit"}


def row_of(fields: dict[str, float]) -> Rows:
    row = np.zeros(1, INSTRUCTION)
    for name, value in fields.items():
        row[name] = value
    return row


def in_python(what: int, options: dict[str, Any], position: float, asked: int) -> Rows | None:
    """Return what the rules with words make of a call, None for what they refuse."""
    instructions = Instructions(HOUR_MS)
    instructions.time_ms, instructions.rows = NOW_MS, [{}] * asked
    side = {called.BUY: 1, called.SELL: -1, called.EXIT: -1 if position > 0.0 else 1}[what]
    if what == called.EXIT:
        if position == 0.0:
            return None
        options = {**options, "reduce_only": True}
        if not {"quantity", "share"} & set(options):
            options["share"] = 1.0
    try:
        instructions.place(METHODS[what], side, dict(options))
    except StrategyError:
        return None
    return row_of(instructions.rows[-1])


def in_a_kernel(what: int, options: dict[str, Any], position: float, asked: int) -> Rows | None:
    view = np.zeros(1, called.HEAD)
    view["time_ms"], view["length_ms"] = NOW_MS, HOUR_MS
    view["position"], view["n_asked"] = position, asked
    view["asked"][0]["limit_price"] = 77.0  # of an earlier close
    call = view["call"]
    call["what"] = what
    for name in called.NUMBERS:
        call[name] = options.get(name, called.NOT_GIVEN)
    for name in called.TEXTS:
        call[name] = tag_code(options.get(name, ""))
    for name in called.SWITCHES:
        call[name] = options.get(name, False)
    if understand(view[0]) == 0:
        assert view["refused"][0] == what
        return None
    assert (view["refused"][0], view["n_asked"][0]) == (0, asked + 1)
    return view["asked"][0, asked : asked + 1].copy()


prices = st.sampled_from([1.0, 0.5, 99.5, 100.0, 250.0, 0.0, -1.0, math.nan, math.inf, -math.inf, 1e300])
good = st.sampled_from([0.25, 1.0, 7.0, 99.0])
numbers = {name: st.one_of(good, good, good, prices) for name in called.NUMBERS}
words = {
    "time_in_force": st.sampled_from(["gtc", "ioc", "fok", "day"]),
    "oco": st.sampled_from(["a", "range"]),
    "tag": st.sampled_from(["", "tp1", "eightlet"]),
    "reduce_only": st.booleans(),
    "post_only": st.booleans(),
}
options = st.lists(st.sampled_from(sorted({**numbers, **words})), max_size=5, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({n: {**numbers, **words}[n] for n in names})
)


@given(
    st.sampled_from(sorted(METHODS)),
    options,
    st.sampled_from([0.0, 2.0, -2.0]),
    st.sampled_from([0, 0, 0, 15, MOST_INSTRUCTIONS]),
)
@example(called.BUY, {"trail_percent": math.nextafter(100.0, 0.0)}, 0.0, 0)
@example(called.BUY, {"trail": 3.0, "activate": 110.0}, 0.0, 0)
@example(called.EXIT, {"quantity": 0.5, "limit": 110.0}, 2.0, 0)
@settings(max_examples=600, deadline=None)
def test_a_call_is_the_same_instruction_or_refused_by_both(
    what: int, options: dict[str, Any], position: float, asked: int
) -> None:
    expected = in_python(what, options, position, asked)

    found = in_a_kernel(what, options, position, asked)

    assert (found is None) == (expected is None), options
    if found is not None and expected is not None:
        assert found.tobytes() == expected.tobytes(), options


@pytest.mark.parametrize("asked", [0, MOST_INSTRUCTIONS - 1, MOST_INSTRUCTIONS])
@pytest.mark.parametrize("price", [1.0, 0.0, -0.5, math.nan, math.inf])
@pytest.mark.parametrize("name", ["stop", "target"])
def test_a_level_that_is_moved_is_too(name: str, price: float, asked: int) -> None:
    instructions = Instructions(HOUR_MS)
    instructions.rows = [{}] * asked
    is_fine = asked < MOST_INSTRUCTIONS and 0.0 <= price < math.inf
    with contextlib.nullcontext() if is_fine else pytest.raises(StrategyError):
        instructions.move(name, price)
    view = np.zeros(1, called.HEAD)
    view["n_asked"], view[f"known_{name}"], view[name] = asked, 3.0, price

    assert moved(view[0]) == is_fine

    if is_fine:
        row = view["asked"][0, asked : asked + 1]
        assert row.tobytes() == row_of(instructions.rows[-1]).tobytes()
        assert view[f"known_{name}"][0] == price


@settings(deadline=None)  # the first call may compile
@given(
    st.sampled_from(["quantity", "fraction", "both", "neither"]),
    st.one_of(good, prices, prices.map(lambda value: -value)),
    st.one_of(st.just(0.0), prices),
    st.sampled_from([0, 15, MOST_INSTRUCTIONS]),
)
def test_a_target_means_the_same_in_a_kernel(how: str, value: float, band: float, asked: int) -> None:
    given_ = {name: value for name in ("quantity", "fraction") if how in (name, "both")}
    instructions = Instructions(HOUR_MS)
    instructions.rows = [{}] * asked
    expected = None
    with contextlib.suppress(StrategyError):
        instructions.hold(given_.get("quantity"), given_.get("fraction"), band)
        expected = row_of(instructions.rows[-1])
    view = np.zeros(1, called.HEAD)
    view["n_asked"], view["call"]["what"], view["call"]["band"] = asked, called.HOLD, band
    for name in ("quantity", "fraction"):
        view["call"][name] = given_.get(name, called.NOT_GIVEN)

    found = understand(view[0])

    assert found == (expected is not None)
    if expected is not None:
        assert view["asked"][0, asked : asked + 1].tobytes() == expected.tobytes()
