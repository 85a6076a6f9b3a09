"""
Working orders once more, slowly: Decimals, plain objects and one price at a time, written from `deploy/docs/orders.md`.

One symbol. Sizes are explicit, so nothing of the account's sizing is in here.
"""

from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Any

D = Decimal
ZERO, ONE, TEN = D(0), D(1), D(10)
HALF, QUARTER = D("0.5"), D("0.25")
ENDLESS = D("Infinity")


@dataclass
class Rules:
    """Market and account."""

    tick: Decimal = HALF
    lot: Decimal = QUARTER
    taker: Decimal = ZERO
    maker: Decimal = ZERO
    cost: Decimal = ZERO  # half spread and slippage
    is_perpetual: bool = True
    leverage: Decimal = TEN
    cash_share: Decimal = ONE
    touch: bool = False
    volume_share: Decimal = ZERO
    latency: int = 0


_LAST_DIGITS = Decimal("1e-20")


@dataclass
class Order:
    """One order; prices None where there is none."""

    number: int
    side: int
    quantity: Decimal
    ready: int
    limit: Decimal | None = None
    stop: Decimal | None = None
    touch: Decimal | None = None
    trail: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    reduce_only: bool = False
    post_only: bool = False
    time_in_force: str = "gtc"
    expires: int | None = None
    oco: str = ""
    tag: str = ""
    cancel_at: int | None = None
    triggered: bool = False
    best: Decimal | None = None
    born: int | None = None  # leg on which it was triggered
    tried: int = -1
    is_new: bool = False

    @property
    def waits_as_limit(self) -> bool:
        trigger = self.stop is not None or self.touch is not None
        return self.limit is not None and (self.triggered or not trigger)


def rounded(value: Decimal, step: Decimal, how: str) -> Decimal:
    return (value / step).to_integral_value(how) * step


