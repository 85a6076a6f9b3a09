"""Leverage by size, by hand: what must be maintained, where that liquidates, and how large a position may be."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.risk.brackets import amounts_of, as_brackets, largest_notional
from papertape.engine.broker.risk.margin import maintenance_of
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.records import LONG, MARKET, REASON_LIQUIDATION, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.replay.config import make_config
from papertape.replay.config.markets import market_of
from tests.support.helpers import FREE, Scripted, make_candles, run_all

# BTCUSDT of Binance's USDⓈ-M futures as published in 2021: notional up to, leverage, rate, and the maintenance amount.
BINANCE = (
    (50_000.0, 125.0, 0.004, 0.0),
    (250_000.0, 100.0, 0.005, 50.0),
    (1_000_000.0, 50.0, 0.01, 1_300.0),
    (5_000_000.0, 20.0, 0.025, 16_300.0),
    (20_000_000.0, 10.0, 0.05, 141_300.0),
    (50_000_000.0, 5.0, 0.1, 1_141_300.0),
    (100_000_000.0, 4.0, 0.125, 2_391_300.0),
    (200_000_000.0, 3.0, 0.15, 4_891_300.0),
    (300_000_000.0, 2.0, 0.25, 24_891_300.0),
    (500_000_000.0, 1.0, 0.5, 99_891_300.0),
)
TABLE = tuple(row[:3] for row in BINANCE)
FLAT_BAR = (100.0, 100.0, 100.0, 100.0)


def market_row(**values: Any) -> Any:
    rows = np.zeros(1, MARKET)
    Market("X", is_perpetual=True, **values).write(rows[0])
    return rows[0]


def test_amounts_are_those_that_binance_publishes() -> None:
    amounts = amounts_of(as_brackets(TABLE))[:, 2]

    assert amounts.tolist() == pytest.approx([row[3] for row in BINANCE], abs=1e-3)


@pytest.mark.parametrize(
    ("notional", "maintained"),
    [
        (10_000, 40.0),  # 0.4 %
        (50_000, 200.0),
        (250_000, 200.0 + 1_000.0),  # and 0.5 % of 200,000
        (600_000, 1_200.0 + 3_500.0),  # and 1 % of 350,000; 600,000 × 1 % - 1,300
        (2_000_000, 1_200.0 + 7_500.0 + 25_000.0),  # and 2.5 % of a million
    ],
)
def test_each_part_is_maintained_at_the_rate_of_its_bracket(notional: int, maintained: float) -> None:
    row = market_row(brackets=TABLE)

    assert maintenance_of(row, notional * 10**9) * notional == pytest.approx(maintained, rel=1e-12)


def held(side: int, leverage: float, size: float, bars: list[Any], **market: Any) -> Any:
    """Return the run of a position of `size` units that enters at 100, and the engine."""
    spec = EngineSpec(
        [Market("X", is_perpetual=True, leverage=leverage, **FREE, **market)],
        Scripted({0: Decision(side)}),
        "1h",
        "1h",
        capital=size * 100.0,
        settings=Settings("fraction", fixed_fraction=1.0, leverage_cap=125.0, cash_share=1.0),
    )
    engine = Engine(spec)
    return run_all(engine, make_candles([FLAT_BAR, FLAT_BAR, *bars])), engine


@pytest.mark.parametrize(
    ("side", "leverage", "size", "level"),
    [
        # 600,000 at 10x: m = 4,700 ÷ 600,000; 100 × (1 ∓ (0.1 - 0.0078333))
        (LONG, 10, 6_000.0, 90.0 + 0.47 / 0.6),
        (SHORT, 10, 6_000.0, 110.0 - 0.47 / 0.6),
        # 600,000 at 50x, the last bracket that allows it: 100 × (1 ∓ (0.02 - 0.0078333))
        (LONG, 50, 6_000.0, 98.0 + 0.47 / 0.6),
        (SHORT, 50, 6_000.0, 102.0 - 0.47 / 0.6),
        # 2,000,000 at 10x: m = 33,700 ÷ 2,000,000 = 0.01685
        (LONG, 10, 20_000.0, 91.685),
        # 40,000 at 125x: m = 0.4 %, 1 ÷ 125 = 0.8 %
        (LONG, 125, 400.0, 99.6),
    ],
)
def test_levels_by_hand_and_beside_the_form_of_binance(
    side: int, leverage: float, size: float, level: float
) -> None:
    beyond = level - side * 0.01
    bar = (100.0, max(100.0, beyond), min(100.0, beyond), 100.0)
    _, engine = held(side, leverage, size, [], brackets=TABLE)
    outcome, _ = held(side, leverage, size, [bar], brackets=TABLE)

    assert engine.positions[0].liquidation_price == pytest.approx(level, rel=1e-12)
    assert outcome.trades["exit_reason"].tolist() == [REASON_LIQUIDATION]
    # Binance and freqtrade look at the rate of the notional at the mark, (WB + cum - side × q × E) ÷ (q × m - side × q):
    # nearer by the factor of the two forms, (i - m) × m of the price at most.
    notional = size * 100.0
    _, _, rate, amount = next(row for row in BINANCE if notional <= row[0])
    theirs = (notional / leverage + amount - side * notional) / (size * rate - side * size)
    gap = (1 / leverage - (rate - amount / notional)) * rate * 100.0 / (1.0 - side * rate)
    assert theirs - level == pytest.approx(-gap, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "leverage", "largest"),
    [
        ({"brackets": TABLE}, 125.0, 50_000.0),
        ({"brackets": TABLE}, 101.0, 50_000.0),
        ({"brackets": TABLE}, 100.0, 250_000.0),
        ({"brackets": TABLE}, 50.0, 1_000_000.0),
        ({"brackets": TABLE}, 10.0, 20_000_000.0),
        ({"brackets": TABLE}, 0.0, 500_000_000.0),  # none chosen: all that the venue takes
        ({"brackets": TABLE, "maximum_notional": 3e5}, 10.0, 3e5),
        # Delta's BTCUSD: 0.5 % + 2.5e-6 points per quote beyond 100,000 is 10 % at 3.9 million, 12.75 % at the limit of 5.
        ({"initial_rate": 0.005, "initial_slope": 2.5e-8, "maintenance_from": 1e5, "maximum_notional": 5e6}, 10.0, 3.9e6),
        ({"initial_rate": 0.005, "initial_slope": 2.5e-8, "maintenance_from": 1e5, "maximum_notional": 5e6}, 50.0, 7e5),
        ({"initial_rate": 0.005, "initial_slope": 2.5e-8, "maintenance_from": 1e5, "maximum_notional": 5e6}, 200.0, 1e5),
        ({"initial_rate": 0.005, "initial_slope": 2.5e-8, "maintenance_from": 1e5, "maximum_notional": 5e6}, 5.0, 5e6),
        ({}, 10.0, 0.0),
    ],
)  # fmt: skip
def test_how_large_a_position_may_be_is_one_number(
    values: dict[str, Any], leverage: float, largest: float
) -> None:
    row = market_row(leverage=leverage, **values)

    assert row.largest_notional == pytest.approx(largest, rel=1e-12)


def test_delta_asks_at_its_limit_what_its_page_says() -> None:
    """12.75 % at 5 million: the leverage of that is the highest at which nothing but the limit holds."""
    assert largest_notional(1 / 0.1275, (), 0.005, 2.5e-8, 1e5, 0.0) == pytest.approx(5e6)


@pytest.mark.parametrize(
    ("leverage", "wanted", "got"),
    [(50.0, 20_000.0, 10_000.0), (10.0, 20_000.0, 20_000.0), (125.0, 20_000.0, 500.0)],
)
def test_an_entry_is_no_larger_than_its_leverage_allows(leverage: float, wanted: float, got: float) -> None:
    outcome, _ = held(LONG, leverage, wanted, [FLAT_BAR], brackets=TABLE)

    assert outcome.fills["quantity"].tolist() == pytest.approx([got], rel=1e-12)


class Piles:
    """Buys 6,000 units at the first three closes, at market."""

    features = ()

    def decide(self, view: Any) -> None:
        if view.time_ms <= 1_577_836_800_000 + 3 * 3_600_000:
            view.buy(6_000.0)


def test_orders_add_up_to_no_more_either() -> None:
    """At 50x a million is the most: 6,000 × 100, then what is left at the new price, then nothing."""
    spec = EngineSpec(
        [Market("X", is_perpetual=True, leverage=50.0, brackets=TABLE, **FREE)],
        Piles(),
        "1h",
        "1h",
        capital=1e6,
        settings=Settings("fraction", leverage_cap=50.0),
    )
    bars = [FLAT_BAR, FLAT_BAR, (110.0,) * 4, (110.0,) * 4, (110.0,) * 4]

    outcome = run_all(Engine(spec), make_candles(bars))

    # 600,000 is worth 660,000 at the last close of 110 only after the second fill's candle: there 400,000 is left.
    assert outcome.fills["quantity"].tolist() == pytest.approx([6_000.0, 400_000.0 / 110.0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"brackets": TABLE, "leverage": 126.0}, "leverage 126 is above 125"),
        ({"brackets": TABLE[:1] * 2}, "row 2: up_to 50000 is not above 50000"),
        (
            {"brackets": ((1e3, 10.0, 0.01), (1e4, 20.0, 0.02))},
            "row 2: leverage 20 is not above 0 and at most 10",
        ),
        ({"brackets": ((1e3, 20.0, 0.02), (1e4, 10.0, 0.01))}, "row 2: maintenance_rate 0.01 is below 0.02"),
        ({"brackets": ((1e3, 20.0, 0.05),)}, "row 1: at leverage 20 a margin is 5.000%, and 5.000%"),
        ({"brackets": ((float("nan"), 20.0, 0.01),)}, "row 1: up_to nan"),
        ({"brackets": tuple((k + 1.0, 10.0, 0.01) for k in range(41))}, "41 rows are more than 40"),
        ({"brackets": TABLE, "maintenance_rate": 0.01}, "say what maintenance_rate says"),
        ({"brackets": TABLE, "is_perpetual": False}, "a spot market has no margin"),
        ({"leverage": 50.0, "initial_rate": 0.04}, "is above the 25 that initial_rate"),
    ],
)
def test_a_table_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Market("X", **{"is_perpetual": True, **values})


TIERS = [
    {"tier": 1.0, "symbol": "BTC/USDT:USDT", "currency": "USDT", "minNotional": 0.0, "maxNotional": 50_000.0,
     "maintenanceMarginRate": 0.004, "maxLeverage": 125.0, "info": {"cum": "0.0"}},
    {"tier": 2.0, "symbol": "BTC/USDT:USDT", "currency": "USDT", "minNotional": 50_000.0, "maxNotional": None,
     "maintenanceMarginRate": 0.005, "maxLeverage": 100.0, "info": {"cum": "50.0"}},
]  # fmt: skip


def test_a_configuration_takes_rows_of_its_own_and_of_ccxt() -> None:
    own = [
        {"up_to": 50_000, "leverage": 125, "maintenance_rate": 0.004},
        {"up_to": 9e18, "leverage": 100, "maintenance_rate": 0.005},
    ]
    told = {"maintenance_rate": 0.0025, "maintenance_slope": 1e-8, "initial_rate": 0.005}
    found = [
        market_of(
            "delta-india",
            "BTCUSD",
            "linear",
            make_config({"markets": {"BTCUSD": {"leverage": 20, "brackets": rows}}}),
            told,
        )
        for rows in (own, TIERS)
    ]

    assert found[0] == found[1]
    assert [row.leverage for row in found[0].brackets] == [125.0, 100.0]


def test_a_row_without_an_end_has_none_in_any_unit() -> None:
    """1e13 rupiah, counted in 1e-2: a position of all of it is a thousand times 9e9, where the row ended before."""
    config = make_config({"market": {"leverage": 20, "brackets": TIERS}})
    market = replace(market_of("okx", "BTC/IDR:IDR", "linear", config), **FREE)
    spec = EngineSpec(
        [market],
        Scripted({0: Decision(LONG)}),
        "1h",
        "1h",
        capital=1e13,
        money_decimals=2,
        settings=Settings("fraction", fixed_fraction=1.0, cash_share=1.0),
    )

    outcome = run_all(Engine(spec), make_candles([(100.0,) * 4] * 3))

    assert outcome.fills["quantity"].tolist() == pytest.approx([1e11], rel=1e-9)


def test_a_table_comes_back_from_json() -> None:
    market = Market("X", is_perpetual=True, brackets=TABLE)  # type: ignore[arg-type]

    assert Market(**json.loads(json.dumps(market.plain()))) == market


def test_a_row_without_a_rate_is_told() -> None:
    with pytest.raises(ConfigError, match=r"market.brackets.0.maintenance_rate: field required"):
        make_config({"market": {"brackets": [{"up_to": 1.0, "leverage": 2.0}]}})
