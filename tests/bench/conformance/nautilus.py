"""
A row said to nautilus_trader 1.221: its backtest engine, fed with bars of one minute of one instrument.

    .venv-conformance/nautilus/bin/python -m tests.bench.conformance.nautilus rows.json answers.json

It runs where nautilus_trader is installed, which pandas 3 is not. Bars are its only data: of two settings that a reader
may choose we take what is nearest to our rules, the nearer extreme first and no fill of a limit that is only touched.
What happens between a bar's close and the next bar's open counts to the candle that begins there.
"""

from decimal import Decimal
from typing import Any, Final

from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
from nautilus_trader.backtest.models import FillModel, LatencyModel
from nautilus_trader.common.config import LoggingConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.model import orders as kinds
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.enums import (
    AccountType,
    ContingencyType,
    OmsType,
    OrderSide,
    TimeInForce,
    TrailingOffsetType,
    TriggerType,
)
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual, CurrencyPair
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from tests.bench.conformance.rows import CASH, LEVERAGE, MINUTE_MS, VOLUME, Fills, NotSaid, Row, serve

MS: Final = 1_000_000  # nanoseconds
VENUE: Final = Venue("SIM")
INSTRUMENT: Final = InstrumentId(Symbol("AAA"), VENUE)
BARS: Final = BarType.from_str(f"{INSTRUMENT}-1-MINUTE-LAST-EXTERNAL")
SETTINGS: Final = frozenset(
    (
        "is_perpetual",
        "tick_size",
        "lot_size",
        "minimum_notional",
        "taker_fee_rate",
        "maker_fee_rate",
        "limit_fill",
        "latency_bars",
        "leverage_cap",
        "cash_share",  # it keeps none of the cash back: as 1
    )
)
OPTIONS: Final = frozenset(
    (
        "limit",
        "stop",
        "touch",
        "trail",
        "trail_percent",
        "activate",
        "stop_loss",
        "take_profit",
        "reduce_only",
        "post_only",
        "time_in_force",
        "expires_bars",
        "expires_ms",
        "oco",
        "tag",
    )
)
TIMES: Final = {"gtc": TimeInForce.GTC, "ioc": TimeInForce.IOC, "fok": TimeInForce.FOK}
FINEST: Final = "0.001"  # the step of a row without a tick, or without lots


class TheirView:
    """What a row writes, said to nautilus; the orders of one close go out together."""

    def __init__(self, strategy: "Told") -> None:
        self.__dict__["told"] = strategy

    @property
    def position(self) -> float:
        return float(self.told.portfolio.net_position(INSTRUMENT))

    @property
    def entry_price(self) -> float:
        [position] = self.told.cache.positions_open(instrument_id=INSTRUMENT)
        return float(position.avg_px_open)

    def buy(self, quantity: float | None = None, **options: Any) -> None:
        self.told.place(OrderSide.BUY, quantity, options)

    def sell(self, quantity: float | None = None, **options: Any) -> None:
        self.told.place(OrderSide.SELL, quantity, options)

    def exit(self, share: float = 1.0, quantity: float | None = None, **options: Any) -> None:
        size = abs(self.position) * share if quantity is None else quantity
        side = OrderSide.SELL if self.position > 0 else OrderSide.BUY
        self.told.place(side, size, options | {"reduce_only": True})

    def cancel(self, tag: str = "") -> None:
        for order in self.told.alive():
            if not tag or tag in (order.tags or ()):
                self.told.cancel_order(order)

    def __setattr__(self, name: str, value: float | None) -> None:
        self.told.protect(name, value)


