"""The order of an instant: closes at the open, entries at the open, brackets, marks; names never matter."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from papertape.engine.jit import Rows
from papertape.engine.records import FLAT, LONG, REASON_ENTRY, REASON_STOP, REASON_TARGET, REFUSED_SIZE, SHORT
from papertape.engine.spec import Settings
from papertape.engine.strategies import BracketW2, Confluence, Decision, EmaCross, RsiReversion
from tests.support.helpers import FREE, make_candles, random_candles
from tests.support.portfolios import Portfolio, Told, differences, run, without

PERPETUAL = {**FREE, "is_perpetual": True}
ALL_IN = Settings("all_in", cash_share=1.0)
PAIR = ("FIRST", "SECOND")
NAMINGS = [{"FIRST": "AAA", "SECOND": "BBB"}, {"FIRST": "BBB", "SECOND": "AAA"}]


def flat(price: float, n: int) -> list[tuple[float, float, float, float]]:
    return [(price, price, price, price)] * n


def pair(
    first: list[Any], second: list[Any], settings: Settings, script: Any, market: Any = FREE, **options: Any
) -> Portfolio:
    tapes = dict(zip(PAIR, (make_candles(first), make_candles(second)), strict=True))
    return Portfolio(tapes, dict.fromkeys(PAIR, market), settings, script, **options)


@pytest.mark.parametrize("names", NAMINGS, ids=["held first", "held last"])
def test_a_target_inside_a_candle_does_not_pay_for_an_entry_at_its_open(names: dict[str, str]) -> None:
    # 1,000 quote buy 100 FIRST at 10; its target 12 lies inside candle 3, at whose open SECOND is ordered at 20.
    portfolio = pair(
        [*flat(10.0, 3), (10.0, 12.5, 10.0, 12.0), *flat(12.0, 2)],
        flat(20.0, 6),
        ALL_IN,
        {
            ("FIRST", 0): Decision(LONG, target_price=12.0),
            ("SECOND", 2): Decision(LONG),
            ("SECOND", 3): Decision(FLAT),
        },
        capital=1_000.0,
    )

    told, _ = run(portfolio, names)

    assert told.fills["symbol"].tolist() == [0, 0]
    assert told.fills["price"].tolist() == [10.0, 12.0]
    assert told.fills["quantity"].tolist() == pytest.approx([100.0, 100.0], rel=1e-15)
    assert told.decisions[told.decisions["symbol"] == 1]["refused"].tolist() == [0, REFUSED_SIZE]
    assert told.marks["equity"].tolist() == [1_000 * 10**9] * 3 + [1_200 * 10**9] * 3


@pytest.mark.parametrize("names", NAMINGS, ids=["sold first", "sold last"])
def test_what_is_sold_at_an_open_buys_at_the_same_open(names: dict[str, str]) -> None:
    # FIRST stands at 10, SECOND goes 10, 10, 10, 10, 10, 12: moved at the open of candle 4, all of it gains 20 %.
    portfolio = pair(
        flat(10.0, 6),
        [*flat(10.0, 4), (10.0, 12.0, 10.0, 12.0), (12.0, 12.0, 12.0, 12.0)],
        ALL_IN,
        {("FIRST", 0): Decision(LONG), ("FIRST", 3): Decision(FLAT), ("SECOND", 3): Decision(LONG)},
    )

    told, outcome = run(portfolio, names)

    assert told.fills["symbol"].tolist() == [0, 0, 1]
    assert told.fills["quantity"].tolist() == [1_000.0] * 3
    assert told.marks["equity"][-1] == 12_000 * 10**9
    # the sale comes before the purchase, whatever the names
    assert outcome.fills["side"].tolist() == [1, -1, 1]


@pytest.mark.parametrize("names", NAMINGS)
@pytest.mark.parametrize(
    ("market", "settings", "quantities"),
    [
        # Each alone would take the whole cap of 2 × 10,000: 20,000 together, 10,000 each.
        (PERPETUAL, Settings("all_in", cash_share=1.0, leverage_cap=2.0), [50.0, 500.0]),
        # 25 % of 10,000 each; nothing is short.
        (FREE, Settings("fraction", fixed_fraction=0.25, cash_share=1.0), [12.5, 125.0]),
        # 75 % each: 15,000 of 10,000, so two thirds of it: 5,000 each.
        (FREE, Settings("fraction", fixed_fraction=0.75, cash_share=1.0), [25.0, 250.0]),
        # 1.5 and 1.5 times equity, capped at 2.
        (
            PERPETUAL,
            Settings("fraction", fixed_fraction=1.5, cash_share=1.0, leverage_cap=2.0),
            [50.0, 500.0],
        ),
    ],
)
def test_entries_of_one_open_are_sized_on_one_book_and_shared_out(
    names: dict[str, str], market: dict[str, Any], settings: Settings, quantities: list[float]
) -> None:
    # Both stood at half the price at the close before: what is opened is worth its fill, not that close.
    portfolio = pair(
        [*flat(100.0, 1), *flat(200.0, 2)],
        [*flat(10.0, 1), *flat(20.0, 2)],
        settings,
        {("FIRST", 0): Decision(LONG), ("SECOND", 0): Decision(LONG)},
        market,
    )

    told, outcome = run(portfolio, names)

    assert told.fills["quantity"].tolist() == pytest.approx(quantities, rel=1e-15)
    cap = 2.0 if settings.leverage_cap == 2.0 else 1.0
    assert outcome.marks["exposure"][-1] <= cap * 10_000 * 10**9
    assert outcome.marks["equity"].tolist() == [10_000 * 10**9] * 3
    assert outcome.trades.size == 0
    assert outcome.engine.open_trades()["equity_before"].tolist() == [10_000 * 10**9] * 2


@pytest.mark.parametrize("names", NAMINGS)
def test_shares_are_pro_rata_to_what_each_wanted(names: dict[str, str]) -> None:
    # 1 % of 10,000 over stops of 0.5 and 1.5 %: 20,000 and 6,667 wanted with 10,000 of cash; alone 10,000 and 6,667.
    portfolio = pair(
        flat(100.0, 2),
        flat(100.0, 2),
        Settings("risk", 0.01, cash_share=1.0),
        {("FIRST", 0): Decision(LONG, stop_distance=0.5), ("SECOND", 0): Decision(LONG, stop_distance=1.5)},
    )

    told, _ = run(portfolio, names)

    # 10,000 is shared 3 : 2
    assert told.fills["quantity"].tolist() == pytest.approx([60.0, 40.0], rel=1e-14)
    assert told.fills["notional"].sum() <= 10_000 * 10**9


@pytest.mark.parametrize("names", NAMINGS)
@pytest.mark.parametrize("decision", [Decision(LONG, stop_price=101.0), Decision(LONG)])
def test_an_entry_that_is_refused_takes_nothing_from_another(
    names: dict[str, str], decision: Decision
) -> None:
    portfolio = pair(
        flat(100.0, 3), flat(100.0, 3), ALL_IN, {("FIRST", 0): Decision(LONG), ("SECOND", 0): decision}
    )._replace(markets={"FIRST": FREE, "SECOND": {**FREE, "minimum_notional": 10_001.0}})

    told, _ = run(portfolio, names)

    assert told.fills["quantity"].tolist() == [100.0]
    assert told.decisions["refused"].any()


@pytest.mark.parametrize("names", NAMINGS)
def test_a_share_below_the_minimum_is_refused_and_the_others_do_not_grow(names: dict[str, str]) -> None:
    portfolio = pair(flat(100.0, 3), flat(100.0, 3), ALL_IN, {(s, 0): Decision(LONG) for s in PAIR})._replace(
        markets={"FIRST": FREE, "SECOND": {**FREE, "minimum_notional": 5_001.0}}
    )

    told, _ = run(portfolio, names)

    assert told.fills["symbol"].tolist() == [0]
    assert told.fills["quantity"].tolist() == [50.0]
    assert told.decisions["refused"].tolist() == [0, 0, REFUSED_SIZE]


@pytest.mark.parametrize("names", NAMINGS)
@pytest.mark.parametrize(
    ("candle", "reason", "proceeds"),
    [
        ((8.0, 8.0, 8.0, 8.0), REASON_STOP, 8_000),  # opens beyond the stop at 9: known at the open
        ((13.0, 13.0, 13.0, 13.0), REASON_TARGET, 13_000),  # beyond the target at 12
    ],
)
def test_a_bracket_that_the_open_has_passed_pays_for_an_entry_at_that_open(
    names: dict[str, str], candle: tuple[float, float, float, float], reason: int, proceeds: int
) -> None:
    portfolio = pair(
        [*flat(10.0, 3), candle, *flat(candle[3], 1)],
        flat(20.0, 5),
        ALL_IN,
        {("FIRST", 0): Decision(LONG, stop_price=9.0, target_price=12.0), ("SECOND", 2): Decision(LONG)},
    )

    told, outcome = run(portfolio, names)

    assert told.fills["reason"].tolist() == [REASON_ENTRY, reason, REASON_ENTRY]
    assert told.fills["notional"][-1] == proceeds * 10**9
    assert outcome.fills["symbol"][-1] == outcome.engine.symbols.index(names["SECOND"])


def test_an_absent_candle_takes_no_part_and_its_order_waits() -> None:
    portfolio = pair(flat(10.0, 4), flat(20.0, 4), ALL_IN, {(symbol, 0): Decision(LONG) for symbol in PAIR})
    portfolio.tapes["SECOND"]["flag_bits"][1] = 2

    for names in NAMINGS:
        told, _ = run(portfolio, names)

        # FIRST takes everything at candle 1; at candle 2 nothing is left for SECOND
        assert told.fills["notional"].tolist() == [10_000 * 10**9]
        assert told.decisions["refused"].tolist() == [0, 0, REFUSED_SIZE]


# --- names, order, company --------------------------------------------------------------------------------------


def random_portfolio(seed: int, n: int = 120) -> Portfolio:
    """Return a seeded mixture of everything that one instant can hold."""
    random = np.random.default_rng(seed)
    symbols = ["BTC", "ETH", "SOL"][: 2 + seed % 2]
    is_perpetual = bool(random.integers(2))
    tapes: dict[str, Rows] = {}
    markets: dict[str, dict[str, Any]] = {}
    script: dict[tuple[str, int], Decision] = {}
    for number, symbol in enumerate(symbols):
        tapes[symbol] = random_candles(n, 10 * seed + number)
        tapes[symbol]["flag_bits"][random.choice(np.arange(1, n), 5, replace=False)] = 2
        has_grid = bool(random.integers(2))
        markets[symbol] = {
            "is_perpetual": is_perpetual,
            "tick_size": 0.01 if has_grid else 0.0,
            "lot_size": 0.001 if has_grid else 0.0,
            "minimum_notional": float(random.choice([0.0, 5.0, 2_000.0])),
            "taker_fee_rate": float(random.choice([0.0, 0.0005, 0.002])),
            "maximum_leverage": float(random.choice([0.0, 2.0])),
        }
        for k in random.choice(n, n // 3, replace=False):
            script[symbol, int(k)] = Decision(
                int(random.choice([SHORT, FLAT, LONG, LONG] if is_perpetual else [FLAT, LONG])),
                stop_distance=float(random.choice([0.5, 1.0, 2.0])),
                target_distance=float(random.choice([0.0, 1.0, 3.0])),
                size_scale=float(random.choice([0.5, 1.0])),
            )
    funding = tuple(
        (symbols[int(random.integers(len(symbols)))], int(before), 0.0003)
        for before in random.choice(np.arange(1, n), 6, replace=False)
    )
    settings = Settings(
        str(random.choice(["risk", "fraction", "all_in"])),
        risk_fraction=0.02,
        fixed_fraction=0.6,
        leverage_cap=float(random.choice([1.0, 3.0])),
        latency_bars=int(random.integers(2)),
    )
    if settings.sizing == "all_in":  # a share of everything means nothing, and is refused
        script = {key: wish._replace(size_scale=1.0) for key, wish in script.items()}
    return Portfolio(tapes, markets, settings, script, funding if is_perpetual else ())


def namings(symbols: list[str]) -> list[dict[str, str]]:
    return [dict(zip(symbols, names, strict=True)) for names in permutations(symbols)]


@pytest.mark.parametrize("seed", range(24))
def test_names_order_and_batches_change_nothing(seed: int) -> None:
    portfolio = random_portfolio(seed)
    symbols = list(portfolio.tapes)
    told, outcome = run(portfolio)
    assert len(outcome.fills) > 10

    for number, names in enumerate(namings(symbols)):
        batch = (1, 7, 100_000)[number % 3]
        order = symbols[::-1] if number % 2 else symbols
        other, _ = run(portfolio, names, order=order, batch=batch, restart=number == 1)
        assert differences(told, other) == []
        assert other.digest == told.digest


@pytest.mark.parametrize("seed", range(8))
def test_the_steps_of_an_instant_come_in_their_order(seed: int) -> None:
    """Entries of an instant follow every close at its open and come before what happened inside the candle."""
    portfolio = random_portfolio(seed)
    _, outcome = run(portfolio)
    tapes = [portfolio.tapes[name] for name in outcome.engine.symbols]
    opens = [dict(zip(t["open_ms"].tolist(), t["open"].tolist(), strict=True)) for t in tapes]
    entered: dict[int, set[int]] = {}
    steps: list[tuple[int, int]] = []

    for fill in outcome.fills:
        candle, symbol = int(fill.candle_ms), int(fill.symbol)
        if fill.reason == REASON_ENTRY:
            step = 1
            entered.setdefault(candle, set()).add(symbol)
        elif fill.reason in (REASON_STOP, REASON_TARGET):
            trade = outcome.trades[outcome.trades["number"] == fill.trade][0]
            side, price = int(trade.side), opens[symbol][candle]
            has_passed = trade.stop_price > 0 and side * (price - trade.stop_price) <= 0
            has_passed |= trade.target_price > 0 and side * (price - trade.target_price) >= 0
            is_new = symbol in entered.get(candle, set())
            step = 0 if has_passed and not is_new else 2
        else:
            step = 0
        steps.append((candle, step))

    assert steps == sorted(steps)
    assert outcome.fills["sequence"].tolist() == sorted(outcome.fills["sequence"].tolist())


def company(portfolio: Portfolio, name: str) -> Portfolio:
    """Return the portfolio with one symbol more on which no size is large enough."""
    like = next(iter(portfolio.tapes))
    tape = random_candles(len(portfolio.tapes[like]), 99)
    script = {(name, k): Decision(LONG, stop_distance=1.0) for k in range(0, len(tape), 3)} | portfolio.script
    return portfolio._replace(
        tapes={**portfolio.tapes, name: tape},
        markets={**portfolio.markets, name: {**portfolio.markets[like], "minimum_size": 1e12}},
        script=script,
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["AAA", "MMM", "ZZZ"])
def test_a_symbol_that_is_not_traded_changes_nothing(seed: int, name: str) -> None:
    portfolio = random_portfolio(seed)
    told, _ = run(portfolio)

    other, _ = run(company(portfolio, name))

    assert differences(told, without(other, len(portfolio.tapes))) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: EmaCross(5, 12, allow_short=True),
        BracketW2,
        lambda: RsiReversion(entry=30.0),
        lambda: Confluence(confidence_threshold=0.3, use_smc=False),
    ],
    ids=["ema_cross", "bracket_w2", "rsi_reversion", "confluence"],
)
def test_names_change_nothing_for_built_in_strategies(make: Any) -> None:
    """Three symbols, hours from quarters, all of the account each: they compete at almost every entry."""
    symbols = ["BTC", "ETH", "SOL"]
    tapes = {s: random_candles(2_500, 70 + i, timeframe="15m") for i, s in enumerate(symbols)}
    for price in ("open", "high", "low", "close"):
        tapes["SOL"][price] = 2 * tapes["BTC"][price]  # the same signals at the same time
    for number, tape in enumerate(tapes.values()):
        tape["flag_bits"][50 + number :: 97] = 2
    portfolio = Portfolio(
        tapes,
        {s: {"is_perpetual": True, "tick_size": 0.01, "lot_size": 0.001} for s in symbols},
        Settings("all_in", leverage_cap=2.0),
        funding=(("ETH", 640, 0.001), ("SOL", 640, -0.0005)),
        base="15m",
    )
    told, outcome = run(portfolio, strategy=make())
    assert len(outcome.fills) > 20
    shared = np.unique(outcome.fills["candle_ms"], return_counts=True)[1]
    assert shared.max() > 1

    for number, names in enumerate(namings(symbols)):
        batch = (13, 100_000)[number % 2]
        other, _ = run(portfolio, names, strategy=make(), batch=batch, restart=number == 3)
        assert differences(told, other) == []


def test_told_is_not_blind() -> None:
    """What is compared above does differ when one price does."""
    portfolio = random_portfolio(3)
    told, _ = run(portfolio)
    tapes = {name: tape.copy() for name, tape in portfolio.tapes.items()}
    tapes["ETH"]["open"][60:] += 0.05
    tapes["ETH"]["high"] = np.maximum(tapes["ETH"]["high"], tapes["ETH"]["open"])

    other, _ = run(portfolio._replace(tapes=tapes))

    assert set(differences(told, other)) >= set(Told._fields) - {"decisions", "payments"}
