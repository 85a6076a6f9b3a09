"""
The account beside the exact one, step by step: any candles, decisions, settlements and changes of markets that hypothesis
thinks of.

Prices lie on ticks of 0.01, sizes on lots of 0.001 and rates on 0.0001, so every product of them has at most nine decimals,
which is what the ledger keeps: the difference is 0, to the unit. Without grids the stated rounding is one unit an amount.

That holds below 2^52 units, 4.5 million quote: a float64 product is off by 2^-53 of itself, which beyond is half a unit and
more. Whoever comes there (by all-in wins at fifty times leverage) is let go before it is compared.
"""

from contextvars import ContextVar
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from papertape.engine.broker.account import equity, notional_of, position_value
from papertape.engine.broker.ledger import LEDGER_FIELDS
from papertape.engine.broker.risk.groups import SymbolGroup
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.candles import CANDLE, HOUR_MS
from papertape.engine.events import Funding, MarketChange
from papertape.engine.records import AMBIGUOUS_TOGETHER, FLAT, LONG, SHORT
from papertape.engine.spec import Market, Settings
from papertape.engine.strategies import Decision
from tests.oracles.account_rules import exact
from tests.oracles.portfolio_oracle import Oracle
from tests.support.helpers import START_MS, Outcome
from tests.support.portfolios import Portfolio

SYMBOLS = ("A", "B", "C")
EXACT = 2**52  # money units
MARKETS = {
    "tick_size": 0.01,
    "lot_size": 0.001,
    "taker_fee_rate": 0.0005,
    "half_spread_rate": 0.0001,
    "slippage_rate": 0.0001,
    "maximum_leverage": 50.0,
}
BRACKETS = ((2_000.0, 50.0, 0.005), (8_000.0, 25.0, 0.01), (30_000.0, 10.0, 0.025), (500_000.0, 4.0, 0.1))
BREAK, MUCH = 2_000.0000005, 30_000.0000005  # quote; no notional and no sum of some is just that


