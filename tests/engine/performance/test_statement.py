"""The statement by hand, and beside the engine's ledger on runs of every kind: to the unit."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.ledger import money
from papertape.engine.core import Engine
from papertape.engine.events import Funding
from papertape.engine.jit import Rows
from papertape.engine.performance.statement import ACCOUNTS, FUNDED, PAID_IN, statement
from papertape.engine.records import LONG, PAYMENT, REASON_ENTRY, REASON_LIQUIDATION, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.every_order import EveryOrder
from tests.support.helpers import Outcome, Scripted, make_candles, random_candles

BAR = (100.0, 100.0, 100.0, 100.0)
COSTS = {"taker_fee_rate": 0.001, "half_spread_rate": 0.001, "slippage_rate": 0.002}


def run(strategy: Any, candles: Rows, funding: float = 0.0, **market: Any) -> tuple[Outcome, Rows]:
    """Return a run and its statement."""
    markets = [Market("X", **market)]
    settings = Settings("fraction", fixed_fraction=0.5, leverage_cap=10.0)
    engine = Engine(EngineSpec(markets, strategy, "1h", "1h", settings=settings))
    reports = []
    for first in range(0, len(candles), 8):
        if funding and first:
            event = Funding(int(candles["open_ms"][first]), 0, funding, float(candles["open"][first]))  # fmt: skip
            reports.append(engine.step(event))
        reports.append(engine.step(candles[first : first + 8]))
    outcome = Outcome(engine, reports)
    payments = np.concatenate([np.zeros(0, PAYMENT), *[report.payments for report in reports]])
    return outcome, statement(outcome.fills, payments, engine.markets, money(10_000.0))


def booked(rows: Rows, reason: int) -> dict[str, float]:
    """Return what the first transaction of a kind moved, in quote."""
    chosen = rows[rows["reason"] == reason]
    chosen = chosen[chosen["sequence"] == chosen["sequence"][0]]
    return {ACCOUNTS[int(r.account)]: int(r.amount) / 1e9 for r in chosen.view(np.recarray)}


def test_every_account_of_a_round_trip_by_hand() -> None:
    # Bought at 100 × 1.003 = 100.3, on a tick of 0.5 at 100.5, 5,000 ÷ 100.5 of lots of one: 49 units. Lost in the price 24.50:
    # 4.90 half spread, 9.80 slippage, 9.80 the tick. Fee 4,924.50 × 0.001. On a tenth: 492.45 of margin.
    market = {**COSTS, "tick_size": 0.5, "lot_size": 1.0, "is_perpetual": True, "leverage": 10.0}
    _, rows = run(Scripted({0: Decision(LONG)}), make_candles([BAR, BAR, (100.0, 100.0, 80.0, 100.0)]), **market)  # fmt: skip

    assert booked(rows, PAID_IN) == {"capital": -10_000.0, "cash": 10_000.0}
    assert booked(rows, REASON_ENTRY) == {
        "cash": -497.3745, "margin": 492.45, "fees": 4.9245,
        "spread": 4.9, "slippage": 9.8, "grid": 9.8, "result": -24.5,
    }  # fmt: skip
    # Closed at the bankruptcy price, 90.45, on the tick below: 90. 49 × 10.5 = 514.50 are lost.
    assert booked(rows, REASON_LIQUIDATION) == {
        "cash": -22.05, "margin": -492.45, "liquidation": 514.5,
    }  # fmt: skip


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_funding_goes_from_cash(side: int) -> None:
    _, rows = run(Scripted({0: Decision(side)}), make_candles([BAR] * 16), 0.001, is_perpetual=True, taker_fee_rate=0.0, half_spread_rate=0.0, slippage_rate=0.0)  # fmt: skip

    assert booked(rows, FUNDED) == {"cash": -side * 5.0, "funding": side * 5.0}


@pytest.mark.parametrize("market", [
    {},
    {"is_perpetual": True},
    {"is_perpetual": True, "leverage": 5.0, "maintenance_rate": 0.01, "tick_size": 0.05, "lot_size": 0.001},
])  # fmt: skip
@pytest.mark.parametrize("seed", [1, 2])
def test_its_sums_are_the_ledgers(market: dict[str, Any], seed: int) -> None:
    values = {**COSTS, **market}
    funding = 0.0004 if "is_perpetual" in market else 0.0
    outcome, rows = run(EveryOrder(), random_candles(400, seed), funding, **values)

    account = outcome.engine.account[0]
    total = {name: int(rows["amount"][rows["account"] == n].sum()) for n, name in enumerate(ACCOUNTS)}  # fmt: skip
    assert len(outcome.trades) > 5
    assert total["cash"] + total["margin"] == account.cash
    assert total["fees"] == account.fees
    assert total["funding"] == account.funding
    assert total["inventory"] == account.inventory
    prices = sum(total[name] for name in ("spread", "slippage", "grid"))
    assert total["result"] + total["liquidation"] + prices == account.realised
    assert prices == int((outcome.fills["spread"] + outcome.fills["slippage"]).sum())
    assert min(total[name] for name in ("spread", "slippage", "grid", "margin")) >= 0
    for n in range(len(ACCOUNTS)):
        own = rows[rows["account"] == n]
        assert own["balance"].tolist() == np.cumsum(own["amount"]).tolist()
    sequence = rows["sequence"]
    assert (np.diff(sequence) >= 0).all()
    sums = np.bincount(np.unique(sequence, return_inverse=True)[1], rows["amount"].astype(float))
    assert not sums.any()
