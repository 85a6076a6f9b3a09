"""Isolated margin: liquidation levels against their formulas in fractions, and what happens there, by hand."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.working.orders import BY_LIQUIDATION
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.events import SeriesRows
from papertape.engine.jit import Rows
from papertape.engine.records import (
    AMBIGUOUS_EXIT,
    LONG,
    MARK_PRICE,
    REASON_LIQUIDATION,
    REASON_SIGNAL,
    REASON_STOP,
    REASON_TARGET,
    SERIES,
    SHORT,
)
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.every_order import EveryOrder
from tests.support.helpers import FREE, Outcome, Scripted, interleave, make_candles, random_candles, run_all

Bar = tuple[float, float, float, float]
FLAT_BAR: Bar = (100.0, 100.0, 100.0, 100.0)


class Resting(Scripted):
    """The same, with an order far away, so that working orders and the way inside a candle take part."""

    def decide(self, view: Any) -> Decision | None:
        if not view.orders:
            view.buy(1.0, limit=0.01)
        return super().decide(view)


def run(
    bars: list[Bar],
    decision: Decision,
    leverage: float,
    strategy: type[Scripted] = Scripted,
    script: dict[int, Decision] | None = None,
    **market: Any,
) -> Outcome:
    """Return what becomes of a position of 5,000 quote that enters at the open of candle 1, 100."""
    spec = EngineSpec(
        [Market("X", is_perpetual=True, leverage=leverage, **{**FREE, "maintenance_rate": 0.005, **market})],
        strategy(script or {0: decision}),
        "1h",
        "1h",
        settings=Settings("fraction", fixed_fraction=0.5, leverage_cap=10.0),
    )
    return run_all(Engine(spec), make_candles([FLAT_BAR, FLAT_BAR, *bars]))


@pytest.mark.parametrize("strategy", [Scripted, Resting])
@pytest.mark.parametrize(
    ("side", "leverage", "level"),
    # E × (1 ∓ (1/L - m)): 100 × (1 - (0.1 - 0.005)) = 90.5 and so on
    [(LONG, 10, 90.5), (SHORT, 10, 109.5), (LONG, 50, 98.5), (SHORT, 50, 101.5)],
)
def test_a_position_is_gone_at_its_level_and_loses_its_margin(
    side: int, leverage: int, level: float, strategy: type[Scripted]
) -> None:
    beyond = level - side * 0.01
    within = level + side * 0.01
    safe: Bar = (100.0, max(100.0, within), min(100.0, within), 100.0)
    met: Bar = (100.0, max(100.0, beyond), min(100.0, beyond), 100.0)

    outcome = run([safe, met, FLAT_BAR], Decision(side), leverage, strategy)

    (trade,) = outcome.trades
    assert trade.exit_reason == REASON_LIQUIDATION
    assert (trade.exit_ms - trade.entry_ms) // 3_600_000 == 2
    assert trade.exit_price == pytest.approx(100.0 * (1.0 - side / leverage), rel=1e-15)
    assert trade.pnl * 1e-9 == pytest.approx(-5_000.0 / leverage, abs=1e-6)
    # The bankruptcy price was never there; the level was.
    assert trade.mae_price == pytest.approx(-abs(level - 100.0), abs=1e-9)


@pytest.mark.parametrize(
    ("rate", "slope", "start", "notional"),
    [(0.0025, 0.0, 0.0, 5_000.0), (0.0025, 1.25e-8, 100_000.0, 5e6), (0.004, 2e-6, 1_000.0, 5_000.0)],
)
@pytest.mark.parametrize("side", [LONG, SHORT])
def test_levels_are_those_of_the_formula(
    side: int, rate: float, slope: float, start: float, notional: float
) -> None:
    """Against fractions: IM% and MM% as Delta publishes them for BTCUSD, its slope in points per quote."""
    leverage, entry = 8.0, 20_000.0
    spec = EngineSpec(
        [
            Market(
                "X",
                is_perpetual=True,
                leverage=leverage,
                maintenance_rate=rate,
                maintenance_slope=slope,
                maintenance_from=start,
                **FREE,
            )
        ],
        Scripted({0: Decision(side)}),
        "1h",
        "1h",
        capital=2 * notional,
        settings=Settings("fraction", fixed_fraction=0.5, leverage_cap=10.0),
    )
    engine = Engine(spec)
    engine.step(make_candles([(entry,) * 4] * 2))

    maintenance = Fraction(rate) + Fraction(slope) * max(Fraction(notional) - Fraction(start), 0)
    expected = Fraction(entry) * (1 - side * (1 / Fraction(leverage) - maintenance))
    position = engine.positions[0]
    assert position.liquidation_price == pytest.approx(float(expected), rel=1e-12)
    assert position.bankruptcy_price == pytest.approx(entry * (1 - side / leverage), rel=1e-14)


@pytest.mark.parametrize(
    ("side", "bybit", "gate", "binance"),
    [(LONG, 8.1, 8.085708510208207, 8.070707070707071), (SHORT, 11.9, 11.87413417771621, 11.89108910891089)],
)
def test_levels_beside_freqtrades_table_of_venues(
    side: int, bybit: float, gate: float, binance: float
) -> None:
    """
    Its `test_execute_entry`: a unit at 10 on 5x, 1 % maintained, an amount of 0.01 off on Binance, a fee of 0.06 % on Gate.

    Bybit's form is ours. Gate and OKX hold the rate and a taker fee against the notional at the mark, Binance the rate less
    its amount; the distance to ours is what these forms say, and no more.
    """
    spec = EngineSpec(
        [Market("X", is_perpetual=True, leverage=5.0, maintenance_rate=0.01, **FREE)],
        Scripted({0: Decision(side)}),
        "1h",
        "1h",
        capital=10.0,
        settings=Settings("fraction", fixed_fraction=1.0, leverage_cap=1.0, cash_share=1.0),
    )
    engine = Engine(spec)
    engine.step(make_candles([(10.0,) * 4] * 2))
    level = engine.positions[0].liquidation_price

    assert engine.positions[0].quantity != 0
    assert level == pytest.approx(bybit, rel=1e-14)
    # At the mark P what is left, margin + side x (P - 10), is down to what they maintain: solved for P.
    margin = 2.0
    assert gate == pytest.approx((10 - side * margin) / (1 - side * (0.01 + 0.0006)), rel=1e-12)
    assert binance == pytest.approx((10 - side * (margin + 0.01)) / (1 - side * 0.01), rel=1e-12)
    assert gate - level == pytest.approx(side * (0.0106 * gate - 0.01 * 10), rel=1e-9)
    assert binance - level == pytest.approx(side * (0.01 * binance - 0.01 - 0.01 * 10), rel=1e-9)


@pytest.mark.parametrize("strategy", [Scripted, Resting])
@pytest.mark.parametrize(
    ("stop", "bar", "reason", "price"),
    [
        # The stop at 95 is nearer than 90.5: it comes first, however far the candle goes.
        (95.0, (100.0, 100.0, 80.0, 82.0), REASON_STOP, 95.0),
        # A stop beyond the liquidation never comes.
        (85.0, (100.0, 100.0, 80.0, 82.0), REASON_LIQUIDATION, 90.0),
        # One price for both is the stop's.
        (90.5, (100.0, 100.0, 90.0, 91.0), REASON_STOP, 90.5),
        # The candle opens between them: the stop, at the open.
        (95.0, (93.0, 94.0, 93.0, 94.0), REASON_STOP, 93.0),
        # It opens beyond both: there was no time for the stop.
        (95.0, (90.4, 91.0, 90.0, 91.0), REASON_LIQUIDATION, 90.0),
        # It opens beyond the bankruptcy price: no more than the margin is lost.
        (95.0, (70.0, 71.0, 69.0, 70.0), REASON_LIQUIDATION, 90.0),
    ],
)
def test_stop_and_liquidation(
    stop: float, bar: Bar, reason: int, price: float, strategy: type[Scripted]
) -> None:
    outcome = run([bar], Decision(LONG, stop_price=stop), 10, strategy)

    assert outcome.trades["exit_reason"].tolist() == [reason]
    assert outcome.trades["exit_price"].tolist() == [pytest.approx(price, rel=1e-15)]


@pytest.mark.parametrize("strategy", [Scripted, Resting])
def test_liquidation_and_target_in_one_candle_are_ambiguous(strategy: type[Scripted]) -> None:
    outcome = run([(100.0, 106.0, 88.0, 100.0)], Decision(LONG, target_price=105.0), 10, strategy)

    (trade,) = outcome.trades
    assert trade.exit_reason == REASON_LIQUIDATION
    assert trade.is_ambiguous == AMBIGUOUS_EXIT
    assert trade.pnl_optimistic * 1e-9 == pytest.approx(50 * 5.0, abs=1e-6)


def test_a_target_that_the_open_has_passed_is_met() -> None:
    outcome = run([(106.0, 106.0, 80.0, 100.0)], Decision(LONG, target_price=105.0), 10)

    assert outcome.trades["exit_reason"].tolist() == [REASON_TARGET]


@pytest.mark.parametrize(("opens", "reason"), [(90.6, REASON_SIGNAL), (90.4, REASON_LIQUIDATION)])
def test_an_order_to_close_comes_too_late_where_the_open_has_passed_the_level(
    opens: float, reason: int
) -> None:
    script = {0: Decision(LONG), 1: Decision(0)}

    outcome = run([(opens, 95.0, opens, 95.0)], Decision(LONG), 10, script=script)

    assert outcome.trades["exit_reason"].tolist() == [reason]


def test_the_fee_comes_on_top_and_no_taker_fee() -> None:
    costs = {"liquidation_fee_rate": 0.01, "taker_fee_rate": 0.0005}

    outcome = run([(100.0, 100.0, 80.0, 82.0)], Decision(LONG), 10, **costs)

    entry, exit_ = outcome.fills
    assert entry.fee == round(entry.notional * 0.0005)
    assert exit_.fee == round(exit_.notional * 0.01)
    assert outcome.trades[0].pnl == exit_.realised - entry.fee - exit_.fee


def test_without_leverage_nothing_is_liquidated() -> None:
    outcome = run([(100.0, 100.0, 1.0, 50.0)], Decision(LONG), 0.0)

    assert not len(outcome.trades)


class Adds:
    """Buys 10 at once, 10 more at the second close, and sells 5 at the third."""

    features = ()

    def decide(self, view: Any) -> None:
        number = (view.time_ms - 1_577_836_800_000) // 3_600_000
        if number < 3:
            view.buy(10.0)
        elif number == 3:
            view.exit(quantity=5.0)


def test_an_addition_moves_the_level_and_a_partial_exit_leaves_it() -> None:
    spec = EngineSpec(
        [Market("X", is_perpetual=True, leverage=10.0, maintenance_rate=0.005, **FREE)],
        Adds(),
        "1h",
        "1h",
        settings=Settings("fraction", fixed_fraction=0.5, leverage_cap=10.0),
    )
    engine = Engine(spec)
    bars = [FLAT_BAR, FLAT_BAR, (120.0,) * 4, (120.0,) * 4, (99.6,) * 4]
    levels = []
    for candle in make_candles(bars).reshape(-1, 1):
        engine.step(candle)
        levels.append(float(engine.positions[0].liquidation_price))

    # 10 @ 100: 90.5; 20 @ 110 on average: 99.55; the same with 15 of them
    assert levels == pytest.approx([0.0, 90.5, 99.55, 99.55, 99.55], rel=1e-14)
    report = engine.step(make_candles([*bars, (99.5, 99.5, 99.5, 99.5)])[-1:])
    (trade,) = report.trades
    assert trade.exit_reason == REASON_LIQUIDATION
    # Margin of what is left, 15 × 110 ÷ 10, and 5 × (120 - 110) of what was sold
    assert trade.pnl * 1e-9 == pytest.approx(-165.0 + 5 * (120.0 - 110.0), abs=1e-6)


TAPES = [random_candles(1_600, seed=70 + s, timeframe="15m") for s in range(2)]
CANDLES = interleave(TAPES)


def every_order(leverage: float = 40.0, names: tuple[str, ...] = ("AAA", "BBB")) -> Engine:
    market = {"is_perpetual": True, "tick_size": 0.01, "lot_size": 0.001, "leverage": leverage}
    markets = [Market(name, maintenance_rate=0.005, **market) for name in names]
    account = Settings("risk", 0.02, leverage_cap=3.0)
    return Engine(EngineSpec(markets, EveryOrder(), "1h", "15m", settings=account))


def test_liquidations_among_every_order_lose_the_margin_and_take_orders_back() -> None:
    outcome = run_all(every_order(), CANDLES)

    lost = outcome.fills[outcome.fills["reason"] == REASON_LIQUIDATION]
    assert len(lost) > 5
    cost = np.array([float(f.notional) - float(f.realised) * np.sign(-f.side) for f in lost])
    assert lost["realised"] / cost == pytest.approx(-1 / 40.0, abs=2e-4)  # to the tick
    assert BY_LIQUIDATION in outcome.orders["cause"]
    assert (outcome.marks["equity"] > 0).all()


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_and_restarts_change_nothing(batch: int) -> None:
    whole, parts = every_order(), every_order()
    run_all(whole, CANDLES)
    for start in range(0, len(CANDLES), 2 * batch):
        parts.step(CANDLES[start : start + 2 * batch])
        if start % 40 == 0:
            again = every_order()
            again.restore(parts.snapshot())
            parts = again

    assert whole.digest == parts.digest
    assert whole.snapshot() == parts.snapshot()


def test_no_position_outlives_a_price_beyond_its_level() -> None:
    """Step by step: what is held after a candle was held in it beyond no liquidation, entries inside it aside."""
    engine = every_order()
    before: Rows = engine.positions.copy()
    n_alone = 0
    for start in range(0, 1_200, 2):
        candles = CANDLES[start : start + 2]
        fills = engine.step(candles).fills
        if (start // 2 + 1) % 4:  # not at a close of the strategy, which might place new ones
            for symbol in fills[fills["reason"] == REASON_LIQUIDATION]["symbol"].tolist():
                assert not engine.positions[symbol].working
                n_alone += 1
        for symbol in range(2):
            position, old = engine.positions[symbol], before[symbol]
            if position.quantity and old.quantity and position.quantity * old.quantity > 0:
                reached = candles[symbol].low if old.quantity > 0 else candles[symbol].high
                is_same = position.entry_price == old.entry_price
                beyond = (
                    reached <= old.liquidation_price if old.quantity > 0 else reached >= old.liquidation_price
                )
                assert not (is_same and beyond)
        before = engine.positions.copy()
    assert n_alone > 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"leverage": 200.0, "maintenance_rate": 0.005}, "must be maintained"),
        ({"leverage": 50.0, "maximum_leverage": 20.0}, "is above the market's 20"),
        ({"leverage": -1.0}, "leverage -1.0 is not at least 0"),
        ({"leverage": float("nan")}, "leverage nan is not at least 0"),
        ({"leverage": 10.0, "is_perpetual": False}, "a spot market has no margin"),
    ],
)
def test_what_no_margin_can_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Market("X", **{"is_perpetual": True, **values})


def run_marked(
    bars: list[Bar],
    marks: list[Bar | None],
    decision: Decision,
    leverage: float,
    strategy: type[Scripted] = Scripted,
) -> Outcome:
    """Return what becomes of the same position with marks of its candles; None: that candle has none."""
    spec = EngineSpec(
        [Market("X", is_perpetual=True, leverage=leverage, **{**FREE, "maintenance_rate": 0.005})],
        strategy({0: decision}),
        "1h",
        "1h",
        settings=Settings("fraction", fixed_fraction=0.5, leverage_cap=10.0),
    )
    engine = Engine(spec)
    candles = make_candles([FLAT_BAR, FLAT_BAR, *bars])
    known = [(at, mark) for at, mark in enumerate(marks, 2) if mark is not None]
    rows = np.zeros(len(known), SERIES)
    for row, (at, mark) in zip(rows, known, strict=True):
        row.known_ms, row.kind = candles["open_ms"][at] + 3_600_000, MARK_PRICE
        row.open, row.high, row.low, row.value = mark
    if len(rows):
        engine.step(SeriesRows(rows))
    return run_all(engine, candles)


def bar(side: int, opens: float, worst: float) -> Bar:
    """Return a candle of prices so far against a position at 100: it opens, goes there, and comes back to 100."""
    prices = [100.0 - side * opens, 100.0 - side * worst, 100.0]
    return (prices[0], max(prices), min(prices), prices[2])


@pytest.mark.parametrize("strategy", [Scripted, Resting])
@pytest.mark.parametrize("side", [LONG, SHORT])
@pytest.mark.parametrize("leverage", [10, 50])
@pytest.mark.parametrize(
    # In parts of the way from 100 to the liquidation: open and worst of what was traded, and of the mark.
    ("traded", "mark", "is_gone"),
    [
        ((0.0, 1.2), (0.0, 0.9), False),  # traded beyond it, the mark was not: held
        ((0.0, 0.5), (0.0, 1.1), True),  # the mark was, nothing traded there
        ((0.0, 0.0), (0.0, 1.1), True),  # nothing moved at all but the mark
        ((0.0, 1.2), (0.0, 1.1), True),  # both
        ((1.3, 1.3), (0.8, 0.9), False),  # traded gapped through it, the mark did not
        ((0.2, 0.4), (1.3, 1.3), True),  # the mark gapped through it
        ((0.0, 1.2), None, True),  # no mark: traded prices count
        ((0.0, 0.9), None, False),
        ((0.0, 0.0), (0.0, 1.0), True),  # exactly at the level
    ],
)
def test_the_mark_is_what_comes_to_the_level(
    traded: tuple[float, float],
    mark: tuple[float, float] | None,
    is_gone: bool,
    leverage: int,
    side: int,
    strategy: type[Scripted],
) -> None:
    way = 100.0 * (1.0 / leverage - 0.005)  # 9.5 and 1.5: levels of 90.5, 109.5, 98.5, 101.5
    bars = [bar(side, *(part * way for part in traded)), FLAT_BAR]
    marks = [None if mark is None else bar(side, *(part * way for part in mark)), None]

    trades = run_marked(bars, marks, Decision(side), leverage, strategy).trades

    assert trades["exit_reason"].tolist() == ([REASON_LIQUIDATION] if is_gone else [])
    if is_gone:  # the whole margin, 5,000 ÷ leverage, at the bankruptcy price
        assert trades["exit_price"][0] == pytest.approx(100.0 * (1.0 - side / leverage), rel=1e-15)
        assert trades["pnl"][0] * 1e-9 == pytest.approx(-5_000.0 / leverage, abs=1e-6)
        # What was certainly traded before it: up to the level, or as far as this candle went.
        reached = min(traded[1] if mark is None or mark[0] < 1.0 else traded[0], 1.0)
        assert trades["mae_price"][0] == pytest.approx(-reached * way, abs=1e-9)


@pytest.mark.parametrize("strategy", [Scripted, Resting])
@pytest.mark.parametrize(
    ("stop", "traded", "mark", "reason"),
    [
        # Stop 95, liquidation 90.5. Traded reaches the stop, the mark the level: the stop is nearer and came first.
        (95.0, (100.0, 100.0, 94.0, 96.0), (100.0, 100.0, 90.0, 96.0), REASON_STOP),
        # Nothing traded at the stop, the mark is through its level.
        (95.0, (100.0, 100.0, 96.0, 98.0), (100.0, 100.0, 90.0, 96.0), REASON_LIQUIDATION),
        # Stop 85 lies beyond the level: traded through both, the mark through neither; the stop is what is left.
        (85.0, (100.0, 100.0, 84.0, 96.0), (100.0, 100.0, 91.0, 96.0), REASON_STOP),
        (85.0, (100.0, 100.0, 84.0, 96.0), (100.0, 100.0, 90.0, 96.0), REASON_LIQUIDATION),
        # The mark opens beyond its level: there was no time for the stop.
        (95.0, (94.0, 96.0, 94.0, 96.0), (90.0, 96.0, 90.0, 96.0), REASON_LIQUIDATION),
    ],
)
def test_a_stop_beside_the_mark(
    stop: float, traded: Bar, mark: Bar, reason: int, strategy: type[Scripted]
) -> None:
    outcome = run_marked([traded], [mark], Decision(LONG, stop_price=stop), 10, strategy)

    assert outcome.trades["exit_reason"].tolist() == [reason]


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_with_marks_batches_and_restarts_change_nothing(batch: int) -> None:
    rows = np.zeros(len(CANDLES), SERIES)
    rows["known_ms"], rows["symbol"] = CANDLES["open_ms"] + 900_000, CANDLES["symbol"]
    rows["kind"] = MARK_PRICE
    for name in ("open", "high", "low"):
        rows[name] = CANDLES[name]
    rows["value"] = CANDLES["close"]
    rows = rows[np.arange(len(rows)) % 7 > 0]
    whole, parts = every_order(), every_order()
    whole.step(SeriesRows(rows))
    outcome = run_all(whole, CANDLES)
    parts.step(SeriesRows(rows))
    for start in range(0, len(CANDLES), 2 * batch):
        parts.step(CANDLES[start : start + 2 * batch])
        if start % 40 == 0:
            again = every_order()
            again.restore(parts.snapshot())
            parts = again

    assert whole.digest == parts.digest
    assert whole.snapshot() == parts.snapshot()
    # Marks that are the traded prices change nothing.
    plain = every_order()
    assert len(run_all(plain, CANDLES).fills) == len(outcome.fills)
    assert plain.digest == whole.digest
