"""
A slow second broker for several symbols, in exact decimals and plain dictionaries, that knows nothing of kernels.

It follows the text of the README: for all symbols every close at the open, then every entry at the open on one book,
scaled down pro rata, then every bracket, then the marks. Names are the only order it has, and it draws it at random.
"""

import random
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, getcontext
from typing import Any, NamedTuple

from papertape.engine.records import (
    FLAT,
    REASON_ENTRY,
    REASON_FLIP,
    REASON_RUIN,
    REASON_SIGNAL,
    REASON_STOP,
    REASON_TARGET,
)
from tests.support.portfolios import Portfolio

getcontext().prec = 50
ZERO = Decimal(0)


def exact(value: Any) -> Decimal:
    """Return the decimal that a float is written as."""
    return Decimal(repr(float(value)))


class Fill(NamedTuple):
    """One fill: candle, symbol, side, why, price, quantity."""

    candle: int
    symbol: str
    side: int
    reason: int
    price: Decimal
    quantity: Decimal


class Oracle:
    """One account over the tapes of a portfolio."""

    def __init__(self, portfolio: Portfolio, seed: int = 0) -> None:
        self.portfolio, self.settings = portfolio, portfolio.settings
        self.markets = {
            symbol: {name: exact(value) for name, value in market.items()}
            for symbol, market in portfolio.markets.items()
        }
        self.cash = exact(portfolio.capital)
        self.held: dict[str, dict[str, Any]] = {}
        self.entries: dict[str, Decimal] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.last = dict.fromkeys(portfolio.tapes, ZERO)
        self.is_ruined = False
        self.fills: list[Fill] = []
        self.equity: list[Decimal] = []
        self.random = random.Random(seed)

    def run(self) -> "Oracle":
        """Take every instant."""
        tapes = self.portfolio.tapes
        for k in range(len(next(iter(tapes.values())))):
            for symbol, before, rate in self.portfolio.funding:
                if before == k and symbol in self.held:
                    price = exact(tapes[symbol]["open"][k])
                    self.cash -= self.held[symbol]["quantity"] * price * exact(rate)
            rows = {s: tape[k] for s, tape in tapes.items() if not tape["flag_bits"][k] & 2}
            symbols = self.random.sample(sorted(rows), len(rows))
            due = {s: self.orders.pop(s) for s in symbols if self.orders.get(s, {}).get("ready", k + 1) <= k}  # fmt: skip
            for symbol in symbols:
                self.close_at_open(k, symbol, rows[symbol], due.get(symbol))
            self.enter(k, rows, {s: o for s, o in due.items() if o["target"] != FLAT})
            for symbol in symbols:
                self.bracket(k, symbol, rows[symbol])
            self.mark(k)
            for symbol in tapes:
                self.decide(k, symbol)
        return self

    def tick(self, symbol: str, price: Decimal, rounding: str) -> Decimal:
        """Return a price on the grid."""
        tick = self.markets[symbol].get("tick_size", ZERO)
        return (price / tick).to_integral_value(rounding) * tick if tick else price

    def market_price(self, symbol: str, reference: Decimal, side: int) -> Decimal:
        """Return what a market order gets."""
        market = self.markets[symbol]
        rate = market["half_spread_rate"] + market["slippage_rate"]
        rounding = ROUND_CEILING if side > 0 else ROUND_FLOOR
        return self.tick(symbol, reference * (1 + side * rate), rounding)

    def close(self, k: int, symbol: str, price: Decimal, reason: int) -> None:
        """Close a position."""
        quantity = self.held.pop(symbol)["quantity"]
        fee = abs(quantity) * price * self.markets[symbol]["taker_fee_rate"]
        entry = self.entries.pop(symbol)
        is_perpetual = self.markets[symbol]["is_perpetual"]
        self.cash += (quantity * (price - entry) if is_perpetual else quantity * price) - fee
        side = -1 if quantity > 0 else 1
        self.fills.append(Fill(k, symbol, side, reason, price, abs(quantity)))

    def close_at_open(self, k: int, symbol: str, row: Any, order: dict[str, Any] | None) -> None:
        """Close by an order, or because the open has passed a level."""
        position = self.held.get(symbol)
        if position is None:
            return
        side, price = position["side"], exact(row["open"])
        if order is not None and order["target"] != side:
            reason = REASON_FLIP if order["target"] != FLAT else order["reason"]
            self.close(k, symbol, self.market_price(symbol, price, -side), reason)
        elif position["stop"] and side * (price - position["stop"]) <= 0:
            self.close(k, symbol, self.market_price(symbol, price, -side), REASON_STOP)
        elif position["target"] and side * (price - position["target"]) >= 0:
            self.close(k, symbol, price, REASON_TARGET)

    def worth(self) -> Decimal:
        """Return equity with positions at their last close."""
        total = self.cash
        for symbol, position in self.held.items():
            paid = self.entries[symbol] if self.markets[symbol]["is_perpetual"] else ZERO
            total += position["quantity"] * (self.last[symbol] - paid)
        return total

    def power(self, symbol: str, worth: Decimal, gross: Decimal) -> Decimal:
        """Return the largest notional of an entry."""
        market, share = self.markets[symbol], exact(self.settings.cash_share)
        fee = market["taker_fee_rate"]
        if not market["is_perpetual"]:
            return share * self.cash / (1 + fee)
        leverage = exact(self.settings.leverage_cap)
        if market["maximum_leverage"]:
            leverage = min(leverage, market["maximum_leverage"])
        return share * max(worth - gross / leverage, ZERO) / (1 / leverage + fee)

    def enter(self, k: int, rows: dict[str, Any], due: dict[str, dict[str, Any]]) -> None:
        """Plan every entry on one book, scale all, open."""
        worth = self.worth()
        gross = sum((abs(p["quantity"]) * self.last[s] for s, p in self.held.items()), ZERO)
        plans = {}
        for symbol, order in due.items():
            if symbol not in self.held:
                plan = self.plan(symbol, order, exact(rows[symbol]["open"]), worth, gross)
                if plan is not None:
                    plans[symbol] = plan
        total = sum((plan["share"] for plan in plans.values()), ZERO)
        factor = 1 / total if total > 1 else Decimal(1)
        for symbol, plan in plans.items():
            quantity = self.tradable(symbol, plan["quantity"] * factor, plan["price"])
            if not quantity:
                continue
            side, price, market = plan["side"], plan["price"], self.markets[symbol]
            fee = quantity * price * market["taker_fee_rate"]
            self.cash -= fee if market["is_perpetual"] else quantity * price + fee
            self.entries[symbol] = price
            levels = {"stop": plan["stop"], "target": plan["target"]}
            self.held[symbol] = {"side": side, "quantity": side * quantity, **levels}
            self.last[symbol] = price
            self.fills.append(Fill(k, symbol, side, REASON_ENTRY, price, quantity))

    def plan(
        self, symbol: str, order: dict[str, Any], opened: Decimal, worth: Decimal, gross: Decimal
    ) -> dict[str, Any] | None:
        """Return what one entry would be alone, or None where it is refused."""
        side, wish = order["target"], order["decision"]
        price = self.market_price(symbol, opened, side)
        distance, reach = exact(wish.stop_distance), exact(wish.target_distance)
        stop = self.tick(symbol, price - side * distance, ROUND_HALF_EVEN) if distance else ZERO
        target = self.tick(symbol, price + side * reach, ROUND_HALF_EVEN) if reach else ZERO
        if (stop and side * (price - stop) <= 0) or (target and side * (target - price) <= 0):
            return None
        power = self.power(symbol, worth, gross) / price
        quantity = power
        if self.settings.sizing == "fraction":
            wanted = exact(self.settings.fixed_fraction) * worth / price
            quantity = min(power, wanted * exact(wish.size_scale))
        elif self.settings.sizing == "risk":
            wanted = exact(self.settings.risk_fraction) * worth / (side * (price - stop))
            quantity = min(power, wanted * exact(wish.size_scale))
        if not self.tradable(symbol, quantity, price):
            return None
        found = {"side": side, "price": price, "stop": max(stop, ZERO), "target": max(target, ZERO)}
        return {**found, "quantity": quantity, "share": quantity / power}

    def tradable(self, symbol: str, quantity: Decimal, price: Decimal) -> Decimal:
        """Return whole lots, 0 below the minimum."""
        market = self.markets[symbol]
        if market["lot_size"]:
            lots = (quantity / market["lot_size"]).to_integral_value(ROUND_FLOOR)
            quantity = lots * market["lot_size"]
        return quantity if quantity > 0 and quantity * price >= market["minimum_notional"] else ZERO

    def bracket(self, k: int, symbol: str, row: Any) -> None:
        """Look at stop and target inside the candle, the stop first."""
        position = self.held.get(symbol)
        if position is None:
            return
        side, opened = position["side"], exact(row["open"])
        worst, best = (row["low"], row["high"]) if side > 0 else (row["high"], row["low"])
        if position["stop"] and side * (exact(worst) - position["stop"]) <= 0:
            reference = side * min(side * opened, side * position["stop"])
            self.close(k, symbol, self.market_price(symbol, reference, -side), REASON_STOP)
        elif position["target"] and side * (exact(best) - position["target"]) >= 0:
            self.close(
                k, symbol, side * max(side * opened, side * position["target"]), REASON_TARGET
            )

    def mark(self, k: int) -> None:
        """Mark the account at the close; stop at ruin."""
        for symbol, tape in self.portfolio.tapes.items():
            self.last[symbol] = exact(tape["close"][k])
        self.equity.append(self.worth())
        if self.equity[-1] <= 0 and not self.is_ruined:
            self.is_ruined = True
            order = {"target": FLAT, "ready": k + 1, "reason": REASON_RUIN}
            self.orders = {symbol: dict(order) for symbol in self.held}

    def decide(self, k: int, symbol: str) -> None:
        """Let a decision rest where it asks for something else."""
        wish = self.portfolio.script.get((symbol, k))
        if wish is None or self.portfolio.tapes[symbol]["flag_bits"][k] & 2:
            return
        side = self.held[symbol]["side"] if symbol in self.held else FLAT
        now = self.orders[symbol]["target"] if symbol in self.orders else side
        if wish.target == now or self.is_ruined:
            return
        target = wish.target
        if target < 0 and not self.markets[symbol]["is_perpetual"]:
            target = FLAT  # refused; what is held is closed
        self.orders.pop(symbol, None)
        if target != side:
            ready = k + 1 + self.settings.latency_bars
            self.orders[symbol] = {"target": target, "ready": ready, "reason": REASON_SIGNAL, "decision": wish}  # fmt: skip
