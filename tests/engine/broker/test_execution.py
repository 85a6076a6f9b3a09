"""Fills, brackets, costs and refusals, by hand calculation; prices and sizes are chosen so that sums are exact."""

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Action, Command
from papertape.engine.records import (
    FLAT,
    LONG,
    REASON_COMMAND,
    REASON_FLIP,
    REASON_SIGNAL,
    REASON_STOP,
    REASON_TARGET,
    REFUSED_NO,
    REFUSED_PAUSED,
    REFUSED_PRICE,
    REFUSED_SHORT,
    REFUSED_SIZE,
    REFUSED_STOP,
    SHORT,
)
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import FREE, Scripted, make_candles, run_all, run_script

PERPETUAL = {**FREE, "is_perpetual": True}
FLAT_100 = (100.0, 100.0, 100.0, 100.0)


def test_decision_at_a_close_fills_at_the_next_open_and_not_before() -> None:
    candles = make_candles([FLAT_100, (110.0, 120.0, 110.0, 120.0), (120.0, 130.0, 120.0, 130.0)])

    outcome = run_script(candles, {0: Decision(LONG)})

    assert len(outcome.fills) == 1
    assert outcome.fills[0].price == 110.0
    assert outcome.fills[0].candle_ms == candles[1].open_ms
    # 10,000 ÷ 110 units at 130 = 11,818.18 quote.
    assert outcome.marks[0].equity == 10_000 * 10**9
    assert outcome.marks[2].equity * 1e-9 == pytest.approx(10_000 / 110 * 130, abs=1e-8)


def test_decision_at_the_last_candle_never_fills() -> None:
    outcome = run_script(make_candles([FLAT_100, FLAT_100]), {1: Decision(LONG)})

    assert len(outcome.fills) == 0
    assert len(outcome.decisions) == 1


def test_latency_delays_the_fill_by_that_many_candles() -> None:
    prices = [(p, p, p, p) for p in (100.0, 101.0, 102.0, 103.0)]

    outcome = run_script(make_candles(prices), {0: Decision(LONG)}, latency_bars=2)

    assert outcome.fills["price"].tolist() == [103.0]


@pytest.mark.parametrize(
    ("side", "candle", "price", "reason"),
    [
        # stop 90, target 120 around an entry at 100
        (LONG, (100.0, 105.0, 89.0, 95.0), 90.0, REASON_STOP),
        (LONG, (85.0, 95.0, 80.0, 95.0), 85.0, REASON_STOP),  # gap through the stop: the open
        (LONG, (100.0, 121.0, 95.0, 110.0), 120.0, REASON_TARGET),
        (LONG, (125.0, 130.0, 121.0, 125.0), 125.0, REASON_TARGET),  # gap through the target
        (LONG, (125.0, 130.0, 80.0, 125.0), 125.0, REASON_TARGET),  # the open came first
        (SHORT, (100.0, 111.0, 95.0, 105.0), 110.0, REASON_STOP),
        (SHORT, (115.0, 116.0, 95.0, 105.0), 115.0, REASON_STOP),
        (SHORT, (100.0, 101.0, 79.0, 85.0), 80.0, REASON_TARGET),
        (SHORT, (75.0, 76.0, 70.0, 75.0), 75.0, REASON_TARGET),
    ],
)
def test_bracket_fills_where_the_candle_says(
    side: int, candle: tuple[float, float, float, float], price: float, reason: int
) -> None:
    candles = make_candles([FLAT_100, FLAT_100, candle])

    outcome = run_script(
        candles, {0: Decision(side, stop_distance=10.0, target_distance=20.0)}, market=PERPETUAL
    )

    trade = outcome.trades[0]
    assert (trade.exit_price, trade.exit_reason) == (price, reason)
    # 100 units: profit is 100 × the move.
    assert trade.pnl == round(side * (price - 100.0) * 100) * 10**9
    assert trade.is_ambiguous == 0
    assert outcome.marks[-1].equity == 10_000 * 10**9 + trade.pnl


