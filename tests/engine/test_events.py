"""What enters between two instants: funding of an open perpetual position, and the refusals."""

from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.broker.ledger import LEDGER_FIELDS
from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Funding, NewModel
from papertape.engine.performance import measure
from papertape.engine.records import FLAT, LONG, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import FREE, Outcome, Scripted, make_candles, random_candles

UNITS = 10**9
FLAT_CANDLES = [(100.0, 100.0, 100.0, 100.0)] * 6


def make_engine(script: dict[int, Decision], *, is_perpetual: bool = True, symbols: int = 1) -> Engine:
    markets = [Market(f"S{i}", is_perpetual=is_perpetual, **FREE) for i in range(symbols)]
    sizing = Settings("all_in", cash_share=1.0)
    return Engine(EngineSpec(markets, Scripted(script), "1h", "1h", settings=sizing))


def step_with(engine: Engine, candles: np.ndarray, events: dict[int, list[object]]) -> Outcome:
    """Step candle by candle, with events after the candle of their number."""
    reports = []
    for i in range(len(candles)):
        reports.append(engine.step(candles[i : i + 1]))
        reports += [engine.step(event) for event in events.get(i, [])]
    outcome = Outcome(engine, reports)
    outcome.payments = np.concatenate([report.payments for report in reports])  # type: ignore[attr-defined]
    return outcome


@pytest.mark.parametrize(("side", "paid"), [(LONG, 1), (SHORT, -1)])
def test_long_pays_a_positive_rate_and_short_receives_it(side: int, paid: int) -> None:
    engine = make_engine({0: Decision(side), 3: Decision(FLAT)})
    events = {2: [Funding(123, 0, 0.001, 110.0)]}

    outcome = step_with(engine, make_candles(FLAT_CANDLES), events)

    # 10,000 quote at price 100 are 100 base units; 100 × 110 × 0.001 = 11 quote
    (payment,) = outcome.payments
    assert payment.amount == paid * 11 * UNITS
    assert (payment.time_ms, payment.symbol, payment.trade) == (123, 0, 0)
    assert payment.quantity == side * 100.0
    assert payment.cash == (10_000 - paid * 11) * UNITS
    (trade,) = outcome.trades
    assert trade.funding == paid * 11 * UNITS
    assert trade.pnl == -paid * 11 * UNITS
    assert outcome.marks[-1].equity == (10_000 - paid * 11) * UNITS
    assert engine.account[0].funding == paid * 11 * UNITS
    assert sum(int(engine.account[0][name]) for name in LEDGER_FIELDS) == 0


def test_metrics_count_funding_among_the_costs() -> None:
    engine = make_engine({0: Decision(LONG), 4: Decision(FLAT)})
    events = {2: [Funding(1, 0, 0.001, 100.0)], 3: [Funding(2, 0, -0.0003, 100.0)]}

    outcome = step_with(engine, make_candles([*FLAT_CANDLES] * 3), events)

    # 100 base units at 100: 10 quote paid, 3 received
    metrics = measure(outcome.trades, outcome.marks, 10_000.0).metrics
    assert metrics["funding_quote"] == pytest.approx(7.0)
    assert metrics["total_return"] == pytest.approx(-7.0 / 10_000.0)


def test_funding_without_a_position_moves_nothing_and_leaves_the_digest() -> None:
    candles = make_candles(FLAT_CANDLES)
    plain, funded = make_engine({}), make_engine({})

    step_with(plain, candles, {})
    outcome = step_with(funded, candles, {2: [Funding(1, 0, 0.01, 100.0)]})

    assert len(outcome.payments) == 0
    assert funded.digest == plain.digest
    assert funded.account.tobytes() == plain.account.tobytes()


def test_open_trade_at_the_end_carries_its_funding() -> None:
    engine = make_engine({0: Decision(LONG)})

    step_with(engine, make_candles(FLAT_CANDLES), {2: [Funding(1, 0, 0.001, 100.0)]})

    (trade,) = engine.open_trades()
    assert trade.funding == 10 * UNITS
    assert trade.pnl == -10 * UNITS


