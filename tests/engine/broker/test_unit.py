"""An account in a currency with many digits: its coarser unit, beside the exact broker and beside itself in another currency."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.broker.ledger import (
    CURRENCY_DECIMALS,
    LEDGER_FIELDS,
    largest_capital,
    refuse_capital,
    unit_convention,
    unit_decimals,
)
from papertape.engine.chapters import carry
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError, InvariantError
from papertape.engine.jit import Rows
from papertape.engine.performance.statement import booked_as
from papertape.engine.records import FLAT, LONG, PAYMENT, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.oracles.portfolio_oracle import Oracle
from tests.support.helpers import Outcome, Scripted, make_candles, random_candles, run_all
from tests.support.portfolios import Portfolio, run

IDR = 1.5e7  # what prices around 100 are multiplied by: bitcoin is 1.5e9 rupiah
COARSER = 1e6


def account(
    seed: int, scale: float, capital: float, decimals: int, rates: float = 1e-4, n: int = 80
) -> Portfolio:
    """Return a seeded account on two markets, with prices, ticks, distances and capital in a currency of so many digits."""
    random = np.random.default_rng(seed)
    is_perpetual = bool(random.integers(2))
    tapes: dict[str, Rows] = {}
    script = {}
    for number, symbol in enumerate("AB"):
        tapes[symbol] = random_candles(n, 10 * seed + number)
        for price in ("open", "high", "low", "close"):
            tapes[symbol][price] = np.round(tapes[symbol][price] * 4.0) * (0.25 * scale)
        for k in random.choice(n, n // 3, replace=False):
            side = int(random.choice([SHORT, FLAT, LONG, LONG]))
            script[symbol, int(k)] = Decision(side, stop_distance=4.0 * scale, target_distance=6.5 * scale)
    market = {
        "is_perpetual": is_perpetual,
        "tick_size": 0.25 * scale,
        "lot_size": 0.0009765625,  # 1 ÷ 1024
        "taker_fee_rate": 8 * rates,
        "half_spread_rate": rates,
        "slippage_rate": 2 * rates,
        "minimum_notional": 10.0 * scale,
    }
    if is_perpetual:
        market |= {"leverage": 8.0, "maintenance_rate": 64 * rates, "liquidation_fee_rate": 4 * rates}
    how = Settings(
        str(random.choice(["risk", "fraction", "all_in"])),
        risk_fraction=0.03125,
        fixed_fraction=0.75,
        cash_share=0.875,
        leverage_cap=4.0,
        margin=str(random.choice(["isolated", "cross"])),
    )
    funding = tuple(("A", k, 2 * rates) for k in range(7, n, 9)) if is_perpetual else ()
    return Portfolio(
        tapes, dict.fromkeys("AB", market), how, script, funding, capital, money_decimals=decimals
    )


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), decimals=st.sampled_from([0, 2]))
def test_every_amount_of_a_large_account_is_that_of_the_exact_one(seed: int, decimals: int) -> None:
    """Rounded once to a unit each, of two products with 53 bits: the stated rounding, and nothing else."""
    portfolio = account(seed, IDR, 1e15, decimals)
    names = {symbol: symbol for symbol in portfolio.tapes}
    engine = portfolio.engine(names)
    reports = [engine.step(event) for event in portfolio.events(engine, names, 7)]
    outcome, payments = Outcome(engine, reports), np.concatenate([r.payments for r in reports])
    oracle = Oracle(portfolio).run()
    unit = Decimal(1).scaleb(-decimals)

    def key(fill: Any) -> tuple[Any, ...]:
        return int(fill.candle_ms), "AB"[int(fill.symbol)], int(fill.side), int(fill.reason)

    start_ms = int(portfolio.tapes["A"]["open_ms"][0])
    ours = sorted(outcome.fills, key=key)
    theirs = sorted(oracle.fills, key=lambda f: (f.candle, f.symbol, f.side, f.reason))
    assert len(ours) == len(theirs) > 4
    for fill, want in zip(ours, theirs, strict=True):
        assert key(fill) == (start_ms + want.candle * 3_600_000, want.symbol, want.side, want.reason)
        assert Decimal(float(fill.price)) == want.price
        assert Decimal(float(fill.quantity)) == want.quantity
        value = want.price * want.quantity
        assert (
            abs(int(fill.notional) * unit - value) <= unit / 2 + value * Decimal(2) ** -52
        )  # times the price, times the units
    amounts = sum(Decimal(int(fill.notional)) for fill in outcome.fills) * unit
    tolerance = 6 * unit * (len(ours) + len(payments) + 1) + 8 * amounts * Decimal(2) ** -53
    for mark, equity in zip(outcome.marks, oracle.equity, strict=True):
        assert abs(int(mark.equity) * unit - equity) <= tolerance
    booked = booked_as(outcome.fills, payments, engine.spec.market_rows(), "AB", engine.spec.capital_units)
    assert booked.cash == int(engine.account[0].cash)
    assert sum(int(engine.account[0][name]) for name in LEDGER_FIELDS) == 0


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_another_currency_with_a_coarser_unit_gives_the_same_fills_and_integers(seed: int) -> None:
    """A million times the prices in a unit a million times as large; rates are powers of two, so every product is exact."""
    _, small = run(account(seed, 1.0, 1e4, 9, rates=2.0**-13))
    _, large = run(account(seed, COARSER, 1e10, 3, rates=2.0**-13))

    priced = {"price", "entry_price", "exit_price", "stop_price", "target_price", "mae_price", "mfe_price"}
    for name in ("fills", "trades", "marks", "decisions"):
        one, two = getattr(small, name), getattr(large, name)
        assert len(one) == len(two)
        for column in one.dtype.names:
            if column in priced or column.endswith("_distance"):
                np.testing.assert_allclose(one[column] * COARSER, two[column], rtol=1e-15)
            else:
                assert one[column].tolist() == two[column].tolist(), (name, column)
    assert len(small.fills) > 4
    for column in LEDGER_FIELDS:
        assert small.engine.account[0][column] == large.engine.account[0][column]


@pytest.mark.parametrize(
    ("capital", "currency", "decimals", "found"),
    [
        (1e4, "USDT", None, 9),
        (9.9e8, "IDR", None, 9),  # as every account that there was before
        (1e9, "IDR", None, 2),
        (1e12, "jpy", None, 0),
        (1e12, "IDR", 4, 4),
        (1e4, "USDT", 2, 2),
        (2e9, "USDT", None, 9),  # which is refused
    ],
)
def test_the_unit_follows_the_currency_where_the_usual_one_does_not_reach(
    capital: float, currency: str, decimals: int | None, found: int
) -> None:
    assert unit_decimals(capital, currency, decimals) == found


@pytest.mark.parametrize(
    ("capital", "decimals", "said"),
    [
        (
            2e9,
            9,
            r"capital: 2e\+09 is not between 0 and 1e\+09 USDT, the range of amounts in units of 1e-9 USDT; money_decimals = 8",
        ),
        (5e15, 5, "units of 1e-5 USDT; money_decimals = 2 counts coarser ones"),
        (2e18, 0, r"is not between 0 and 1e\+18 USDT, the range of amounts in units of 1 USDT$"),
        (float("nan"), 9, "capital: nan is not between 0"),
        (-1.0, 2, "capital: -1 is not between 0"),
        (1e19, 9, "in units of 1e-9 USDT$"),
        (math.inf, 9, "in units of 1e-9 USDT$"),
        (1e4, 10, "money_decimals: 10 is no whole number from 0 to 9; left out it follows the currency"),
        (1e4, 1.5, "money_decimals: 1.5 is no whole number"),
    ],
)
def test_a_capital_beyond_its_unit_is_refused_with_the_unit_and_the_way_out(
    capital: float, decimals: Any, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        refuse_capital(capital, decimals, "USDT")


def test_every_currency_of_the_table_reaches_further_than_the_usual_unit() -> None:
    assert {len(name) for name in CURRENCY_DECIMALS} == {3}
    assert all(largest_capital(decimals) >= 1e16 for decimals in CURRENCY_DECIMALS.values())
    assert unit_convention(9, "USDT") == ()
    assert unit_convention(2, "IDR") == (
        "Amounts are counted in units of 1e-2 IDR, and each is rounded to one.",
    )


def spec(decimals: int = 9, capital: float = 9e8, **market: Any) -> EngineSpec:
    markets = [
        Market(name, is_perpetual=True, taker_fee_rate=0.0, half_spread_rate=0.0, slippage_rate=0.0, **market)
        for name in "AB"
    ]
    return EngineSpec(
        markets,
        Scripted({0: Decision(LONG)}),
        "1h",
        "1h",
        capital=capital,
        money_decimals=decimals,
        settings=Settings("fraction", fixed_fraction=8.0, leverage_cap=20.0),
    )


def test_a_sum_beyond_the_range_stops_the_engine_and_a_coarser_unit_goes_on() -> None:
    """Two positions of 7.2e9 quote are each within 9e9, and together are not: the sum must not come out as another number."""
    bars = make_candles([(100.0, 100.0, 100.0, 100.0)] * 4)
    both = np.concatenate([bars, bars])
    both["symbol"][len(bars) :] = 1
    both = np.ascontiguousarray(both[np.lexsort((both["symbol"], both["open_ms"]))])

    with pytest.raises(InvariantError, match=r"a sum of amounts is beyond .* account\.money_decimals"):
        run_all(Engine(spec()), both)
    marks = run_all(Engine(spec(8)), both).marks

    assert marks["exposure"].tolist()[-1] == 2 * round(8.0 * 9e8 * 1e8)


def test_the_usual_unit_is_no_part_of_a_spec_and_another_is() -> None:
    plain = spec()

    assert plain.fingerprint() == replace(plain, money_decimals=9).fingerprint()
    assert plain.fingerprint() != replace(plain, money_decimals=8).fingerprint()


def test_a_chapter_cannot_change_it() -> None:
    rows = make_candles([(100.0, 100.0, 100.0, 100.0)] * 4)
    before, after = (Engine(replace(spec(n, 1e4), markets=[Market("A")])) for n in (9, 2))
    run_all(before, rows)

    with pytest.raises(DataError, match="chapter: money_decimals are those of the account"):
        carry(before, after)


def test_a_statement_of_nothing_balances_in_any_unit() -> None:
    nothing = Engine(spec(2, 1e15))
    booked = booked_as(
        np.zeros(0, nothing.outputs.fills.dtype),
        np.zeros(0, PAYMENT),
        nothing.markets,
        "AB",
        nothing.spec.capital_units,
    )

    assert (booked.cash, booked.units_per_quote) == (10**17, 100.0)