def test_stop_and_target_in_one_candle_is_a_stop_with_the_optimistic_bound_kept() -> None:
    candles = make_candles([FLAT_100, FLAT_100, (100.0, 125.0, 85.0, 100.0)])

    outcome = run_script(candles, {0: Decision(LONG, stop_distance=10.0, target_distance=20.0)})

    trade = outcome.trades[0]
    assert trade.exit_reason == REASON_STOP
    assert trade.is_ambiguous == 1
    assert trade.pnl == -1_000 * 10**9
    assert trade.pnl_optimistic == 2_000 * 10**9


def test_bracket_is_checked_on_the_entry_candle_itself() -> None:
    candles = make_candles([FLAT_100, (100.0, 101.0, 89.0, 95.0)])

    outcome = run_script(candles, {0: Decision(LONG, stop_distance=10.0)})

    assert outcome.trades[0].exit_reason == REASON_STOP
    assert outcome.trades[0].bars == 1


def test_exit_at_the_open_comes_before_the_bracket_of_that_candle() -> None:
    candles = make_candles([FLAT_100, FLAT_100, (99.0, 125.0, 85.0, 100.0)])

    outcome = run_script(
        candles, {0: Decision(LONG, stop_distance=10.0, target_distance=20.0), 1: Decision(FLAT)}
    )

    assert outcome.trades[0].exit_reason == REASON_SIGNAL
    assert outcome.trades[0].exit_price == 99.0


def test_costs_are_fee_half_spread_and_slippage_on_each_side() -> None:
    market = {"taker_fee_rate": 0.001, "half_spread_rate": 0.002, "slippage_rate": 0.003}
    candles = make_candles([FLAT_100] * 4)

    outcome = run_script(
        candles, {0: Decision(LONG), 2: Decision(FLAT)}, market=market, sizing="fraction", fixed_fraction=0.1
    )

    buy, sell = outcome.fills
    # buy at 100 × 1.005; 1,000 quote of equity buys 1,000 ÷ 100.5 units
    quantity = 1_000 / 100.5
    assert buy.price == pytest.approx(100.5, rel=1e-15)
    assert sell.price == pytest.approx(99.5, rel=1e-15)
    assert buy.quantity == pytest.approx(quantity, rel=1e-15)
    assert buy.fee * 1e-9 == pytest.approx(1_000 * 0.001, abs=1e-9)
    assert buy.spread * 1e-9 == pytest.approx(quantity * 100 * 0.002, abs=1e-9)
    assert buy.slippage * 1e-9 == pytest.approx(quantity * 100 * 0.003, abs=1e-9)
    loss = quantity * (99.5 - 100.5) - 1.0 - quantity * 99.5 * 0.001
    trade = outcome.trades[0]
    assert trade.pnl * 1e-9 == pytest.approx(loss, abs=3e-9)
    assert outcome.marks[-1].cash * 1e-9 == pytest.approx(10_000 + loss, abs=3e-9)


def test_stop_slips_but_a_target_does_not() -> None:
    market = {**FREE, "slippage_rate": 0.01}
    bracket = Decision(LONG, stop_price=90.0, target_price=120.0)

    stopped = run_script(make_candles([FLAT_100, FLAT_100, (100, 100, 89, 95)]), {0: bracket}, market=market)
    reached = run_script(make_candles([FLAT_100, FLAT_100, (100, 121, 95, 95)]), {0: bracket}, market=market)

    assert stopped.trades[0].exit_price == pytest.approx(90 * 0.99, rel=1e-15)
    assert reached.trades[0].exit_price == 120.0


def test_size_by_risk_loses_the_stated_fraction_at_the_stop() -> None:
    candles = make_candles([FLAT_100, FLAT_100, (100.0, 100.0, 90.0, 95.0)])

    outcome = run_script(candles, {0: Decision(LONG, stop_distance=5.0)}, sizing="risk", risk_fraction=0.01)

    # 1 % of 10,000 = 100 quote; 5 a unit: 20 units; stopped at 95
    assert outcome.fills[0].quantity == 20.0
    assert outcome.trades[0].pnl == -100 * 10**9
    assert outcome.trades[0].risk == 100 * 10**9


