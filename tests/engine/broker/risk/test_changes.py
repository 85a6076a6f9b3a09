"""Markets that change while an account trades them: by hand, beside runs that never knew another market, and what is refused."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.broker.risk.brackets import Bracket
from papertape.engine.broker.risk.fees import FeeTier
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Event, MarketChange
from papertape.engine.records import LONG, MARKET_FIGURES, REASON_LIQUIDATION, REFUSED_SIZE, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import FREE, START_MS, Outcome, Scripted, make_candles, random_candles

HOUR_MS = 3_600_000
Bar = tuple[float, float, float, float]
FLAT_BAR: Bar = (100.0, 100.0, 100.0, 100.0)
PERPETUAL = Market("X", is_perpetual=True, **FREE)
MARGIN = replace(PERPETUAL, leverage=10.0, maintenance_rate=0.005)
SIZED = Settings("fraction", fixed_fraction=0.5, leverage_cap=10.0)


def changed(market: Market, k: int = 0, **figures: Any) -> MarketChange:
    """Return the event of a market that changes after candle k."""
    return MarketChange(START_MS + (k + 1) * HOUR_MS, 0, replace(market, **figures).plain())


def engine_of(market: Market, strategy: Any, account: Settings = SIZED) -> Engine:
    return Engine(EngineSpec([market], strategy, "1h", "1h", settings=account))


def run(market: Market, strategy: Any, events: list[Event], account: Settings = SIZED) -> Outcome:
    engine = engine_of(market, strategy, account)
    return Outcome(engine, [engine.step(event) for event in events])


def with_change(bars: list[Bar], k: int, change: MarketChange) -> list[Event]:
    """Return candles, and the change after candle k."""
    candles = make_candles(bars)
    return [candles[: k + 1], change, candles[k + 1 :]]


def test_prices_lie_on_the_grid_of_their_time_and_pay_its_fees() -> None:
    """5,000 ÷ 100.4 on ticks of 0.1, out at 100.4; then 5,000 ÷ 101 on ticks of 1 with 0.1 % of fees, out at 100."""
    market = replace(PERPETUAL, tick_size=0.1)
    bar: Bar = (100.4, 100.4, 100.4, 100.4)
    script = {0: Decision(LONG), 1: Decision(0), 2: Decision(LONG), 3: Decision(0)}
    change = changed(market, 2, tick_size=1.0, taker_fee_rate=0.001)

    outcome = run(market, Scripted(script), with_change([bar] * 6, 2, change))

    assert outcome.fills["price"].tolist() == [100.4, 100.4, 101.0, 100.0]
    quantity = 5_000.0 / 101.0
    assert outcome.fills["quantity"][2] == pytest.approx(quantity)
    fees = [0.0, 0.0, 5.0, quantity * 100.0 * 0.001]
    assert (outcome.fills["fee"] * 1e-9).tolist() == pytest.approx(fees, abs=1e-8)


@pytest.mark.parametrize(
    ("side", "rate", "low", "high", "is_gone"),
    # 100 × (1 ∓ (0.1 - m)): 90.5 before, 93 with 3 %, 90 ∓ … 89.9 would be beyond the margin itself
    [
        (LONG, 0.005, 90.51, 100.0, False),
        (LONG, 0.03, 93.01, 100.0, False),
        (LONG, 0.03, 92.99, 100.0, True),
        (SHORT, 0.03, 100.0, 106.99, False),
        (SHORT, 0.03, 100.0, 107.01, True),
    ],
)
def test_what_must_be_maintained_counts_at_the_next_extreme(
    side: int, rate: float, low: float, high: float, is_gone: bool
) -> None:
    bars: list[Bar] = [FLAT_BAR, FLAT_BAR, (100.0, high, low, 100.0)]
    change = changed(MARGIN, 1, maintenance_rate=rate)

    outcome = run(MARGIN, Scripted({0: Decision(side)}), with_change(bars, 1, change))

    assert [t.exit_reason for t in outcome.trades] == [REASON_LIQUIDATION] * is_gone
    if is_gone:  # at the margin that it had
        assert outcome.trades[0].exit_price == pytest.approx(100.0 - side * 10.0)
        assert outcome.trades[0].pnl * 1e-9 == pytest.approx(-500.0)


def test_a_position_below_its_new_margin_is_gone_at_the_next_open() -> None:
    low: Bar = (100.0, 100.0, 92.0, 92.0)
    bars = [FLAT_BAR, FLAT_BAR, low, (92.0, 95.0, 92.0, 95.0)]
    change = changed(MARGIN, 2, maintenance_rate=0.03)

    outcome = run(MARGIN, Scripted({0: Decision(LONG)}), with_change(bars, 2, change))

    (trade,) = outcome.trades
    assert trade.exit_reason == REASON_LIQUIDATION
    assert trade.exit_ms == START_MS + 3 * HOUR_MS
    assert trade.exit_price == pytest.approx(90.0)


class Adding(Scripted):
    """Buy ten at the close of candle 0, and ten more at that of candle 2."""

    def decide(self, view: Any) -> Decision | None:
        if (view.time_ms - START_MS) // HOUR_MS in (1, 3):
            view.buy(10.0)
        return None


def test_a_position_keeps_its_margin_and_what_is_added_brings_its_own() -> None:
    """Ten at 10 % and ten at 20 %, both at 100: 15 % of margin, 0.5 % maintained; 100 × (1 - 0.145) = 85.5, closed at 85."""
    engine = engine_of(MARGIN, Adding({}))
    candles = make_candles([FLAT_BAR] * 4)

    engine.step(candles[:2])
    engine.step(changed(MARGIN, 1, leverage=5.0))
    kept = float(engine.positions[0].liquidation_price)
    engine.step(candles[2:])

    assert kept == pytest.approx(90.5)
    assert engine.positions[0].quantity == 20.0
    assert engine.positions[0].liquidation_price == pytest.approx(85.5)
    assert engine.positions[0].bankruptcy_price == pytest.approx(85.0)


class Resting(Scripted):
    """A limit order below, and later an order that closes one of what it bought."""

    def decide(self, view: Any) -> Decision | None:
        k = (view.time_ms - START_MS) // HOUR_MS - 1
        if k == 0:
            view.buy(1.5, limit=99.37)
        if k == 4:
            view.sell(1.0, reduce_only=True)
        if k == 6:
            view.exit()
        return None


def test_an_order_keeps_price_and_size_and_is_passed_by_a_new_tick() -> None:
    """A limit at 99.37 fills a tick beyond: at 98.9 with ticks of 0.01, with ticks of 1 not before 98.37."""
    market = replace(PERPETUAL, tick_size=0.01, lot_size=0.5)
    bars: list[Bar] = [FLAT_BAR, FLAT_BAR, (100.0, 100.0, 98.9, 100.0), (100.0, 100.0, 98.3, 100.0)]
    change = changed(market, 1, tick_size=1.0)

    outcome = run(market, Resting({}), with_change([*bars, *[FLAT_BAR] * 4], 1, change))

    bought = outcome.fills[0]
    assert (bought.candle_ms, bought.price) == (START_MS + 3 * HOUR_MS, 99.37)
    assert bought.quantity == 1.5


def test_what_is_held_off_the_new_lots_stays_whole_and_can_be_closed() -> None:
    """1.5 in lots of 0.5; in lots of 1 one of them is sold, and 0.5 is left, which is closed as a whole."""
    market = replace(PERPETUAL, tick_size=0.01, lot_size=0.5, maker_fee_rate=0.0)
    low: Bar = (100.0, 100.0, 98.0, 100.0)
    bars = [FLAT_BAR, low, *[FLAT_BAR] * 8]
    change = changed(market, 2, lot_size=1.0, minimum_size=1.0)

    outcome = run(market, Resting({}), with_change(bars, 2, change))

    assert outcome.fills["quantity"].tolist() == [1.5, 1.0, 0.5]
    assert outcome.fills["position"].tolist() == [1.5, 0.5, 0.0]
    (trade,) = outcome.trades
    assert trade.pnl * 1e-9 == pytest.approx(1.5 * 0.63)


def test_an_entry_below_a_new_minimum_is_refused() -> None:
    change = changed(PERPETUAL, 1, minimum_notional=6_000.0)
    script = {1: Decision(LONG)}

    outcome = run(PERPETUAL, Scripted(script), with_change([FLAT_BAR] * 4, 1, change))

    assert not len(outcome.fills)
    assert outcome.decisions["refused"].tolist() == [0, REFUSED_SIZE]


def test_tiers_count_the_volume_from_their_first_day_on() -> None:
    """5,000 in and out before the tiers are none of it; 2 × 5,000 after them reach a tier of 10,000 on the next day."""
    script = {0: Decision(LONG), 1: Decision(0), 4: Decision(LONG), 5: Decision(0), 30: Decision(LONG)}
    market = replace(PERPETUAL, taker_fee_rate=0.001)
    change = changed(market, 2, fee_tiers=(FeeTier(9_900.0, 0.0004, 0.0001),))

    outcome = run(market, Scripted(script), with_change([FLAT_BAR] * 34, 2, change))

    rates = outcome.fills["fee"] / outcome.fills["notional"]
    assert rates.tolist() == pytest.approx([0.001, 0.001, 0.001, 0.001, 0.0004])


@pytest.mark.parametrize("is_there_at_once", [True, False])
def test_tiers_of_a_market_that_is_not_traded_count_nothing(is_there_at_once: bool) -> None:
    """As above, beside a market that only features read: its tiers, from the beginning or later, are nobody's first day."""
    script = {0: Decision(LONG), 1: Decision(0), 4: Decision(LONG), 5: Decision(0), 30: Decision(LONG)}
    tiers = (FeeTier(9_900.0, 0.0004, 0.0001), FeeTier(15_000.0, 0.0002, 0.0))
    market = replace(PERPETUAL, taker_fee_rate=0.001)
    read = Market("Y", read_only=True, **FREE, fee_tiers=tiers if is_there_at_once else ())
    other = MarketChange(START_MS, 1, replace(read, fee_tiers=tiers).plain())
    change = changed(market, 2, fee_tiers=tiers)
    both = np.repeat(make_candles([FLAT_BAR] * 34), 2)
    both["symbol"] = np.arange(68) % 2
    engine = Engine(EngineSpec([market, read], Scripted(script), "1h", "1h", settings=SIZED))

    outcome = Outcome(engine, [engine.step(event) for event in (other, both[:6], change, both[6:])])

    rates = outcome.fills["fee"] / outcome.fills["notional"]
    assert rates.tolist() == pytest.approx([0.001, 0.001, 0.001, 0.001, 0.0004])


