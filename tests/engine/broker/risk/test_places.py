"""Places among the open positions, and orders in a while: by hand, by confidence, and whatever the names are."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.risk.groups import SymbolGroup
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.jit import Rows
from papertape.engine.records import FLAT, LONG, REFUSED_GROUP, REFUSED_ORDERS, REFUSED_POSITIONS, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.replay.config import make_config
from papertape.replay.config.spec import spec_for
from tests.support.every_order import EveryOrder
from tests.support.helpers import (
    FREE,
    START_MS,
    Outcome,
    interleave,
    make_candles,
    random_candles,
    run_all,
    run_script,
)
from tests.support.portfolios import Portfolio, run

HOUR_MS = 3_600_000
PERPETUAL = {**FREE, "is_perpetual": True}
TENTH = Settings("fraction", fixed_fraction=0.1, cash_share=1.0)


def bars(*prices: float) -> Rows:
    return make_candles([(p, p, p, p) for p in prices])


def entered(
    prices: dict[str, float], script: dict[tuple[str, int], Decision], limits: Limits, n: int = 6
) -> tuple[dict[str, list[int]], Outcome]:
    """Return at which candle each symbol filled, the same for every naming, and one outcome."""
    tapes = {symbol: bars(*[price] * n) for symbol, price in prices.items()}
    portfolio = Portfolio(tapes, dict.fromkeys(prices, PERPETUAL), TENTH, script, limits=limits)
    told = []
    for names in permutations(prices):
        _, outcome = run(portfolio, dict(zip(prices, names, strict=True)))
        back = dict(zip(names, prices, strict=True))
        found: dict[str, list[int]] = {symbol: [] for symbol in prices}
        for fill in outcome.fills:
            symbol = back[outcome.engine.symbols[int(fill.symbol)]]
            found[symbol].append((int(fill.candle_ms) - START_MS) // HOUR_MS)
        told.append(found)
    assert all(found == told[0] for found in told)
    return told[0], outcome


@pytest.mark.parametrize(
    ("confidences", "most", "expected"),
    [
        # The surest two of three; the third is asked for again at every close and finds no place.
        ((0.9, 0.5, 0.7), 2, {"A": [1], "B": [], "C": [1]}),
        ((0.9, 0.5, 0.7), 1, {"A": [1], "B": [], "C": []}),
        ((0.9, 0.5, 0.7), 3, {"A": [1], "B": [1], "C": [1]}),
        # As sure as each other: the dearer unit, C at 30.
        ((0.5, 0.5, 0.5), 1, {"A": [], "B": [], "C": [1]}),
        ((0.5, 0.9, 0.5), 2, {"A": [], "B": [1], "C": [1]}),
    ],
)
def test_the_surest_get_the_places(
    confidences: tuple[float, ...], most: int, expected: dict[str, list[int]]
) -> None:
    script = {
        (symbol, k): Decision(LONG, confidence=sure)
        for symbol, sure in zip("ABC", confidences, strict=True)
        for k in range(4)
    }

    found, outcome = entered({"A": 10.0, "B": 20.0, "C": 30.0}, script, Limits(open_positions=most))

    assert found == expected
    assert outcome.marks["open_positions"].max() == min(most, 3)
    refused = outcome.decisions[outcome.decisions["refused"] == REFUSED_POSITIONS]
    assert len(refused) == 3 - min(most, 3)  # said once each, not at every close


def test_of_those_that_nothing_tells_apart_none_gets_a_place() -> None:
    script = {(symbol, 0): Decision(LONG) for symbol in "AB"}

    found, _ = entered({"A": 10.0, "B": 10.0}, script, Limits(open_positions=1))

    assert found == {"A": [], "B": []}


def test_a_place_that_is_left_at_an_open_is_free_at_that_open_and_a_turn_keeps_its_own() -> None:
    script = {
        ("A", 0): Decision(LONG),
        ("A", 1): Decision(SHORT),  # turns at the open of candle 2: closed and opened there
        ("B", 1): Decision(LONG, confidence=0.9),  # no place
        ("A", 2): Decision(FLAT),
        ("B", 2): Decision(LONG, confidence=0.9),  # A leaves at the open of candle 3
    }

    found, outcome = entered({"A": 10.0, "B": 20.0}, script, Limits(open_positions=1))

    assert found == {"A": [1, 2, 2, 3], "B": [3]}
    assert outcome.marks["open_positions"].tolist() == [0, 1, 1, 1, 1, 1]


class Orders:
    """Buys with working orders, and with one more of B that has no place."""

    features = ()

    def decide(self, view: Any) -> None:
        number = (view.time_ms - START_MS) // HOUR_MS
        if number == 1:
            view.buy(1.0)
        elif number == 2 and view.symbol == "B":
            view.buy(1.0, limit=view.close + 1.0)
        elif number == 3 and view.symbol == "A":
            view.buy(2.0)  # what is held may grow
            view.exit(0.5)


def test_orders_take_places_too() -> None:
    spec = EngineSpec(
        [Market(name, **PERPETUAL) for name in "AB"],
        Orders(),
        "1h",
        "1h",
        settings=TENTH,
        limits=Limits(open_positions=1),
    )

    outcome = run_all(Engine(spec), interleave([bars(*[price] * 6) for price in (20.0, 10.0)]))

    assert outcome.fills["symbol"].tolist() == [0, 0, 0]
    causes = outcome.orders[outcome.orders["cause"] != 0]
    assert causes["symbol"].tolist() == [1, 1]
    assert causes["cause"].tolist() == [REFUSED_POSITIONS] * 2


def test_orders_of_a_while_are_counted_and_closing_is_none_of_them() -> None:
    # One candle long, one flat, and so on: six orders to open within the first twelve hours, three allowed in six.
    script = {k: Decision(LONG if k % 2 == 0 else FLAT) for k in range(14)}

    outcome = run_script(
        bars(*[100.0] * 16), script, limits=Limits(orders=2, orders_hours=6.0), sizing="fraction"
    )

    hours = [(int(f.candle_ms) - START_MS) // HOUR_MS for f in outcome.fills]
    # Closes 1 … 6 are the first six hours: orders at closes 1 and 3, none at 5. Closes 7 … 12: at 7 and 9. From 13 on again.
    assert hours == [1, 2, 3, 4, 7, 8, 9, 10, 13, 14]
    refused = outcome.decisions[outcome.decisions["refused"] == REFUSED_ORDERS]
    assert ((refused["time_ms"] - START_MS) // HOUR_MS).tolist() == [5, 11]


def test_a_turn_that_may_not_be_sent_still_closes() -> None:
    script = {0: Decision(LONG), 2: Decision(SHORT)}

    outcome = run_script(
        bars(*[100.0] * 6), script, market=PERPETUAL, limits=Limits(orders=1), sizing="fraction"
    )

    assert [(int(f.candle_ms) - START_MS) // HOUR_MS for f in outcome.fills] == [1, 3]
    assert outcome.decisions["refused"].tolist() == [0, REFUSED_ORDERS]


class Restless:
    """Buys one unit more at every close, and sells twice of what it holds at the sixth."""

    features = ()

    def decide(self, view: Any) -> None:
        if (view.time_ms - START_MS) // HOUR_MS == 6:
            view.sell(2 * view.position)
        else:
            view.buy(1.0)


def test_orders_of_a_strategy_are_counted_too() -> None:
    spec = EngineSpec([Market("X", **PERPETUAL)], Restless(), "1h", "1h", limits=Limits(orders=3))

    outcome = run_all(Engine(spec), bars(*[10.0] * 9))

    # Three are sent; the sale of twice as much as is held may only close.
    assert outcome.fills["quantity"].tolist() == [1.0, 1.0, 1.0, 3.0]
    assert outcome.engine.positions["quantity"].tolist() == [0.0]
    refused = outcome.orders[outcome.orders["cause"] == REFUSED_ORDERS]
    assert len(refused) == 5  # at closes 4, 5, 7, 8 and 9


# --- everything at once ----------------------------------------------------------------------------------------------

CROWDED = Limits(
    open_positions=2,
    orders=2,
    orders_hours=5.0,
    groups=(SymbolGroup(("AAA", "CCC"), 0.35), SymbolGroup(("BBB",), 0.5)),
)
CANDLES = interleave([random_candles(1_200, seed=50 + s, timeframe="15m") for s in range(3)])


def every_order(limits: Limits = CROWDED, names: tuple[str, ...] = ("AAA", "BBB", "CCC")) -> Engine:
    markets = [Market(name, is_perpetual=True, tick_size=0.01, lot_size=0.001) for name in names]
    account = Settings("risk", 0.02, leverage_cap=3.0)
    return Engine(EngineSpec(markets, EveryOrder(), "1h", "15m", settings=account, limits=limits))


@pytest.fixture(scope="module")
def whole() -> Outcome:
    return run_all(every_order(), CANDLES)


def test_every_kind_of_order_meets_every_limit(whole: Outcome) -> None:
    assert whole.marks["open_positions"].max() == 2
    causes = set(whole.orders["cause"].tolist())
    assert causes >= {REFUSED_POSITIONS, REFUSED_ORDERS, REFUSED_GROUP}
    loose = run_all(every_order(Limits()), CANDLES)
    assert loose.marks["open_positions"].max() == 3
    # Positions by symbol after every instant, from the fills alone: what A and C hold together when one of them opens.
    held = dict.fromkeys(range(3), 0.0)
    equity = dict(zip(whole.marks["time_ms"].tolist(), whole.marks["equity"].tolist(), strict=True))
    for fill in whole.fills:
        is_opening = abs(fill.position) > abs(held[int(fill.symbol)])
        held[int(fill.symbol)] = float(fill.position)
        if is_opening and fill.symbol != 1:
            worth = equity.get(int(fill.candle_ms), 10_000 * 10**9) / 1e9
            row = CANDLES[np.searchsorted(CANDLES["open_ms"], fill.candle_ms) + np.arange(3)]
            notional = abs(held[0]) * row["open"][0] + abs(held[2]) * row["open"][2]
            assert notional <= 0.35 * worth * 1.01  # from the close before to the open


@pytest.mark.parametrize("step", [3, 51, 300])
def test_batches_and_restarts_change_nothing(whole: Outcome, step: int) -> None:
    moving = every_order()
    for start in range(0, len(CANDLES), step):
        moving.step(CANDLES[start : start + step])
        if step == 51:
            again = every_order()
            again.restore(moving.snapshot())
            moving = again

    assert moving.digest == whole.engine.digest
    assert moving.snapshot() == whole.engine.snapshot()


def test_other_names_in_another_order_meet_the_same_limits(whole: Outcome) -> None:
    turned = CANDLES.reshape(-1, 3)[:, ::-1].copy()
    turned["symbol"] = np.arange(3)
    groups = (SymbolGroup(("XXX", "ZZZ"), 0.35), SymbolGroup(("YYY",), 0.5))
    limits = Limits(open_positions=2, orders=2, orders_hours=5.0, groups=groups)

    other = run_all(every_order(limits, ("XXX", "YYY", "ZZZ")), turned.reshape(-1))

    assert other.marks.tobytes() == whole.marks.tobytes()
    for name in ("fills", "orders"):
        one, two = getattr(whole, name), getattr(other, name)
        assert sorted(zip(one["symbol"], one["quantity"], one["price"], strict=True)) == sorted(
            zip(2 - two["symbol"], two["quantity"], two["price"], strict=True)
        )


def test_limits_that_nothing_meets_change_nothing() -> None:
    far = Limits(open_positions=3, orders=9_999, groups=(SymbolGroup(("AAA", "BBB", "CCC"), 900.0),))
    part = CANDLES[:1_200]

    one, two = run_all(every_order(Limits()), part), run_all(every_order(far), part)

    assert one.engine.digest == two.engine.digest


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"open_positions": -1}, "limits.open_positions: input should be greater than or equal to 0, not -1"),
        ({"orders": 2, "orders_hours": 0}, "limits.orders_hours: input should be greater than 0, not 0"),
        ({"groups": [{"symbols": [], "gross": 1.0}]}, "limits.groups.0.symbols: tuple should have at least 1 item"),
        ({"groups": [{"symbols": ["A"], "gross": 0.0}]}, "limits.groups.0.gross: input should be greater than 0"),
        ({"groups": [{"symbols": ["A"], "gross": 1.0, "net": 1.0}]}, "limits.groups.0.net: unknown key: choose one of gross, symbols"),
        ({"groups": [{"symbols": ["A", "A"], "gross": 1.0}]}, "limits.groups: A, A: name at least one symbol, each once"),
        ({"groups": [{"symbols": ["A"], "gross": 1.0}, {"symbols": ["B", "A"], "gross": 2.0}]}, "limits.groups: A is in two groups"),
        ({"groups": [{"symbols": ["AB"], "gross": 1.0}]}, "limits.groups: no tape or symbol has the name 'AB'"),
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec_for(make_config({"limits": limits}), [Market("A"), Market("B")], "1h")

    assert message in str(error.value)
    assert "\n" not in str(error.value)
