"""Random orders on random candles: the engine's fills, ends and money against the slow account, and what must always hold."""

import random
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from papertape.engine import EngineSpec, Market, Settings
from papertape.engine.broker.working.orders import (
    CANCELLED,
    EXPIRED,
    MOVED,
    POSITION_STOP,
    POSITION_TARGET,
    REFUSED,
    tag_text,
)
from papertape.engine.candles import CANDLE
from papertape.engine.core import Engine
from papertape.engine.jit import Rows
from papertape.engine.report import Report
from tests.oracles.slow_orders import Rules, SlowBook
from tests.support.portfolios import Script

D = Decimal
N_CANDLES = 40
ENDS = {CANCELLED: "cancelled", EXPIRED: "expired", REFUSED: "refused"}
LEVELS = {POSITION_STOP: "stop", POSITION_TARGET: "target"}


class Scripted:
    """A strategy that does what a script says."""

    features = ()
    state_fields = ("n",)

    def __init__(self, script: Script) -> None:
        self.script = script

    def decide(self, view: Any) -> None:
        view.state.n += 1
        for what, options in self.script.get(int(view.state.n), ()):
            if what == "cancel":
                view.cancel(**options)
            elif what in ("stop", "target"):
                setattr(view, what, options["price"])
            else:
                getattr(view, what)(**options)


def price_near(seed: random.Random, price: float, reach: float) -> float:
    """Return a price above 0 on a grid of 0.5, some of them off it by half a tick and less."""
    off = seed.choice([0.0, 0.0, 0.0, 0.2])
    return max(0.5, round((price + seed.uniform(-reach, reach)) * 2) / 2) + off


def make_candles(seed: random.Random, n: int) -> Rows:
    made, price = [], 100.0
    for number in range(n):
        opened = max(5.0, price + seed.choice([0.0, 0.0, 0.5, -0.5, 3.0, -3.0]))
        marks = [max(1.0, opened + 0.5 * round(seed.gauss(0, 4))) for _ in range(3)]
        volume = seed.choice([0.0, 4.0, 10.0, 40.0])
        highest, lowest = max(opened, *marks), min(opened, *marks)
        made.append((number * 60_000, 0, opened, highest, lowest, marks[0], volume, 0))
        price = marks[0]
    return np.array(made, CANDLE)


def make_script(seed: random.Random, rows: Rows) -> Script:
    script = Script()
    for number, close in enumerate(rows["close"].tolist(), 1):
        for _ in range(seed.choice([0, 0, 1, 1, 2, 3])):
            script.setdefault(number, []).append(instruction(seed, close, number))
    return script


def instruction(seed: random.Random, close: float, number: int) -> tuple[str, dict[str, Any]]:
    what = seed.choice(["buy", "buy", "sell", "sell", "reduce", "reduce", "cancel", "stop", "target"])
    if what == "cancel":
        return what, {"tag": seed.choice(["a", "b", ""])}
    if what in ("stop", "target"):
        return what, {"price": seed.choice([None, price_near(seed, close, 8.0)])}
    options: dict[str, Any] = {"quantity": seed.choice([0.1, 0.25, 1.0, 1.6, 2.5, 40.0])}
    kind = seed.choice(["market", "limit", "limit", "stop", "stop-limit", "touch", "touch-limit", "trail"])
    if kind in ("limit", "stop-limit", "touch-limit"):
        options["limit"] = price_near(seed, close, 6.0)
    if kind.startswith(("stop", "touch")):
        options[kind.partition("-")[0]] = price_near(seed, close, 6.0)
    if kind == "trail":
        options["trail"] = seed.choice([0.5, 2.0, 5.0])
    if kind in ("market", "limit") and seed.random() < 0.3:
        options["time_in_force"] = seed.choice(["ioc", "fok"])
    elif kind == "limit" and seed.random() < 0.3:
        options["post_only"] = True
    side = 1 if what == "buy" else -1
    if what == "reduce":
        options["reduce_only"] = True
        what = seed.choice(["buy", "sell"])
    elif seed.random() < 0.5:
        options["stop_loss"] = max(0.5, close - side * seed.choice([1.0, 4.0, 9.0]))
        if seed.random() < 0.5:
            options["take_profit"] = max(0.5, close + side * seed.choice([1.0, 4.0, 9.0]))
    if seed.random() < 0.3:
        options["expires_ms"] = (number + seed.choice([1, 2, 4])) * 60_000
    if seed.random() < 0.3:
        options["oco"] = seed.choice(["x", "y"])
    options["tag"] = seed.choice(["a", "b", "c"])
    return what, options


def make_rules(seed: random.Random) -> tuple[Rules, Market, Settings]:
    """Return rules for both sides: prices and rates whose products are exact in both number systems."""
    is_perpetual = seed.random() < 0.7
    cost = seed.choice([0.0, 0.0015])
    taker, maker = seed.choice([(0.0, 0.0), (0.001, 0.0002)])
    volume_share = seed.choice([0.0, 0.0, 0.5])
    fill = seed.choice(["through", "touch"])
    latency = seed.choice([0, 0, 1, 2])
    leverage = seed.choice([1.0, 10.0]) if is_perpetual else 1.0
    rules = Rules(
        taker=D(str(taker)),
        maker=D(str(maker)),
        cost=D(str(cost)),
        is_perpetual=is_perpetual,
        leverage=D(leverage),
        touch=fill == "touch",
        volume_share=D(str(volume_share)),
        latency=latency,
    )
    market = Market(
        "AAA",
        is_perpetual,
        tick_size=0.5,
        lot_size=0.25,
        taker_fee_rate=taker,
        maker_fee_rate=maker,
        half_spread_rate=cost / 3,
        slippage_rate=2 * cost / 3,
    )
    settings = Settings(
        sizing="all_in",
        cash_share=1.0,
        leverage_cap=leverage,
        latency_bars=latency,
        volume_share=volume_share,
        limit_fill=fill,
    )
    return rules, market, settings