def test_size_is_rounded_down_to_lots_and_refused_below_the_minimum() -> None:
    candles = make_candles([FLAT_100, FLAT_100, FLAT_100])
    decision = {0: Decision(LONG), 1: Decision(LONG)}

    lots = run_script(candles, decision, market={**FREE, "lot_size": 0.3}, capital=100.0)
    refused = run_script(candles, decision, market={**FREE, "minimum_size": 2.0}, capital=100.0)
    small = run_script(candles, decision, market={**FREE, "minimum_notional": 101.0}, capital=100.0)

    assert lots.fills[0].quantity == pytest.approx(0.9, rel=1e-12)
    for outcome in (refused, small):
        assert len(outcome.fills) == 0
        # said once, although it was tried again
        assert outcome.decisions["refused"].tolist() == [0, REFUSED_SIZE]


def test_prices_are_rounded_to_ticks_against_us() -> None:
    market = {**FREE, "slippage_rate": 0.001, "tick_size": 0.5}
    candles = make_candles([FLAT_100] * 4)

    outcome = run_script(candles, {0: Decision(LONG), 1: Decision(FLAT)}, market=market)

    # 100.1 up to 100.5, 99.9 down to 99.5
    assert outcome.fills["price"].tolist() == [100.5, 99.5]


def test_flip_is_two_fills_at_one_price() -> None:
    prices = [(p, p, p, p) for p in (100.0, 100.0, 110.0, 121.0)]

    outcome = run_script(make_candles(prices), {0: Decision(LONG), 1: Decision(SHORT)}, market=PERPETUAL)

    assert outcome.fills["side"].tolist() == [1, -1, -1]
    assert outcome.fills["price"].tolist() == [100.0, 110.0, 110.0]
    assert outcome.trades[0].exit_reason == REASON_FLIP
    assert outcome.fills["trade"].tolist() == [0, 0, 1]
    # +1,000 on 100 units; then 100 units short at 110, 121 at the end: -1,100
    assert outcome.marks[-1].equity == pytest.approx((10_000 + 1_000 - 1_100) * 10**9, rel=1e-12)


def test_leverage_cap_bounds_a_perpetual_position() -> None:
    candles = make_candles([FLAT_100, FLAT_100])

    outcome = run_script(candles, {0: Decision(LONG)}, market=PERPETUAL, leverage_cap=3.0)

    assert outcome.fills[0].quantity == pytest.approx(300.0, rel=1e-12)
    assert outcome.marks[-1].exposure == pytest.approx(30_000 * 10**9, rel=1e-12)


@pytest.mark.parametrize(
    ("decision", "options", "reason"),
    [
        (Decision(SHORT), {}, REFUSED_SHORT),  # spot
        (Decision(SHORT), {"market": PERPETUAL, "allow_short": False}, REFUSED_SHORT),
        (Decision(LONG), {"sizing": "risk"}, REFUSED_STOP),
        (Decision(LONG, stop_price=101.0), {}, REFUSED_PRICE),
        (Decision(LONG, target_price=99.0), {}, REFUSED_PRICE),
        (Decision(SHORT, stop_price=99.0), {"market": PERPETUAL}, REFUSED_PRICE),
    ],
)
def test_refusal_is_reported_with_its_reason(
    decision: Decision, options: dict[str, object], reason: int
) -> None:
    outcome = run_script(make_candles([FLAT_100] * 3), {0: decision}, **options)  # type: ignore[arg-type]

    assert len(outcome.fills) == 0
    assert outcome.decisions[-1].refused == reason


def test_refused_short_still_closes_the_long() -> None:
    outcome = run_script(make_candles([FLAT_100] * 4), {0: Decision(LONG), 1: Decision(SHORT)})

    assert len(outcome.trades) == 1
    assert outcome.fills["position"][-1] == 0.0


def test_nothing_fills_in_an_absent_candle() -> None:
    candles = make_candles([FLAT_100, (50.0, 200.0, 50.0, 100.0), (102.0, 102.0, 102.0, 102.0)])
    candles[1].flag_bits = 2

    outcome = run_script(candles, {0: Decision(LONG, stop_distance=10.0)})

    assert outcome.fills["price"].tolist() == [102.0]


