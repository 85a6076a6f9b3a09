"""
A slow second broker for several symbols, in exact decimals and plain dictionaries, that knows nothing of kernels.

It follows the text of the README: for all symbols every close at the open, then every entry at the open on one book,
scaled down pro rata, then every bracket, then the marks. Names are the only order it has, and it draws it at random.
Margin and limits are those of `tests.oracles.account_rules`. Amounts are rounded where they become money, to the unit that the account counts.
"""

import random
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal, getcontext
from typing import Any, NamedTuple

from papertape.engine.records import (
    FLAT,
    REASON_ENTRY,
    REASON_FLIP,
    REASON_LIQUIDATION,
    REASON_RUIN,
    REASON_SIGNAL,
    REASON_STOP,
    REASON_TARGET,
)
from tests.oracles.account_rules import (
    DAY_MS,
    HOUR_MS,
    ZERO,
    Held,
    Level,
    LimitRules,
    cross_prices,
    exact,
    fee_of,
    fee_reserve,
    isolated_level,
    largest_notional,
    maintenance_rate,
    money,
)
from tests.support.portfolios import Portfolio

getcontext().prec = 50


class Fill(NamedTuple):
    """One fill: candle, symbol, side, why, price, quantity."""

    candle: int
    symbol: str
    side: int
    reason: int
    price: Decimal
    quantity: Decimal