def slow_run(rules: Rules, rows: Rows, script: Script, capital: float) -> SlowBook:
    book = SlowBook(rules, D(capital))
    names = ("limit", "stop", "touch", "trail", "stop_loss", "take_profit")
    columns = (rows[name].tolist() for name in ("open", "high", "low", "close", "volume"))
    for number, row in enumerate(zip(*columns, strict=True), 1):
        opened, highest, lowest, close, volume = map(D, row)
        book.step((opened, highest, lowest, close), volume)
        stop_before, target_before = shown(book, "stop"), shown(book, "target")
        for what, options in script.get(number, ()):
            if what == "cancel":
                book.cancel(**options)
            elif what in ("stop", "target"):
                price = None if options["price"] is None else D(str(options["price"]))
                if price != (stop_before if what == "stop" else target_before):
                    book.move(what, price)
            else:
                more = {n: D(str(v)) if n in names else v for n, v in options.items()}
                quantity = D(str(more.pop("quantity")))
                expires = more.pop("expires_ms", None)
                if expires is not None:
                    more["expires"] = expires // 60_000
                for name in ("stop_loss", "take_profit"):
                    if name in more:
                        more[name] = (more[name] / rules.tick).to_integral_value() * rules.tick
                book.place(1 if what == "buy" else -1, quantity, **more)
    return book


def shown(book: SlowBook, name: str) -> Decimal | None:
    """Return a level as a strategy sees it: asked for or in force."""
    asked = [price for _, what, price in book.moves if what == name]
    level: Decimal | None = asked[-1] if asked else getattr(book, name)
    return level


def assert_told(engine: Engine, report: Report, levels: dict[str, float]) -> None:
    """Hold what was told of stop and target, from the entry of a trade on, against where they stand."""
    position, trade = engine.positions[0], engine.trades[0]
    if not position["quantity"]:
        return
    since = -1
    if levels.get("number") != trade["number"]:
        levels.update(
            number=int(trade["number"]), stop=float(trade["stop_price"]), target=float(trade["target_price"])
        )
        since = int(report.fills["sequence"][report.fills["trade"] == trade["number"]][0])
    for event in report.orders[report.orders["status"] == MOVED]:
        if event["kind"] in LEVELS and event["sequence"] > since:
            levels[LEVELS[int(event["kind"])]] = float(event["price"])
    assert levels["stop"] == position["stop_price"]
    assert levels["target"] == position["target_price"]


def compare(number: int, n_candles: int) -> Engine:
    seed = random.Random(number)
    rows = make_candles(seed, n_candles)
    script = make_script(seed, rows)
    rules, market, settings = make_rules(seed)
    capital = seed.choice([500.0, 10_000.0])
    spec = EngineSpec([market], Scripted(script), "1m", "1m", capital=capital, settings=settings)
    engine = Engine(spec)
    batch = seed.choice([1, 7, n_candles])
    told: list[tuple[int, tuple[Any, ...]]] = []
    levels: dict[str, float] = {}
    for start in range(0, n_candles, batch):
        report = engine.step(rows[start : start + batch])
        assert not report.faults, (number, str(report.faults[0]))
        if batch == 1:
            assert_told(engine, report, levels)
        for fill in report.fills:
            what = (
                int(fill["candle_ms"]) // 60_000,
                int(fill["side"]),
                D(float(fill["quantity"])),
                D(float(fill["price"])),
            )
            told.append((int(fill["sequence"]), what))
            candle = rows[what[0]]
            is_inside = candle["low"] <= fill["price"] <= candle["high"]
            assert is_inside or rules.cost or rules.tick, number
        for event in report.orders:
            if event["status"] in ENDS:
                end = (ENDS[int(event["status"])], tag_text(event["tag"]))
                told.append((int(event["sequence"]), end))
    book = slow_run(rules, rows, script, capital)
    if engine.account[0]["ruined_ms"]:
        return engine  # what a ruined account does is another page
    assert [what for _, what in sorted(told)] == book.told, number
    assert float(engine.positions[0]["quantity"]) == float(book.position), number
    assert int(engine.account[0]["cash"]) / 1e9 == pytest.approx(float(book.cash), abs=1e-6), number
    working = engine.working[0]
    reducing = working[(working["status"] != 0) & (working["is_reduce_only"] != 0)]
    assert not len(reducing) or engine.positions[0]["quantity"] != 0.0, number
    return engine


@pytest.mark.parametrize("block", range(4))
def test_random_orders_end_as_in_the_slow_account(block: int) -> None:
    for number in range(50 * block, 50 * block + 50):
        compare(number, N_CANDLES)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_very_many_random_orders_end_as_in_the_slow_account(block: int) -> None:
    """A million candles in all: long runs, for most of what a short one takes is making an engine."""
    for number in range(1_000_000 + 625 * block, 1_000_000 + 625 * block + 625):
        compare(number, 400)