def test_absent_strategy_candle_decides_nothing() -> None:
    candles = make_candles([FLAT_100] * 4)
    candles[1].flag_bits = 2

    outcome = run_script(candles, {1: Decision(LONG)})

    assert len(outcome.decisions) == 0


def test_excursions_are_the_worst_and_best_prices_while_held() -> None:
    candles = make_candles(
        [FLAT_100, (100.0, 104.0, 99.0, 100.0), (100.0, 108.0, 95.0, 100.0), (101.0, 150.0, 50.0, 100.0)]
    )

    outcome = run_script(candles, {0: Decision(LONG), 2: Decision(FLAT)})

    # the exit at the open of the last candle: its range was not held
    assert outcome.trades[0].mae_price == -5.0
    assert outcome.trades[0].mfe_price == 8.0
    assert outcome.trades[0].bars == 3


@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize(
    ("candle", "worst", "best"),
    [
        # entry at 100, stop 90, target 120 (short: 110, 80); prices are given for the long and mirrored at 100
        ((125.0, 130.0, 80.0, 90.0), 0.0, 25.0),  # gap through the target: nothing after the open was held
        ((85.0, 130.0, 80.0, 90.0), -15.0, 0.0),  # gap through the stop
        ((105.0, 106.0, 85.0, 90.0), -10.0, 5.0),  # stopped, after the open at 105
        ((105.0, 121.0, 95.0, 110.0), -5.0, 20.0),  # target; the low may have come first
        ((105.0, 121.0, 85.0, 110.0), -10.0, 5.0),  # both: the stop, and nothing above the open is certain
    ],
)
def test_excursions_end_with_the_exit_and_know_the_open(
    side: int, candle: tuple[float, float, float, float], worst: float, best: float
) -> None:
    opened, high, low, close = candle
    if side == SHORT:
        opened, high, low, close = 200 - opened, 200 - low, 200 - high, 200 - close
    candles = make_candles([FLAT_100, FLAT_100, (opened, high, low, close)])

    outcome = run_script(
        candles, {0: Decision(side, stop_distance=10.0, target_distance=20.0)}, market=PERPETUAL
    )

    assert (outcome.trades[0].mae_price, outcome.trades[0].mfe_price) == (worst, best)


def test_the_open_of_an_exit_counts_before_its_costs() -> None:
    candles = make_candles([FLAT_100, FLAT_100, (110.0, 150.0, 50.0, 110.0)])

    outcome = run_script(
        candles, {0: Decision(LONG), 1: Decision(FLAT)}, market={**FREE, "slippage_rate": 0.1}
    )

    # bought at 110 (100 and 10 %), sold at 99: the open of the exit was at the entry's price
    trade = outcome.trades[0]
    assert trade.exit_price == pytest.approx(99.0)
    assert trade.mae_price == pytest.approx(-11.0)
    assert trade.mfe_price == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("decision", [{"stop_distance": 0.994}, {"stop_price": 99.006}])
@pytest.mark.parametrize("side", [LONG, SHORT])
def test_the_stop_is_rounded_before_the_size_is_made_of_it(side: int, decision: dict[str, float]) -> None:
    """0.994 is 0.99 on ticks of 0.01 and 1.0 on ticks of 0.1: either way 1 % of 10,000 is lost there."""
    if side == SHORT and "stop_price" in decision:
        decision = {"stop_price": 100.994}
    for tick, distance in ((0.0, 0.994), (0.01, 0.99), (0.1, 1.0)):
        market = {**PERPETUAL, "tick_size": tick}
        level = 100.0 - side * distance
        hit = (100.0, max(100.0, level), min(100.0, level), 100.0)

        outcome = run_script(
            make_candles([FLAT_100, FLAT_100, hit]),
            {0: Decision(side, **decision)},
            market=market,
            sizing="risk",
            risk_fraction=0.01,
            leverage_cap=3.0,
        )

        trade = outcome.trades[0]
        assert trade.exit_price == (float(f"{level:.3f}") if tick else pytest.approx(level))
        assert trade.pnl * 1e-9 == pytest.approx(-100.0, rel=1e-12)
        assert trade.risk * 1e-9 == pytest.approx(100.0, rel=1e-12)


