"""Random targets: what is held follows what was wanted, and never passes it, whatever is slow, small or halted."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine import EngineSpec, Market, Settings
from papertape.engine.core import Engine
from papertape.engine.errors import StrategyError
from papertape.engine.strategies.instructions import Instructions
from tests.support.helpers import FREE, START_MS, make_candles

LOT = 0.5
HOUR_MS = 3_600_000


class Wants:
    """Holds what a list says, close by close."""

    features = ()

    def __init__(self, targets: list[float]) -> None:
        self.targets = targets

    def decide(self, view: Any) -> None:
        view.hold(self.targets[(view.time_ms - START_MS) // HOUR_MS - 1])


def held(targets: list[float], latency: int, volume_share: float) -> list[float]:
    """Return the position after every candle, at a price of 10 and a volume of 4."""
    rows = make_candles([(10.0, 10.0, 10.0, 10.0)] * len(targets))
    rows["volume"] = 4.0
    settings = Settings("all_in", leverage_cap=50.0, latency_bars=latency, volume_share=volume_share)
    market = Market("X", **{**FREE, "is_perpetual": True, "lot_size": LOT})
    engine = Engine(EngineSpec([market], Wants(targets), "1h", "1h", settings=settings))
    positions = []
    for row in range(len(rows)):
        report = engine.step(rows[row : row + 1])
        assert not report.faults
        positions.append(float(engine.positions["quantity"][0]))
    return positions


def on_lots(target: float) -> float:
    return np.sign(target) * np.floor(abs(target) / LOT + 1e-9) * LOT  # type: ignore[no-any-return]


targets = st.lists(st.integers(-80, 80).map(lambda n: n / 10), min_size=2, max_size=30)


@given(targets)
def test_the_next_candle_holds_what_was_wanted(wanted: list[float]) -> None:
    positions = held(wanted, 0, 0.0)

    assert positions[1:] == [on_lots(target) for target in wanted[:-1]]


@given(targets, st.integers(0, 3), st.sampled_from([0.0, 0.125, 0.5]))
def test_however_slowly_a_target_is_never_passed_and_is_reached(
    wanted: list[float], latency: int, volume_share: float
) -> None:
    steady = [*wanted, *[wanted[-1]] * 80]
    positions = held(steady, latency, volume_share)

    low = high = 0.0
    for target, position in zip([0.0, *wanted], positions, strict=False):
        low, high = min(low, on_lots(target)), max(high, on_lots(target))
        assert low <= position <= high
    assert positions[-1] == on_lots(wanted[-1])


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({}, "view.hold: quantity or fraction says how much; give one"),
        ({"quantity": 1.0, "fraction": 1.0}, "view.hold: quantity or fraction says how much; give one"),
        ({"quantity": float("nan")}, "view.hold: quantity nan is not a finite number"),
        ({"quantity": "all"}, "view.hold: quantity 'all' is not a finite number"),
        ({"fraction": float("-inf")}, "view.hold: fraction -inf is not a finite number"),
        ({"fraction": 0.5, "band": -0.1}, "view.hold: band -0.1 is not a finite number of at least 0"),
    ],
)
def test_what_is_no_target_is_refused_in_a_sentence(call: dict[str, Any], reason: str) -> None:
    with pytest.raises(StrategyError) as error:
        Instructions(HOUR_MS).hold(call.get("quantity"), call.get("fraction"), call.get("band", 0.0))

    assert str(error.value) == reason
