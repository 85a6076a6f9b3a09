"""Parts of positions in lots: exact in whole numbers beside float64, and a trade that ends with its last part."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.broker.account import whole_steps
from papertape.engine.broker.fills import on_lot
from papertape.engine.core import Engine
from papertape.engine.spec import EngineSpec, Market, Settings
from tests.support.helpers import FREE, START_MS, make_candles, run_all

LOTS = [1e-8, 1e-6, 1e-3, 0.025, 0.1, 0.3, 1.0]


@settings(deadline=None)
@given(
    lot=st.sampled_from(LOTS),
    parts=st.lists(st.integers(1, 10**11) | st.integers(1, 9), min_size=2, max_size=6),
)
def test_parts_of_whole_lots_leave_whole_lots(lot: float, parts: list[int]) -> None:
    left = sum(parts)
    held = whole_steps(float(left), lot)

    for part in parts:
        left -= part
        held = on_lot(held - whole_steps(float(part), lot), held, lot)
        assert held == whole_steps(float(left), lot)
    for part in parts:
        left += part
        total = held + whole_steps(float(part), lot)
        held = on_lot(total, total, lot)
        assert held == whole_steps(float(left), lot)


@settings(deadline=None)
@given(lots=st.integers(0, 10**9), part=st.floats(0.001, 0.999), lot=st.sampled_from(LOTS))
def test_what_is_held_in_part_of_a_lot_stays(lots: int, part: float, lot: float) -> None:
    held = (lots + part) * lot
    left = held - whole_steps(float(lots), lot)

    assert on_lot(left, held, lot) == left


class InParts:
    """Buys, and sells in three parts."""

    features = ()
    orders = (40_231.795701, -17_450.91093, -13_391.358858, -9_389.525913)  # they add up to zero

    def decide(self, view: Any) -> None:
        k = (view.time_ms - START_MS) // 3_600_000 - 1
        if k < len(self.orders):
            order = self.orders[k]
            view.buy(order) if order > 0.0 else view.sell(-order, reduce_only=True)


def test_a_trade_ends_with_the_last_of_its_fine_lots() -> None:
    market = Market("X", lot_size=1e-6, **FREE)
    spec = EngineSpec([market], InParts(), "1h", "1h", settings=Settings("all_in", cash_share=1.0))

    outcome = run_all(Engine(spec), make_candles([(0.01, 0.01, 0.01, 0.01)] * 7))

    assert outcome.fills["position"].tolist() == [40_231.795701, 22_780.884771, 9_389.525913, 0.0]
    assert len(outcome.trades) == 1
    assert outcome.marks["open_positions"].tolist() == [0, 1, 1, 1, 0, 0, 0]