def test_levels_given_as_prices_lie_on_the_grid() -> None:
    candles = make_candles([FLAT_100, FLAT_100, (100.0, 110.0, 100.0, 110.0)])

    outcome = run_script(
        candles, {0: Decision(LONG, stop_price=90.26, target_price=105.74)}, market={**FREE, "tick_size": 0.5}
    )

    assert outcome.trades[0].stop_price == 90.5
    assert outcome.trades[0].exit_price == 105.5


@pytest.mark.parametrize("target", [LONG, SHORT])
def test_what_the_grid_takes_is_a_cost(target: int) -> None:
    """100.1 becomes 100.5 and 99.9 becomes 99.5 on half ticks: 0.5 a unit each way, of which 0.1 was the rate's."""
    market = {**PERPETUAL, "slippage_rate": 0.0008, "half_spread_rate": 0.0002, "tick_size": 0.5}

    outcome = run_script(
        make_candles([FLAT_100] * 4),
        {0: Decision(target), 1: Decision(FLAT)},
        market=market,
        sizing="fraction",
        fixed_fraction=0.5,
    )

    for fill in outcome.fills:
        assert fill.spread * 1e-9 == pytest.approx(fill.quantity * 0.02, abs=1e-8)
        assert (fill.spread + fill.slippage) * 1e-9 == pytest.approx(fill.quantity * 0.5, abs=1e-8)
    trade = outcome.trades[0]
    assert trade.pnl == pytest.approx(-(trade.spread + trade.slippage), abs=4)


def test_nothing_is_sold_below_one_tick() -> None:
    """At the smallest price there is, a buyer pays two ticks and a seller gets one: half is lost, and it is a cost."""
    candles = make_candles([(1e-8, 1e-8, 1e-8, 1e-8)] * 6)

    outcome = run_script(
        candles, {0: Decision(LONG), 2: Decision(FLAT)}, market={"tick_size": 1e-8}, capital=100.0
    )

    trade = outcome.trades[0]
    assert (trade.entry_price, trade.exit_price) == (2e-8, 1e-8)
    assert (trade.spread + trade.slippage) * 1e-9 == pytest.approx(50.0, abs=0.1)
    assert outcome.marks[-1].equity * 1e-9 == pytest.approx(50.0, abs=0.2)


def test_a_grid_coarser_than_the_price_gives_nothing_away() -> None:
    """A tick of 1 on prices of 0.5 is a mistake in the market's data: the seller gets the market's price, no more."""
    outcome = run_script(
        make_candles([(0.5, 0.5, 0.5, 0.5)] * 5),
        {0: Decision(LONG), 2: Decision(FLAT)},
        market={**FREE, "tick_size": 1.0},
    )

    assert outcome.fills["price"].tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("capital", "price", "market"),
    [
        (1_000.0, 0.1, {"minimum_notional": 1_000.0}),
        (0.3, 0.1, {"minimum_notional": 0.3, "lot_size": 1.0}),  # 3 lots at 0.1 are 0.30000000000000004
        (0.7, 0.7, {"minimum_notional": 0.7}),
        (33.0, 1.1, {"minimum_notional": 33.0}),
        (100.0, 100.0, {"minimum_size": 1.0, "lot_size": 0.1}),
        (70.0, 100.0, {"minimum_size": 0.7, "lot_size": 0.1}),
        (5e-3, 1e-5, {"minimum_notional": 5e-3, "lot_size": 1.0}),
        *[
            (k / 10, 0.1, {"minimum_notional": k / 10, "minimum_size": k, "lot_size": 1.0})
            for k in range(1, 60)
        ],
    ],
)
def test_a_size_that_is_exactly_the_minimum_is_not_refused(
    capital: float, price: float, market: dict[str, float]
) -> None:
    candles = make_candles([(price, price, price, price)] * 3)

    enough = run_script(candles, {0: Decision(LONG)}, market={**FREE, **market}, capital=capital)
    least = market.get("minimum_notional", 0.0) or market["minimum_size"] * price
    short = run_script(
        candles, {0: Decision(LONG)}, market={**FREE, "minimum_notional": least * 1.0001}, capital=capital
    )

    assert len(enough.fills) == 1
    assert short.decisions["refused"].tolist() == [REFUSED_NO, REFUSED_SIZE]