@dataclass
class SlowBook:
    """An account with one position and its orders."""

    rules: Rules
    cash: Decimal
    position: Decimal = ZERO
    cost: Decimal = ZERO
    stop: Decimal | None = None
    target: Decimal | None = None
    born: int | None = None
    orders: list[Order] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=list)
    candle: int = -1
    placed: int = 0
    last: Decimal = ZERO
    moves: list[tuple[int, str, Decimal | None]] = field(default_factory=list)  # from when on, what
    volume: Decimal = ENDLESS
    power: Decimal = ZERO
    factor: Decimal = ONE
    marked: Decimal | None = None  # fill price of a position that was opened since the last mark

    # What a strategy asks for at a close.

    def place(self, side: int, quantity: Decimal, **options: Any) -> None:
        rules = self.rules
        order = Order(self.placed, side, quantity, self.candle + 1 + rules.latency, **options)
        held = self.side
        if order.reduce_only and side != -held:
            self.end(order, "refused")
            return
        if not order.reduce_only and side < 0 and not rules.is_perpetual:
            if held <= 0:
                self.end(order, "refused")
                return
            order.reduce_only = True
        order.quantity = rounded(quantity, rules.lot, ROUND_FLOOR)
        if order.quantity <= 0:
            self.end(order, "refused")
            return
        for name in ("limit", "stop", "touch"):
            price = getattr(order, name)
            if price is not None:
                setattr(order, name, rounded(price, rules.tick, ROUND_HALF_EVEN))
        if order.stop is not None and side * (self.last - order.stop) >= 0:
            self.end(order, "refused")
            return
        if order.touch is not None and side * (order.touch - self.last) >= 0:
            self.end(order, "refused")
            return
        if len(self.orders) == 16:
            self.end(order, "refused")
            return
        self.placed += 1
        order.number = self.placed
        self.orders.append(order)

    def cancel(self, tag: str) -> None:
        named = [order for order in self.orders if not tag or order.tag == tag]
        if tag and not named:
            self.told.append(("refused", tag))
        for order in named:
            if self.rules.latency and order.cancel_at is not None:
                continue
            if self.rules.latency:
                order.cancel_at = self.candle + 1 + self.rules.latency
            else:
                self.remove(order, "cancelled")

    def move(self, name: str, price: Decimal | None) -> None:
        if not self.position:
            self.told.append(("refused", ""))
            return
        sign = self.side if name == "stop" else -self.side
        if price is not None and sign * (self.last - price) <= 0:
            self.told.append(("refused", ""))
            return
        at = self.candle + 1 + self.rules.latency
        if at not in {due for due, _, _ in self.moves} and len({due for due, _, _ in self.moves}) == 16:
            self.told.append(("refused", ""))
            return
        self.moves.append((at, name, price))

    # One candle.

    def step(self, low_high: tuple[Decimal, Decimal, Decimal, Decimal], volume: Decimal) -> None:
        opened, high, low, close = low_high
        self.candle += 1
        rules = self.rules
        self.volume = rules.volume_share * volume if rules.volume_share else ENDLESS
        for at, name, price in self.moves:
            if at <= self.candle:
                moved = None if price is None else rounded(price, rules.tick, ROUND_HALF_EVEN)
                setattr(self, name, moved)
        self.moves = [move for move in self.moves if move[0] > self.candle]
        for order in list(self.orders):
            if order.expires is not None and self.candle >= order.expires:
                self.remove(order, "expired")
            elif order.cancel_at is not None and self.candle >= order.cancel_at:
                self.remove(order, "cancelled")
            else:
                order.is_new = self.candle == order.ready
                order.born = None
                if order.trail is not None and self.works(order) and not order.triggered:
                    order.best = self.better(order, opened)
        self.born = None
        if self.bracket_passed(opened):
            is_stop = self.stop is not None and self.side * (opened - self.stop) <= 0
            self.leave(opened, is_stop)
        self.at_open(opened, closing=True)
        self.share(opened, None)
        self.at_open(opened, closing=False)
        self.share(low, high)
        if self.bracket_passed(opened):  # of a position that this open has made
            is_stop = self.stop is not None and self.side * (opened - self.stop) <= 0
            self.leave(opened, is_stop)
        down_first = self.side > 0 if self.position else opened - low <= high - opened
        way = [low, high, close] if down_first else [high, low, close]
        price = opened
        for leg, end in enumerate(way):
            price = self.walk(price, end, leg, close)
        for order in self.orders:
            if order.trail is not None and self.works(order) and not order.triggered:
                order.best = self.better(order, low if order.side > 0 else high)
        self.last = close
        self.marked = None

    def works(self, order: Order) -> bool:
        return self.candle >= order.ready

    def better(self, order: Order, price: Decimal) -> Decimal:
        if order.best is None:
            return price
        return min(order.best, price) if order.side > 0 else max(order.best, price)

    def bracket_passed(self, opened: Decimal) -> bool:
        if not self.position:
            return False
        past_stop = self.stop is not None and self.side * (opened - self.stop) <= 0
        return past_stop or (self.target is not None and self.side * (opened - self.target) >= 0)

    def trigger_of(self, order: Order) -> tuple[Decimal, int] | None:
        """Return the price that triggers an order and the direction in which the price comes to it."""
        if order.triggered:
            return None
        if order.stop is not None:
            return order.stop, order.side
        if order.touch is not None:
            return order.touch, -order.side
        if order.trail is not None and order.best is not None:
            level = order.best + order.side * order.trail
            return rounded(level, self.rules.tick, ROUND_HALF_EVEN), order.side
        return None

    def meets_open(self, order: Order, opened: Decimal) -> str:
        """Return what the open makes of an order: nothing, maker, taker, or limit."""
        if order.waits_as_limit:
            assert order.limit is not None
            if order.is_new:
                offer = self.market(opened, order.side)
                return "taker" if order.side * (order.limit - offer) >= 0 else ""
            ahead = order.side * (order.limit - opened)
            return "maker" if ahead > 0 or (ahead == 0 and self.rules.touch) else ""
        trigger = self.trigger_of(order)
        if trigger is not None:
            level, direction = trigger
            if direction * (opened - level) < 0:
                return ""
            return "limit" if order.limit is not None else "taker"
        if order.trail is not None and not order.triggered:
            return ""
        return "taker"

    def at_open(self, opened: Decimal, closing: bool) -> None:
        for order in list(self.orders):
            if order not in self.orders or not self.works(order):
                continue
            met = self.meets_open(order, opened)
            if met == "limit":
                order.triggered, order.is_new = True, True
                met = self.meets_open(order, opened)
            if met:
                is_short = order.time_in_force == "fok" and self.volume < order.quantity
                if (order.post_only and met == "taker") or is_short:
                    self.remove(order, "cancelled")
                    continue
                if self.trigger_of(order) is not None:
                    order.triggered = True
                order.tried = self.candle
                self.fill(order, opened, met == "maker", None, closing, not closing)
            if order in self.orders and order.time_in_force != "gtc" and not closing:
                self.remove(order, "cancelled")

    def share(self, low: Decimal, high: Decimal | None) -> None:
        """Work out how much of what may be opened in this step buying power suffices for; without `high`: at the open."""
        rules = self.rules
        value = abs(self.position) * (self.mark if self.position else ZERO)
        if rules.is_perpetual:
            equity = self.cash + (value - self.cost) * self.side
            free = max(equity - value / rules.leverage, ZERO)
            self.power = rules.cash_share * free / (1 / rules.leverage + rules.taker)
        else:
            self.power = rules.cash_share * self.cash / (1 + rules.taker)
        self.power = max(self.power, ZERO)
        total = ZERO
        for order in self.orders:
            if order.reduce_only or not self.works(order) or not self.power:
                continue
            if high is None:
                if not self.meets_open(order, low):
                    continue
                price = low
            else:
                trigger = self.trigger_of(order)
                level = order.limit if order.waits_as_limit else trigger[0] if trigger else None
                if level is None or not low <= level <= high:
                    continue
                price = level
            wanted = min(order.quantity, self.volume)
            if order.side == -self.side:
                wanted -= abs(self.position)
            if wanted > 0:
                total += min(wanted * price / self.power, D(1))
        self.factor = 1 / total if total > 1 else D(1)

    @property
    def side(self) -> int:
        return (self.position > 0) - (self.position < 0)

    @property
    def mark(self) -> Decimal:
        return self.marked if self.marked is not None else self.last

    def walk(self, price: Decimal, end: Decimal, leg: int, close: Decimal) -> Decimal:
        """Meet everything between two prices, nearest first."""
        while price != end:
            met = self.ahead(price, end, leg, close)
            if not met:
                return end
            distance, _, what = min(met, key=lambda one: one[:2])
            price += distance if end > price else -distance
            if isinstance(what, str):
                self.leave(price, what == "stop")
                continue
            is_maker = what.waits_as_limit
            if not is_maker:
                what.triggered, what.born = True, leg
                if what.limit is not None:
                    offer = self.market(price, what.side)
                    if what.side * (what.limit - offer) < 0:
                        continue
            what.tried = self.candle
            self.fill(what, price, is_maker, leg, True, True)
        return price

    def ahead(self, price: Decimal, end: Decimal, leg: int, close: Decimal) -> list[tuple[Decimal, int, Any]]:
        """Return what lies on the way: how far, which comes first at one price, and what it is."""
        waiting: list[tuple[Decimal, int, int | None, int, Any, Decimal]] = []
        if self.position and self.stop is not None:
            waiting.append((self.stop, -self.side, self.born, -2, "stop", ZERO))
        if self.position and self.target is not None:
            waiting.append((self.target, self.side, self.born, -1, "target", ZERO))
        for rank, order in enumerate(self.orders):
            is_over = order.tried == self.candle or order.time_in_force != "gtc"
            if is_over or not self.works(order) or self.volume <= 0:
                continue
            born = order.born
            if order.reduce_only and self.born is not None:
                born = self.born if born is None else max(born, self.born)
            trigger = self.trigger_of(order)
            if order.waits_as_limit:
                assert order.limit is not None
                beyond = ZERO if self.rules.touch else self.rules.tick
                waiting.append((order.limit, -order.side, born, rank, order, beyond))
            elif trigger is not None:
                waiting.append((*trigger, born, rank, order, ZERO))
        direction = 1 if end > price else -1
        found = []
        for level, comes, born, rank, what, beyond in waiting:
            stop_at = end
            if born is not None and leg > born:
                if leg > born + 1:
                    continue
                stop_at = min(end, close) if direction > 0 else max(end, close)
            distance = direction * (level - price)
            if comes == direction and distance >= 0 and direction * (stop_at - level) >= beyond:
                found.append((distance, rank, what))
        return found

    # What a fill does.

    def market(self, price: Decimal, side: int) -> Decimal:
        how = ROUND_CEILING if side > 0 else ROUND_FLOOR
        return max(rounded(price * (1 + side * self.rules.cost), self.rules.tick, how), self.rules.tick)

    def leave(self, level: Decimal, is_stop: bool) -> None:
        price = self.market(level, -self.side) if is_stop else level
        self.reduce(abs(self.position), price, self.rules.taker)
        self.end_reducing()

    def fill(
        self,
        order: Order,
        reference: Decimal,
        is_maker: bool,
        leg: int | None,
        may_close: bool,
        may_open: bool,
    ) -> None:
        price = reference if is_maker else self.market(reference, order.side)
        rate = self.rules.maker if is_maker else self.rules.taker
        is_filled = False
        if may_close and order.side == -self.side:
            quantity = min(order.quantity, abs(self.position))
            if self.volume < quantity:
                quantity = rounded(self.volume, self.rules.lot, ROUND_FLOOR)
            if quantity > 0:
                is_filled = True
                self.volume -= quantity
                order.quantity -= quantity
                if order.quantity <= 0:
                    self.orders.remove(order)
                self.reduce(quantity, price, rate)
        if may_open and order in self.orders and not order.reduce_only and order.side != -self.side:
            is_filled |= self.open(order, price, rate, leg)
        if is_filled and order.oco:
            for other in list(self.orders):
                if other.oco == order.oco and other is not order:
                    self.remove(other, "cancelled")
        if is_filled:
            self.end_reducing()

    def open(self, order: Order, price: Decimal, rate: Decimal, leg: int | None) -> bool:
        wanted = min(order.quantity, self.volume)
        affordable = min(wanted, self.power / price) * self.factor
        # An average of entries has digits without end: what is short of a whole lot by the 28th of them alone is one.
        quantity = rounded(affordable + _LAST_DIGITS, self.rules.lot, ROUND_FLOOR)
        for level, sign in ((order.stop_loss, 1), (order.take_profit, -1)):
            if level is not None and order.side * sign * (price - level) <= 0:
                self.remove(order, "cancelled")
                return False
        if order.time_in_force == "fok" and quantity < order.quantity:
            self.remove(order, "cancelled")
            return False
        if quantity <= 0:
            if self.volume >= order.quantity:
                self.remove(order, "cancelled")
            return False
        self.told.append((self.candle, order.side, quantity, price))
        self.cash -= quantity * price * rate
        if not self.rules.is_perpetual:
            self.cash -= quantity * price
        if not self.position:
            self.born, self.stop, self.target, self.cost = leg, None, None, ZERO
            self.marked = price
        self.position += order.side * quantity
        self.cost += quantity * price
        self.stop = order.stop_loss if order.stop_loss is not None else self.stop
        self.target = order.take_profit if order.take_profit is not None else self.target
        self.volume -= quantity
        order.quantity -= quantity
        if order.quantity <= 0:
            self.orders.remove(order)
        elif affordable < wanted:
            self.remove(order, "cancelled")
        return True

    def reduce(self, quantity: Decimal, price: Decimal, rate: Decimal) -> None:
        side = self.side
        self.told.append((self.candle, -side, quantity, price))
        part = self.cost * quantity / abs(self.position)
        self.cash -= quantity * price * rate
        self.cash += quantity * price if not self.rules.is_perpetual else side * (quantity * price - part)
        self.cost -= part
        self.position -= side * quantity
        if not self.position:
            self.stop = self.target = None
            self.moves = []
            self.cost = ZERO

    def end_reducing(self) -> None:
        for order in list(self.orders):
            if order.reduce_only and not self.position:
                self.remove(order, "cancelled")

    def remove(self, order: Order, how: str) -> None:
        self.orders.remove(order)
        self.end(order, how)

    def end(self, order: Order, how: str) -> None:
        self.told.append((how, order.tag))
