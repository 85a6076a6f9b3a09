"""The ledger: it balances exactly, and a slow Decimal oracle that only sees prices and sizes agrees with it."""

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.broker.ledger import LEDGER_FIELDS, money, open_ledger, post
from papertape.engine.core import Engine
from papertape.engine.errors import InvariantError
from papertape.engine.jit import record
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import Outcome, Scripted, random_candles, run_all

UNIT = Decimal("1e-9")
LEDGER = record(*((name, "i8") for name in LEDGER_FIELDS))  # a ledger by itself


def _fresh() -> np.ndarray:
    ledger = np.zeros(1, LEDGER)
    open_ledger(ledger[0], money(1_000.0, 1e9))
    return ledger


def test_opening_pays_in_the_capital() -> None:
    ledger = _fresh()

    assert ledger[0].cash == 10**12
    assert sum(int(ledger[0][name]) for name in LEDGER_FIELDS) == 0


def test_posting_that_does_not_add_up_is_refused() -> None:
    with pytest.raises(InvariantError, match="does not add up"):
        post(_fresh()[0], -100, inventory=99)


def test_tampered_ledger_is_noticed_at_the_next_posting() -> None:
    ledger = _fresh()
    ledger[0].cash += 1

    with pytest.raises(InvariantError, match="does not balance"):
        post(ledger[0], -100, inventory=100)


def test_amount_beyond_the_range_is_refused() -> None:
    with pytest.raises(InvariantError, match="beyond"):
        money(1e10, 1e9)


@pytest.mark.parametrize("amount", [0.0, 1.5e-9, 2.5e-9, -2.5e-9, 123.456789, 1e6 / 3])
def test_money_is_rounded_half_to_even(amount: float) -> None:
    exact = Decimal(amount * 1e9).to_integral_value(ROUND_HALF_EVEN)

    assert money(amount, 1e9) == int(exact)


class DecimalBroker:
    """A slow second ledger: exact products, 28 digits, one dict."""

    def __init__(self, capital: float, fee_rate: float, *, is_perpetual: bool) -> None:
        self.cash = Decimal(capital)
        self.fee_rate, self.is_perpetual = Decimal(fee_rate), is_perpetual
        self.entry: tuple[int, Decimal, Decimal] | None = None
        self.tolerance = Decimal(0)

    def fill(self, side: int, price: float, quantity: float) -> None:
        value = Decimal(price) * Decimal(quantity)
        fee = value * self.fee_rate
        # one rounding of each product to 1e-9, and float64 products with 53 bits
        self.tolerance += 2 * UNIT + value * Decimal(2) ** -51
        if not self.is_perpetual:
            self.cash -= side * value + fee
        elif self.entry is None:
            self.cash -= fee
        else:
            held, entry_price, size = self.entry
            self.cash += held * (Decimal(price) - entry_price) * size - fee
        self.entry = (side, Decimal(price), Decimal(quantity)) if self.entry is None else None


def _run(seed: int, *, is_perpetual: bool, fee_rate: float) -> Outcome:
    random = np.random.default_rng(seed)
    script = {
        int(i): Decision(int(random.integers(-1, 2)), stop_distance=1.0, target_distance=1.5)
        for i in random.choice(300, 60, replace=False)
    }
    market = Market("X", is_perpetual=is_perpetual, taker_fee_rate=fee_rate, tick_size=0.01)
    spec = EngineSpec(
        [market], Scripted(script), "1h", "1h", settings=Settings("risk", 0.02, leverage_cap=3.0)
    )
    return run_all(Engine(spec), random_candles(300, seed))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), is_perpetual=st.booleans(), fee_rate=st.sampled_from([0.0, 0.0005, 0.01]))
def test_cash_agrees_with_the_decimal_oracle_after_every_fill(
    seed: int, is_perpetual: bool, fee_rate: float
) -> None:
    outcome = _run(seed, is_perpetual=is_perpetual, fee_rate=fee_rate)
    oracle = DecimalBroker(10_000.0, fee_rate, is_perpetual=is_perpetual)

    for fill in outcome.fills:
        oracle.fill(int(fill.side), float(fill.price), float(fill.quantity))
        assert abs(int(fill.cash) * UNIT - oracle.cash) <= oracle.tolerance

    account = outcome.engine.account[0]
    assert sum(int(account[name]) for name in LEDGER_FIELDS) == 0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), is_perpetual=st.booleans())
def test_profit_of_trades_is_exactly_the_change_of_equity(seed: int, is_perpetual: bool) -> None:
    outcome = _run(seed, is_perpetual=is_perpetual, fee_rate=0.0005)

    total = int(outcome.trades["pnl"].sum()) + int(outcome.engine.open_trades()["pnl"].sum())

    assert int(outcome.marks[-1].equity) == 10_000 * 10**9 + total
    assert int(outcome.fills["realised"].sum()) == -int(outcome.engine.account[0].realised)
    assert int(outcome.fills["fee"].sum()) == int(outcome.engine.account[0].fees)