def test_every_figure_that_changed_is_reported_once() -> None:
    before = replace(MARGIN, tick_size=0.1)
    tables = {"brackets": (Bracket(1e5, 50.0, 0.004), Bracket(1e6, 20.0, 0.02)), "maintenance_rate": 0.0}
    engine = engine_of(before, Scripted({}))
    engine.step(make_candles([FLAT_BAR] * 2))
    change = changed(before, 1, tick_size=0.5, **tables)

    assert engine.would_change(change)
    found = engine.step(change).changes
    assert not engine.would_change(change)

    told = {
        (MARKET_FIGURES[row.figure], int(row.place)): (float(row.before), float(row.after)) for row in found
    }
    assert told == {
        ("tick_size", 0): (0.1, 0.5),
        ("maintenance_rate", 0): (0.005, 0.0),
        ("maximum_leverage", 0): (0.0, 50.0),
        ("largest_notional", 0): (0.0, 1e6),
        ("bracket_from", 1): (0.0, 1e5),
        ("bracket_rate", 0): (0.0, 0.004),
        ("bracket_rate", 1): (0.0, 0.02),
        ("bracket_amount", 1): (0.0, 1e5 * 0.016),
    }
    assert len(found) == len(told)
    assert found["sequence"].tolist() == list(range(len(found)))
    assert set(found["time_ms"]) == {START_MS + 2 * HOUR_MS}
    assert not len(engine.step(change).changes)


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"contract_value": 10.0}, "a contract of 1 cannot become one of 10"),
        ({"is_perpetual": False, "leverage": 0.0, "maintenance_rate": 0.0}, "a perpetual cannot become spot"),
        ({"leverage": 0.0}, "leverage 10 cannot become 0"),
        ({"leverage": 300.0}, "leaves a margin of 0.333%"),
        ({"read_only": True}, "read_only cannot change"),
        ({"symbol": "Y"}, "it is of Y"),
        ({"tick": 0.1}, "unexpected keyword argument 'tick'"),
    ],
)
def test_what_cannot_change_is_refused_before_anything_has(figures: dict[str, Any], said: str) -> None:
    engine = engine_of(MARGIN, Scripted({}))
    before = engine.snapshot()

    with pytest.raises(DataError, match=said):
        engine.step(MarketChange(START_MS, 0, MARGIN.plain() | figures))
    with pytest.raises(DataError, match="symbol index 1 is not between 0 and 0"):
        engine.step(MarketChange(START_MS, 1, MARGIN.plain()))

    assert engine.snapshot() == before


