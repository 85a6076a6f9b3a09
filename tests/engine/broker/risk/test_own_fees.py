"""A function of a user's for fees, by hand: what it is asked and charges, what is refused, and that nothing is on credit."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numba
import numpy as np
import pytest

from papertape.engine.broker.risk.own_fees import FeeFunction
from papertape.engine.candles import DAY_MS
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, InvariantError, StrategyError
from papertape.engine.events import MarketChange
from papertape.engine.jit import kernel
from papertape.engine.records import LONG
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.engine.broker.risk.test_fees import FLAT_BAR, Waits
from tests.support.helpers import FREE, START_MS, Outcome, Scripted, interleave, make_candles, run_all

SCALE = 1.0
Fee = Callable[[float, float, float, bool, float, float], float]


def flat(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    return 2.0


def by_contract(
    notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float
) -> float:
    return 0.25 * size


def capped(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    """Of the underlying, here 4,000 a unit, and no more than a tenth of the premium, as options on Delta Exchange pay."""
    return min(rate * 4_000.0 * size, 0.1 * notional)


def in_steps(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    for up_to, fee in ((1_000.0, 1.0), (10_000.0, 2.5)):
        if notional < up_to:
            return fee
    return 6.0


def as_table(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    return notional * rate


def by_volume(
    notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float
) -> float:
    return volume / 1_000_000.0


def dearer_below(
    notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float
) -> float:
    return 1.0 if notional > 9_990.0 else 40.0


def scaled(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    return SCALE * helper(size)


def helper(size: float) -> float:
    return 0.5 * size


def spec_of(
    function: Any, strategy: Any = None, capital: float = 10_000.0, share: float = 0.5, **market: Any
) -> EngineSpec:
    script = strategy or Scripted({0: Decision(LONG), 1: Decision(0)})
    sizing = Settings("fraction", fixed_fraction=share, cash_share=1.0)
    return EngineSpec(
        [Market("X", **{**FREE, **market})], script, "1h", "1h", capital, sizing, fee_function=function
    )


def run(function: Any, **options: Any) -> Outcome:
    return run_all(Engine(spec_of(function, **options)), make_candles([FLAT_BAR] * 4))


def paid(outcome: Outcome) -> list[float]:
    return (outcome.fills["fee"] * 1e-9).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "market", "fee"),
    [
        # 50 units at 100 each way: a notional of 5,000
        (flat, {}, 2.0),
        (by_contract, {}, 12.5),
        (capped, {"taker_fee_rate": 0.0003}, 60.0),
        (capped, {"taker_fee_rate": 0.03}, 500.0),
        (in_steps, {}, 2.5),
        # It stands in place of rate, fixed and smallest fee, and the tax comes on top.
        (flat, {"taker_fee_rate": 0.01, "fee_fixed": 7.0, "fee_minimum": 8.0}, 2.0),
        (flat, {"fee_surcharge_rate": 0.18}, 2.36),
        (kernel(flat), {}, 2.0),
    ],
)
@pytest.mark.parametrize("is_perpetual", [False, True])
def test_what_a_fill_pays(function: Any, market: dict[str, float], fee: float, is_perpetual: bool) -> None:
    outcome = run(function, is_perpetual=is_perpetual, **market)

    assert paid(outcome) == pytest.approx([fee, fee], abs=1e-9)
    assert outcome.trades["pnl"].tolist() == [round(-2e9 * fee)]


def test_a_maker_is_asked_about_with_its_own_rate_which_may_be_a_rebate() -> None:
    """10 units at 99, a maker at -0.01 %; sold at 99, a taker at 0.02 %."""
    bars = [FLAT_BAR, (100.0, 100.0, 98.0, 99.0), (99.0,) * 4, (99.0,) * 4]
    rates = {"maker_fee_rate": -0.0001, "taker_fee_rate": 0.0002}

    outcome = run_all(Engine(spec_of(as_table, Waits(), **rates)), make_candles(bars))

    assert paid(outcome)[:2] == pytest.approx([-0.099, 0.198], abs=1e-12)


def test_what_the_table_says_said_by_a_function_is_the_same_run() -> None:
    rates = {"taker_fee_rate": 0.0007, "fee_surcharge_rate": 0.18}

    assert run(as_table, **rates).engine.digest == run(None, **rates).engine.digest


@pytest.mark.parametrize(("function", "units"), [(flat, 99.98), (by_contract, 9_975.0 / 100.0)])
def test_a_fee_is_not_bought_on_credit(function: Any, units: float) -> None:
    """All in, 10,000 at 100: what the fee of 100 units would be is left, 2 and 25."""
    outcome = run(function, share=1.0)

    assert outcome.fills["quantity"][0] == pytest.approx(units, rel=1e-12)
    assert int(outcome.fills["cash"][0]) >= -10


def test_each_of_several_markets_pays_at_one_open() -> None:
    """Three at once for 10,000: 2 are left for each, and they share what remains."""
    spec = spec_of(flat, Scripted({0: Decision(LONG)}), share=1.0)
    spec = replace(spec, markets=[Market(name, **FREE) for name in "ABC"])

    outcome = run_all(Engine(spec), interleave([make_candles([FLAT_BAR] * 3)] * 3))

    assert outcome.fills["quantity"].tolist() == pytest.approx([99.94 / 3.0] * 3, rel=1e-12)
    assert abs(int(outcome.engine.account[0].cash)) <= 10


def test_a_smaller_fill_that_pays_more_is_cut_to_what_the_cash_pays() -> None:
    """Of 10,000 the largest fill leaves 1, and its 99 whole lots of a unit would pay 40: with 100.5 a unit 9,949.5 + 40 fit."""
    bars = [(100.5,) * 4] * 3

    spec = spec_of(dearer_below, Scripted({0: Decision(LONG)}), share=1.0, lot_size=1.0)
    outcome = run_all(Engine(spec), make_candles(bars))

    assert (outcome.fills["quantity"].tolist(), paid(outcome)) == ([99.0], [40.0])
    short = run_all(Engine(replace(spec, capital=9_980.0)), make_candles(bars))
    assert (short.fills["quantity"].tolist(), paid(short)) == ([98.0], [40.0])
    assert int(short.fills["cash"][0]) == round((9_980.0 - 98 * 100.5 - 40.0) * 1e9)


class Daily:
    """Buys 50 units at the first close of a day and sells them an hour later."""

    features = ()

    def decide(self, view: Any) -> Decision | None:
        return Decision({1: 1, 2: 0}.get(view.time_ms % DAY_MS // 3_600_000, 2))


def test_it_is_told_what_thirty_days_traded_and_a_restart_keeps_that() -> None:
    """Every fill pays a millionth of what the thirty days before its own traded; ten thousand units of 1e-9 are cut off each."""
    spec = replace(spec_of(by_volume), strategy=Daily())
    candles = make_candles([FLAT_BAR] * 24 * 33)
    whole = run_all(Engine(spec), candles)
    engine = Engine(spec)
    for start in range(0, len(candles), 101):
        engine.step(candles[start : start + 101])
        again = Engine(spec)
        again.restore(engine.snapshot())
        engine = again

    day = (whole.fills["candle_ms"] - START_MS) // DAY_MS
    by_day = np.array([whole.fills["notional"][day == each].sum() for each in range(33)])
    expected = [by_day[max(d - 30, 0) : d].sum() / 1e6 for d in day.tolist()]
    assert whole.fills["fee"].tolist() == pytest.approx(expected, abs=1.0)
    assert engine.digest == whole.engine.digest
    assert engine.snapshot() == whole.engine.snapshot()


def failing(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    if notional > 10.0:
        raise ValueError("too much to say")
    return 1.0


def beyond(answer: float) -> Fee:
    def constant(
        notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float
    ) -> float:
        return answer

    return constant


BAD = [
    (beyond(float("nan")), "says nan, which is no amount"),
    (beyond(float("-inf")), "says -inf, which is no amount"),
    (beyond(-0.01), "says -0.01, which is below 0, and the rate is no rebate"),
    (beyond(1e300), "says 1e[+]300, which is above 10000, the larger of notional and fee_minimum"),
    (failing, r"fails: ValueError: too much to say \(test_own_fees.py, line \d+\)"),
]


@pytest.mark.parametrize(("function", "said"), BAD)
def test_what_no_fee_can_be_ends_the_run_and_nothing_is_booked(function: Any, said: str) -> None:
    engine = Engine(spec_of(function, taker_fee_rate=0.001))
    candles = make_candles([FLAT_BAR] * 4)

    with pytest.raises(StrategyError, match=said) as found:
        engine.step(candles)

    fill = "of the largest fill that could be, 100 at 100 at 2020-01-01T01:00:00Z (taker, notional 10000, rate 0.001, volume 0)"
    assert str(found.value).startswith(f"account.fee_function: {fill} risk.test_own_fees:")
    assert (int(engine.account[0].cash), int(engine.account[0].fees)) == (10_000 * 10**9, 0)
    assert not engine.positions["quantity"].any()


def test_a_rebate_is_no_more_than_the_rate_and_a_small_fill_may_pay_the_smallest_fee() -> None:
    bars = [FLAT_BAR, (100.0, 100.0, 98.0, 99.0), (99.0,) * 4]
    rebate = spec_of(beyond(-0.1), Waits(), maker_fee_rate=-0.0001, taker_fee_rate=0.0)

    with pytest.raises(StrategyError, match=r"says -0\.1, which is below 0"):  # as a taker, of a size
        run_all(Engine(rebate), make_candles(bars))
    assert paid(run(beyond(12.0), share=0.001, fee_minimum=12.0)) == [12.0, 12.0]
    with pytest.raises(StrategyError, match=r"of a fill of 0\.1 at 100 .* says 12, which is above 10"):
        run(lambda n, p, s, m, r, v: 12.0 if n < 100.0 else 1.0, share=0.001)


class AsKernel:
    """A strategy in kernels, whose loop runs the broker as well."""

    features = ()

    @kernel
    def decide(self, view: Any) -> Decision | None:
        return Decision(1, size_scale=1.0)


def test_a_strategy_in_kernels_is_not_blamed_for_it() -> None:
    with pytest.raises(StrategyError, match=r"at 2020-01-01T01:00:00Z .* says nan"):
        run(beyond(float("nan")), strategy=AsKernel())
    with pytest.raises(InvariantError, match="beyond the ledger's range"):
        run_all(
            Engine(spec_of(None, AsKernel())), make_candles([FLAT_BAR, FLAT_BAR, (100.0, 1e9, 100.0, 1e9)])
        )


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (7, "7 is not a function; write def my_fee"),
        (Waits, "is not a function"),
        (lambda notional, price: 1.0, "does not take notional, price, size, is_maker, rate, volume, but"),
        (lambda n, p, s, m, r, v, more: 1.0, "does not take"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_starts(function: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=f"account.fee_function: .*{said}"):
        Engine(spec_of(function))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="told when it is called")  # type: ignore[attr-defined]
@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda n, p, s, m, r, v: None, "returns none, not a number"),
        (
            lambda n, p, s, m, r, v: 1.0 if n > 2.0 else None,
            "not a number; return the fee in quote of every fill",
        ),
        (lambda n, p, s, m, r, v: "1", "not a number"),
        (lambda n, p, s, m, r, v: nowhere(n), "cannot be compiled: NameError: name 'nowhere'"),  # type: ignore[name-defined] # noqa: F821
    ],
)
def test_what_returns_no_number_is_refused_before_anything_starts(function: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=f"account.fee_function: .*{said}"):
        Engine(spec_of(function))


def test_code_and_what_it_refers_to_are_what_a_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one = Engine(spec_of(scaled))
    snapshot = one.snapshot()
    assert paid(run(scaled)) == [25.0, 25.0]

    monkeypatch.setitem(globals(), "SCALE", 3.0)

    assert paid(run(scaled)) == [75.0, 75.0]
    other = spec_of(scaled)
    assert other.fingerprint() not in (one.spec.fingerprint(), spec_of(None).fingerprint())
    with pytest.raises(Exception, match="snapshot"):
        Engine(other).restore(snapshot)


def test_twice_the_costs_are_twice_the_fee_and_a_rebate_as_it_is() -> None:
    doubled = FeeFunction(as_table).doubled

    assert paid(run(FeeFunction(flat).doubled)) == [4.0, 4.0]
    # 0.1 % of 5,000 twice, of a market whose rates are doubled
    assert paid(run(doubled, taker_fee_rate=0.002)) == pytest.approx([10.0, 10.0])
    bars = [FLAT_BAR, (100.0, 100.0, 98.0, 99.0), (99.0,) * 4]
    spec = spec_of(doubled, Waits(), maker_fee_rate=-0.0001)
    assert paid(run_all(Engine(spec), make_candles(bars)))[0] == pytest.approx(-0.099, abs=1e-12)


def test_a_market_that_changes_keeps_it() -> None:
    engine = Engine(spec_of(capped, Scripted({0: Decision(LONG), 2: Decision(0)}), taker_fee_rate=0.0003))
    candles = make_candles([FLAT_BAR] * 5)
    figures = Market("X", **{**FREE, "taker_fee_rate": 0.0002}).plain()

    reports = [
        engine.step(candles[:2]),
        engine.step(MarketChange(START_MS + 2 * 3_600_000, 0, figures)),
        engine.step(candles[2:]),
    ]

    assert paid(Outcome(engine, reports)) == pytest.approx([60.0, 40.0])
