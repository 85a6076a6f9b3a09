"""
Margin and limits in exact decimals, written from their pages (`deploy/docs/margin.md`, `limits.md`) and from nothing else.

Everything here is slow and obvious on purpose.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from papertape.engine.broker.risk.limits import Limits
from papertape.engine.records import (
    REASON_DAILY_LOSS,
    REASON_DRAWDOWN,
    REFUSED_DAILY_LOSS,
    REFUSED_DRAWDOWN,
    REFUSED_LOSSES,
)

ZERO = Decimal(0)
UNIT = Decimal("1e-9")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FOREVER = 2**63 - 1


def exact(value: Any) -> Decimal:
    """Return the decimal that a float is written as."""
    return Decimal(repr(float(value)))


def money(amount: Decimal, unit: Decimal = UNIT) -> Decimal:
    """Return an amount as the ledger keeps it: whole units, nine decimals by default, rounded half to even."""
    return amount.quantize(unit, ROUND_HALF_EVEN)


def maintenance_rate(market: dict[str, Any], notional: Decimal) -> Decimal:
    """Return which share of its notional a position's margin must still be worth: of each part its bracket's."""
    if market.get("brackets"):
        needed = start = ZERO
        for up_to, _, rate in market["brackets"]:
            needed += max(ZERO, min(notional, up_to) - start) * rate
            start = up_to
        return needed / notional
    beyond = max(ZERO, notional - market.get("maintenance_from", ZERO))
    slope = market.get("maintenance_slope", ZERO)
    return market.get("maintenance_rate", ZERO) + slope * beyond  # type: ignore[no-any-return]


def fee_of(market: dict[str, Any], notional: Decimal, rate: Decimal, unit: Decimal = UNIT) -> Decimal:
    """Return what a fill pays, liquidations aside."""
    return money(max(notional * rate + market.get("fee_fixed", ZERO), market.get("fee_minimum", ZERO)), unit)


def fee_reserve(market: dict[str, Any]) -> Decimal:
    """Return what buying power leaves for a fee that is no rate."""
    return max(market.get("fee_fixed", ZERO), market.get("fee_minimum", ZERO))


def largest_notional(market: dict[str, Any]) -> Decimal | None:
    """Return how large a position may be at its leverage, None for any."""
    rows = market.get("brackets", ())
    fitting = [up_to for up_to, most, _ in rows if most >= market.get("leverage", ZERO)]
    return max(fitting) if rows else None


@dataclass
class Level:
    """Where an isolated position is liquidated, and where its margin is gone."""

    liquidation: Decimal
    bankruptcy: Decimal


def isolated_level(
    market: dict[str, Any], side: int, entry: Decimal, notional: Decimal, initial: Decimal | None
) -> Level | None:
    """Return the table of the page, None without leverage; initial: share of its notional that a position stands on."""
    if initial is None:
        return None
    left = max(ZERO, initial - maintenance_rate(market, notional))
    return Level(max(ZERO, entry * (1 - side * left)), max(ZERO, entry * (1 - side * initial)))


@dataclass
class Held:
    """What the rule of cross margin looks at: one perpetual position and its prices in a candle."""

    symbol: str
    side: int
    quantity: Decimal  # above zero
    entry: Decimal
    rate: Decimal  # maintenance
    opened: Decimal
    worst: Decimal
    trades: bool = True  # its candle is there

    def value(self, price: Decimal) -> Decimal:
        return self.side * self.quantity * (price - self.entry)


def cross_prices(cash: Decimal, held: list[Held], at_open: bool) -> dict[str, Decimal] | None:
    """
    Return at which price each position that trades is closed in liquidation, None where the account stands.

    All prices go from the open to their worst together; the account is liquidated where its equity is the maintenance margin.
    """

    def equity(way: Decimal) -> Decimal:
        return cash + sum((h.value(h.opened + way * (h.worst - h.opened)) for h in held), ZERO)

    def needed(way: Decimal) -> Decimal:
        rows = (h.rate * h.quantity * (h.opened + way * (h.worst - h.opened)) for h in held)
        return sum(rows, ZERO)

    if not any(h.trades for h in held):
        return None
    start, end = equity(ZERO) - needed(ZERO), equity(Decimal(1)) - needed(Decimal(1))
    if start <= 0:
        way = ZERO
    elif at_open or end > 0:
        return None
    else:
        way = start / (start - end)
    prices = {h.symbol: h.opened + way * (h.worst - h.opened) for h in held if h.trades}
    weights = {h.symbol: h.rate for h in held if h.trades}
    total = sum((weights[h.symbol] * h.quantity * prices[h.symbol] for h in held if h.trades), ZERO)
    if not total:
        weights = dict.fromkeys(weights, Decimal(1))
        total = sum((h.quantity * prices[h.symbol] for h in held if h.trades), ZERO)
    share = equity(way) / total
    return {h.symbol: prices[h.symbol] * (1 - h.side * weights[h.symbol] * share) for h in held if h.trades}


class LimitRules:
    """What `limits.md` says of closes and of trades that ended; room for sizes is `room` and `most`."""

    def __init__(self, limits: Limits, capital: Decimal) -> None:
        self.limits = limits
        self.last = self.day_first = self.highest = capital
        self.day = 0
        self.losses = 0
        self.equity_lock: tuple[int, int] | None = None  # which limit, until when
        self.losses_until = 0
        self.sent: dict[tuple[str, int], int] = {}  # orders by symbol and interval
        self.met: list[tuple[int, int, int]] = []

    def close(self, open_ms: int, equity: Decimal, results: list[Decimal]) -> int:
        """Take in a close; return the reason for which everything is closed, 0 for none."""
        limits, close_ms = self.limits, open_ms + HOUR_MS
        day = open_ms // DAY_MS
        if day != self.day:
            self.day, self.day_first = day, self.last
        self.last, self.highest = equity, max(self.highest, equity)
        if any(result > 0 for result in results):
            self.losses = 0
        self.losses += sum(result < 0 for result in results)
        is_day_told = False  # the last close of a day ends its lock, and its loss is known by then
        if self.equity_lock is not None and close_ms >= self.equity_lock[1]:
            which, until = self.equity_lock
            is_day_told = which == REFUSED_DAILY_LOSS and until == (day + 1) * DAY_MS
            self.equity_lock = None
            if which == REFUSED_DRAWDOWN:
                self.highest = equity
        if limits.losses and self.losses >= limits.losses:
            self.losses = 0
            self.losses_until = close_ms + int(limits.losses_lock_hours * HOUR_MS)
            self.met.append((REFUSED_LOSSES, close_ms, self.losses_until))
        reason = 0
        if self.equity_lock is None:
            reason = self._equity_limits(close_ms, equity, is_day_told)
        return reason

    def _equity_limits(self, close_ms: int, equity: Decimal, is_day_told: bool) -> int:
        limits = self.limits
        if limits.drawdown and self.highest - equity >= exact(limits.drawdown) * self.highest:
            days = limits.drawdown_lock_days
            until = close_ms + int(days * DAY_MS) if days else FOREVER
            self.equity_lock = (REFUSED_DRAWDOWN, until)
            self.met.append((REFUSED_DRAWDOWN, close_ms, until))
            return REASON_DRAWDOWN
        loss = self.day_first - equity
        if limits.daily_loss and loss >= exact(limits.daily_loss) * self.day_first and not is_day_told:
            until = (self.day + 1) * DAY_MS
            self.equity_lock = (REFUSED_DAILY_LOSS, until)
            self.met.append((REFUSED_DAILY_LOSS, close_ms, until))
            return REASON_DAILY_LOSS
        return 0

    def may_send(self, symbol: str, close_ms: int) -> bool:
        """Return whether a symbol may send an order to open something, and count it."""
        if not self.limits.orders:
            return True
        interval = (close_ms - 1) // round(self.limits.orders_hours * HOUR_MS)
        n_sent = self.sent.get((symbol, interval), 0)
        if n_sent >= self.limits.orders:
            return False
        self.sent[symbol, interval] = n_sent + 1
        return True

    def places(self, n_open: int, plans: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the entries that get a place: the surest first, then the dearest; of equals none where not all fit."""
        if not self.limits.open_positions:
            return plans
        left = max(0, self.limits.open_positions - n_open)
        ranks = {symbol: (plan["confidence"], plan["last"]) for symbol, plan in plans.items()}
        fitting = {
            symbol: sum(other >= rank for other in ranks.values()) <= left for symbol, rank in ranks.items()
        }
        return {symbol: plan for symbol, plan in plans.items() if fitting[symbol]}

    def group_of(self, symbol: str) -> Any:
        """Return the group of a symbol, None for none."""
        return next((group for group in self.limits.groups if symbol in group.symbols), None)

    def group_room(self, symbol: str, equity: Decimal, notionals: dict[str, Decimal]) -> Decimal | None:
        """Return the notional that its group leaves to a symbol, None for any; notionals: of what is held."""
        group = self.group_of(symbol)
        if group is None:
            return None
        held = sum((n for other, n in notionals.items() if other in group.symbols), ZERO)
        return max(ZERO, exact(group.gross) * equity - held)

    def is_locked(self, close_ms: int) -> bool:
        """Return whether a decision at this close may open nothing."""
        return self.equity_lock is not None or close_ms < self.losses_until

    @property
    def closing(self) -> int:
        """Return for which reason positions are closed whatever is said, 0 for none."""
        if self.equity_lock is None:
            return 0
        is_day = self.equity_lock[0] == REFUSED_DAILY_LOSS
        return REASON_DAILY_LOSS if is_day else REASON_DRAWDOWN

    def room(self, side: int, equity: Decimal, gross: Decimal, net: Decimal) -> Decimal | None:
        """Return the largest notional that gross and net leave, None for any."""
        rooms = []
        if self.limits.gross:
            rooms.append(exact(self.limits.gross) * equity - gross)
        if self.limits.net:
            rooms.append(exact(self.limits.net) * equity - side * net)
        return max(ZERO, min(rooms)) if rooms else None
