"""The statement by hand, and beside the engine's ledger on runs of every kind: to the unit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.ledger import money
from papertape.engine.candles import HOUR_MS
from papertape.engine.core import Engine
from papertape.engine.events import Event, Funding, MarketChange
from papertape.engine.jit import Rows
from papertape.engine.performance.statement import ACCOUNTS, FUNDED, PAID_IN, statement
from papertape.engine.records import CHANGE, LONG, PAYMENT, REASON_ENTRY, REASON_LIQUIDATION, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.every_order import EveryOrder
from tests.support.helpers import FREE, START_MS, Outcome, Scripted, make_candles, random_candles

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
            event = Funding(int(candles["open_ms"][first]), 0, funding, float(candles["open"][first]))
            reports.append(engine.step(event))
        reports.append(engine.step(candles[first : first + 8]))
    outcome = Outcome(engine, reports)
    payments = np.concatenate([np.zeros(0, PAYMENT), *[report.payments for report in reports]])
    return outcome, statement(outcome.fills, payments, engine.markets, money(10_000.0, 1e9))


def booked(rows: Rows, reason: int) -> dict[str, float]:
    """Return what the first transaction of a kind moved, in quote."""
    chosen = rows[rows["reason"] == reason]
    chosen = chosen[chosen["sequence"] == chosen["sequence"][0]]
    return {ACCOUNTS[int(r.account)]: int(r.amount) / 1e9 for r in chosen.view(np.recarray)}


def test_every_account_of_a_round_trip_by_hand() -> None:
    # Bought at 100 × 1.003 = 100.3, on a tick of 0.5 at 100.5, 5,000 ÷ 100.5 of lots of one: 49 units. Lost in the price 24.50:
    # 4.90 half spread, 9.80 slippage, 9.80 the tick. Fee 4,924.50 × 0.001. On a tenth: 492.45 of margin.
    market = {**COSTS, "tick_size": 0.5, "lot_size": 1.0, "is_perpetual": True, "leverage": 10.0}
    _, rows = run(
        Scripted({0: Decision(LONG)}), make_candles([BAR, BAR, (100.0, 100.0, 80.0, 100.0)]), **market
    )

    assert booked(rows, PAID_IN) == {"capital": -10_000.0, "cash": 10_000.0}
    assert booked(rows, REASON_ENTRY) == {
        "cash": -497.3745,
        "margin": 492.45,
        "fees": 4.9245,
        "spread": 4.9,
        "slippage": 9.8,
        "grid": 9.8,
        "result": -24.5,
    }
    # Closed at the bankruptcy price, 90.45, on the tick below: 90. 49 × 10.5 = 514.50 are lost.
    assert booked(rows, REASON_LIQUIDATION) == {"cash": -22.05, "margin": -492.45, "liquidation": 514.5}


@pytest.mark.parametrize("side", [LONG, SHORT])
def test_funding_goes_from_cash(side: int) -> None:
    _, rows = run(
        Scripted({0: Decision(side)}),
        make_candles([BAR] * 16),
        0.001,
        is_perpetual=True,
        taker_fee_rate=0.0,
        half_spread_rate=0.0,
        slippage_rate=0.0,
    )

    assert booked(rows, FUNDED) == {"cash": -side * 5.0, "funding": side * 5.0}


@pytest.mark.parametrize(
    "market",
    [
        {},
        {"is_perpetual": True},
        {
            "is_perpetual": True,
            "leverage": 5.0,
            "maintenance_rate": 0.01,
            "tick_size": 0.05,
            "lot_size": 0.001,
        },
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_its_sums_are_the_ledgers(market: dict[str, Any], seed: int) -> None:
    values = {**COSTS, **market}
    funding = 0.0004 if "is_perpetual" in market else 0.0
    outcome, rows = run(EveryOrder(), random_candles(400, seed), funding, **values)

    account = outcome.engine.account[0]
    total = {name: int(rows["amount"][rows["account"] == n].sum()) for n, name in enumerate(ACCOUNTS)}
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


class Specks(Scripted):
    """Buys what is too small to cost anything, and sells it; and then ten."""

    def decide(self, view: Any) -> Decision | None:
        k = (int(view.time_ms) - START_MS) // HOUR_MS - 1
        if k in (0, 4):
            view.buy(10.0 if k else 1e-12)
        if k == 2:
            view.exit()
        return None


def test_a_position_that_costs_nothing_has_no_margin_whatever_the_leverage_was() -> None:
    market = Market("X", True, leverage=10.0, **FREE)
    engine = Engine(
        EngineSpec([market], Specks({}), "1h", "1h", settings=Settings("fraction", leverage_cap=10.0))
    )
    candles = make_candles([BAR] * 7)
    change = MarketChange(START_MS + 4 * HOUR_MS, 0, replace(market, leverage=5.0).plain())
    events: list[Event] = [candles[:4], change, candles[4:]]
    reports = [engine.step(event) for event in events]
    fills = Outcome(engine, reports).fills
    changes = np.concatenate([np.zeros(0, CHANGE), *[report.changes for report in reports]])

    rows = statement(fills, np.zeros(0, PAYMENT), engine.spec.market_rows(), money(10_000.0, 1e9), changes)

    assert fills["notional"].tolist() == [0, 0, money(1_000.0, 1e9)]
    margin = rows[rows["account"] == ACCOUNTS.index("margin")]
    assert margin["amount"].tolist() == [money(200.0, 1e9)]


class Adding(Scripted):
    """Buy ten at the close of candle 0, ten more at that of candle 2, and sell half at that of candle 4."""

    def decide(self, view: Any) -> Decision | None:
        k = (int(view.time_ms) - START_MS) // HOUR_MS - 1
        if k in (0, 2):
            view.buy(10.0)
        if k == 4:
            view.exit(0.5)
        return None


def test_a_market_that_changes_has_at_each_fill_the_figures_of_its_time() -> None:
    """
    Ten at 100 on a tenth, then ten on a fifth with 1 % of slippage and ticks of one: at 101, all of it slippage.

    100 and 202 of margin; sold at 99 with half of both. At first there is no tick, so that nothing is lost to one.
    """
    before = Market("X", True, leverage=10.0, **FREE)
    after = replace(before, leverage=5.0, tick_size=1.0, slippage_rate=0.01)
    spec = EngineSpec([before], Adding({}), "1h", "1h", settings=Settings("fraction", leverage_cap=10.0))
    engine = Engine(spec)
    candles = make_candles([BAR] * 7)
    events: list[Event] = [candles[:2], MarketChange(START_MS + 2 * HOUR_MS, 0, after.plain()), candles[2:]]
    reports = [engine.step(event) for event in events]
    outcome = Outcome(engine, reports)
    changes = np.concatenate([np.zeros(0, CHANGE), *[report.changes for report in reports]])

    rows = statement(outcome.fills, np.zeros(0, PAYMENT), spec.market_rows(), money(10_000.0, 1e9), changes)

    amounts = {
        int(s): {
            ACCOUNTS[int(r.account)]: int(r.amount) / 1e9
            for r in rows[rows["sequence"] == s].view(np.recarray)
        }
        for s in np.unique(rows["sequence"])[1:]
    }
    assert list(amounts.values()) == [
        {"cash": -100.0, "margin": 100.0},
        {"cash": -202.0, "margin": 202.0, "slippage": 10.0, "result": -10.0},
        # 2,010 cost 1,005 a half, sold at 99: 990.
        {"cash": 136.0, "margin": -151.0, "slippage": 10.0, "result": 5.0},
    ]


def test_capital_is_paid_in_when_the_account_begins() -> None:
    """Without a fill it was 1970, else the time of the first fill."""
    strategy, candles = Scripted({2: Decision(LONG)}), make_candles([BAR] * 5)
    engine = Engine(EngineSpec([Market("X", **FREE)], strategy, "1h", "1h"))
    fills, begins_ms = engine.step(candles).fills, START_MS + HOUR_MS
    given = np.zeros(0, PAYMENT), engine.markets, money(10_000.0, 1e9), np.zeros(0, CHANGE)

    for taken, first_ms in ((fills, begins_ms), (fills[:0], begins_ms), (fills, START_MS + 9 * HOUR_MS)):
        rows = statement(taken, *given, first_ms)
        assert set(rows["time_ms"][rows["reason"] == PAID_IN]) == {min([first_ms, *taken["candle_ms"]])}