def stepped(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    """Return a fee in pieces: by rate and by size, capped, and another beyond a volume."""
    if volume > MUCH:
        return 0.0001 * notional
    if notional > BREAK:
        return 1.5 + 0.0002 * notional
    return min(rate * notional + 0.01 * size, 0.5 * price)


def stepped_exactly(
    notional: Decimal, price: Decimal, size: Decimal, is_maker: bool, rate: Decimal, volume: Decimal
) -> Decimal:
    """Return the same in decimals."""
    if volume > exact(MUCH):
        return notional / 10_000
    if notional > exact(BREAK):
        return exact(1.5) + exact(0.0002) * notional
    return min(rate * notional + size / 100, price / 2)


# By symbol and close, of the machine that runs: the engine watches that nothing else that a strategy reads changes.
WISHES: ContextVar[dict[tuple[str, int], Decision]] = ContextVar("WISHES")
DECISIONS = st.builds(
    lambda target, stop_distance, target_distance, size_scale, confidence: Decision(
        target, stop_distance, target_distance, confidence=confidence, size_scale=size_scale
    ),
    st.sampled_from([SHORT, FLAT, LONG, LONG]),
    stop_distance=st.sampled_from([1.25, 4.0, 20.0]),
    target_distance=st.sampled_from([0.0, 1.5, 9.0]),
    size_scale=st.sampled_from([1.0, 1.0, 0.5]),
    confidence=st.sampled_from([1.0, 1.0, 0.5]),
)
LIMITS = st.one_of(
    st.just(Limits()),
    st.builds(
        Limits,
        daily_loss=st.sampled_from([0.0, 0.02, 0.1]),
        drawdown=st.sampled_from([0.0, 0.05, 0.3]),
        drawdown_lock_days=st.sampled_from([0.0, 0.25, 2.0]),
        losses=st.sampled_from([0, 1, 2]),
        losses_lock_hours=st.sampled_from([2.0, 24.0]),
        position=st.sampled_from([0.0, 0.5, 4.0]),
        gross=st.sampled_from([0.0, 1.5]),
        net=st.sampled_from([0.0, 1.0]),
        open_positions=st.sampled_from([0, 0, 1, 2]),
        orders=st.sampled_from([0, 0, 1, 2]),
        orders_hours=st.sampled_from([3.0, 24.0]),
        groups=st.sampled_from(
            [(), (SymbolGroup(("A", "C"), 0.75),), (SymbolGroup(("B",), 0.2), SymbolGroup(("C", "A"), 2.0))]
        ),
    ),
)


class Script:
    """Decide what the machine has just written."""

    features: tuple[str, ...] = ()

    def decide(self, view: Any) -> Decision | None:
        return WISHES.get().get((view.symbol, view.time_ms))


class AccountMachine(RuleBasedStateMachine):
    """An engine and the exact account, which take the same events."""

    @initialize(
        kinds=st.tuples(*[st.sampled_from(["spot", "plain", "margin"])] * 3),
        leverage=st.sampled_from([4.0, 10.0, 25.0, 50.0]),
        maintenance=st.sampled_from([0.0, 0.005, 0.01]),
        slope=st.sampled_from([0.0, 1e-7, None]),  # None: a table of leverage in its place
        fee=st.sampled_from([0.0, 0.002]),
        costs=st.sampled_from([{}, {}, {"fee_fixed": 0.25}, {"fee_minimum": 2.0}]),
        sizing=st.sampled_from(["fraction", "risk", "all_in"]),
        latency=st.sampled_from([0, 0, 1]),
        mode=st.sampled_from(["isolated", "cross"]),
        limits=LIMITS,
        fees=st.sampled_from([None, (stepped, stepped_exactly)]),
    )
    def begin(
        self,
        kinds: tuple[str, ...],
        leverage: float,
        maintenance: float,
        slope: float | None,
        fee: float,
        costs: dict[str, float],
        sizing: str,
        latency: int,
        mode: str,
        limits: Limits,
        fees: tuple[Any, Any] | None,
    ) -> None:
        margin: dict[str, Any] = {"leverage": leverage, "liquidation_fee_rate": fee}
        if slope is None:
            margin["brackets"] = BRACKETS
        else:
            margin |= {
                "maintenance_rate": maintenance,
                "maintenance_slope": slope,
                "maintenance_from": 5_000.0,
            }
        markets: dict[str, dict[str, Any]] = {
            symbol: {
                **MARKETS,
                **costs,
                "is_perpetual": kind != "spot",
                "minimum_notional": 5.0,
                **(margin if kind == "margin" else {}),
            }
            for symbol, kind in zip(SYMBOLS, kinds, strict=True)
        }
        account = Settings(
            sizing,
            risk_fraction=0.02,
            fixed_fraction=1.5,
            leverage_cap=50.0,
            latency_bars=latency,
            margin=mode,
        )
        WISHES.set({})
        self.sizing, self.markets = sizing, markets
        portfolio = Portfolio(dict.fromkeys(SYMBOLS), markets, account, limits=limits, fees=fees)  # type: ignore[misc]
        names = {symbol: symbol for symbol in SYMBOLS}
        self.engine = portfolio.engine(names, strategy=Script())
        self.oracle = Oracle(portfolio)
        self.k = 0
        self.close = dict.fromkeys(SYMBOLS, 10_000)  # ticks
        self.reports: list[Any] = []

    @rule(
        moves=st.tuples(
            *[
                st.tuples(
                    st.sampled_from([0, 0, 1, -40, 60, -700]),  # gap of the open, ticks
                    st.integers(-350, 350),  # open to close
                    st.integers(0, 300),  # above
                    st.integers(0, 300),  # below
                    st.integers(0, 7).map(lambda n: n == 0),  # absent
                )
            ]
            * 3
        ),
        wishes=st.dictionaries(st.sampled_from(SYMBOLS), DECISIONS),
    )
    def instant(
        self, moves: tuple[tuple[int, int, int, int, bool], ...], wishes: dict[str, Decision]
    ) -> None:
        candles = np.zeros(len(SYMBOLS), CANDLE)
        for number, (symbol, (gap, change, above, below, is_absent)) in enumerate(
            zip(SYMBOLS, moves, strict=True)
        ):
            is_absent = is_absent and self.k > 0
            before = self.close[symbol]
            opened = max(before + (0 if is_absent else gap), 50)
            close = opened if is_absent else max(opened + change, 50)
            high = max(opened, close) + (0 if is_absent else above)
            low = max(min(opened, close) - (0 if is_absent else below), 25)
            row = candles[number]
            row["open_ms"], row["symbol"] = START_MS + self.k * HOUR_MS, number
            for name, ticks in zip(("open", "high", "low", "close"), (opened, high, low, close), strict=True):
                row[name] = ticks / 100
            row["volume"] = 0.0 if is_absent else 1.0
            row["flag_bits"] = 2 if is_absent else 0
            self.close[symbol] = close
        if self.sizing == "all_in":  # a share of all-in is refused
            wishes = {symbol: wish._replace(size_scale=1.0) for symbol, wish in wishes.items()}
        close_ms = START_MS + (self.k + 1) * HOUR_MS
        WISHES.get().update({(symbol, close_ms): wish for symbol, wish in wishes.items()})
        self.reports.append(self.engine.step(candles.view(np.recarray)))
        self.oracle.instant(self.k, {s: candles[n] for n, s in enumerate(SYMBOLS)})
        for number, symbol in enumerate(SYMBOLS):
            if symbol in wishes and not candles["flag_bits"][number]:
                self.oracle.decide(self.k, symbol, wishes[symbol])
        self.k += 1
        self.compare()

    @precondition(lambda self: self.k > 0)
    @rule(number=st.integers(0, 2), rate=st.integers(-30, 30))
    def settlement(self, number: int, rate: int) -> None:
        symbol = SYMBOLS[number]
        if self.engine.markets[number].is_perpetual:
            price = self.close[symbol] / 100
            event = Funding(START_MS + self.k * HOUR_MS, number, rate / 10_000, price)
            self.reports.append(self.engine.step(event))
            self.oracle.fund(symbol, exact(rate / 10_000), exact(price))

    @rule(
        number=st.integers(0, 2),
        tick=st.sampled_from([0.01, 0.05, 0.5]),
        lot=st.sampled_from([0.001, 0.02]),
        fee=st.sampled_from([0.0, 0.0005, 0.0012]),
        slippage=st.sampled_from([0.0001, 0.0007]),
        minimum=st.sampled_from([5.0, 400.0]),
        leverage=st.sampled_from([4.0, 10.0, 50.0]),
        maintenance=st.sampled_from([0.0, 0.005, 0.0175]),
    )
    def change(
        self,
        number: int,
        tick: float,
        lot: float,
        fee: float,
        slippage: float,
        minimum: float,
        leverage: float,
        maintenance: float,
    ) -> None:
        symbol = SYMBOLS[number]
        market = self.markets[symbol]
        market |= {
            "tick_size": tick,
            "lot_size": lot,
            "taker_fee_rate": fee,
            "slippage_rate": slippage,
            "minimum_notional": minimum,
        }
        if "leverage" in market:
            market["leverage"] = leverage
            if "brackets" not in market:
                market["maintenance_rate"] = maintenance
        figures = Market(symbol, **market).plain()
        event = MarketChange(START_MS + self.k * HOUR_MS, number, figures)
        self.reports.append(self.engine.step(event))
        self.oracle.change(symbol, market)

    def compare(self) -> None:
        outcome = Outcome(self.engine, self.reports)
        assume(int(outcome.marks["exposure"].max()) < EXACT)
        assume(not len(outcome.fills) or int(outcome.fills["notional"].max()) < EXACT)
        # Symbols have no order within an instant; every instant is compared as a whole, when it is the newest.
        found = sorted(
            (
                (int(f.candle_ms) - START_MS) // HOUR_MS,
                SYMBOLS[int(f.symbol)],
                int(f.side),
                int(f.reason),
                exact(f.price),
                exact(f.quantity),
            )
            for f in outcome.fills[outcome.fills["candle_ms"] == START_MS + (self.k - 1) * HOUR_MS]
        )
        assert found == sorted(tuple(f) for f in self.oracle.fills if f[0] == self.k - 1)
        assert len(outcome.fills) == len(self.oracle.fills)
        assert [
            (int(e.limit), int(e.time_ms), int(e.until_ms)) for e in outcome.limits
        ] == self.oracle.limits.met
        together = np.count_nonzero(outcome.trades["is_ambiguous"] & AMBIGUOUS_TOGETHER)
        assert together == self.oracle.n_together
        assert int(outcome.marks[-1].equity) == int(self.oracle.equity[-1] * 10**9)

    @invariant()
    def accounts_balance(self) -> None:
        if not getattr(self, "k", 0):
            return
        account, positions = self.engine.account[0], self.engine.positions
        assert sum(int(account[name]) for name in LEDGER_FIELDS) == 0
        assert int(account.cash) == int(self.oracle.cash * 10**9)
        assert int(account.fees) >= 0
        open_value = sum(
            int(position_value(p, m, notional_of(p, m)))
            for p, m in zip(positions, self.engine.markets, strict=True)
            if p.quantity
        )
        assert int(account.cash) + open_value == int(equity(account, positions, self.engine.markets))
        self.no_margin_is_negative()

    def no_margin_is_negative(self) -> None:
        """What a position stands on is above what must be maintained, or it is no longer there."""
        for symbol, position in self.oracle.held.items():
            level = position["level"]
            if level is not None:
                assert position["side"] * (self.oracle.last[symbol] - level.liquidation) > 0


AccountMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
test_account_beside_the_exact_one = AccountMachine.TestCase


class LongMachine(AccountMachine):
    """The same for longer."""


LongMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
class TestLong(LongMachine.TestCase):  # type: ignore[misc,name-defined]
    """Under the marker."""