FIGURES = st.fixed_dictionaries(
    {},
    optional={
        "tick_size": st.sampled_from([0.0, 0.01, 0.5]),
        "lot_size": st.sampled_from([0.0, 0.001, 1.0]),
        "taker_fee_rate": st.sampled_from([0.0, 0.0007]),
        "half_spread_rate": st.sampled_from([0.0, 0.0003]),
        "slippage_rate": st.sampled_from([0.0, 0.002]),
        "fee_minimum": st.sampled_from([0.0, 3.0]),
        "minimum_notional": st.sampled_from([0.0, 4_000.0]),
        "maximum_leverage": st.sampled_from([0.0, 15.0]),
        "maintenance_rate": st.sampled_from([0.0, 0.02]),
        "leverage": st.sampled_from([5.0, 12.0]),
    },
)


@settings(max_examples=20, deadline=None)
@given(figures=FIGURES, seed=st.integers(0, 10_000), at=st.integers(20, 40))
def test_before_it_is_the_old_market_and_after_it_on_a_flat_account_the_new(
    figures: dict[str, Any], seed: int, at: int
) -> None:
    candles = random_candles(60, seed)
    random = np.random.default_rng(seed)
    script = {
        int(k): Decision(int(random.choice([SHORT, 0, LONG])), stop_distance=float(random.choice([0.0, 1.5])))
        for k in random.choice(60, 25, replace=False)
    }
    later = {k: decision for k, decision in script.items() if k >= at}
    change, new = changed(MARGIN, at, **figures), replace(MARGIN, **figures)
    split: list[Event] = [candles[: at + 1], change, candles[at + 1 :]]

    with_it, without = (run(MARGIN, Scripted(script), events) for events in (split, [candles]))
    flat, fresh = run(MARGIN, Scripted(later), split), run(new, Scripted(later), [candles])

    for name in ("fills", "decisions"):
        before, alone = (getattr(o, name) for o in (with_it, without))
        time = "candle_ms" if name == "fills" else "time_ms"
        early = START_MS + at * HOUR_MS
        assert before[before[time] <= early].tobytes() == alone[alone[time] <= early].tobytes()
        one, two = (getattr(o, name).copy() for o in (flat, fresh))
        one["sequence"] = two["sequence"] = 0  # the change has numbers of its own
        assert one.tobytes() == two.tobytes()
    assert flat.marks.tobytes() == fresh.marks.tobytes()


@settings(max_examples=10, deadline=None)
@given(figures=FIGURES, seed=st.integers(0, 10_000), batch=st.integers(1, 9))
def test_a_restart_at_any_event_and_any_batch_change_nothing(
    figures: dict[str, Any], seed: int, batch: int
) -> None:
    candles = random_candles(40, seed)
    random = np.random.default_rng(seed)
    script = {int(k): Decision(int(random.choice([SHORT, 0, LONG]))) for k in range(0, 40, 3)}
    tiers = (FeeTier(20_000.0, 0.0001, 0.0),)
    change = changed(MARGIN, 19, fee_tiers=tiers, **figures)
    whole = run(MARGIN, Scripted(script), [candles[:20], change, candles[20:]])
    engine = engine_of(MARGIN, Scripted(script))
    parts = [
        *(candles[k : min(k + batch, 20)] for k in range(0, 20, batch)),
        change,
        *(candles[k : k + batch] for k in range(20, 40, batch)),
    ]
    for part in parts:
        engine.step(part)
        saved = engine.snapshot()
        engine = engine_of(MARGIN, Scripted(script))
        engine.restore(saved)

    assert engine.digest == whole.engine.digest
    assert engine.snapshot() == whole.engine.snapshot()