def in_decimals(market: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a market as decimals, tables by row."""
    return {
        name: tuple(tuple(map(exact, row)) for row in value) if name == "brackets" else exact(value)
        for name, value in market.items()
    }


class Oracle:
    """One account over the tapes of a portfolio, or one that is stepped: `instant`, `fund`, `change`, `decide`."""

    def __init__(self, portfolio: Portfolio, seed: int = 0) -> None:
        self.portfolio, self.settings = portfolio, portfolio.settings
        self.markets = {symbol: in_decimals(market) for symbol, market in portfolio.markets.items()}
        self.is_cross = self.settings.margin == "cross"
        self.unit = Decimal(1).scaleb(-portfolio.money_decimals)
        self.capital = self.cash = exact(portfolio.capital)
        self.held: dict[str, dict[str, Any]] = {}
        self.entries: dict[str, Decimal] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.last = dict.fromkeys(portfolio.markets, ZERO)
        self.limits = LimitRules(portfolio.limits, self.cash)
        self.results: list[Decimal] = []  # of trades that ended in this instant
        self.payments: list[Decimal] = []
        self.n_together = 0  # trades ended by worst prices that need not have been at one time
        self.is_ruined = False
        self.fills: list[Fill] = []
        self.volume = ZERO  # of the thirty days before this one
        self.traded: dict[int, Decimal] = {}  # by day
        self.day = 0
        self.equity: list[Decimal] = []
        self.random = random.Random(seed)

    def run(self) -> "Oracle":
        """Take every instant."""
        tapes = self.portfolio.tapes
        for k in range(len(next(iter(tapes.values())))):
            for symbol, before, rate in self.portfolio.funding:
                if before == k:
                    self.fund(symbol, exact(rate), exact(tapes[symbol]["open"][k]))
            self.instant(k, {symbol: tape[k] for symbol, tape in tapes.items()})
            for symbol, tape in tapes.items():
                wish = self.portfolio.script.get((symbol, k))
                if wish is not None and not tape["flag_bits"][k] & 2:
                    self.decide(k, symbol, wish)
        return self

    def fund(self, symbol: str, rate: Decimal, price: Decimal) -> None:
        """Settle what is held now; longs pay a rate above zero."""
        position = self.held.get(symbol)
        if position is not None:
            amount = money(position["quantity"] * price * rate, self.unit)
            self.cash -= amount
            position["paid"] += amount
            self.payments.append(amount)

    def change(self, symbol: str, market: dict[str, Any]) -> None:
        """Let a market be another: what is held keeps its margin, and is maintained as the market asks now."""
        self.markets[symbol] = in_decimals(market)
        if symbol in self.held:
            self.set_level(symbol)

    def set_level(self, symbol: str) -> None:
        """Say where a position is liquidated that stands on its own margin."""
        position, entry = self.held[symbol], self.entries[symbol]
        cost = money(abs(position["quantity"]) * entry, self.unit)
        initial = None if self.is_cross else position["initial"]
        side = position["side"]
        position["level"] = isolated_level(self.markets[symbol], side, entry, cost, initial)

    def instant(self, k: int, candles: dict[str, Any]) -> None:
        """Take one candle of every symbol, absent ones with their flag."""
        rows = {s: row for s, row in candles.items() if not row["flag_bits"] & 2}
        self.day = int(next(iter(candles.values()))["open_ms"]) // DAY_MS
        days = range(self.day - 30, self.day)
        self.volume = sum((self.traded.get(day, ZERO) for day in days), ZERO)
        symbols = self.random.sample(sorted(rows), len(rows))
        due = {s: self.orders.pop(s) for s in symbols if self.orders.get(s, {}).get("ready", k + 1) <= k}
        if self.is_cross:
            self.liquidate_all(k, rows, at_open=True)
        for symbol in symbols:
            self.close_at_open(k, symbol, rows[symbol], due.get(symbol))
        self.enter(k, rows, {s: o for s, o in due.items() if o["target"] != FLAT})
        if self.is_cross:
            self.liquidate_all(k, rows, at_open=False)
        for symbol in symbols:
            self.bracket(k, symbol, rows[symbol])
        self.mark(k, candles)

    def fee(self, symbol: str, quantity: Decimal, price: Decimal) -> Decimal:
        """Return what a fill pays that takes, liquidations aside: as the market says, or as a function of somebody's own."""
        market, notional = self.markets[symbol], quantity * price
        if self.portfolio.fees is None:
            return fee_of(market, notional, market["taker_fee_rate"], self.unit)
        said = self.portfolio.fees[1](notional, price, quantity, False, market["taker_fee_rate"], self.volume)
        return money(said, self.unit)

    def note(self, fill: Fill) -> None:
        """Keep a fill, and count it: whole thousands of units, day by day."""
        self.fills.append(fill)
        notional = money(fill.quantity * fill.price, self.unit)
        counted = notional - notional % (1000 * self.unit)
        self.traded[self.day] = self.traded.get(self.day, ZERO) + counted

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
        position, market = self.held.pop(symbol), self.markets[symbol]
        quantity = position["quantity"]
        is_liquidation = reason == REASON_LIQUIDATION
        value = abs(quantity) * price
        if is_liquidation:
            fee = money(value * market.get("liquidation_fee_rate", ZERO), self.unit)
        else:
            fee = self.fee(symbol, abs(quantity), price)
        entry = self.entries.pop(symbol)
        side = -1 if quantity > 0 else 1
        cost, value = (money(abs(quantity) * one, self.unit) for one in (entry, price))
        gain = -side * (value - cost)
        self.cash += (gain if market["is_perpetual"] else value) - fee
        self.results.append(gain - fee - position["fee"] - position["paid"])
        self.note(Fill(k, symbol, side, reason, price, abs(quantity)))

    def close_at_open(self, k: int, symbol: str, row: Any, order: dict[str, Any] | None) -> None:
        """Close by an order, or because the open has passed a level."""
        position = self.held.get(symbol)
        if position is None:
            return
        side, price = position["side"], exact(row["open"])
        level = position["level"]
        if level is not None and side * (price - level.liquidation) <= 0:
            self.liquidate(k, symbol, level)
        elif order is not None and order["target"] != side:
            reason = REASON_FLIP if order["target"] != FLAT else order["reason"]
            self.close(k, symbol, self.market_price(symbol, price, -side), reason)
        elif position["stop"] and side * (price - position["stop"]) <= 0:
            self.close(k, symbol, self.market_price(symbol, price, -side), REASON_STOP)
        elif position["target"] and side * (price - position["target"]) >= 0:
            self.close(k, symbol, price, REASON_TARGET)

    def liquidate(self, k: int, symbol: str, level: Level) -> None:
        """Close a position where its whole margin is lost."""
        rounding = ROUND_FLOOR if self.held[symbol]["side"] > 0 else ROUND_CEILING
        price = self.tick(symbol, level.bankruptcy, rounding)
        self.close(k, symbol, price, REASON_LIQUIDATION)

    def liquidate_all(self, k: int, rows: dict[str, Any], at_open: bool) -> None:
        """Close every perpetual position when the account that all share no longer carries them."""
        found = []
        for symbol, position in self.held.items():
            market, side, quantity = self.markets[symbol], position["side"], position["quantity"]
            if not market["is_perpetual"]:
                continue
            rate = maintenance_rate(market, money(abs(quantity) * self.entries[symbol], self.unit))
            opened = worst = self.last[symbol]
            if symbol in rows:
                row = rows[symbol]
                opened = exact(row["open"])
                worst = exact(row["low"] if side > 0 else row["high"])
                stop = position["stop"]
                if stop and side * (worst - stop) < 0:
                    worst = side * min(side * opened, side * stop)
            found.append(
                Held(symbol, side, abs(quantity), self.entries[symbol], rate, opened, worst, symbol in rows)
            )
        prices = cross_prices(self.cash, found, at_open)
        if prices is None:
            return
        if not at_open and sum(h.opened != h.worst for h in found) > 1:
            self.n_together += len(prices)
        for symbol, price in prices.items():
            self.liquidate(k, symbol, Level(price, price))

    def worth(self) -> Decimal:
        """Return equity with positions at their last close."""
        total = self.cash
        for symbol, position in self.held.items():
            paid = self.entries[symbol] if self.markets[symbol]["is_perpetual"] else ZERO
            total += position["quantity"] * (self.last[symbol] - paid)
        return total

    def power(self, symbol: str, worth: Decimal, gross: Decimal, price: Decimal) -> Decimal:
        """Return the largest notional of an entry; what a function says of the largest fill is left for each market."""
        market, share = self.markets[symbol], exact(self.settings.cash_share)
        rate, leverage, free = market["taker_fee_rate"], Decimal(1), self.cash
        if market["is_perpetual"]:
            leverage = self.leverage(symbol)
            free = worth - gross / leverage
        kept = fee_reserve(market)
        if self.portfolio.fees is not None and free > 0:
            kept, rate = max(kept, self.fee(symbol, free * leverage / price, price)), ZERO
        return share * max(free - kept * len(self.markets), ZERO) / (1 / leverage + rate)

    def leverage(self, symbol: str) -> Decimal:
        """Return the notional that a unit of equity can carry on a perpetual."""
        market, leverage = self.markets[symbol], exact(self.settings.leverage_cap)
        highest = [market.get(name) for name in ("maximum_leverage", "leverage")]
        for most in [*highest, *(row[1] for row in market.get("brackets", ())[:1])]:
            if most:
                leverage = min(leverage, most)
        return leverage

    def share(self, symbol: str) -> Decimal:
        """Return the part of equity that a symbol trades with."""
        rule = self.portfolio.allocation
        if rule.shares:
            return exact(rule.shares.get(symbol, 0.0))
        return Decimal(1) / len(self.markets) if rule.is_any else Decimal(1)

    def enter(self, k: int, rows: dict[str, Any], due: dict[str, dict[str, Any]]) -> None:
        """Plan every entry on one book, scale all, open."""
        worth = self.worth()
        gross = sum((abs(p["quantity"]) * self.last[s] for s, p in self.held.items()), ZERO)
        net = sum((p["quantity"] * self.last[s] for s, p in self.held.items()), ZERO)
        plans = {}
        for symbol, order in due.items():
            if symbol not in self.held:
                plan = self.plan(symbol, order, exact(rows[symbol]["open"]), worth, gross, net)
                if plan is not None:
                    last = self.last[symbol]
                    plans[symbol] = {**plan, "confidence": order["decision"].confidence, "last": last}
        plans = self.limits.places(len(self.held), plans)
        self.cut_to_groups(plans)
        total = sum((plan["share"] for plan in plans.values()), ZERO)
        factor = 1 / total if total > 1 else Decimal(1)
        for symbol, plan in plans.items():
            quantity = self.tradable(symbol, plan["quantity"] * factor, plan["price"])
            if not quantity:
                continue
            side, price, market = plan["side"], plan["price"], self.markets[symbol]
            fee = self.fee(symbol, quantity, price)
            cost = money(quantity * price, self.unit)
            self.cash -= fee if market["is_perpetual"] else cost + fee
            self.entries[symbol] = price
            leverage = market.get("leverage", ZERO)
            levels = {"stop": plan["stop"], "target": plan["target"]}
            kept = {"side": side, "quantity": side * quantity, "fee": fee, "paid": ZERO}
            self.held[symbol] = {**kept, **levels, "initial": 1 / leverage if leverage else None}
            self.set_level(symbol)
            self.last[symbol] = price
            self.note(Fill(k, symbol, side, REASON_ENTRY, price, quantity))

    def plan(
        self,
        symbol: str,
        order: dict[str, Any],
        opened: Decimal,
        worth: Decimal,
        gross: Decimal,
        net: Decimal,
    ) -> dict[str, Any] | None:
        """Return what one entry would be alone, or None where it is refused."""
        side, wish = order["target"], order["decision"]
        price = self.market_price(symbol, opened, side)
        distance, reach = exact(wish.stop_distance), exact(wish.target_distance)
        stop = self.tick(symbol, price - side * distance, ROUND_HALF_EVEN) if distance else ZERO
        target = self.tick(symbol, price + side * reach, ROUND_HALF_EVEN) if reach else ZERO
        if (stop and side * (price - stop) <= 0) or (target and side * (target - price) <= 0):
            return None
        power = self.power(symbol, worth, gross, price)
        room = self.limits.room(side, worth, gross, net)
        power = (power if room is None else min(power, room)) / price
        quantity, part = power, self.share(symbol) * worth
        if self.settings.sizing == "fraction":
            wanted = exact(self.settings.fixed_fraction) * part / price
            quantity = min(power, wanted * exact(wish.size_scale))
        elif self.settings.sizing == "risk":
            wanted = exact(self.settings.risk_fraction) * part / (side * (price - stop))
            quantity = min(power, wanted * exact(wish.size_scale))
        if self.portfolio.allocation.is_any:
            market = self.markets[symbol]
            carried = 1 / self.leverage(symbol) if market["is_perpetual"] else Decimal(1)
            could = exact(self.settings.cash_share) * part / (carried + market["taker_fee_rate"])
            quantity = min(quantity, could / price)
        most = self.limits.limits.position
        if most:
            quantity = min(quantity, exact(most) * worth / price)
        largest = largest_notional(self.markets[symbol])
        if largest is not None:
            quantity = min(quantity, largest / price)
        if not self.tradable(symbol, quantity, price):
            return None
        notionals = {s: abs(p["quantity"]) * self.last[s] for s, p in self.held.items()}
        shared = self.limits.group_room(symbol, worth, notionals)
        if shared is not None:
            quantity = min(quantity, shared / price)
            if not self.tradable(symbol, quantity, price):
                return None
        found = {"side": side, "price": price, "stop": max(stop, ZERO), "target": max(target, ZERO)}
        return {**found, "quantity": quantity, "share": quantity / power, "group_room": shared}

    def cut_to_groups(self, plans: dict[str, dict[str, Any]]) -> None:
        """Share the room of each group out among what enters of it."""
        for group in self.limits.limits.groups:
            members = [plan for symbol, plan in plans.items() if symbol in group.symbols]
            wanted = sum((plan["quantity"] * plan["price"] for plan in members), ZERO)
            for plan in members:
                factor = min(Decimal(1), plan["group_room"] / wanted)
                plan["quantity"], plan["share"] = plan["quantity"] * factor, plan["share"] * factor

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
        worst, stop, level = exact(worst), position["stop"], position["level"]
        # A candle that opens beyond the liquidation has left no time; inside it the nearer of both comes first.
        if level is not None and side * (opened - level.liquidation) <= 0:
            self.liquidate(k, symbol, level)
        elif stop and side * (opened - stop) <= 0:
            self.close(k, symbol, self.market_price(symbol, opened, -side), REASON_STOP)
        elif position["target"] and side * (opened - position["target"]) >= 0:
            self.close(k, symbol, opened, REASON_TARGET)
        elif (
            level is not None
            and side * (worst - level.liquidation) <= 0
            and not (stop and side * (stop - level.liquidation) >= 0)
        ):
            self.liquidate(k, symbol, level)
        elif stop and side * (worst - stop) <= 0:
            self.close(k, symbol, self.market_price(symbol, stop, -side), REASON_STOP)
        elif position["target"] and side * (exact(best) - position["target"]) >= 0:
            self.close(k, symbol, position["target"], REASON_TARGET)

    def mark(self, k: int, candles: dict[str, Any]) -> None:
        """Mark the account at the close; stop at ruin, look at the limits."""
        for symbol, row in candles.items():
            self.last[symbol] = exact(row["close"])
        self.equity.append(self.worth())
        results, self.results = self.results, []
        if self.is_ruined:
            return
        open_ms = int(next(iter(candles.values()))["open_ms"])
        self.close_ms = open_ms + HOUR_MS
        reason = 0
        if self.equity[-1] <= 0:
            self.is_ruined, reason = True, REASON_RUIN
        else:
            reason = self.limits.close(open_ms, self.equity[-1], results)
        if reason:
            order = {"target": FLAT, "ready": k + 1, "reason": reason}
            self.orders = {symbol: dict(order) for symbol in self.held}

    def decide(self, k: int, symbol: str, wish: Any) -> None:
        """Let a decision rest where it asks for something else."""
        side = self.held[symbol]["side"] if symbol in self.held else FLAT
        now = self.orders[symbol]["target"] if symbol in self.orders else side
        if wish.target == now or self.is_ruined:
            return
        target = wish.target
        is_short_spot = target < 0 and not self.markets[symbol]["is_perpetual"]
        is_barred = is_short_spot or not self.share(symbol)
        if target != FLAT and (is_barred or self.limits.is_locked(self.close_ms)):
            target = FLAT  # refused; what is held is closed
        elif target not in (FLAT, side) and not self.limits.may_send(symbol, self.close_ms):
            target = FLAT
        self.orders.pop(symbol, None)
        closing = self.limits.closing if side else 0
        if closing:
            self.orders[symbol] = {"target": FLAT, "ready": k + 1, "reason": closing}
        elif target != side:
            ready = k + 1 + self.settings.latency_bars
            self.orders[symbol] = {
                "target": target,
                "ready": ready,
                "reason": REASON_SIGNAL,
                "decision": wish,
            }