def test_digest_and_sequence_say_when_funding_was_paid() -> None:
    script = {0: Decision(LONG), 3: Decision(FLAT)}
    digests = set()
    for when in (1, 2, None):
        engine = make_engine(script)
        events = {} if when is None else {when: [Funding(1, 0, 0.001 * when, 100.0)]}
        outcome = step_with(engine, make_candles(FLAT_CANDLES), events)
        streams = (outcome.decisions, outcome.fills, outcome.payments)
        numbers = sorted(int(n) for rows in streams for n in rows["sequence"])
        assert numbers == list(range(len(numbers)))
        digests.add(engine.digest)

    assert len(digests) == 3


@pytest.mark.parametrize(
    ("funding", "told"),
    [
        (Funding(1, 2, 0.001, 100.0), "symbol index 2 is not between 0 and 1"),
        (Funding(1, -1, 0.001, 100.0), "symbol index -1"),
        (Funding(1, 0, float("nan"), 100.0), "rate nan is not between -1 and 1"),
        (Funding(1, 0, float("inf"), 100.0), "rate inf"),
        (Funding(1, 0, 1.5, 100.0), "rate 1.5"),
        (Funding(1, 0, 0.001, float("nan")), "price nan"),
        (Funding(1, 0, 0.001, float("inf")), "price inf"),
        (Funding(1, 0, 0.001, 0.0), "price 0.0 is not above 0"),
        (Funding(1, 0, 0.001, 1e300), "beyond the ledger's range"),
    ],
)
def test_funding_that_cannot_be_is_refused_and_changes_nothing(funding: Funding, told: str) -> None:
    engine = make_engine({0: Decision(LONG)}, symbols=2)
    rows = np.repeat(make_candles(FLAT_CANDLES), 2)
    rows["symbol"] = np.tile([0, 1], len(FLAT_CANDLES))
    engine.step(rows)
    before = engine.snapshot()

    with pytest.raises(DataError, match=told):
        engine.step(funding)

    assert engine.snapshot() == before


def test_funding_of_a_spot_market_is_refused() -> None:
    with pytest.raises(DataError, match="a spot market has none"):
        make_engine({}, is_perpetual=False).step(Funding(1, 0, 0.001, 100.0))


def test_model_version_starts_at_one_and_0_means_that_there_is_none() -> None:
    engine = make_engine({})
    with pytest.raises(DataError, match="version 0 is not above 0"):
        engine.step(NewModel(0, b"something"))
    with pytest.raises(DataError, match="model 1: it has no bytes; version 0 alone means no model"):
        engine.step(NewModel(1, b""))

    engine.step(NewModel(0, b""))

    assert engine.account[0]["model_version"] == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_funding_agrees_with_the_decimal_oracle(seed: int) -> None:
    random = np.random.default_rng(seed)
    candles = random_candles(120, seed)
    script = {int(i): Decision(int(random.integers(-1, 2))) for i in random.choice(120, 40, replace=False)}
    events = {
        int(i): [Funding(int(i), 0, float(random.normal(0.0, 0.001)), float(candles[i].close))]
        for i in random.choice(119, 60, replace=False)
    }

    outcome = step_with(make_engine(script), candles, events)

    cash = Decimal(0)
    for payment in outcome.payments:
        exact = Decimal(payment.quantity) * Decimal(payment.price) * Decimal(payment.rate) * UNITS
        # Two float64 products and one to money units: three roundings of 2^-53, then one to a whole unit.
        tolerance = abs(exact) * Decimal(3) * Decimal(2) ** -53 + Decimal("0.5")
        assert abs(int(payment.amount) - exact) <= tolerance
        product = float(payment.quantity) * float(payment.price) * float(payment.rate) * 1e9
        assert payment.amount == int(Decimal(product).to_integral_value(ROUND_HALF_EVEN))
        cash += int(payment.amount)
    account = outcome.engine.account[0]
    assert account.funding == cash
    open_trades = outcome.engine.open_trades()
    assert int(outcome.trades["funding"].sum() + open_trades["funding"].sum()) == cash
    total = int(outcome.trades["pnl"].sum()) + int(open_trades["pnl"].sum())
    assert int(outcome.marks[-1].equity) == 10_000 * UNITS + total
    assert sum(int(account[name]) for name in LEDGER_FIELDS) == 0
