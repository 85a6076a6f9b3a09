"""
A row said to jesse 3.5.3: its `research.backtest`, which needs no database and no network, with candles of one minute.

It knows entries (`buy`, `sell`) that may not be added to while they wait, and exits (`take_profit`, `stop_loss`); whether one
is a market, limit or stop order follows from its side of the price. What happens between a candle's close and the next
open counts to the candle that begins there. It runs where jesse is installed, by `Engine.ask`.
"""

from contextlib import suppress
from typing import Any, Final

import numpy as np
from jesse.exceptions import InvalidStrategy
from jesse.research import backtest
from jesse.strategies import Strategy

from tests.bench.conformance.rows import CASH, LEVERAGE, MINUTE_MS, VOLUME, Fills, NotSaid, Row, serve

START_MS: Final = 1_609_459_200_000  # it refuses times before 2015
MARKET: Final = {"exchange": "Sim", "symbol": "AAA-USDT"}
SETTINGS: Final = frozenset(("is_perpetual", "tick_size", "leverage_cap", "cash_share"))
OPTIONS: Final = frozenset(("limit", "stop", "stop_loss", "take_profit", "tag"))
Orders = list[tuple[float, float]]  # quantity, price


class TheirView:
    """What a row writes, said to jesse."""

    def __init__(self, told: Any) -> None:
        self.__dict__["told"] = told

    @property
    def position(self) -> float:
        return float(self.told.position.qty)

    @property
    def entry_price(self) -> float:
        return float(self.told.position.entry_price)

    def buy(self, quantity: float | None = None, **options: Any) -> None:
        self.told.enter(1, quantity, options)

    def sell(self, quantity: float | None = None, **options: Any) -> None:
        self.told.enter(-1, quantity, options)

    def exit(self, share: float = 1.0, quantity: float | None = None, **options: Any) -> None:
        self.told.leave(abs(self.position) * share if quantity is None else quantity, options)

    def cancel(self, tag: str = "") -> None:
        if tag and self.told.tags != {tag}:
            raise NotSaid("one order of several taken back")
        self.told.is_cancelled = True

    def __setattr__(self, name: str, value: float | None) -> None:
        if value is None:
            raise NotSaid("a stop taken away")
        if self.position:
            level = [(abs(self.position), value)]
            setattr(self.told, "stop_loss" if name == "stop" else "take_profit", level)


class Told(Strategy):  # type: ignore[misc] # it ships no types
    """A strategy that does at each close what its row says; `row`, `fills` and `unsaid` belong to a class made of it."""

    row: Row
    fills: Fills
    unsaid: list[str]

    def before(self) -> None:
        self.vars["closes"] = self.closes + 1
        self.entries: Orders = []
        self.side, self.is_cancelled = 0, False
        self.exits: dict[str, Orders] = {}
        view = TheirView(self)
        try:
            for line in self.row.asked.get(self.closes, ()):
                exec(line, {"view": view})  # noqa: S102
        except NotSaid as reason:
            self.unsaid.append(str(reason))
            self.side = 0

    @property
    def closes(self) -> int:
        return int(self.vars.get("closes", 0))

    @property
    def tags(self) -> set[str]:
        return set(self.vars.get("tags", ()))

    def enter(self, side: int, quantity: float | None, options: dict[str, Any]) -> None:
        if quantity is None:
            raise NotSaid("a size that the account works out")
        unknown = options.keys() - OPTIONS
        if unknown:
            raise NotSaid(f"the option {min(unknown)}")
        if self.entry_waits and not self.is_cancelled:
            raise NotSaid("another entry while one waits")
        if side * self.side < 0 or side * self.position.qty < 0:
            raise NotSaid("orders on both sides")
        levels = {name: options[name] for name in ("stop_loss", "take_profit") if name in options}
        if levels and (self.position.qty or self.entries):
            raise NotSaid("a stop or target of an order that adds")
        self.side = side
        self.vars["tags"] = [*(self.vars.get("tags", ()) if self.entries else ()), options.get("tag", "")]
        self.entries.append((quantity, self.priced(side, options)))
        self.levels = {name: (quantity, level) for name, level in levels.items()}

    def leave(self, quantity: float, options: dict[str, Any]) -> None:
        unknown = options.keys() - OPTIONS
        if unknown:
            raise NotSaid(f"the option {min(unknown)}")
        name = "stop_loss" if "stop" in options else "take_profit"
        if getattr(self, name) is not None and name not in self.exits and options:
            raise NotSaid("another exit while one waits")
        side = -1 if self.position.qty > 0 else 1
        self.exits.setdefault(name, []).append((quantity, self.priced(side, options)))

    def priced(self, side: int, options: dict[str, Any]) -> float:
        """Return the price that makes an order what it is meant to be."""
        if "limit" in options and "stop" in options:
            raise NotSaid("a stop-limit order")
        price = float(options.get("limit", options.get("stop", self.price)))
        far = side * (price - self.price)
        if ("limit" in options and far >= 0) or ("stop" in options and far <= 0):
            raise NotSaid("a limit or stop on the other side of the price")
        return price

    @property
    def entry_waits(self) -> bool:
        return any(order.is_active for order in self.entry_orders)

    def should_long(self) -> bool:
        return self.side > 0

    def should_short(self) -> bool:
        return self.side < 0

    def should_cancel_entry(self) -> bool:
        return self.is_cancelled

    def go_long(self) -> None:
        self.buy = self.entries
        self.__dict__.update(self.levels)

    def go_short(self) -> None:
        self.sell = self.entries
        self.__dict__.update(self.levels)

    def update_position(self) -> None:
        if self.entries and self.side > 0:
            self.buy = self.entries
        elif self.entries:
            self.sell = self.entries
        for name, orders in self.exits.items():
            setattr(self, name, orders)

    def _on_updated_position(self, order: Any) -> None:
        if self.closes < len(self.row.candles):  # else it closes what is left
            moved = self.position.qty - self.position.previous_qty  # an order may say more than it did
            self.fills.append((self.closes + 1, float(moved), float(order.price)))
        super()._on_updated_position(order)


def fills_of(row: Row) -> Fills:
    """Return jesse's fills of a row; raises NotSaid for what it has no words for."""
    row.refuse_decisions()
    unknown = row.options.keys() - SETTINGS
    if unknown:
        raise NotSaid(f"the setting {min(unknown)}")
    told = type("Told", (Told,), {"row": row, "fills": [], "unsaid": []})
    config = {
        "starting_balance": CASH,
        "fee": 0,
        "type": "futures" if row.options.get("is_perpetual", True) else "spot",
        "futures_leverage": int(row.options.get("leverage_cap", LEVERAGE)),
        "futures_leverage_mode": "cross",
        "exchange": MARKET["exchange"],
        "warm_up_candles": 0,
    }
    candles = []
    for number, (opened, high, low, close, *volume) in enumerate(row.candles):
        at = START_MS + number * MINUTE_MS
        candles.append((at, opened, close, high, low, volume[0] if volume else VOLUME))
    table = {"Sim-AAA-USDT": {**MARKET, "candles": np.array(candles, dtype=float)}}
    with suppress(InvalidStrategy):  # how it refuses
        backtest(config, [{**MARKET, "strategy": told, "timeframe": "1m"}], [], table)
    if told.unsaid:
        raise NotSaid(told.unsaid[0])
    return list(told.fills)


if __name__ == "__main__":
    serve(fills_of)