class Told(Strategy):  # type: ignore[misc] # it ships no types
    """A strategy that does at each close what its row says."""

    def __init__(self, row: Row, instrument: Any) -> None:
        super().__init__()
        self.row, self.instrument = row, instrument
        self.closes = 0
        self.pending: list[tuple[Any, dict[str, Any], str]] = []
        self.fills: Fills = []
        self.unsaid = ""

    def on_start(self) -> None:
        self.subscribe_bars(BARS)

    def on_bar(self, bar: Bar) -> None:
        self.closes += 1
        view = TheirView(self)
        try:
            for line in self.row.asked.get(self.closes, ()):
                exec(line, {"view": view})  # noqa: S102
        except NotSaid as reason:
            self.unsaid = self.unsaid or str(reason)
        self.send()

    def on_order_filled(self, event: Any) -> None:
        if self.closes < len(self.row.candles):  # else after the last of them
            side = 1 if event.order_side == OrderSide.BUY else -1
            self.fills.append((self.closes + 1, side * float(event.last_qty), float(event.last_px)))

    def alive(self) -> list[Any]:
        """Return the orders that rest and those that are on their way."""
        return [*self.cache.orders_open(), *self.cache.orders_inflight()]

    def place(self, side: Any, quantity: float | None, options: dict[str, Any]) -> None:
        if "fraction" in options or quantity is None:
            raise NotSaid("a size that the account works out")
        unknown = options.keys() - OPTIONS
        if unknown:
            raise NotSaid(f"the option {min(unknown)}")
        try:
            size = self.instrument.make_qty(quantity, round_down=True)
        except ValueError:
            return  # rounded to nothing: refused
        kind, words = self.kind_of(options)
        words |= {"order_side": side, "quantity": size, **self.flags_of(options)}
        children = self.children_of(side, size, options)
        if children:
            words["contingency_type"] = ContingencyType.OTO
            words["linked_order_ids"] = [child["client_order_id"] for _, child, _ in children]
            for _, child, _ in children:
                child["parent_order_id"] = words["client_order_id"]
        self.pending += [(kind, words, options.get("oco", "")), *children]

    def kind_of(self, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the class of an order, and its prices."""
        words: dict[str, Any] = {}
        if "limit" in options:
            words["price"] = self.instrument.make_price(options["limit"])
        if "trail" in options or "trail_percent" in options:
            by_price = "trail" in options
            offset = options["trail"] if by_price else options["trail_percent"] * 100
            kind = TrailingOffsetType.PRICE if by_price else TrailingOffsetType.BASIS_POINTS
            words |= {
                "trigger_price": None,
                "trigger_type": TriggerType.LAST_PRICE,
                "trailing_offset": Decimal(str(offset)),
                "trailing_offset_type": kind,
            }
            if "activate" in options:
                words["activation_price"] = self.instrument.make_price(options["activate"])
            return kinds.TrailingStopMarketOrder, words
        for name, market, limited in (
            ("stop", kinds.StopMarketOrder, kinds.StopLimitOrder),
            ("touch", kinds.MarketIfTouchedOrder, kinds.LimitIfTouchedOrder),
        ):
            if name in options:
                words["trigger_price"] = self.instrument.make_price(options[name])
                words["trigger_type"] = TriggerType.DEFAULT
                return (limited if "limit" in options else market), words
        return (kinds.LimitOrder if "limit" in options else kinds.MarketOrder), words

    def flags_of(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the identity of an order, and what it may do how long."""
        now = self.clock.timestamp_ns()
        words: dict[str, Any] = {
            "client_order_id": self.order_factory.generate_client_order_id(),
            "time_in_force": TIMES[options.get("time_in_force", "gtc")],
            "reduce_only": options.get("reduce_only", False),
            "tags": [options["tag"]] if "tag" in options else None,
        }
        if "post_only" in options:
            words["post_only"] = options["post_only"]
        if "expires_bars" in options or "expires_ms" in options:
            until = options.get("expires_ms", 0) * MS
            words["time_in_force"] = TimeInForce.GTD
            words["expire_time_ns"] = until or now + options["expires_bars"] * MINUTE_MS * MS
        return words

    def children_of(self, side: Any, size: Any, options: dict[str, Any]) -> list[Any]:
        """Return the stop and the target that come with an entry; each ends the other."""
        back = OrderSide.SELL if side == OrderSide.BUY else OrderSide.BUY
        children = []
        for name, level in (("stop", "stop_loss"), ("target", "take_profit")):
            if level in options:
                own = {"stop" if name == "stop" else "limit": options[level]}
                kind, words = self.kind_of(own)
                words |= self.flags_of({"reduce_only": True, "tag": f"the {name}"})
                words |= {"order_side": back, "quantity": size}
                children.append((kind, words, ""))
        if len(children) == 2:
            for (_, words, _), (_, other, _) in (children, children[::-1]):
                words["contingency_type"] = ContingencyType.OUO
                words["linked_order_ids"] = [other["client_order_id"]]
        return children

    def protect(self, name: str, value: float | None) -> None:
        """Move the stop or the target of the position, take it away, or give it one."""
        standing = [order for order in self.alive() if f"the {name}" in (order.tags or ())]
        view = TheirView(self)
        if value is None:
            for order in standing:
                self.cancel_order(order)
        elif standing:
            price = self.instrument.make_price(value)
            for order in standing:
                moved = {"trigger_price" if name == "stop" else "price": price}
                self.modify_order(order, **moved)
        elif view.position:
            view.exit(**{"stop" if name == "stop" else "limit": value, "tag": f"the {name}"})

    def send(self) -> None:
        """Submit the orders of this close, those of one group linked."""
        groups: dict[str, list[Any]] = {}
        for _, words, group in self.pending:
            groups.setdefault(group, []).append(words["client_order_id"])
        orders = []
        for kind, words, group in self.pending:
            others = [one for one in groups[group] if one != words["client_order_id"]]
            if group and others:
                words |= {"contingency_type": ContingencyType.OCO, "linked_order_ids": others}
            orders.append(
                kind(
                    trader_id=self.trader_id,
                    strategy_id=self.id,
                    instrument_id=INSTRUMENT,
                    init_id=UUID4(),
                    ts_init=self.clock.timestamp_ns(),
                    **words,
                )
            )
        self.pending = []
        if len(orders) == 1:
            self.submit_order(orders[0])
        elif orders:
            self.submit_order_list(self.order_factory.create_list(orders))


def instrument_of(row: Row) -> Any:
    """Return the market of a row."""
    options = row.options
    tick = str(options.get("tick_size", 0.5) or FINEST)
    lot = str(options.get("lot_size", 0.0) or FINEST)
    price_step, size_step = Price.from_str(tick), Quantity.from_str(lot)
    minimum = options.get("minimum_notional")
    words = {
        "instrument_id": INSTRUMENT,
        "raw_symbol": INSTRUMENT.symbol,
        "base_currency": BTC,
        "quote_currency": USDT,
        "price_precision": price_step.precision,
        "size_precision": size_step.precision,
        "price_increment": price_step,
        "size_increment": size_step,
        "lot_size": size_step,
        "min_notional": None if minimum is None else Money(minimum, USDT),
        "maker_fee": Decimal(str(options.get("maker_fee_rate", 0.0))),
        "taker_fee": Decimal(str(options.get("taker_fee_rate", 0.0))),
        "ts_event": 0,
        "ts_init": 0,
    }
    if not options.get("is_perpetual", True):
        return CurrencyPair(**words)
    words |= {"margin_init": Decimal(1), "margin_maint": Decimal("0.01")}
    return CryptoPerpetual(settlement_currency=USDT, is_inverse=False, **words)


def fills_of(row: Row) -> Fills:
    """Return nautilus' fills of a row; raises NotSaid for what it has no words for."""
    row.refuse_decisions()
    unknown = row.options.keys() - SETTINGS
    if unknown:
        raise NotSaid(f"the setting {min(unknown)}")
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    is_spot = not row.options.get("is_perpetual", True)
    latency = row.options.get("latency_bars", 0)
    engine.add_venue(
        VENUE,
        oms_type=OmsType.NETTING,
        account_type=AccountType.CASH if is_spot else AccountType.MARGIN,
        starting_balances=[Money(CASH, USDT), *([Money(0, BTC)] if is_spot else [])],
        default_leverage=None if is_spot else Decimal(str(row.options.get("leverage_cap", LEVERAGE))),
        fill_model=FillModel(prob_fill_on_limit=float(row.options.get("limit_fill") == "touch")),
        latency_model=LatencyModel(latency * MINUTE_MS * MS) if latency else None,
        bar_adaptive_high_low_ordering=True,
    )
    instrument = instrument_of(row)
    engine.add_instrument(instrument)
    told = Told(row, instrument)
    engine.add_strategy(told)
    engine.add_data([bar_of(instrument, n, values) for n, values in enumerate(row.candles, 1)])
    engine.run()
    engine.dispose()
    if told.unsaid:
        raise NotSaid(told.unsaid)
    return told.fills


def bar_of(instrument: Any, number: int, values: tuple[float, ...]) -> Bar:
    """Return a candle as its bar, stamped with its close."""
    prices = [Price(value, instrument.price_precision) for value in values[:4]]
    volume = Quantity(values[4] if len(values) > 4 else VOLUME, instrument.size_precision)
    close_ns = number * MINUTE_MS * MS
    return Bar(BARS, *prices, volume, close_ns, close_ns)


if __name__ == "__main__":
    serve(fills_of)