def test_commands_pause_and_flatten() -> None:
    candles = make_candles([FLAT_100] * 6)
    spec = EngineSpec(
        [Market("X", **FREE)],
        Scripted({0: Decision(LONG), 3: Decision(LONG)}),
        "1h",
        "1h",
        settings=Settings(sizing="all_in"),
    )
    engine = Engine(spec)

    run_all(engine, candles[:2])
    engine.step(Command(Action.FLATTEN))
    flattened = engine.step(candles[2:3])
    engine.step(Command(Action.PAUSE))
    paused = engine.step(candles[3:5])
    engine.step(Command(Action.RESUME))

    assert flattened.fills["reason"].tolist() == [REASON_COMMAND]
    assert paused.decisions["refused"].tolist() == [REFUSED_PAUSED]
    assert len(paused.fills) == 0
    assert engine.account[0].is_paused == 0


def test_open_trade_is_marked_at_the_end_without_touching_the_state() -> None:
    engine_outcome = run_script(
        make_candles([FLAT_100, FLAT_100, (100.0, 110.0, 100.0, 110.0)]), {0: Decision(LONG)}
    )
    before = engine_outcome.engine.snapshot()

    trades = engine_outcome.engine.open_trades()

    assert trades["pnl"].tolist() == [1_000 * 10**9]
    assert engine_outcome.engine.snapshot() == before
    assert np.all(engine_outcome.engine.trades["pnl"] == 0)


@pytest.mark.parametrize(
    ("sizing", "decision", "full"),
    [
        ("risk", Decision(LONG, stop_distance=5.0), 20.0),  # 1 % of 10,000 lost over 5
        ("fraction", Decision(LONG), 25.0),  # 25 % of 10,000 at 100
        ("fraction", Decision(LONG, size_scale=0.5), 12.5),
        ("all_in", Decision(LONG), 100.0),
    ],
)
@pytest.mark.parametrize("factor", [1.0, 0.5, 0.25])
def test_scale_takes_its_share_of_every_new_entry(
    sizing: str, decision: Decision, full: float, factor: float
) -> None:
    spec = EngineSpec(
        [Market("X", **FREE)],
        Scripted({0: decision, 2: Decision(FLAT), 4: decision}),
        "1h",
        "1h",
        settings=Settings(sizing, cash_share=1.0),
    )
    candles = make_candles([FLAT_100] * 7)
    engine = Engine(spec)

    first = run_all(engine, candles[:2])
    engine.step(Command(Action.SCALE, factor))
    again = Engine(spec)
    again.restore(engine.snapshot())
    later = run_all(again, candles[2:])

    # what is held stays as it is; the next entry is scaled, also after a restart
    assert first.fills["quantity"].tolist() == [full]
    assert later.fills["quantity"].tolist() == [full, factor * full]
    assert again.account[0].is_paused == 0


def test_scale_of_nothing_is_refused_as_too_small_and_one_brings_the_size_back() -> None:
    spec = EngineSpec(
        [Market("X", **FREE)],
        Scripted(dict.fromkeys(range(5), Decision(LONG))),
        "1h",
        "1h",
        settings=Settings("fraction"),
    )
    candles = make_candles([FLAT_100] * 6)
    engine = Engine(spec)

    engine.step(Command(Action.SCALE, 0.0))
    outcome = run_all(engine, candles[:3])
    engine.step(Command(Action.SCALE))

    assert outcome.decisions["refused"].tolist() == [REFUSED_NO, REFUSED_SIZE]
    assert run_all(engine, candles[3:]).fills["quantity"].tolist() == [25.0]


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_scale_beyond_its_range_is_refused_and_changes_nothing(value: float) -> None:
    engine = Engine(EngineSpec([Market("X")], Scripted({}), "1h", "1h"))
    before = engine.snapshot()

    with pytest.raises(DataError, match=f"size factor {value} is not between 0 and 1"):
        engine.step(Command(Action.SCALE, value))

    assert engine.snapshot() == before
    engine.step(Command(Action.PAUSE, 0.5))  # other actions have no value
    assert engine.account[0].size_factor == 1.0
